package confirm_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// said is what Step said, in bytes, and the topic it goes to.
type said struct{ topic, id, text string }

// apply is Step with what must hold of every step checked: it leaves the row it
// is given alone, and what it returns can be written and read.
func apply(t *rapid.T, rules confirm.Rules, row *confirm.Row, r record) (*confirm.Row, []said) {
	var before []byte
	if row != nil {
		before = encode(t, row)
	}
	next, out := confirm.Step(rules, row, r.event)
	if row != nil && !bytes.Equal(before, encode(t, row)) {
		t.Fatalf("Step changed the row it was given")
	}
	if next == nil {
		return nil, spoken(t, out)
	}
	again, err := schemas.ConfirmRows.Unmarshal(encode(t, next))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(encode(t, again), encode(t, next)) {
		t.Fatalf("the row %+v does not survive its codec", next)
	}
	if schemas.ConfirmRowDeadline(encode(t, next)) != next.Deadline {
		t.Fatalf("the deadline of %+v is not found in its bytes", next)
	}
	return next, spoken(t, out)
}

// spoken is what Step said, which has to be valid.
func spoken(t *rapid.T, out confirm.Outcomes) []said {
	var all []said
	if c := out.Confirmed; c != nil {
		b, err := schemas.Confirmations.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, said{"confirmations", c.GetMeta().GetId(), string(b)})
	}
	for _, x := range out.Exceptions {
		b, err := schemas.Exceptions.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, said{"exceptions", x.GetMeta().GetId(), string(b)})
	}
	return all
}

func encode(t *rapid.T, row *confirm.Row) []byte {
	if row == nil {
		return nil
	}
	b, err := schemas.ConfirmRows.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run applies a log to nothing, under the rules of most users.
func run(t *rapid.T, log []record) (*confirm.Row, []said) {
	return runBy(t, confirm.DefaultRules(), log)
}

func runBy(t *rapid.T, rules confirm.Rules, log []record) (*confirm.Row, []said) {
	var row *confirm.Row
	var all []said
	for _, r := range log {
		var more []said
		row, more = apply(t, rules, row, r)
		all = append(all, more...)
	}
	return row, all
}

// texts is what was said without its order: topics keep their own.
func texts(all []said) []string {
	var list []string
	for _, s := range all {
		list = append(list, s.text)
	}
	slices.Sort(list)
	return list
}

// first is what was said first under each id: what a receiver sees that drops
// repeats.
func first(all []said) map[string]string {
	m := map[string]string{}
	for _, s := range all {
		if _, ok := m[s.id]; !ok {
			m[s.id] = s.text
		}
	}
	return m
}

// TestInterleaving: for orders and payments it makes no difference how the two
// topics are merged, neither to what is said nor to the row.
func TestInterleaving(t *testing.T) { rapid.Check(t, interleaving) }

func interleaving(t *rapid.T) {
	orders := drawLog(t, "orders", 3, drawPlaced)
	payments := drawLog(t, "payments", 8, drawReceived)
	if len(orders)+len(payments) == 0 {
		return
	}
	rowA, saidA := run(t, drawMerge(t, orders, payments))
	rowB, saidB := run(t, drawMerge(t, orders, payments))
	if !slices.Equal(texts(saidA), texts(saidB)) {
		t.Fatalf("one merge says %q, the other %q", texts(saidA), texts(saidB))
	}
	if !bytes.Equal(encode(t, rowA), encode(t, rowB)) {
		t.Fatalf("one merge ends in %+v, the other in %+v", rowA, rowB)
	}
}

// TestDuplicates: a record that comes again, at any time later, changes neither
// the row nor what a receiver sees that drops repeats.
func TestDuplicates(t *testing.T) { rapid.Check(t, duplicates) }

func duplicates(t *rapid.T) {
	log := drawWhole(t)
	if len(log) == 0 {
		return
	}
	i := rapid.IntRange(0, len(log)-1).Draw(t, "which")
	k := rapid.IntRange(i+1, len(log)).Draw(t, "where")
	rowA, saidA := run(t, log)
	rowB, saidB := run(t, slices.Insert(slices.Clone(log), k, log[i]))
	if !maps.Equal(first(saidA), first(saidB)) {
		t.Fatalf("once it says %q, twice %q", texts(saidA), texts(saidB))
	}
	if !bytes.Equal(encode(t, rowA), encode(t, rowB)) {
		t.Fatalf("once it ends in %+v, twice in %+v", rowA, rowB)
	}
}

// TestCrashesLoseNothing: with RepeatSpeech, at-least-once delivery loses nothing
// and invents nothing, wherever it breaks: before the row is stored, before what
// was said on it is acknowledged, before the offset is.
func TestCrashesLoseNothing(t *testing.T) { rapid.Check(t, crashes) }

func crashes(t *rapid.T) { crash(t, confirm.DefaultRules(), drawWhole(t)) }

func crash(t *rapid.T, rules confirm.Rules, log []record) {
	if len(log) == 0 {
		return
	}
	wantRow, want := runBy(t, rules, log)
	rules.RepeatSpeech = true
	var row *confirm.Row
	var all []said
	left := rapid.IntRange(0, 4).Draw(t, "crashes")
	for i := 0; i < len(log); i++ {
		next, more := apply(t, rules, row, log[i])
		if left == 0 || rapid.IntRange(0, 3).Draw(t, "crash") > 0 {
			row, all = next, append(all, more...)
			continue
		}
		left--
		// Either may have got through without the other, what was said even in
		// part. The offset lags behind by some records.
		if rapid.Bool().Draw(t, "row stored") {
			row = next
		}
		all = append(all, more[:rapid.IntRange(0, len(more)).Draw(t, "said")]...)
		i -= rapid.IntRange(0, i).Draw(t, "behind") + 1
	}
	if got := first(all); !maps.Equal(got, first(want)) {
		t.Fatalf("said %q, want %q", texts(all), texts(want))
	}
	if !bytes.Equal(encode(t, row), encode(t, wantRow)) {
		t.Fatalf("the row is %+v, want %+v", row, wantRow)
	}
}

// TestReplaysInterleaveAnew: after a crash the two topics go back by different
// distances and are merged in another way, which makes no difference to orders
// and payments.
func TestReplaysInterleaveAnew(t *testing.T) { rapid.Check(t, replays) }

func replays(t *rapid.T) {
	orders := drawLog(t, "orders", 3, drawPlaced)
	payments := drawLog(t, "payments", 8, drawReceived)
	if len(orders)+len(payments) == 0 {
		return
	}
	wantRow, want := run(t, slices.Concat(orders, payments))
	rules := confirm.DefaultRules()
	rules.RepeatSpeech = true
	var row *confirm.Row
	var all []said
	o, p := 0, 0
	for left := 3; o < len(orders) || p < len(payments); {
		r, at := orders, &o
		if o == len(orders) || p < len(payments) && rapid.Bool().Draw(t, "payment") {
			r, at = payments, &p
		}
		next, more := apply(t, rules, row, r[*at])
		row = next
		if left == 0 || rapid.IntRange(0, 3).Draw(t, "crash") > 0 {
			*at++
			all = append(all, more...)
			continue
		}
		left--
		o -= rapid.IntRange(0, o).Draw(t, "orders behind")
		p -= rapid.IntRange(0, p).Draw(t, "payments behind")
	}
	if got := first(all); !maps.Equal(got, first(want)) {
		t.Fatalf("said %q, want %q", texts(all), texts(want))
	}
	if !bytes.Equal(encode(t, row), encode(t, wantRow)) {
		t.Fatalf("the row is %+v, want %+v", row, wantRow)
	}
}

// TestMoney: what came in is what the parts say, each event says what the row
// says, and nothing is confirmed twice or short.
func TestMoney(t *testing.T) { rapid.Check(t, money) }

func money(t *rapid.T) {
	log := drawWhole(t)
	row, all := run(t, log)
	received := map[string]*tallyv1.Money{}
	for _, r := range log {
		if id, m := broughtIn(r.event); m != nil && received[id] == nil {
			received[id] = m
		}
	}
	ending, fates := confirm.Dispositions(row)
	if len(fates) != len(received) {
		t.Fatalf("%d fates of %d payments", len(fates), len(received))
	}
	parts := map[string]int64{}
	for _, f := range fates {
		p := received[f.PaymentID]
		if p.GetMinor() != f.Amount || p.GetCurrency() != f.Currency {
			t.Fatalf("%v became %+v", p, f)
		}
		sum := f.Confirmed + f.Pending + f.Excess + f.Mismatched + f.Unmatched + f.Reversed
		if sum != f.Amount {
			t.Fatalf("the parts of %+v add up to %d", f, sum)
		}
		add := func(kind string, n int64) {
			if n > 0 {
				parts[kind+" "+f.PaymentID] = n
			}
		}
		add("confirmed", f.Confirmed)
		add("excess", f.Excess)
		add("mismatched", f.Mismatched)
		add("unmatched", f.Unmatched)
	}
	if stated := statedParts(t, all, row, ending); !maps.Equal(stated, parts) {
		t.Fatalf("the events say %v, the row says %v", stated, parts)
	}
}

// broughtIn is the money that comes in with an event, and under which payment's id.
func broughtIn(e confirm.Event) (string, *tallyv1.Money) {
	switch e := e.(type) {
	case confirm.Received:
		return e.Payment.GetPaymentId(), e.Payment.GetAmount()
	case confirm.Adjusted:
		return e.Payment.GetPaymentId(), e.Payment.GetAmount()
	case confirm.Placed, confirm.Ended, confirm.Reversed, confirm.Voided, confirm.Lapsed:
	}
	return "", nil
}

// TestCorrectionsAreNamed: what is said because of a correction names it among its
// causes, or names an event that does; and nothing is said then that would not have
// been said of a payment or a reversal.
func TestCorrectionsAreNamed(t *testing.T) { rapid.Check(t, corrections) }

func corrections(t *rapid.T) {
	var row, plain *confirm.Row
	for _, r := range drawWhole(t) {
		var all, same []said
		row, all = apply(t, confirm.Rules{}, row, r)
		plain, same = apply(t, confirm.Rules{}, plain, uncorrected(r))
		if !slices.Equal(all, same) || !bytes.Equal(encode(t, row), encode(t, plain)) {
			t.Fatalf("the correction says %q, a payment or a reversal %q", all, same)
		}
		id := correctionID(r.event)
		if id == "" {
			continue
		}
		named := map[string]bool{id: true}
		for _, s := range all {
			c, x := statement(t, s)
			m := c.GetMeta()
			if x != nil {
				m = x.GetMeta()
			}
			if !slices.ContainsFunc(m.GetCauses(), func(c string) bool { return named[c] }) {
				t.Fatalf("%s does not follow from %s: %v %v", m.GetId(), id, c, x)
			}
			named[m.GetId()] = true
		}
	}
}

func correctionID(e confirm.Event) string {
	switch e := e.(type) {
	case confirm.Voided:
		return e.ID
	case confirm.Adjusted:
		return e.ID
	case confirm.Placed, confirm.Ended, confirm.Received, confirm.Reversed, confirm.Lapsed:
	}
	return ""
}

// uncorrected is the payment or the reversal that would say the same.
func uncorrected(r record) record {
	switch e := r.event.(type) {
	case confirm.Voided:
		r.event = confirm.Reversed{
			Origin: e.Origin, Clock: e.Clock, Payment: &tallyv1.PaymentReversed{
				PaymentId: e.Payment.GetPaymentId(), OrderId: "o1", Reason: e.Payment.GetReason(),
			},
		}
	case confirm.Adjusted:
		r.event = confirm.Received{
			Origin: e.Origin, Clock: e.Clock, Payment: &tallyv1.PaymentReceived{
				PaymentId: e.Payment.GetPaymentId(), OrderId: "o1", Amount: e.Payment.GetAmount(),
				Method: confirm.AdjustedMethod,
			},
		}
	case confirm.Placed, confirm.Ended, confirm.Received, confirm.Reversed, confirm.Lapsed:
	}
	return r
}

// statedParts is the money that events speak of, and checks the confirmation.
func statedParts(
	t *rapid.T, all []said, row *confirm.Row, ending confirm.Disposition,
) map[string]int64 {
	stated := map[string]int64{}
	state := func(kind, payment string, m int64) {
		if m > 0 {
			stated[kind+" "+payment] = m
		}
	}
	confirmations := 0
	for _, s := range all {
		if s.topic == "confirmations" {
			confirmations++
			c := new(tallyv1.ConfirmationEvent)
			if err := proto.Unmarshal([]byte(s.text), c); err != nil {
				t.Fatal(err)
			}
			for _, p := range c.GetOrderConfirmed().GetPayments() {
				state("confirmed", p.GetPaymentId(), p.GetMinor())
			}
			continue
		}
		x := new(tallyv1.ExceptionEvent)
		if err := proto.Unmarshal([]byte(s.text), x); err != nil {
			t.Fatal(err)
		}
		if e := x.GetPaymentExcess(); e != nil {
			state("excess", e.GetPaymentId(), e.GetExcess().GetMinor())
		}
		if e := x.GetPaymentMismatch(); e != nil {
			state("mismatched", e.GetPaymentId(), e.GetAmount().GetMinor())
		}
		if e := x.GetPaymentUnmatched(); e != nil {
			state("unmatched", e.GetPaymentId(), e.GetAmount().GetMinor())
		}
	}
	want := 0
	if ending == confirm.Confirmed {
		want = 1
	}
	if confirmations != want {
		t.Fatalf("%d confirmations of an order that is %q: %+v", confirmations, ending, row)
	}
	return stated
}

// FuzzStep lets the fuzzer draw the logs of the properties.
func FuzzStep(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		interleaving(t)
		duplicates(t)
		crashes(t)
		replays(t)
		money(t)
		corrections(t)
		firings(t)
		lateOrders(t)
		refunds(t)
		lapsedCrashes(t)
		digests(t)
		wild(t)
	}))
}
