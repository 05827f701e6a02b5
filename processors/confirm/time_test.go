package confirm_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// drawRules draws rules of some seconds each, or none.
func drawRules(t *rapid.T) confirm.Rules {
	wait := func(name string) time.Duration {
		return time.Duration(rapid.SampledFrom([]int{0, 5, 20, 60}).Draw(t, name)) * time.Second
	}
	return confirm.Rules{
		PayWithin: wait("pay"), OrderWithin: wait("order"), KeepSettled: wait("keep"),
		KeepDigest: wait("digest"),
	}
}

// drawTimed draws a log over some minutes, as an engine delivers it: stream time
// never goes back, and records are a little behind it, or ahead by up to so many
// seconds.
func drawTimed(t *rapid.T, ahead int64) []record {
	var log []record
	stream := int64(100)
	for range rapid.IntRange(1, 14).Draw(t, "records") {
		stream += rapid.SampledFrom([]int64{0, 0, 1, 3, 7, 30, 80}).Draw(t, "step")
		recorded := stream + rapid.Int64Range(-6, ahead).Draw(t, "apart")
		c := confirm.ClockOf(time.Unix(recorded, 0), time.Unix(stream, 0))
		if len(log) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
			log = append(log, retime(rapid.SampledFrom(log).Draw(t, "record"), c))
			continue
		}
		kind := rapid.SampledFrom([]func(*rapid.T) record{
			drawDue, drawDue, drawReceived, drawReceived, drawReceived, drawReversed, drawEnded,
			drawVoided, drawAdjusted,
		}).Draw(t, "kind")
		log = append(log, retime(kind(t), c))
	}
	return log
}

// retime returns the record as it comes at another time.
func retime(r record, c confirm.Clock) record {
	r.text = fmt.Sprintf("%s at %d, stream %d", r.text, c.Recorded/1e6, c.Stream/1e6)
	switch e := r.event.(type) {
	case confirm.Placed:
		e.Clock = c
		r.event = e
	case confirm.Ended:
		e.Clock = c
		r.event = e
	case confirm.Received:
		e.Clock = c
		r.event = e
	case confirm.Reversed:
		e.Clock = c
		r.event = e
	case confirm.Voided:
		e.Clock = c
		r.event = e
	case confirm.Adjusted:
		e.Clock = c
		r.event = e
	case confirm.Lapsed:
	}
	return r
}

func clockOf(e confirm.Event) confirm.Clock {
	switch e := e.(type) {
	case confirm.Placed:
		return e.Clock
	case confirm.Ended:
		return e.Clock
	case confirm.Received:
		return e.Clock
	case confirm.Reversed:
		return e.Clock
	case confirm.Voided:
		return e.Clock
	case confirm.Adjusted:
		return e.Clock
	case confirm.Lapsed:
	}
	return confirm.Clock{}
}

// drawDue draws an order with or without a due time.
func drawDue(t *rapid.T) record {
	r := drawPlaced(t)
	if e := r.event.(confirm.Placed); rapid.Bool().Draw(t, "with due") {
		e.Order.Due = timestamppb.New(time.Unix(rapid.Int64Range(95, 250).Draw(t, "due"), 0))
		r.text += fmt.Sprintf(" due %d", e.Order.GetDue().GetSeconds())
	}
	return r
}

func fire(at int64) record {
	return record{confirm.Lapsed{OrderID: "o1", At: at}, fmt.Sprintf("a firing at %d", at)}
}

// runOut fires until nothing is due any more.
func runOut(t *rapid.T, rules confirm.Rules, row *confirm.Row) (*confirm.Row, []said) {
	var all []said
	for n := 0; row != nil && row.Deadline != 0; n++ {
		if n == 5 {
			t.Fatalf("the row is still due after %d firings: %+v", n, row)
		}
		next, more := apply(t, rules, row, fire(row.Deadline))
		if next != nil && next.Deadline != 0 && next.Deadline <= row.Deadline {
			t.Fatalf("after a firing at %d the row is due at %d", row.Deadline, next.Deadline)
		}
		row, all = next, append(all, more...)
	}
	return row, all
}

// TestFirings: whether a firing comes at once, late, early, twice or not at all
// before the next record changes neither what is said, in the order of each topic,
// nor the row.
func TestFirings(t *testing.T) { rapid.Check(t, firings) }

func firings(t *rapid.T) {
	rules, log := drawRules(t), drawTimed(t, 6)
	var plain, fired *confirm.Row
	var plainSaid, firedSaid []said
	for _, r := range log {
		c := clockOf(r.event)
		for range rapid.IntRange(0, 3).Draw(t, "firings") {
			var more []said
			when := rapid.Int64Range(0, max(c.Recorded, c.Stream)-1).Draw(t, "fire")
			if fired != nil && fired.Deadline < max(c.Recorded, c.Stream) &&
				rapid.Bool().Draw(t, "at once") {
				when = fired.Deadline
			}
			fired, more = apply(t, rules, fired, fire(when))
			firedSaid = append(firedSaid, more...)
		}
		var more []said
		plain, more = apply(t, rules, plain, r)
		plainSaid = append(plainSaid, more...)
		fired, more = apply(t, rules, fired, r)
		firedSaid = append(firedSaid, more...)
		if !bytes.Equal(encode(t, plain), encode(t, fired)) {
			t.Fatalf("without firings the row is %+v, with them %+v", plain, fired)
		}
	}
	plain, more := runOut(t, rules, plain)
	plainSaid = append(plainSaid, more...)
	fired, more = runOut(t, rules, fired)
	firedSaid = append(firedSaid, more...)
	byTopic := func(a, b said) int { return strings.Compare(a.topic, b.topic) }
	slices.SortStableFunc(plainSaid, byTopic)
	slices.SortStableFunc(firedSaid, byTopic)
	if !slices.Equal(plainSaid, firedSaid) {
		t.Fatalf("without firings it says %q, with them %q", plainSaid, firedSaid)
	}
	if !bytes.Equal(encode(t, plain), encode(t, fired)) {
		t.Fatalf("without firings the row is %+v, with them %+v", plain, fired)
	}
}

// TestLateOrders: an order that is read after its payments makes of them what it
// would have made if all had been read in the order of their times, late ones included.
func TestLateOrders(t *testing.T) { rapid.Check(t, lateOrders) }

func lateOrders(t *rapid.T) {
	at := func(name string) confirm.Clock {
		return confirm.ClockOf(time.Unix(rapid.Int64Range(90, 260).Draw(t, name), 0), time.Time{})
	}
	order := retime(drawDue(t), at("order"))
	var payments []record
	for n := range rapid.IntRange(0, 6).Draw(t, "payments") {
		p := drawReceived(t)
		e := p.event.(confirm.Received)
		e.Payment.PaymentId = fmt.Sprintf("p%d", n)
		payments = append(payments, retime(p, at("payment")))
	}
	recorded := func(r record) int64 { return clockOf(r.event).Recorded }
	slices.SortStableFunc(payments, func(a, b record) int { return int(recorded(a) - recorded(b)) })
	before, after := 0, rapid.IntRange(0, len(payments)).Draw(t, "place")
	for before < len(payments) && recorded(payments[before]) <= recorded(order) {
		before++
	}
	wantRow, want := run(t, slices.Insert(slices.Clone(payments), before, order))
	row, got := run(t, slices.Insert(slices.Clone(payments), max(before, after), order))
	if !slices.Equal(texts(got), texts(want)) {
		t.Fatalf("read late it says %q, want %q", texts(got), texts(want))
	}
	if !bytes.Equal(encode(t, row), encode(t, wantRow)) {
		t.Fatalf("read late it ends in %+v, want %+v", row, wantRow)
	}
}

// TestRefunds: at every moment, for each payment, what came in is what is
// confirmed, what is pending, what is owed back and what went back before; and
// each event of these is said once.
func TestRefunds(t *testing.T) { rapid.Check(t, refunds) }

func refunds(t *rapid.T) {
	rules, log := drawRules(t), drawTimed(t, 6)
	rules.KeepDigest = 0 // what is forgotten cannot be added up
	var row *confirm.Row
	var all []said
	received := map[string]*tallyv1.Money{}
	for _, r := range append(log, fire(1<<50), fire(1<<50)) {
		if id, m := broughtIn(r.event); m != nil && received[id] == nil {
			received[id] = m
		}
		var more []said
		row, more = apply(t, rules, row, r)
		all = append(all, more...)
		balance(t, row, received, all)
	}
}

func balance(t *rapid.T, row *confirm.Row, received map[string]*tallyv1.Money, all []said) {
	spent := map[string]int64{}
	seen := map[string]bool{}
	for _, s := range all {
		c, x := statement(t, s)
		for _, p := range c.GetOrderConfirmed().GetPayments() {
			spent[p.GetPaymentId()] += p.GetMinor()
		}
		if r := x.GetRefundOwed(); r != nil {
			spent[r.GetPaymentId()] += r.GetAmount().GetMinor()
			if r.GetAmount().GetCurrency() != received[r.GetPaymentId()].GetCurrency() {
				t.Fatalf("a refund of %v for %v", r.GetAmount(), received[r.GetPaymentId()])
			}
		}
		once := c.GetOrderConfirmed() != nil || x.GetRefundOwed() != nil ||
			x.GetOrderExpired() != nil || x.GetOrderWithdrawn() != nil
		if once && seen[s.id] {
			t.Fatalf("said twice: %v %v", c, x)
		}
		seen[s.id] = true
	}
	for id, m := range received {
		f, ok := confirm.FateOf(row, id)
		if !ok || f.Amount != m.GetMinor() || f.Currency != m.GetCurrency() {
			t.Fatalf("payment %s of %v became %+v", id, m, f)
		}
		if got := spent[id] + f.Pending + f.Reversed; got != m.GetMinor() {
			t.Fatalf("%d of payment %s of %v have a fate: %+v", got, id, m, f)
		}
		parts := f.Confirmed + f.Pending + f.Excess + f.Mismatched + f.Unmatched + f.Expired +
			f.Late + f.Reversed
		if parts != f.Amount {
			t.Fatalf("the parts of %+v add up to %d", f, parts)
		}
	}
	_, fates := confirm.Dispositions(row)
	if len(fates) != len(received) {
		t.Fatalf("%d fates of %d payments", len(fates), len(received))
	}
}

// statement is the event that was said.
func statement(t *rapid.T, s said) (*tallyv1.ConfirmationEvent, *tallyv1.ExceptionEvent) {
	if s.topic == "confirmations" {
		c := new(tallyv1.ConfirmationEvent)
		if err := proto.Unmarshal([]byte(s.text), c); err != nil {
			t.Fatal(err)
		}
		return c, nil
	}
	x := new(tallyv1.ExceptionEvent)
	if err := proto.Unmarshal([]byte(s.text), x); err != nil {
		t.Fatal(err)
	}
	return nil, x
}

// TestLapsesSurviveCrashes: with RepeatSpeech nothing is lost either of what was
// said because a deadline had passed, as long as rows are whole and no record is
// ahead of the stream time: one that is, and comes again, can meet a later row
// that its time is too late for.
func TestLapsesSurviveCrashes(t *testing.T) { rapid.Check(t, lapsedCrashes) }

func lapsedCrashes(t *rapid.T) {
	rules := drawRules(t)
	rules.KeepSettled = 0
	crash(t, rules, drawTimed(t, 0))
}

// TestDigestAnswersAsTheRow: a row that was cut down answers what comes again, and
// what is new, as the whole row does: the same events about the same money under
// the same ids. Which events they follow from, and what people wrote, is gone.
func TestDigestAnswersAsTheRow(t *testing.T) { rapid.Check(t, digests) }

func digests(t *rapid.T) {
	rules := confirm.Rules{OrderWithin: rapid.SampledFrom([]time.Duration{
		0, time.Millisecond,
	}).Draw(t, "order within")}
	var whole, cut *confirm.Row
	cutting := rules
	cutting.KeepSettled = time.Hour
	log := slices.Concat(drawWhole(t), drawWhole(t))
	for i, r := range log {
		if i > 0 && rapid.IntRange(0, 3).Draw(t, "cut") == 0 && cut.Deadline > 3600e6 {
			cut, _ = apply(t, cutting, cut, fire(cut.Deadline))
		}
		var wholeSaid, cutSaid []said
		whole, wholeSaid = apply(t, rules, whole, r)
		cut, cutSaid = apply(t, cutting, cut, r)
		if a, b := essence(t, wholeSaid), essence(t, cutSaid); !slices.Equal(a, b) {
			t.Fatalf("to %s the row says %q, its digest %q", r, a, b)
		}
		ending, fates := confirm.Dispositions(whole)
		ending2, fates2 := confirm.Dispositions(cut)
		for k := range fates2 {
			if fates2[k].PaymentID == "" {
				fates2[k].PaymentID = fates[k].PaymentID
			}
		}
		if ending != ending2 || !slices.Equal(fates, fates2) {
			t.Fatalf("the row says %s %+v, its digest %s %+v", ending, fates, ending2, fates2)
		}
	}
}

// essence is what was said without its causes, its time and texts that people
// wrote, and of a first content that came again no more than its amount.
func essence(t *rapid.T, all []said) []string {
	var out []string
	for _, s := range all {
		c, x := statement(t, s)
		if c != nil {
			out = append(out, s.text)
			continue
		}
		x.Meta = &tallyv1.Meta{Id: x.GetMeta().GetId()}
		if u := x.GetPaymentUnmatched(); u != nil {
			u.Note = ""
		}
		strip := func(first proto.Message) {
			m := first.ProtoReflect()
			m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
				switch f.Name() {
				case "customer_id", "due", "method":
					m.Clear(f)
				}
				return true
			})
		}
		strip(x.GetOrderConflicted().GetFirst())
		strip(x.GetPaymentConflicted().GetFirst())
		b, err := schemas.Exceptions.JSON(x)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}

// wild gives records any times at all: Step takes them, and no row is beyond
// its codec.
func wild(t *rapid.T) {
	rules := drawRules(t)
	rules.RepeatSpeech = rapid.Bool().Draw(t, "repeat")
	var row *confirm.Row
	said := map[string]string{}
	for _, r := range drawTimed(t, 6) {
		c := confirm.Clock{
			Recorded: rapid.Int64Range(0, 1<<57).Draw(t, "recorded"),
			Stream:   rapid.Int64Range(0, 1<<57).Draw(t, "stream"),
		}
		next, more := apply(t, rules, row, retime(r, c))
		maps.Copy(said, first(more))
		row = next
	}
	if _, err := confirm.Dispositions(row); len(err) > 6 {
		t.Fatalf("%d fates of 6 payments", len(err))
	}
	runOut(t, rules, row)
}

// TestAnyTimes: whatever the times of the records are, Step takes them.
func TestAnyTimes(t *testing.T) { rapid.Check(t, wild) }

// TestRules: the defaults are valid, and what is not is named.
func TestRules(t *testing.T) {
	if err := confirm.DefaultRules().Validate(); err != nil {
		t.Error(err)
	}
	if err := (confirm.Rules{}).Validate(); err != nil {
		t.Error(err)
	}
	for _, r := range []confirm.Rules{
		{PayWithin: -1},
		{OrderWithin: time.Millisecond},
		{KeepSettled: 2 * confirm.MaxWait},
		{KeepDigest: time.Nanosecond},
	} {
		if r.Validate() == nil {
			t.Errorf("%+v is valid", r)
		}
	}
}
