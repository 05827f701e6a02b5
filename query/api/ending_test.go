package api_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestEndIsSaid: when a worker ends, those who wait at it are told so, and to ask again.
func TestEndIsSaid(t *testing.T) {
	w := open(t, 2)
	w.hold()
	one, other := w.workers[0], w.workers[1]
	token, _ := accepted(t, one.ask("POST", "/orders", order("o")))
	path := "/orders/o?wait=30s&after=" + token
	began := time.Now()
	passed := make(chan asked, 1)
	go func() { passed <- other.get(path) }()
	w.eventually("it waits", func() bool { return one.feed.Waiting("o") == 1 })
	other.api.Close()
	other.api.Close()
	(<-passed).is(t, http.StatusServiceUnavailable, "this worker ends", `"hint":"`)
	here := make(chan asked, 1)
	w.eventually("it waits no more", func() bool { return one.feed.Waiting("o") == 0 })
	go func() { here <- one.get(path) }()
	w.eventually("it waits", func() bool { return one.feed.Waiting("o") == 1 })
	one.api.Close()
	a := (<-here).is(t, http.StatusServiceUnavailable, "this worker ends", `"hint":"`)
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("headers %v", a.header)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	one.get("/orders/o").is(t, http.StatusNotFound) // who does not wait is answered
}

// TestEndOfPeer: a question that was passed on to a worker that ends is asked elsewhere.
func TestEndOfPeer(t *testing.T) {
	w := open(t, 3)
	w.hold()
	token, _ := accepted(t, w.workers[0].ask("POST", "/orders", order("o")))
	answered := make(chan asked, 1)
	go func() { answered <- w.workers[1].get("/orders/o?wait=20s&after=" + token) }()
	w.eventually("it waits", func() bool { return w.workers[0].feed.Waiting("o") == 1 })
	w.workers[0].api.Close()
	w.move(partitionOf("o"), w.workers[2])
	w.release()
	(<-answered).is(t, http.StatusOK, `"state":"asked"`)
}

// TestEndOfStreams: a stream ends with a word about it, also one that is passed on.
func TestEndOfStreams(t *testing.T) {
	for _, path := range []string{"/events", "/events?order=o"} {
		w := open(t, 2)
		for i, wk := range []*worker{w.workers[1], w.workers[0]} {
			in, err := http.NewRequestWithContext(t.Context(), http.MethodGet, wk.server.URL+path,
				http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			out, err := http.DefaultClient.Do(in)
			if err != nil {
				t.Fatal(err)
			}
			w.eventually("it follows", func() bool { return w.workers[0].feed.Following() > 0 })
			wk.api.Close()
			last := ""
			lines := bufio.NewScanner(out.Body)
			for lines.Scan() {
				if lines.Text() != "" {
					last = lines.Text()
				}
			}
			if lines.Err() != nil || !strings.HasPrefix(last, ": this worker ends") {
				t.Errorf("%s at %d: the last word is %q (%v)", path, i, last, lines.Err())
			}
			out.Body.Close()
		}
	}
}
