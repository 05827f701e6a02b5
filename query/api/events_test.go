package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallystick/query/api"
)

// A stream is one who follows.
type stream struct {
	t      *testing.T
	lines  *bufio.Scanner
	cancel context.CancelFunc
	spec   *specification
}

// follow opens a stream of events.
func (wk *worker) follow(path, last string) *stream {
	wk.w.t.Helper()
	ctx, cancel := context.WithTimeout(wk.w.t.Context(), 20*time.Second)
	wk.w.t.Cleanup(cancel)
	in, err := http.NewRequestWithContext(ctx, http.MethodGet, wk.server.URL+path, http.NoBody)
	if err != nil {
		wk.w.t.Fatal(err)
	}
	if last != "" {
		in.Header.Set("Last-Event-ID", last)
	}
	out, err := http.DefaultClient.Do(in)
	if err != nil {
		wk.w.t.Fatal(err)
	}
	wk.w.t.Cleanup(func() { out.Body.Close() })
	wk.spec.holds(wk.w.t, "GET", "/events", out, nil)
	if out.StatusCode != http.StatusOK {
		wk.w.t.Fatalf("status %d", out.StatusCode)
	}
	return &stream{wk.w.t, bufio.NewScanner(out.Body), cancel, wk.spec}
}

// next returns the next event; comments are passed over unless they are asked for.
func (s *stream) next(comments bool) (id, kind, data string) {
	s.t.Helper()
	for s.lines.Scan() {
		text := s.lines.Text()
		switch name, value, _ := strings.Cut(text, ": "); {
		case text == "" && kind != "":
			return id, kind, data
		case strings.HasPrefix(text, ":") && comments:
			return "", "comment", text
		case name == "id":
			id = value
		case name == "event":
			kind = value
		case name == "data":
			data = value
		}
	}
	return "", "end", ""
}

// changes reads n changes and returns their orders and the last id.
func (s *stream) changes(n int) (orders []string, last string) {
	s.t.Helper()
	for range n {
		id, kind, data := s.next(false)
		if kind != "change" || id == "" {
			s.t.Fatalf("event %s %q: %s", kind, id, data)
		}
		s.spec.valid(s.t, "#/components/schemas/Change", []byte(data))
		var c struct{ Order string }
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			s.t.Fatal(err)
		}
		orders, last = append(orders, c.Order), id
	}
	return orders, last
}

// TestFollow: changes come from whichever worker has the order, and who comes back
// gets what he missed.
func TestFollow(t *testing.T) {
	w := open(t, 2)
	other := w.workers[1]
	one := other.follow("/events?order=o1", "") // passed on
	all := other.follow("/events", "")          // gathered
	w.eventually("all follow", func() bool { return w.workers[0].feed.Following() == 2 })
	w.placed("o1", "ann", 1, "EUR")
	w.placed("o2", "ann", 1, "EUR")
	w.confirmed("o1")
	if got, _ := all.changes(3); fmt.Sprint(got) != "[o1 o2 o1]" {
		t.Errorf("all: %v", got)
	}
	got, last := one.changes(2)
	if fmt.Sprint(got) != "[o1 o1]" {
		t.Errorf("one: %v", got)
	}
	one.cancel()
	w.placed("o1", "ann", 1, "EUR")
	w.placed("o2", "ann", 1, "EUR")
	back := other.follow("/events?order=o1", last)
	if got, _ := back.changes(1); fmt.Sprint(got) != "[o1]" {
		t.Errorf("back: %v", got)
	}
	back = w.workers[0].follow("/events", last)
	if got, _ := back.changes(2); fmt.Sprint(got) != "[o1 o2]" {
		t.Errorf("back to all: %v", got)
	}
	lost := other.follow("/events?order=o1", "another-7")
	if _, kind, data := lost.next(false); kind != "reset" || !strings.Contains(data, "read again") {
		t.Errorf("an id of another life: %s %s", kind, data)
	}
}

// TestFollowMoves: who follows an order that goes to another worker is told, and the
// stream ends.
func TestFollowMoves(t *testing.T) {
	w := open(t, 2)
	s := w.workers[0].follow("/events?order=o", "")
	w.move(partitionOf("o"), w.workers[1])
	if _, kind, _ := s.next(false); kind != "moved" {
		t.Errorf("event %s", kind)
	}
	if _, kind, _ := s.next(false); kind != "end" {
		t.Errorf("then %s", kind)
	}
}

// TestFollowPeerGone: who follows all is told that something may be missing when a
// worker goes away, and goes on with the others.
func TestFollowPeerGone(t *testing.T) {
	w := open(t, 3)
	w.move(0, w.workers[2])
	s := w.workers[0].follow("/events", "")
	w.eventually("the other is followed", func() bool { return w.workers[2].feed.Following() == 1 })
	w.workers[2].server.CloseClientConnections()
	if _, kind, _ := s.next(false); kind != "reset" {
		t.Errorf("event %s", kind)
	}
	w.placed("o", "ann", 1, "EUR")
	s.changes(1)
}

// TestFollowPeerThatIsNotThere: a peer that cannot be followed is a reason to read again
// once, and not each time that it is tried.
func TestFollowPeerThatIsNotThere(t *testing.T) {
	w := open(t, 1, func(c *api.Config) { c.Heartbeat = 20 * time.Millisecond })
	w.move(0, &worker{w: w, server: newStranger(t)})
	s := w.workers[0].follow("/events", "")
	resets := 0
	for range 30 {
		if _, kind, _ := s.next(true); kind == "reset" {
			resets++
		}
	}
	if resets != 1 {
		t.Errorf("%d resets, want 1", resets)
	}
}

// TestHeartbeat: a line on which nothing happens is kept up.
func TestHeartbeat(t *testing.T) {
	w := open(t, 1, func(c *api.Config) { c.Heartbeat = 10 * time.Millisecond })
	s := w.workers[0].follow("/events", "")
	for _, want := range []string{": follows", ": still here", ": still here"} {
		if _, _, text := s.next(true); text != want {
			t.Errorf("%q, want %q", text, want)
		}
	}
}

// TestSlowReaderIsLetGo: who does not read holds nobody up, and is told with the last
// word that he missed something.
func TestSlowReaderIsLetGo(t *testing.T) {
	f := api.NewFeed()
	slow, _ := f.Listen("")
	fast, stop := f.Listen("")
	defer stop()
	const n = 2000
	for i := range n {
		f.Changed(fmt.Sprintf("o%d", i), nil)
		<-fast.Changes()
	}
	if f.Following() != 1 {
		t.Errorf("%d follow", f.Following())
	}
	select {
	case <-slow.Late():
	default:
		t.Error("the slow one has not been let go")
	}
}
