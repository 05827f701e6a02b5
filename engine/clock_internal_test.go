package engine

import (
	"testing"
	"time"
)

// TestStreamTimeIsInTheOffsets holds that what a clock leaves with the offsets tells
// its time, and that no other metadata does.
func TestStreamTimeIsInTheOffsets(t *testing.T) {
	c := newClock()
	c.add("orders", committedOffset{})
	mark, _ := c.mark("orders")
	if at, ok := StreamTime(mark); ok {
		t.Errorf("a clock that knows no time tells %v", at)
	}
	want := time.Date(2026, 2, 3, 4, 5, 6, 789_000, time.UTC)
	c.advance("orders", want)
	mark, ok := c.mark("orders")
	if !ok {
		t.Fatal("the clock has no input")
	}
	if at, ok := StreamTime(mark); !ok || !at.Equal(want) {
		t.Errorf("%q tells %v, want %v", mark, at, want)
	}
	for _, foreign := range []string{"", "tally1", "tally1 1", "tally1 1 x", "x 1 2", "tally1 1 2 3"} {
		if at, ok := StreamTime(foreign); ok {
			t.Errorf("%q tells %v", foreign, at)
		}
	}
}

// TestFarFutureIsCounted: only the timestamps of inputs that have a part in the clock
// are looked at.
func TestFarFutureIsCounted(t *testing.T) {
	c := newClock()
	c.add("orders", committedOffset{})
	c.ahead = time.Now().UnixMicro()
	far := time.Now().Add(time.Hour)
	c.advance("orders", far)
	c.advance("corrections", far)
	if c.far != 1 || c.stream.Load() != never {
		t.Errorf("%d are from the far future, want 1; stream time is %d", c.far, c.stream.Load())
	}
}
