package app

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// request asks a worker, and returns the status and the body.
func request(t *testing.T, method, where, body string, headers ...string) (int, string) {
	t.Helper()
	in, err := http.NewRequestWithContext(t.Context(), method, "http://"+where,
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		in.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		in.Header.Set(headers[i], headers[i+1])
	}
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		return 0, err.Error()
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	if err != nil {
		return 0, err.Error()
	}
	return out.StatusCode, string(text)
}

// written is the answer to a command.
type written struct {
	Order, Token string
	Command      struct {
		Topic     string
		Partition int32
		Offset    int64
	}
}

// post asks a worker for an order.
func post(t *testing.T, at, id string) (written, error) {
	t.Helper()
	status, text := request(t, "POST", at+"/orders", fmt.Sprintf(
		`{"orderId":%q,"customerId":"ann","total":{"minor":900,"currency":"EUR"}}`, id))
	var said written
	if status != http.StatusAccepted {
		return said, fmt.Errorf("post %s: %d: %s", id, status, text)
	}
	return said, json.Unmarshal([]byte(text), &said)
}

// TestReadYourOwnWrite posts 1,000 orders to one worker and reads each from another
// with its token: all are found, and none as it was before. When the worker that has
// half of them is gone, they are found again once its partitions are taken over.
func TestReadYourOwnWrite(t *testing.T) {
	at := cluster(t)
	tally(t, ExitOK, "topics", "apply", at, "--chain", "--partitions", "4")
	flags := []string{"--interval=20ms", "--session-timeout=6s", "--http=127.0.0.1:0"}
	one, _ := chainWorker(t, at, "one", append([]string{"views", "orders"}, flags...)...)
	two, end := chainWorker(t, at, "two", append([]string{"views"}, flags...)...)
	shared := func(s Serving) bool {
		return strings.Contains(fetch(t, s.HTTP, "/tables"), `"partitions":[0,1`) ||
			strings.Contains(fetch(t, s.HTTP, "/tables"), `"partitions":[2,3]`)
	}
	waitFor(t, func() bool { return shared(one) && shared(two) })
	const n = 1000
	tokens, took := make([]string, n), make([]time.Duration, n)
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		g.Go(func() error {
			id := fmt.Sprintf("o%04d", i)
			said, err := post(t, one.HTTP, id)
			if err != nil {
				return err
			}
			began := time.Now()
			status, text := request(t, "GET", two.HTTP+"/orders/"+id+"?wait=30s&after="+said.Token, "")
			tokens[i], took[i] = said.Token, time.Since(began)
			if status != http.StatusOK || !strings.Contains(text, `"customer":"ann"`) {
				return fmt.Errorf("%s with its token: %d: %s", id, status, text)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(took)
	t.Logf("waited p50 %v, p99 %v, at most %v", took[n/2], took[n*99/100], took[n-1])
	gathered(t, one, two)
	end() // it keeps its place in the group, as if it had been killed
	status, text := request(t, "GET", one.HTTP+"/money-at-risk", "")
	if status != http.StatusOK || !strings.Contains(text, `"missing":[`) {
		t.Errorf("the money while a worker is gone: %d: %s", status, text)
	}
	last := ""
	waitFor(t, func() bool {
		missing := 0
		for i := 0; i < n; i += 50 {
			path := fmt.Sprintf("/orders/o%04d?wait=100ms&after=%s", i, tokens[i])
			var status int
			if status, last = request(t, "GET", one.HTTP+path, ""); status != http.StatusOK {
				missing++
			}
		}
		return missing == 0
	})
	if !strings.Contains(last, `"customer":"ann"`) {
		t.Errorf("after the hand-over: %s", last)
	}
}

// gathered looks at what both workers give together.
func gathered(t *testing.T, workers ...Serving) {
	t.Helper()
	for _, s := range workers {
		waitFor(t, func() bool {
			_, text := request(t, "GET", s.HTTP+"/money-at-risk", "")
			return text == `{"currencies":[{"currency":"EUR","orders":1000,"total":900000,"held":0}]}`+"\n"
		})
		seen, cursor := map[string]bool{}, ""
		for range 10 {
			status, text := request(t, "GET", s.HTTP+"/customers/ann/orders?limit=300&cursor="+cursor, "")
			var page struct {
				Orders []struct{ Order string }
				Next   string
			}
			if err := json.Unmarshal([]byte(text), &page); status != http.StatusOK || err != nil {
				t.Fatalf("%d: %s", status, text)
			}
			for _, o := range page.Orders {
				seen[o.Order] = true
			}
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		if len(seen) != 1000 {
			t.Errorf("%d orders are listed", len(seen))
		}
	}
}

// TestServedToOthers: on an address that others reach, nothing writes without the
// token, and a worker says under which name it is reached.
func TestServedToOthers(t *testing.T) {
	at := cluster(t)
	tally(t, ExitOK, "topics", "apply", at, "--chain", "--partitions", "1")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open, _ := chainWorker(t, at, "open", "views", "--http=0.0.0.0:0")
	port := open.HTTP[strings.LastIndexByte(open.HTTP, ':'):]
	body := `{"orderId":"o1","customerId":"ann","total":{"minor":900,"currency":"EUR"}}`
	status, text := request(t, "POST", "127.0.0.1"+port+"/orders", body)
	if status != http.StatusForbidden || !strings.Contains(text, "--http-token-file") {
		t.Errorf("without a token file: %d: %s", status, text)
	}
	guarded, _ := chainWorker(t, at, "guarded", "views", "--http=0.0.0.0:0", "--http-token-file", file)
	port = guarded.HTTP[strings.LastIndexByte(guarded.HTTP, ':'):]
	if status, text = request(t, "POST", "127.0.0.1"+port+"/orders", body); status != 401 {
		t.Errorf("without the token: %d: %s", status, text)
	}
	status, text = request(t, "POST", "127.0.0.1"+port+"/orders", body,
		"Authorization", "Bearer 0123456789abcdef")
	if status != http.StatusAccepted {
		t.Errorf("with the token: %d: %s", status, text)
	}
	for _, flags := range [][]string{
		{"--http-token-file", filepath.Join(t.TempDir(), "none")}, {"--advertise", "worker-1"},
	} {
		line := append([]string{"run", "views", "--chain", at, "--state=memory"}, flags...)
		code := newCommand().Run(t.Context(), line)
		if code == ExitOK {
			t.Errorf("%v: exit %d", flags, code)
		}
	}
}

// TestServedMainJob: the main job has views when they are asked for, and takes no
// commands.
func TestServedMainJob(t *testing.T) {
	at := cluster(t)
	tally(t, ExitOK, "topics", "apply", at, "--partitions", "2")
	file := filepath.Join(t.TempDir(), "in.jsonl")
	write(t, file, `{"orderPlaced":{"orderId":"o1","total":{"minor":900,"currency":"EUR"}}}
{"paymentReceived":{"paymentId":"p1","orderId":"o1","amount":{"minor":900,"currency":"EUR"}}}
{"orderPlaced":{"orderId":"o2","total":{"minor":900,"currency":"EUR"}}}
`)
	tally(t, ExitOK, "load", at, file)
	s, _ := aWorker(t, at, "one", "confirm", "views", "--interval=20ms")
	waitFor(t, func() bool {
		_, text := request(t, "GET", s.HTTP+"/orders/o1", "")
		return strings.Contains(text, `"state":"confirmed"`)
	})
	waitFor(t, func() bool {
		_, text := request(t, "GET", s.HTTP+"/stuck", "")
		return strings.Contains(text, `"order":"o2"`) &&
			strings.Contains(text, `"waits_for":"its payment"`)
	})
	status, text := request(t, "POST", s.HTTP+"/orders", `{}`)
	if status != http.StatusNotImplemented || !strings.Contains(text, "--chain") {
		t.Errorf("a command: %d: %s", status, text)
	}
	if status, text := request(t, "GET", s.HTTP+"/orders/o1/events", ""); status != http.StatusOK ||
		!strings.Contains(text, "OrderConfirmed") {
		t.Errorf("the story: %d: %s", status, text)
	}
	for _, nobody := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/nope", http.StatusNotFound},
		{"DELETE", "/readyz", http.StatusMethodNotAllowed},
		{"POST", "/", http.StatusMethodNotAllowed},
	} {
		status, text := request(t, nobody.method, s.HTTP+nobody.path, "")
		if status != nobody.status || !strings.Contains(text, `"type":"urn:tallystick:problem:`) {
			t.Errorf("%s %s: %d: %s", nobody.method, nobody.path, status, text)
		}
	}
}
