package engine_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"

	"tallystick/engine"
	"tallystick/engine/journal"
)

func untimed(topics ...string) setting {
	return func(c *engine.Config) { c.Untimed = topics }
}

// TestUntimedInput: an input without a part in stream time holds nothing back as
// long as it gives nothing, and moves nothing when it gives something.
func TestUntimedInput(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	stop := w.run(g.define, timed(time.Hour), untimed(rightTopic))
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	k := keysOf(1, 5)
	w.sendAt(leftTopic, k[0], base)
	w.sendAt(leftTopic, k[1], base.Add(life+time.Second))
	w.eventually("the deadline", func() bool { return len(w.committed(joinedTopic)) == 1 })
	w.sendAt(rightTopic, k[2], time.Now().AddDate(1, 0, 0))
	w.sendAt(leftTopic, k[3], base.Add(life+2*time.Second))
	w.eventually("records", func() bool { return len(g.noted()) == 5 })
	w.sendAt(rightTopic, k[4], base.AddDate(-1, 0, 0))
	w.sendAt(leftTopic, k[4], base.Add(2*life+time.Second+time.Millisecond))
	w.eventually("another", func() bool { return len(w.committed(joinedTopic)) == 2 })
	if got := w.expired(); !slices.Equal(got, []string{k[0] + " stream", k[1] + " stream"}) {
		t.Errorf("got %v", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	w.checkJournal(g)
	for _, r := range w.committed(engine.JournalTopic(testGroup)) {
		s, err := journal.Parse(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Clock.Inputs[rightTopic]; ok || len(s.Clock.Inputs) != 1 {
			t.Errorf("the clock in the journal has the inputs %v", s.Clock.Inputs)
		}
	}
}

// TestUntimedKeepsTheClock: what stream time an untimed record has seen is committed
// with it, though none of the inputs moved that make the time.
func TestUntimedKeepsTheClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const outside = "outside"
	if _, err := w.admin.CreateTopics(t.Context(), testParts, 1, nil, outside); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var seen []time.Time
	times := func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
	define := func(e *engine.Engine) *goka.GroupGraph {
		note := e.Wrap(func(ctx goka.Context, _ any) {
			if clock, ok := ctx.(interface{ StreamTime() time.Time }); ok {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, clock.StreamTime())
			}
		})
		return goka.DefineGroup(testGroup, goka.Input(leftTopic, new(codec.String), note),
			goka.Input(rightTopic, new(codec.String), note), goka.Input(outside, new(codec.String), note))
	}
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	late := base.Add(time.Minute)
	fs := vfs.NewMem()
	end := w.runOn(fs, define, untimed(outside), func(c *engine.Config) {
		c.IdleAfter = 100 * time.Millisecond
	})
	w.sendAt(leftTopic, "k", late)
	w.sendAt(rightTopic, "k", base)
	n := 2
	w.eventually("the end of what the other inputs have", func() bool {
		w.sendAt(outside, "k", base)
		n++
		w.eventually("the record", func() bool { return len(times()) == n })
		return times()[n-1].Equal(late)
	})
	if err := end(true); err != nil {
		t.Fatal(err)
	}
	end = w.runOn(fs, define, untimed(outside))
	w.sendAt(outside, "k", base)
	w.eventually("one more", func() bool { return len(times()) == n+1 })
	if got := times()[n]; !got.Equal(late) {
		t.Errorf("stream time was %v and is %v", late, got)
	}
	if err := end(true); err != nil {
		t.Fatal(err)
	}
}

func TestUntimedIsChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		topics []string
		word   string
	}{
		{[]string{"elsewhere"}, "elsewhere is not an input"},
		{[]string{leftTopic, rightTopic}, "no input of group " + testGroup + " is left"},
	} {
		w, g := newWorld(t), &guard{}
		err := w.runOn(vfs.NewMem(), g.define, timed(time.Hour), untimed(c.topics...))(false)
		if err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("untimed %v: got %v, want %q", c.topics, err, c.word)
		}
	}
}
