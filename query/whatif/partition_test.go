package whatif_test

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"tallystick/processors/confirm"
	"tallystick/query/whatif"
)

// TestSame replays what a worker did by the same rules: nothing differs, whatever
// came, late, twice or not at all, and whichever clock let deadlines come.
func TestSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rules := drawRules(rt, "rules")
		rules.RepeatSpeech = rapid.IntRange(0, 4).Draw(rt, "repeats") == 0
		w := drawRestless(rt, rules)
		if r := w.compare(t, options(rules)); r.Whatif != whatif.Same || r.OrderCount != 0 {
			rt.Fatalf("%s", text(r))
		}
	})
}

// TestOtherRules replays by other rules, and holds the difference against one that
// is found key by key and without a queue.
func TestOtherRules(t *testing.T) {
	differed := 0
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, drawRules(rt, "rules"))
		other := drawRules(rt, "other")
		r := w.compare(t, options(other))
		keys, more, less := w.differing(w.brute(other, confirm.Step))
		if !slices.Equal(named(r), keys) || int64(more) != r.Extra+r.Changed ||
			int64(less) != r.Missing+r.Changed {
			rt.Fatalf("differ: %q, %d more, %d less; got %s", keys, more, less, text(r))
		}
		if len(keys) > 0 {
			differed++
		}
	})
	if differed == 0 {
		t.Error("no rules made a difference")
	}
}

// forgetful is a decision that passes over the reversal of payments.
func forgetful(
	rules confirm.Rules, row *confirm.Row, e confirm.Event,
) (*confirm.Row, confirm.Outcomes) {
	if _, ok := e.(confirm.Reversed); ok {
		return row, confirm.Outcomes{}
	}
	return confirm.Step(rules, row, e)
}

// TestOtherStep replays by a decision that was changed: the orders that it decides
// otherwise are named, and no others.
func TestOtherStep(t *testing.T) {
	differed := 0
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, drawRules(rt, "rules"))
		o := options(w.rules)
		o.Step = forgetful
		r := w.compare(t, o)
		keys, _, _ := w.differing(w.brute(w.rules, forgetful))
		if !slices.Equal(named(r), keys) || (r.Whatif == whatif.Same) != (len(keys) == 0) {
			rt.Fatalf("differ: %q, got %s", keys, text(r))
		}
		if len(keys) > 0 {
			differed++
		}
	})
	if differed == 0 {
		t.Error("the decision made no difference")
	}
}

// TestDueWithin makes orders that name no due time due when they were due by the
// rules: nothing differs but what tells the due time itself, a conflict of orders.
func TestDueWithin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rules := drawRules(rt, "rules")
		rules.PayWithin = time.Duration(rapid.IntRange(1, 40).Draw(rt, "due")) * time.Microsecond
		w := drawWorld(rt, rules)
		o := options(rules)
		o.Rules.PayWithin, o.DueWithin = 0, rules.PayWithin
		for _, order := range w.compare(t, o).Orders {
			for _, c := range order.Changes {
				if c.Kind != "OrderConflicted" {
					rt.Fatalf("order %s: %+v", order.Order, c)
				}
			}
		}
	})
}

// TestTampered doubles, removes or changes a record that came out.
func TestTampered(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt, drawRules(rt, "rules"))
		log := &w.out[rapid.IntRange(0, 1).Draw(rt, "output")]
		if len(*log) == 0 {
			rt.Skip("nothing came out there")
		}
		i := rapid.IntRange(0, len(*log)-1).Draw(rt, "record")
		r := *(*log)[i]
		what := rapid.SampledFrom([]string{
			whatif.Repeated, whatif.Extra, whatif.Missing,
		}).Draw(rt, "what")
		switch what {
		case whatif.Repeated:
			r.Offset = int64(len(*log))
			*log = append(*log, &r)
		case whatif.Extra: // it is not there any more, but would have been
			if w.overdue(string(r.Key)) {
				rt.Skip("it may be that the worker has only to say it yet")
			}
			*log = slices.Delete(slices.Clone(*log), i, i+1)
		case whatif.Missing: // it is there under another key
			r.Key = []byte("another")
			*log = append(*log, &r)
		}
		got := w.compare(t, options(w.rules))
		if got.OrderCount != 1 || len(got.Orders[0].Changes) != 1 ||
			got.Orders[0].Order != string(r.Key) || got.Orders[0].Changes[0].What != what {
			rt.Fatalf("%s of %s: %s", what, r.Key, text(got))
		}
	})
}

// story is a world of three orders: one paid in time, one paid later, one never.
func story(t *testing.T) *world {
	t.Helper()
	var w *world
	rapid.Check(t, func(rt *rapid.T) {
		if w != nil {
			return
		}
		w = newWorld(rt, confirm.Rules{PayWithin: 100 * time.Microsecond})
		w.place("a", 10, 5)
		w.place("b", 10, 7)
		w.place("c", 10, 9)
		w.pay("a", 20, 5)
		w.pay("b", 60, 7)
		w.place("d", 200, 1)
		w.pay("d", 200, 1)
		w.fire(100)
	})
	return w
}

// TestStory tries a shorter and a longer time to pay.
func TestStory(t *testing.T) {
	w := story(t)
	ask := func(pay time.Duration, change func(*whatif.Options)) *whatif.Report {
		t.Helper()
		o := options(confirm.Rules{PayWithin: pay})
		if change != nil {
			change(&o)
		}
		return w.compare(t, o)
	}
	r := ask(30*time.Microsecond, nil)
	eur := *r.Money["EUR"]
	if got, want := named(r), []string{"b", "c"}; !slices.Equal(got, want) ||
		eur.Confirmed != (whatif.Sums{Came: 13, Would: 6}) ||
		eur.Expired != (whatif.Sums{Came: 9, Would: 16}) ||
		eur.Owed != (whatif.Sums{Came: 0, Would: 7}) {
		t.Errorf("shorter: %s, %+v", text(r), eur)
	}
	// OrderConfirmed is missing, OrderExpired and a late payment with its refund are
	// extra, and the other order expires at another time.
	if r.Missing != 1 || r.Extra != 3 || r.Changed != 1 {
		t.Errorf("shorter: %s", text(r))
	}
	if r := ask(time.Second, nil); !slices.Equal(named(r), []string{"c"}) || r.Missing != 1 {
		t.Errorf("longer: %s", text(r))
	}
	// The time that nobody recorded lets it expire after all.
	until := func(o *whatif.Options) { o.Until = time.UnixMicro(3_000_000) }
	if r := ask(time.Second, until); !slices.Equal(named(r), []string{"c"}) || r.Changed != 1 {
		t.Errorf("longer, until it is over: %s", text(r))
	}
	late := func(o *whatif.Options) { o.From = time.UnixMicro(11) }
	if r := ask(30*time.Microsecond, late); r.OrderCount != 0 || r.Kinds["OrderConfirmed"].Came != 1 {
		t.Errorf("of later orders: %s", text(r))
	}
	early := func(o *whatif.Options) { o.To = time.UnixMicro(11) }
	if r := ask(30*time.Microsecond, early); r.OrderCount != 2 || r.Kinds["OrderConfirmed"].Came != 2 {
		t.Errorf("of earlier orders: %s", text(r))
	}
	few := func(o *whatif.Options) { o.Limit = 1 }
	r = ask(30*time.Microsecond, few)
	if r.OrderCount != 2 || !slices.Equal(named(r), []string{"b"}) {
		t.Errorf("of one: %s", text(r))
	}
}

// TestInFlight leaves the orders out that a worker is at.
func TestInFlight(t *testing.T) {
	w := story(t)
	p := whatif.NewPartition(options(confirm.Rules{PayWithin: 30 * time.Microsecond}))
	for _, d := range w.did {
		if d.Record != nil && string(d.Record.Key) == "b" && d.Record.Topic == "payments" {
			p.InFlight(d)
		} else if err := p.Take(d); err != nil {
			t.Fatal(err)
		}
	}
	for i := range w.out {
		for _, r := range w.out[i] {
			p.Came(whatif.Output(i), r)
		}
	}
	if r := p.Close(); r.InFlight != 1 || !slices.Equal(named(r), []string{"c"}) {
		t.Errorf("%s", text(r))
	}
}

// TestUnreadable: what a worker took and this program would not is a difference.
func TestUnreadable(t *testing.T) {
	w := story(t)
	w.did[1].Record = &kgo.Record{
		Topic: "orders", Key: []byte("b"), Value: []byte("{"), Timestamp: time.UnixMicro(10),
	}
	r := w.compare(t, options(w.rules))
	if r.Whatif != whatif.Differences || r.UnreadableCount != 1 || len(r.Unreadable) != 1 {
		t.Errorf("%s", text(r))
	}
}

// TestStuckTimer: a decision that leaves a deadline where it was ends the replay,
// as it would end a worker.
func TestStuckTimer(t *testing.T) {
	w := story(t)
	o := options(w.rules)
	o.Step = func(
		rules confirm.Rules, row *confirm.Row, e confirm.Event,
	) (*confirm.Row, confirm.Outcomes) {
		if _, ok := e.(confirm.Lapsed); ok {
			return row, confirm.Outcomes{}
		}
		return confirm.Step(rules, row, e)
	}
	p := whatif.NewPartition(o)
	for _, d := range w.did {
		if err := p.Take(d); err != nil {
			return
		}
	}
	t.Error("nothing was said of it")
}
