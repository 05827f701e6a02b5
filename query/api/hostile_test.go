package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallystick/query/api"
)

// passed asks as a peer does that passes a question on. The form of the answer is theirs
// alone.
func (wk *worker) passed(path string) (status int, body string) {
	wk.w.t.Helper()
	in, err := http.NewRequestWithContext(wk.w.t.Context(), http.MethodGet, wk.server.URL+path,
		http.NoBody)
	if err != nil {
		wk.w.t.Fatal(err)
	}
	in.Header.Set("Tally-Hop", "asked")
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		wk.w.t.Fatal(err)
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	if err != nil {
		wk.w.t.Fatal(err)
	}
	return out.StatusCode, string(text)
}

// TestPartitionsOnce: what a peer asks for is read once, however often it is named.
func TestPartitionsOnce(t *testing.T) {
	w := open(t, 1)
	w.placed("o", "ann", 900, "EUR")
	names := strings.TrimSuffix(strings.Repeat("0,1,2,3,", 200), ",")
	status, body := w.workers[0].passed("/stuck?partitions=" + names)
	var parts []struct{ Partition int32 }
	if err := json.Unmarshal([]byte(body), &parts); err != nil || len(parts) != partitions {
		t.Errorf("status %d, %d parts, want %d (%v)", status, len(parts), partitions, err)
	}
}

// TestPeersGiveWhatTheyAreAskedFor: partitions that nobody asked a peer for do not
// stand in for those that are missing.
func TestPeersGiveWhatTheyAreAskedFor(t *testing.T) {
	w := open(t, 1)
	var asked atomic.Int64
	liar := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		out.Header().Set("Tally-Hop", "here")
		if asked.Add(1) > 1 { // the truth at last
			fmt.Fprintf(out, `[{"partition":0,"gives":{}},{"partition":1,"gives":{}}]`)
			return
		}
		io.WriteString(out, `[{"partition":0,"gives":{}},`+ //nolint:errcheck // the test sees
			`{"partition":7,"gives":{"EUR":{"currency":"EUR","orders":7,"total":7,"held":7}}}]`)
	}))
	t.Cleanup(liar.Close)
	stranger := &worker{w: w, server: liar}
	w.move(0, stranger)
	w.move(1, stranger)
	w.workers[0].get("/money-at-risk").is(t, http.StatusOK, `{"currencies":[]}`)
	if n := asked.Load(); n != 2 {
		t.Errorf("it was asked %d times, want 2", n)
	}
}

// TestPeersAreAnsweredWhileListsWait: lists that wait for peers take no room from what
// these ask, or workers could wait for each other.
func TestPeersAreAnsweredWhileListsWait(t *testing.T) {
	w := open(t, 1)
	wk := w.workers[0]
	wk.api.Fill()
	if status, body := wk.passed("/stuck?partitions=0"); status != http.StatusOK {
		t.Errorf("status %d: %s", status, body)
	}
	wk.api.FillAnswering()
	if status, _ := wk.passed("/stuck?partitions=0"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d beyond the limit", status)
	}
}

// TestBusyPeerIsAPeer: who is passed on to a worker with too much to do is told so, and
// not that no worker is there.
func TestBusyPeerIsAPeer(t *testing.T) {
	w := open(t, 2)
	other := w.workers[1]
	token, _ := accepted(t, other.ask("POST", "/orders", order("o")))
	w.workers[0].api.Fill()
	w.workers[0].api.FillAnswering()
	other.get("/orders/o?wait=20ms&after="+token).is(t, http.StatusServiceUnavailable, "problem:busy")
	other.get("/events?order=o").is(t, http.StatusServiceUnavailable, "problem:busy")
}

// A transport answers what is asked of peers.
type transport func(*http.Request) (*http.Response, error)

// RoundTrip answers.
func (f transport) RoundTrip(in *http.Request) (*http.Response, error) { return f(in) }

// TestPeersAreNotWaitedForLong: a peer that never answers holds nobody up for much
// longer than he wanted to wait.
func TestPeersAreNotWaitedForLong(t *testing.T) {
	var patience time.Duration
	w := open(t, 2, func(c *api.Config) {
		c.Transport = transport(func(in *http.Request) (*http.Response, error) {
			if until, ok := in.Context().Deadline(); ok {
				patience = time.Until(until)
			}
			return nil, errors.New("it does not answer")
		})
	})
	w.workers[1].get("/orders/o?wait=20ms").is(t, http.StatusServiceUnavailable, "does not answer")
	if patience <= 0 || patience > api.DefaultWait+time.Second {
		t.Errorf("it was waited for up to %v", patience)
	}
}

// TestGroupIsAskedInTurn: those who look for a partition that is on its way do not ask
// the group each by himself.
func TestGroupIsAskedInTurn(t *testing.T) {
	w := open(t, 1, func(c *api.Config) {
		now := time.Now()
		c.Now = func() time.Time { return now } // no time passes between questions
	})
	w.move(partitionOf("o"), nil)
	before := w.asked()
	const n = 20
	done := make(chan asked, n)
	for range n {
		go func() { done <- w.workers[0].get("/orders/o?wait=150ms") }()
	}
	for range n {
		(<-done).is(t, http.StatusServiceUnavailable)
	}
	if got := w.asked() - before; got != 1 {
		t.Errorf("the group was asked %d times, want 1", got)
	}
}

// TestMoneyDoesNotTurn: a sum that is too large stays as large as can be said.
func TestMoneyDoesNotTurn(t *testing.T) {
	w := open(t, 1)
	for _, id := range []string{"o1", "o2", "o3"} {
		w.placed(id, "ann", math.MaxInt64, "EUR")
	}
	w.workers[0].get("/money-at-risk").is(t, http.StatusOK,
		`"orders":3,"total":9223372036854775807,"held":0`)
}

// TestSlowBodies: a request whose body does not come is ended, whatever it asks for.
func TestSlowBodies(t *testing.T) {
	w := open(t, 1, func(c *api.Config) {
		began := time.Now().Add(-time.Minute) // the time for a body is over
		c.Now = func() time.Time { return began }
	})
	u, err := url.Parse(w.workers[0].server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, head := range []string{
		"GET /stuck", "GET /orders/o", "GET /events", "POST /orders", "PUT /orders", "GET /nope",
	} {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // it is open
		fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{", head)
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%s: the line stays open", head)
		}
		c.Close()
	}
}
