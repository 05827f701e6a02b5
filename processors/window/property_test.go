package window

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestNothingIsLostInSilence: an order whose records came in full is confirmed
// once, or it was told that something of it is lost. Memory keeps to its bound.
func TestNothingIsLostInSilence(t *testing.T) { rapid.Check(t, silence) }

func silence(t *rapid.T) {
	rules := Rules{
		Window: 10 * time.Second, Grace: 2 * time.Second,
		MaxOrders: rapid.IntRange(1, 6).Draw(t, "max orders"),
	}
	b := newBuffer(rules)
	lost, confirmed := map[string]bool{}, map[string]int{}
	had := map[string]int{}
	var stream int64
	for i := range rapid.IntRange(0, 40).Draw(t, "records") {
		id := fmt.Sprintf("o%d", rapid.IntRange(0, 7).Draw(t, "order"))
		at := int64(rapid.IntRange(0, 60).Draw(t, "at")) * 1e6
		stream = max(stream, at-int64(rapid.IntRange(0, 5).Draw(t, "behind"))*1e6)
		e := Event{Cause: Cause{"t", int64(i)}, Recorded: at, Stream: stream}
		if rapid.Bool().Draw(t, "is order") {
			e.Order = order(id, 10)
			had[id] |= 1
		} else {
			e.Payment = payment("p", id, 10)
			had[id] |= 2
		}
		before := b.entries[id]
		var copied Entry
		if before != nil {
			copied = *before
		}
		out := b.take(e, func(id string, _ Loss) { lost[id] = true })
		if before != nil && fmt.Sprintf("%+v", *before) != fmt.Sprintf("%+v", copied) {
			t.Fatal("Step changed the entry that it was given")
		}
		if out.Confirmed != nil {
			confirmed[id]++
		}
		if len(b.entries) > rules.MaxOrders {
			t.Fatalf("%d orders are kept, the limit is %d", len(b.entries), rules.MaxOrders)
		}
	}
	for id, parts := range had {
		if parts == 3 && confirmed[id] == 0 && !lost[id] {
			t.Fatalf("%s is neither confirmed nor lost", id)
		}
	}
}

// TestOnceWithinTheWindow: while everything is in one window and there is room,
// an order is confirmed exactly if both halves came, and once, in any order and
// with any duplicates.
func TestOnceWithinTheWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBuffer(Rules{Window: time.Minute, MaxOrders: 10})
		had, confirmed := map[string]int{}, map[string]int{}
		for i := range rapid.IntRange(0, 30).Draw(t, "records") {
			id := fmt.Sprintf("o%d", rapid.IntRange(0, 4).Draw(t, "order"))
			at := int64(rapid.IntRange(0, 59).Draw(t, "at")) * 1e6
			e := Event{Cause: Cause{"t", int64(i)}, Recorded: at, Stream: at}
			if rapid.Bool().Draw(t, "is order") {
				e.Order, had[id] = order(id, 10), had[id]|1
			} else {
				e.Payment, had[id] = payment("p", id, 10), had[id]|2
			}
			out := b.take(e, func(id string, why Loss) { t.Fatalf("lost %s: %s", id, why) })
			if out.Confirmed != nil {
				confirmed[id]++
			}
		}
		for id, parts := range had {
			if want := parts / 3; confirmed[id] != want {
				t.Fatalf("%s is confirmed %d times, want %d", id, confirmed[id], want)
			}
		}
	})
}

// FuzzStep lets the fuzzer draw the logs.
func FuzzStep(f *testing.F) { f.Fuzz(rapid.MakeFuzz(silence)) }
