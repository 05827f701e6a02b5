package audit_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"tallystick/processors/confirm"
	"tallystick/query/audit"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

var topics = audit.Topics{
	Orders: "orders", Payments: "payments", Corrections: "corrections", Confirmations: "confirmations",
	Exceptions: "exceptions", Table: "table", DeadLetters: "dead", Group: "g",
}

// everyday is a world in which most things happen once.
func everyday(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.place("plain", 100)
	w.pay("plain", "p1", 100, "EUR")
	w.pay("early", "p2", 30, "EUR")
	w.pay("early", "p3", 80, "EUR")
	w.place("early", 100)
	w.place("early", 100)
	w.place("unpaid", 100)
	w.pay("unpaid", "p4", 99, "EUR")
	w.pay("plain", "p1", 100, "EUR")
	w.pay("plain", "p1", 101, "EUR")
	w.pay("plain", "p5", 7, "USD")
	w.pay("nobody", "p6", 5, "EUR")
	w.place("free", 0)
	w.bad("plain", "{")
	return w
}

func TestEveryday(t *testing.T) {
	r := everyday(t).audit(false)
	if r.Audit != audit.OK {
		t.Fatalf("differences: %v", r.Differences)
	}
	got := fmt.Sprintf("orders %d payments %d confirmed %d pending %d excess %d waiting %d "+
		"mismatched %d duplicates %d conflicted %d invalid %d records %d exactly %d",
		r.Orders, r.Payments, r.Confirmed, r.Pending, r.Excess, r.Waiting, r.Mismatched,
		r.Duplicates, r.Conflicted, r.Invalid, r.Records, r.Compared)
	want := "orders 4 payments 6 confirmed 3 pending 1 excess 1 waiting 2 " +
		"mismatched 1 duplicates 2 conflicted 1 invalid 1 records 14 exactly 5"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := *r.Money["EUR"], (audit.Money{
		Received: 314, Confirmed: 200, Pending: 104, Excess: 10, Owed: 10,
	}); got != want {
		t.Errorf("EUR: got %+v, want %+v", got, want)
	}
	if got, want := *r.Money["USD"], (audit.Money{Received: 7, Mismatched: 7, Owed: 7}); got != want {
		t.Errorf("USD: got %+v, want %+v", got, want)
	}
}

// TestTampered changes one thing at a time and holds that the audit names it.
func TestTampered(t *testing.T) {
	reencoded := func(w *world, r *kgo.Record, change func(*tallyv1.ConfirmationEvent)) []byte {
		m, err := schemas.Confirmations.Unmarshal(r.Value)
		w.must(err)
		change(m)
		value, err := schemas.Confirmations.Marshal(m)
		w.must(err)
		return value
	}
	for _, c := range []struct {
		name   string
		tamper func(*world)
		want   string
	}{
		{"a confirmation twice", func(w *world) {
			add(&w.confirmations, "confirmations", "plain", w.confirmations[0].Value)
		}, `confirmation "plain" at offset 3: it is there once too often`},
		{"a confirmation removed", func(w *world) {
			w.confirmations = w.confirmations[1:]
		}, `confirmation "plain": it is missing`},
		{"a confirmation of an unpaid order", func(w *world) {
			add(&w.confirmations, "confirmations", "unpaid", reencoded(w, w.confirmations[0],
				func(m *tallyv1.ConfirmationEvent) { m.GetOrderConfirmed().OrderId = "unpaid" }))
		}, `confirmation "unpaid" at offset 3: it should not be there`},
		{"another cause", func(w *world) {
			w.confirmations[0].Value = reencoded(w, w.confirmations[0],
				func(m *tallyv1.ConfirmationEvent) { m.Meta.Causes[1] = "another" })
		}, `confirmation "plain" at offset 0: it says`},
		{"other shares", func(w *world) {
			w.confirmations[1].Value = reencoded(w, w.confirmations[1], func(m *tallyv1.ConfirmationEvent) {
				m.GetOrderConfirmed().Payments[0].Minor++
				m.GetOrderConfirmed().Payments[1].Minor--
			})
		}, `money "early": the confirmation counts 31 of payment "p2", the row 30`},
		{"an exception removed", func(w *world) {
			w.exceptions = w.exceptions[1:]
		}, `money "early": 10 of payment "p3" were too much, 0 were said to be`},
		{"a row removed", func(w *world) {
			w.table = slices.DeleteFunc(w.table, func(r *kgo.Record) bool { return string(r.Key) == "free" })
		}, `row "free": the table has no row`},
		{"an older row", func(w *world) {
			w.table = w.table[:len(w.table)-1]
		}, `row "free": the table has no row`},
		{"a row changed", func(w *world) {
			row := *w.rows["unpaid"]
			row.Payments = slices.Clone(row.Payments)
			row.Payments[0].Amount = 98
			value, err := schemas.ConfirmRows.Marshal(&row)
			w.must(err)
			add(&w.table, "table", "unpaid", value)
		}, `money "EUR": 314 were received, 313 have a fate`},
		{
			"a dead letter removed", func(w *world) { w.dead = nil },
			`dead letter "plain" at payments/0@8: a record that was refused is not in the dead letters`,
		},
		{
			"a dead letter twice", func(w *world) { w.bury(w.payments[8], "malformed") },
			`dead letter "plain" at payments/0@8: it is in the dead letters 2 times`,
		},
		{
			"a good record refused", func(w *world) { w.bury(w.payments[0], "check") },
			`dead letter "plain" at payments/0@0: a record that was processed is in the dead letters`,
		},
		{
			"an order lost", func(w *world) { w.orders = w.orders[1:] },
			`row "plain": the row has an order: true, the topic has one: false`,
		},
		{
			"a payment lost", func(w *world) { w.payments = w.payments[3:] },
			`money "early": the row has a payment "p2" of 30 EUR that never came in`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := everyday(t)
			c.tamper(w)
			r := w.audit(false)
			var all []string
			for _, d := range r.Differences {
				all = append(all, d.String())
			}
			if r.Audit != audit.Differences || r.DifferenceCount != int64(len(all)) ||
				!slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, c.want) }) {
				t.Errorf("audit is %s, with\n%s\nwant %s", r.Audit, strings.Join(all, "\n"), c.want)
			}
		})
	}
}

// TestInFlight leaves the keys out that a worker is at, whatever was said of them
// already.
func TestInFlight(t *testing.T) {
	w := everyday(t)
	s := w.shard(false)
	s.InFlight([]byte("plain"))
	for _, r := range w.confirmations[:1] { // of the key in flight
		s.Confirmation(r)
	}
	for _, r := range w.table {
		s.Row(r)
	}
	r := s.Whole()
	var keys []string
	for _, d := range r.Differences {
		keys = append(keys, d.Key)
	}
	if r.InFlight != 1 || slices.Contains(keys, "plain") || !slices.Contains(keys, "early") {
		t.Errorf("in flight %d, differences about %q", r.InFlight, keys)
	}
}

// TestRepeats holds that what at-least-once delivery says twice is no
// difference, and that something else said is.
func TestRepeats(t *testing.T) {
	w := everyday(t)
	add(&w.confirmations, "confirmations", "plain", w.confirmations[0].Value)
	add(&w.exceptions, "exceptions", "early", w.exceptions[0].Value)
	if r := w.audit(true); r.Audit != audit.OK {
		t.Errorf("differences: %v", r.Differences)
	}
	w.confirmations = w.confirmations[1:3]
	if r := w.audit(true); r.Audit != audit.Differences {
		t.Error("a lost confirmation was not noticed")
	}
}

// TestJSON holds that what was said in JSON is judged as if it were binary.
func TestJSON(t *testing.T) {
	w := everyday(t)
	for _, r := range w.confirmations {
		m, err := schemas.Confirmations.Unmarshal(r.Value)
		w.must(err)
		r.Value, err = schemas.Confirmations.JSON(m)
		w.must(err)
	}
	for _, r := range w.exceptions {
		m, err := schemas.Exceptions.Unmarshal(r.Value)
		w.must(err)
		r.Value, err = schemas.Exceptions.JSON(m)
		w.must(err)
	}
	if r := w.audit(false); r.Audit != audit.OK {
		t.Errorf("differences: %v", r.Differences)
	}
	r := w.confirmations[0]
	r.Value = bytes.Replace(r.Value, []byte(`"minor":"`), []byte(`"minor":"1`), 1)
	if r := w.audit(false); r.Audit != audit.Differences {
		t.Error("a changed confirmation was not noticed")
	}
}

// TestCorrections has a payment that is reversed and rebooked, one that is voided too
// late, and money that nobody had told of.
func TestCorrections(t *testing.T) {
	corrected := func() *world {
		w := newWorld(t)
		w.place("typo", 900)
		w.pay("typo", "p1", 90, "EUR")
		w.void("typo", "p1")
		w.void("typo", "p1")
		w.adjust("typo", "p1b", 900, "EUR")
		w.adjust("typo", "p1b", 900, "EUR")
		w.adjust("typo", "p1b", 901, "EUR")
		w.adjust("typo", "p2", 5, "EUR")
		w.place("late", 10)
		w.pay("late", "p3", 10, "EUR")
		w.void("late", "p3")
		w.void("nobody", "p4")
		return w
	}
	r := corrected().audit(false)
	if r.Audit != audit.OK {
		t.Fatalf("differences: %v", r.Differences)
	}
	if got, want := *r.Money["EUR"], (audit.Money{
		Received: 1005, Confirmed: 910, Excess: 5, Reversed: 90, Owed: 5, Adjusted: 905, Voided: 90,
	}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, want := fmt.Sprint(r.Dispositions), "map[adjustment confirmed:1 adjustment excess:1 "+
		"conflicted:1 duplicate:2 order confirmed:2 payment confirmed:1 payment reversed:1 "+
		"void:2 void too late:1]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if r.Adjusted != 2 || r.Voided != 3 || r.Payments != 4 || r.Reversed != 1 {
		t.Errorf("%d adjusted, %d voided, %d payments, %d reversed", r.Adjusted, r.Voided, r.Payments,
			r.Reversed)
	}
	for _, c := range []struct {
		gone int
		want string
	}{
		{0, `money "typo": payment "p1" counts as reversed, and nothing that came in says so`},
		{2, `money "typo": the row has a payment "p1b" of 900 EUR that never came in`},
		{6, `exception "late" at offset 3: it should not be there`},
	} {
		w := corrected()
		if c.gone == 0 { // it came twice
			w.corrections = slices.Delete(w.corrections, 1, 2)
		} else if c.gone == 2 {
			w.corrections = slices.Delete(w.corrections, 3, 5)
		}
		w.corrections = slices.Delete(w.corrections, c.gone, c.gone+1)
		var all []string
		for _, d := range w.audit(false).Differences {
			all = append(all, d.String())
		}
		if !slices.ContainsFunc(all, func(s string) bool { return strings.HasPrefix(s, c.want) }) {
			t.Errorf("without correction %d:\n%s\nwant %s", c.gone, strings.Join(all, "\n"), c.want)
		}
	}
}

// TestMerges draws orders, payments, cancels, reversals and deadlines in any order:
// the audit accepts what came out of them.
func TestMerges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(t, rt)
		r := w.audit(false)
		if r.Audit != audit.OK {
			rt.Fatalf("differences: %v", r.Differences)
		}
		sum := int64(0)
		for _, n := range r.Dispositions {
			sum += n
		}
		if records := int64(len(w.inputs())); r.Records != records || sum != records {
			rt.Fatalf("%d records, %d counted, %d disposed", records, r.Records, sum)
		}
	})
}

// TestMergeDecides tells the same records in different orders. The topics are the
// same each time, and what came out is not; each is right.
func TestMergeDecides(t *testing.T) {
	for _, c := range []struct {
		story     string
		confirmed int64
	}{
		{"place pay reverse", 1}, {"pay reverse place", 0}, {"pay place reverse", 1},
	} {
		w := newWorld(t)
		for act := range strings.FieldsSeq(c.story) {
			switch act {
			case "place":
				w.place("a", 5)
			case "pay":
				w.pay("a", "p", 5, "EUR")
			case "reverse":
				w.reverse("a", "p")
			}
		}
		r := w.audit(false)
		if r.Audit != audit.OK || r.Confirmed != c.confirmed {
			t.Errorf("%s: %d confirmed, %v", c.story, r.Confirmed, r.Differences)
		}
	}
}

// TestDeadlines has orders that expire, payments that come late or for nobody, and
// rows that are cut down and deleted.
func TestDeadlines(t *testing.T) {
	w := newWorld(t)
	w.rules = confirm.DefaultRules()
	w.place("unpaid", 100)
	w.pay("unpaid", "p1", 40, "EUR")
	w.lapse("unpaid")
	w.pay("unpaid", "p2", 60, "EUR")
	w.pay("nobody", "p3", 5, "EUR")
	w.lapse("nobody")
	w.place("paid", 10)
	w.pay("paid", "p4", 10, "EUR")
	w.lapse("paid")                // cut down
	w.pay("paid", "p4", 10, "EUR") // and still known
	w.lapse("nobody")
	w.lapse("nobody") // deleted
	r := w.audit(false)
	if r.Audit != audit.OK {
		t.Fatalf("differences: %v", r.Differences)
	}
	if got, want := *r.Money["EUR"], (audit.Money{
		Received: 115, Confirmed: 10, Expired: 40, Late: 60, Unmatched: 5, Owed: 105,
	}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if r.Expired != 1 || r.Late != 1 || r.Confirmed != 1 || r.Duplicates != 1 {
		t.Errorf("got %+v", r)
	}
	w.exceptions = w.exceptions[1:]
	if r := w.audit(false); r.Audit != audit.Differences {
		t.Error("a removed event was not noticed")
	}
}

// TestMergesTampered takes something away or puts something in, and holds that the
// audit notices.
func TestMergesTampered(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(t, rt)
		logs := []*[]*kgo.Record{&w.confirmations, &w.exceptions}
		log := logs[rapid.IntRange(0, 1).Draw(rt, "log")]
		if len(*log) == 0 {
			rt.Skip("nothing was said there")
		}
		i := rapid.IntRange(0, len(*log)-1).Draw(rt, "record")
		if rapid.Bool().Draw(rt, "twice") {
			*log = append(*log, (*log)[i])
		} else {
			*log = slices.Delete(slices.Clone(*log), i, i+1)
		}
		if r := w.audit(false); r.Audit != audit.Differences {
			rt.Fatal("the audit noticed nothing")
		}
	})
}

func drawWorld(t *testing.T, rt *rapid.T) *world {
	w := newWorld(t)
	w.rules = confirm.DefaultRules()
	kinds := []string{
		"place", "place", "cancel", "reverse", "reverse", "pay", "pay", "pay", "lapse", "void", "adjust",
	}
	for range rapid.IntRange(1, 12).Draw(rt, "n") {
		key := rapid.SampledFrom([]string{"a", "a", "b"}).Draw(rt, "key")
		id := rapid.SampledFrom([]string{"p", "q", "r"}).Draw(rt, "payment")
		switch rapid.SampledFrom(kinds).Draw(rt, "event") {
		case "place":
			w.place(key, rapid.Int64Range(0, 3).Draw(rt, "total"))
		case "cancel":
			w.cancel(key)
		case "lapse":
			if w.rows[key] != nil && w.rows[key].Deadline != 0 {
				w.lapse(key)
			}
		case "reverse":
			w.reverse(key, id)
		case "void":
			w.void(key, id)
		case "adjust":
			w.adjust(key, id, rapid.Int64Range(0, 2).Draw(rt, "adjusted"), "EUR")
		case "pay":
			currency := rapid.SampledFrom([]string{"EUR", "EUR", "USD"}).Draw(rt, "currency")
			w.pay(key, id, rapid.Int64Range(0, 2).Draw(rt, "minor"), currency)
		}
	}
	return w
}

// TestPassedOver holds that a record with which the processor has nothing to do is
// not called lost.
func TestPassedOver(t *testing.T) {
	w := newWorld(t)
	w.rules.RequireValidation = true
	w.place("a", 100)
	r := w.audit(false)
	if r.Audit != audit.OK || r.Dispositions["passed over"] != 1 || len(r.Dispositions) != 1 {
		t.Errorf("%s: %v", r.Audit, r.Dispositions)
	}
}
