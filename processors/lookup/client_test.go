package lookup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A clock is set by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// server answers each request by the next of these handlers; the last one stays.
func server(t *testing.T, handlers ...http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	asked := new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers[min(int(asked.Add(1)), len(handlers))-1](w, r)
	}))
	t.Cleanup(s.Close)
	return s, asked
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func body(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// never answers.
func never(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

const (
	placed = `{"order_placed":{"order_id":"o1","total":{"minor":"10","currency":"EUR"}}}`
	paid   = `{"payment_received":{"payment_id":"p1","order_id":"o1",` +
		`"amount":{"minor":"10","currency":"EUR"}}}`
	unpaidAnswer = `{"orders":[` + placed + `]}`
	paidAnswer   = `{"orders":[` + placed + `],"payments":[` + paid + `]}`
)

func asking(s *httptest.Server, c *clock) Asking {
	a := DefaultAsking(s.URL, s.Client(), c.now)
	a.Backoff = time.Millisecond
	return a
}

func client(t *testing.T, a Asking) *Client {
	t.Helper()
	c, err := NewClient(a)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAsks: the answer is read, the id is escaped, an order that the service has
// not heard of is no error.
func TestAsks(t *testing.T) {
	var path string
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		fmt.Fprint(w, paidAnswer)
	}, status(http.StatusNotFound))
	c := client(t, asking(s, &clock{}))
	known, err := c.Ask(t.Context(), "o/1 ")
	if err != nil || known.Confirmation() == nil || path != "/orders/o%2F1%20" {
		t.Errorf("at %s: %+v, %v", path, known, err)
	}
	if known, err = c.Ask(t.Context(), "o2"); err != nil || known.Order != nil {
		t.Errorf("unknown order: %+v, %v", known, err)
	}
	if got := c.Traffic(); got != (Traffic{Calls: 2}) {
		t.Errorf("traffic %+v", got)
	}
}

// TestTriesAgain: what may pass is asked again, a bounded number of times; what
// will not pass is not.
func TestTriesAgain(t *testing.T) {
	for _, tc := range []struct {
		name     string
		handlers []http.HandlerFunc
		calls    int64
		fails    string
	}{
		{"recovers", []http.HandlerFunc{status(503), status(429), body(paidAnswer)}, 3, ""},
		{"times out once", []http.HandlerFunc{never, body(paidAnswer)}, 2, ""},
		{"breaks off once", []http.HandlerFunc{breakOff, body(paidAnswer)}, 2, ""},
		{"is down", []http.HandlerFunc{status(503)}, 4, "Service Unavailable"},
		{"hangs", []http.HandlerFunc{never}, 4, "deadline"},
		{"talks nonsense", []http.HandlerFunc{body("{")}, 4, "answer"},
		{"sends what is no event", []http.HandlerFunc{body(`{"orders":[{}]}`)}, 4, "no event"},
		{"refuses", []http.HandlerFunc{status(403)}, 1, "Forbidden"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel() // a time-out has to be long for those that answer
			s, asked := server(t, tc.handlers...)
			a := asking(s, &clock{})
			if tc.name == "hangs" || tc.name == "times out once" {
				a.Timeout = time.Second
			}
			c := client(t, a)
			known, err := c.Ask(t.Context(), "o1")
			if got := c.Traffic().Calls; got != tc.calls || asked.Load() != tc.calls {
				t.Errorf("asked %d times, the server says %d, want %d", got, asked.Load(), tc.calls)
			}
			switch {
			case tc.fails == "" && (err != nil || known.Confirmation() == nil):
				t.Errorf("got %+v, %v", known, err)
			case tc.fails != "" && (err == nil || !strings.Contains(err.Error(), tc.fails)):
				t.Errorf("got %v, want %q", err, tc.fails)
			case tc.fails != "" && c.Traffic().GivenUp != 1:
				t.Errorf("traffic %+v", c.Traffic())
			}
		})
	}
}

// breakOff closes the connection in the middle of an answer.
func breakOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	fmt.Fprint(w, "{")
}

// TestRefusedConnection: nobody listens.
func TestRefusedConnection(t *testing.T) {
	s, _ := server(t, status(200))
	c := client(t, asking(s, &clock{}))
	s.Close()
	if _, err := c.Ask(t.Context(), "o1"); err == nil || c.Traffic().Calls != 4 {
		t.Errorf("got %v after %+v", err, c.Traffic())
	}
}

// TestBacksOff: the waits double, and end with the context.
func TestBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := DefaultAsking("http://nobody", &http.Client{Transport: refusing{}}, time.Now)
		a.Attempts, a.Backoff = 4, time.Second
		c := client(t, a)
		if _, err := c.Ask(t.Context(), "o1"); !errors.Is(err, errRefusing) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 7*time.Second {
			t.Errorf("took %v, want 1+2+4 s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		began = time.Now()
		if _, err := c.Ask(ctx, "o1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 1500*time.Millisecond {
			t.Errorf("took %v, its context lasted 1.5 s", took)
		}
	})
}

type refusing struct{}

var errRefusing = errors.New("refused")

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errRefusing }

// TestCacheIsStale: within its time a cached answer hides that the order was paid,
// which is what the cache is measured for; then it is asked again. An order that
// is not known is never cached.
func TestCacheIsStale(t *testing.T) {
	s, asked := server(t, status(404), body(unpaidAnswer), body(paidAnswer))
	clock := &clock{at: time.Unix(1000, 0)}
	a := asking(s, clock)
	a.CacheFor, a.CacheSize = time.Second, 2
	c := client(t, a)
	ask := func() bool {
		t.Helper()
		known, err := c.Ask(t.Context(), "o1")
		if err != nil {
			t.Fatal(err)
		}
		return known.Confirmation() != nil
	}
	ask() // 404
	first := ask()
	if again := ask(); first || again || asked.Load() != 2 {
		t.Errorf("asked %d times for an answer that is fresh", asked.Load())
	}
	clock.at = clock.at.Add(time.Second)
	if !ask() || asked.Load() != 3 {
		t.Errorf("asked %d times, the cached answer is too old", asked.Load())
	}
	if got := c.Traffic(); got != (Traffic{Calls: 3, Hits: 1}) {
		t.Errorf("traffic %+v", got)
	}
	for _, id := range []string{"o2", "o3", "o4"} {
		if _, err := c.Ask(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.cache.answers); n != 2 {
		t.Errorf("%d answers are cached, the limit is 2", n)
	}
}

// TestAskingIsValidated: settings out of bounds are named.
func TestAskingIsValidated(t *testing.T) {
	_, err := NewClient(Asking{URL: "nowhere", Backoff: time.Hour, CacheFor: -1})
	for _, want := range []string{
		"url", "http", "now", "timeout", "attempts", "backoff", "cache-for", "cache-size",
	} {
		if err == nil || !strings.Contains(err.Error(), "lookup: "+want) {
			t.Errorf("%s is not named in %v", want, err)
		}
	}
}
