package fraud_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tallystick/processors/fraud"
	"tallystick/schemas"
)

// window is what the properties draw with, in microseconds.
const window = 10

// apply is Step with what must hold of every step checked: it leaves the row it
// is given alone, keeps its entries sorted and few, and row and verdict survive
// their codecs. It returns whether there was a verdict, and whether it clears.
func apply(
	t *rapid.T, rules fraud.Rules, row *fraud.Row, e fraud.Placed,
) (next *fraud.Row, said, cleared bool) {
	before := encode(t, row)
	next, check := fraud.Step(rules, row, e)
	if !bytes.Equal(before, encode(t, row)) {
		t.Fatalf("Step changed the row it was given")
	}
	if next != nil {
		back, err := schemas.FraudRows.Unmarshal(encode(t, next))
		if err != nil {
			t.Fatal(err)
		}
		next = back
	}
	times := make([]int64, len(next.GetEntries()))
	for i, x := range next.GetEntries() {
		times[i] = x.GetAtUs()
	}
	if !slices.IsSorted(times) || rules.MaxEntries > 0 && len(times) > rules.MaxEntries {
		t.Fatalf("the row is %v", next)
	}
	if check == nil {
		return next, false, false
	}
	if _, err := schemas.OrderChecks.Marshal(check); err != nil {
		t.Fatal(err)
	}
	if id := schemas.OrderCheckOrderID(check); id != e.Order.GetOrderId() {
		t.Fatalf("a verdict on %s instead of %s", id, e.Order.GetOrderId())
	}
	return next, true, check.GetFraudCleared() != nil
}

func encode(t *rapid.T, row *fraud.Row) []byte {
	b, err := schemas.FraudRows.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// draw draws an order with a time up to the window behind stream time.
func draw(t *rapid.T, id string, stream int64) fraud.Placed {
	at := rapid.Int64Range(max(0, stream-window), stream+window/2).Draw(t, "at")
	e := placed(id, "c1", rapid.Int64Range(0, 12).Draw(t, "total"),
		rapid.SampledFrom([]string{"EUR", "EUR", "USD"}).Draw(t, "currency"), at)
	e.Stream = max(stream, at)
	return e
}

// dearest is the most that cleared orders come to, this one included, in any span
// of the window's length that holds it.
func dearest(cleared []fraud.Placed, e fraud.Placed) int64 {
	var most int64
	for begin := e.Recorded - window + 1; begin <= e.Recorded; begin++ {
		sum := e.Order.GetTotal().GetMinor()
		for _, c := range cleared {
			if c.Order.GetTotal().GetCurrency() == e.Order.GetTotal().GetCurrency() &&
				c.Recorded >= begin && c.Recorded < begin+window {
				sum += c.Order.GetTotal().GetMinor()
			}
		}
		most = max(most, sum)
	}
	return most
}

// TestWindow: an order is suspected if and only if it makes any window too dear,
// as counted by a memory that lets nothing go, although records come up to a
// window late. What was said of an order is not said again.
func TestWindow(t *testing.T) { rapid.Check(t, windows) }

func windows(t *rapid.T) {
	rules := fraud.Rules{
		Window: window * time.Microsecond, Limit: 20, Limits: map[string]int64{"USD": 15},
	}
	var row *fraud.Row
	var all, cleared []fraud.Placed
	var stream int64
	for i := range rapid.IntRange(1, 25).Draw(t, "orders") {
		e := draw(t, fmt.Sprintf("o%d", i), stream)
		stream = e.Stream
		fresh := true
		if len(all) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
			first := rapid.SampledFrom(all).Draw(t, "order")
			if first.Recorded > stream-2*window {
				e.Order.OrderId, fresh = first.Order.GetOrderId(), false
			}
		}
		next, said, clears := apply(t, rules, row, e)
		row = next
		if said != fresh {
			t.Fatalf("%s is new: %t, a verdict was said: %t", e.Order.GetOrderId(), fresh, said)
		}
		if !fresh {
			continue
		}
		limit := int64(20)
		if e.Order.GetTotal().GetCurrency() == "USD" {
			limit = 15
		}
		if most := dearest(cleared, e); clears != (most <= limit) {
			t.Fatalf("%v is cleared: %t, its dearest window comes to %d", e, clears, most)
		}
		all = append(all, e)
		if clears {
			cleared = append(cleared, e)
		}
	}
}

// TestRowIsBounded: however many orders come, and of whatever times, a row keeps
// no more than its limit, and each new order has a verdict.
func TestRowIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := fraud.Rules{
			Window: window * time.Microsecond, Limit: 20,
			MaxEntries: rapid.IntRange(1, 4).Draw(t, "limit"),
		}
		var row *fraud.Row
		for i := range rapid.IntRange(1, 20).Draw(t, "orders") {
			e := draw(t, fmt.Sprintf("o%d", i), rapid.Int64Range(0, 60).Draw(t, "stream"))
			next, said, _ := apply(t, rules, row, e)
			if !said {
				t.Fatalf("no verdict on %v", e)
			}
			row = next
		}
	})
}

// TestOldOrdersAreLetGo: what is two windows behind stream time is not kept.
func TestOldOrdersAreLetGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := fraud.Rules{Window: window * time.Microsecond}
		var row *fraud.Row
		var stream int64
		for i := range rapid.IntRange(1, 20).Draw(t, "orders") {
			e := draw(t, fmt.Sprintf("o%d", i), stream)
			stream = e.Stream
			row, _, _ = apply(t, rules, row, e)
			if oldest := row.GetEntries()[0].GetAtUs(); oldest <= stream-2*window {
				t.Fatalf("an order of %d is kept at %d", oldest, stream)
			}
		}
	})
}

// TestCrashesLoseNothing: with RepeatSpeech, at-least-once delivery loses no
// verdict and changes none, wherever it breaks: before the row is stored, before
// what was said is acknowledged, before the offset is.
func TestCrashesLoseNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := fraud.Rules{Window: window * time.Microsecond, Limit: 20}
		var log []fraud.Placed
		want := map[string]string{}
		var row *fraud.Row
		for i := range rapid.IntRange(1, 12).Draw(t, "orders") {
			e := draw(t, fmt.Sprintf("o%d", i), window) // none is let go
			next, check := fraud.Step(rules, row, e)
			row, log = next, append(log, e)
			want[e.Order.GetOrderId()] = check.String()
		}
		rules.RepeatSpeech, row = true, nil
		got := map[string]string{}
		left := rapid.IntRange(0, 4).Draw(t, "crashes")
		for i := 0; i < len(log); i++ {
			next, check := fraud.Step(rules, row, log[i])
			crash := left > 0 && rapid.IntRange(0, 3).Draw(t, "crash") == 0
			if !crash || rapid.Bool().Draw(t, "row stored") {
				row = next
			}
			if !crash || rapid.Bool().Draw(t, "said") {
				id := log[i].Order.GetOrderId()
				if said, ok := got[id]; ok && said != check.String() {
					t.Fatalf("said %q, and then %q", said, check)
				}
				got[id] = check.String()
			}
			if crash {
				left--
				i -= rapid.IntRange(0, i).Draw(t, "behind") + 1
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("said %q, want %q", got, want)
		}
	})
}

// TestRules: rules that make no sense are refused.
func TestRules(t *testing.T) {
	for _, r := range []fraud.Rules{
		{Window: -1},
		{Window: 1},
		{Limit: -1},
		{Limits: map[string]int64{"EUR": -1}},
		{MaxEntries: -1},
	} {
		if r.Validate() == nil {
			t.Errorf("%+v is accepted", r)
		}
	}
	r := fraud.Rules{Window: time.Minute, Limit: 1, Limits: map[string]int64{"EUR": 0}}
	for _, r := range []fraud.Rules{r, {}} {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzStep lets the fuzzer draw what the property draws.
func FuzzStep(f *testing.F) { f.Fuzz(rapid.MakeFuzz(windows)) }
