package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tallystick/query/api"
)

// A silence is what keeps the peers at some addresses from answering.
type silence struct {
	mu    sync.Mutex
	at    map[string]bool
	asked map[string]int
	gone  bool // they refuse at once, as a killed worker does
	past  time.Duration
}

func (s *silence) carry(in *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked[in.URL.Host]++
	silent, gone := s.at[in.URL.Host], s.gone
	s.mu.Unlock()
	switch {
	case silent && gone:
		return nil, errors.New("connection refused")
	case silent:
		<-in.Context().Done()
		return nil, context.Cause(in.Context())
	}
	return http.DefaultTransport.RoundTrip(in)
}

func (s *silence) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.past)
}

// later lets time pass.
func (s *silence) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.past += d
}

// hush makes a worker silent, or lets it speak again.
func (s *silence) hush(wk *worker, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at[wk.server.Listener.Addr().String()] = silent
}

// count is how often a worker was asked by its peers.
func (s *silence) count(wk *worker) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[wk.server.Listener.Addr().String()]
}

// third opens three workers of which the third has partitions 1 and 3 and is silent.
func third(t *testing.T) (*world, *silence) {
	t.Helper()
	s := &silence{at: map[string]bool{}, asked: map[string]int{}}
	w := open(t, 3, func(c *api.Config) { c.Transport, c.Now = transport(s.carry), s.now })
	for _, wk := range w.workers {
		wk.api.Patient(150 * time.Millisecond)
	}
	w.move(0, w.workers[1])
	w.move(1, w.workers[2])
	w.move(3, w.workers[2])
	for _, id := range []string{"o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8", "o9"} {
		w.placed(id, "ann", 100, "EUR")
	}
	s.hush(w.workers[2], true)
	return w, s
}

// TestSilentPeerIsLeftOut: what a peer has that does not answer is left out of lists and
// sums and named, and it is asked again only after a while, or at another address.
func TestSilentPeerIsLeftOut(t *testing.T) {
	for _, gone := range []bool{false, true} {
		w, s := third(t)
		s.gone = gone
		const named = `"missing":[1,3]`
		wk := w.workers[0]
		wk.get("/money-at-risk").is(t, http.StatusOK, named, `"currency":"EUR"`)
		before := s.count(w.workers[2])
		if before == 0 {
			t.Fatal("the silent worker was not asked")
		}
		for _, path := range []string{"/stuck", "/customers/ann/orders", "/money-at-risk"} {
			wk.get(path).is(t, http.StatusOK, named)
		}
		if n := s.count(w.workers[2]); n != before {
			t.Errorf("the silent worker was asked %d times more", n-before)
		}
		s.later(api.SilentFor)
		wk.get("/stuck").is(t, http.StatusOK, named)
		if n := s.count(w.workers[2]); n == before {
			t.Error("the silent worker was not asked again")
		}
		// It is silent at its address, not its partitions.
		w.move(1, w.workers[1])
		w.move(3, w.workers[1])
		s.later(time.Second) // what the group said is forgotten
		whole(t, wk.get("/money-at-risk").is(t, http.StatusOK, `"orders":10`))
		w.move(1, w.workers[2])
		w.move(3, w.workers[2])
		s.hush(w.workers[2], false)
		s.later(api.SilentFor)
		whole(t, wk.get("/money-at-risk").is(t, http.StatusOK, `"orders":10`))
	}
}

// whole fails if something is missing in an answer.
func whole(t *testing.T, a asked) {
	t.Helper()
	if a.hasWord(`"missing"`) {
		t.Errorf("not whole: %s", a.body)
	}
}

// TestSilentPeerHasTheOrder: a single order whose worker is silent is not answered by
// leaving it out.
func TestSilentPeerHasTheOrder(t *testing.T) {
	w, s := third(t)
	s.gone = true
	for _, id := range []string{"o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8", "o9"} {
		if p := partitionOf(id); p == 1 || p == 3 {
			w.workers[0].get("/orders/"+id+"?wait=20ms").
				is(t, http.StatusServiceUnavailable, `"hint":"`)
			return
		}
	}
	t.Fatal("no order is in these partitions")
}

// TestPartitionOnItsWayIsNamed: a partition that nobody has by then is missing too.
func TestPartitionOnItsWayIsNamed(t *testing.T) {
	w, s := third(t)
	s.hush(w.workers[2], false)
	w.move(0, nil)
	w.workers[0].get("/stuck").is(t, http.StatusOK, `"missing":[0]`)
	w.move(2, nil)
	w.move(1, nil)
	w.move(3, nil)
	w.workers[0].get("/stuck").is(t, http.StatusServiceUnavailable, `"hint":"`)
}

// TestCursorOfAPartialList: the page behind a partial one begins behind the last order
// that was shown, and is whole again when all answer.
func TestCursorOfAPartialList(t *testing.T) {
	w, s := third(t)
	a := w.workers[0].get("/customers/ann/orders?limit=2").is(t, http.StatusOK, `"missing":[1,3]`)
	next, shown := pageOf(t, a)
	s.hush(w.workers[2], false)
	s.later(api.SilentFor)
	a = w.workers[0].get("/customers/ann/orders?cursor="+next).is(t, http.StatusOK)
	whole(t, a)
	_, rest := pageOf(t, a)
	for _, id := range rest {
		if id >= shown[len(shown)-1] { // the newest come first
			t.Errorf("%s is not behind %v", id, shown)
		}
	}
	if a := w.workers[0].get("/customers/ann/orders"); !a.hasWord(`"o9"`) || a.hasWord("missing") {
		t.Errorf("from the beginning: %s", a.body)
	}
}

// hasWord tells whether the answer contains a word.
func (a asked) hasWord(word string) bool { return strings.Contains(a.body, word) }

// pageOf is the cursor and the orders of a page.
func pageOf(t *testing.T, a asked) (next string, ids []string) {
	t.Helper()
	var page struct {
		Orders []struct{ Order string }
		Next   string
	}
	if err := json.Unmarshal([]byte(a.body), &page); err != nil {
		t.Fatal(err)
	}
	for _, o := range page.Orders {
		ids = append(ids, o.Order)
	}
	return page.Next, ids
}
