package confirm_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestStories tells the stories in testdata. Each is about one order, o1, and
// one record per command:
//
//	order total=N [currency=C] [customer=T] [due=S] [name=T] [email=T] [validated]
//	payment P amount=N [currency=C] [method=T]
//	payments from=N to=M amount=N      (a payment for every number)
//	reversal P [reason=T]
//	void P id=T reason=T
//	adjust P id=T amount=N [currency=C] reason=T [replaces=T]
//	cancel [reason=T]
//	reject [reason=T]
//
// with [id=T], [at=S], the time of the record, and [stream=S], the stream time.
// Times are seconds; a record without one is a second later than the one before.
// Without an id the record has none. "fire at=S" is a firing of the timers. What
// is not a record: "rules" (with the names of their fields, times in seconds),
// "forget" (a new order begins), "dispositions", "json" (the row), and
// "repeat" (the last record comes again). What is said is printed in short, or
// whole where the command says "whole".
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := story{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.command(t, d)
		})
	})
}

// shown is how many events and how many payments of a row are printed.
const shown = 8

type story struct {
	rules confirm.Rules
	row   *confirm.Row
	last  confirm.Event
	clock int64
}

func (s *story) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "rules":
		s.rules = rulesOf(t, d)
		return "ok\n"
	case "forget":
		*s = story{rules: s.rules}
		return "ok\n"
	case "dispositions":
		return dispositions(s.row)
	case "json":
		b, err := schemas.ConfirmRows.JSON(s.row)
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + "\n"
	case "payments":
		var from, to, amount int64
		d.ScanArgs(t, "from", &from)
		d.ScanArgs(t, "to", &to)
		d.ScanArgs(t, "amount", &amount)
		said := 0
		for i := from; i <= to; i++ {
			said += len(s.step(t, received(fmt.Sprintf("p%d", i), amount)))
		}
		return fmt.Sprintf("%d payments in the row, %d things said\n",
			len(s.row.Payments), said)
	case "repeat":
	default:
		s.last = s.record(t, d)
	}
	before := s.row
	said := s.step(t, s.last)
	var b strings.Builder
	for i, m := range said {
		if i == shown {
			fmt.Fprintf(&b, "and %d more\n", len(said)-i)
			break
		}
		b.WriteString(print(t, m, d.HasArg("whole")))
	}
	if s.row == before {
		b.WriteString("row unchanged\n")
	} else {
		b.WriteString(brief(s.row))
	}
	return b.String()
}

func rulesOf(t *testing.T, d *datadriven.TestData) confirm.Rules {
	t.Helper()
	r := confirm.Rules{
		RepeatSpeech:      d.HasArg("repeat-speech"),
		RequireValidation: d.HasArg("require-validation"),
	}
	for name, to := range map[string]*time.Duration{
		"pay-within": &r.PayWithin, "order-within": &r.OrderWithin,
		"keep-settled": &r.KeepSettled, "keep-digest": &r.KeepDigest,
	} {
		if d.HasArg(name) {
			var seconds int64
			d.ScanArgs(t, name, &seconds)
			*to = time.Duration(seconds) * time.Second
		}
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	return r
}

// step applies e and returns what was said. It fails if the row does not survive
// its codec, or what was said does not.
func (s *story) step(t *testing.T, e confirm.Event) []any {
	t.Helper()
	next, out := confirm.Step(s.rules, s.row, e)
	if s.row = next; next != nil {
		b, err := schemas.ConfirmRows.Marshal(next)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := schemas.ConfirmRows.Unmarshal(b); err != nil ||
			back.Deadline != schemas.ConfirmRowDeadline(b) {
			t.Fatalf("%x: %v", b, err)
		}
	}
	var said []any
	if out.Confirmed != nil {
		if _, err := schemas.Confirmations.Marshal(out.Confirmed); err != nil {
			t.Fatal(err)
		}
		said = append(said, out.Confirmed)
	}
	for _, x := range out.Exceptions {
		if _, err := schemas.Exceptions.Marshal(x); err != nil {
			t.Fatal(err)
		}
		said = append(said, x)
	}
	return said
}

// record makes the record that the command describes.
func (s *story) record(t *testing.T, d *datadriven.TestData) confirm.Event {
	t.Helper()
	text := func(key, otherwise string) string {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &otherwise)
		}
		return otherwise
	}
	number := func(key string, otherwise int64) int64 {
		if d.HasArg(key) {
			d.ScanArgs(t, key, &otherwise)
		}
		return otherwise
	}
	s.clock = number("at", s.clock+1)
	now := confirm.ClockOf(time.Unix(s.clock, 0), time.Unix(number("stream", 0), 0))
	meta := &tallyv1.Meta{Id: text("id", "")}
	switch d.Cmd {
	case "fire":
		return confirm.Lapsed{OrderID: "o1", At: now.Recorded}
	case "order":
		o := &tallyv1.OrderPlaced{
			OrderId: "o1", CustomerId: text("customer", ""),
			Total: schemas.Money(number("total", -1), text("currency", "EUR")),
		}
		if d.HasArg("due") {
			o.Due = timestamppb.New(time.Unix(number("due", 0), 0))
		}
		if d.HasArg("validated") {
			v := &tallyv1.OrderValidated{Order: o}
			if d.HasArg("email") {
				v.Contact = &tallyv1.Contact{Name: text("name", ""), Email: text("email", "")}
			}
			return confirm.OfOrder(&tallyv1.OrderEvent{
				Meta: meta, Event: &tallyv1.OrderEvent_OrderValidated{OrderValidated: v},
			}, now)
		}
		return confirm.OfOrder(&tallyv1.OrderEvent{
			Meta: meta, Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: o},
		}, now)
	case "payment":
		return confirm.OfPayment(&tallyv1.PaymentEvent{
			Meta: meta,
			Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
				PaymentId: d.CmdArgs[0].Key, OrderId: "o1", Method: text("method", ""),
				Amount: schemas.Money(number("amount", -1), text("currency", "EUR")),
			}},
		}, now)
	case "reversal":
		return confirm.OfPayment(&tallyv1.PaymentEvent{
			Meta: meta,
			Event: &tallyv1.PaymentEvent_PaymentReversed{PaymentReversed: &tallyv1.PaymentReversed{
				PaymentId: d.CmdArgs[0].Key, OrderId: "o1", Reason: text("reason", ""),
			}},
		}, now)
	case "void":
		return confirm.OfCorrection(&tallyv1.CorrectionEvent{
			Meta: meta,
			Event: &tallyv1.CorrectionEvent_PaymentVoided{PaymentVoided: &tallyv1.PaymentVoided{
				PaymentId: d.CmdArgs[0].Key, OrderId: "o1", Reason: text("reason", ""), By: "ann",
			}},
		}, now)
	case "adjust":
		return confirm.OfCorrection(&tallyv1.CorrectionEvent{
			Meta: meta,
			Event: &tallyv1.CorrectionEvent_PaymentAdjusted{PaymentAdjusted: &tallyv1.PaymentAdjusted{
				PaymentId: d.CmdArgs[0].Key, OrderId: "o1", Reason: text("reason", ""), By: "ann",
				Amount:   schemas.Money(number("amount", -1), text("currency", "EUR")),
				Replaces: text("replaces", ""),
			}},
		}, now)
	case "cancel":
		return confirm.OfOrder(&tallyv1.OrderEvent{
			Meta: meta,
			Event: &tallyv1.OrderEvent_OrderCancelled{OrderCancelled: &tallyv1.OrderCancelled{
				OrderId: "o1", Reason: text("reason", ""),
			}},
		}, now)
	case "reject":
		return confirm.OfOrder(&tallyv1.OrderEvent{
			Meta: meta,
			Event: &tallyv1.OrderEvent_OrderRejected{OrderRejected: &tallyv1.OrderRejected{
				OrderId: "o1", Reason: text("reason", ""),
			}},
		}, now)
	}
	d.Fatalf(t, "no such command: %s", d.Cmd)
	return nil
}

// received is a payment in euro without an event id.
func received(id string, amount int64) confirm.Event {
	return confirm.OfPayment(&tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: "o1", Amount: schemas.Money(amount, "EUR"),
		}},
	}, confirm.ClockOf(time.Unix(1, 0), time.Time{}))
}

// print is one line for an event: its name, and what is in it in short.
func print(t *testing.T, m any, whole bool) string {
	t.Helper()
	var text []byte
	var err error
	switch m := m.(type) {
	case *tallyv1.ConfirmationEvent:
		text, err = schemas.Confirmations.JSON(m)
		if c := m.GetOrderConfirmed(); !whole && err == nil {
			line := fmt.Sprintf("emit OrderConfirmed %s by", amount(c.GetTotal()))
			for i, p := range c.GetPayments() {
				if i == shown {
					line += fmt.Sprintf(" and %d more", len(c.GetPayments())-i)
					break
				}
				line += fmt.Sprintf(" %s:%d", p.GetPaymentId(), p.GetMinor())
			}
			return strings.TrimSuffix(line, " by") + at(m.GetMeta())
		}
	case *tallyv1.ExceptionEvent:
		text, err = schemas.Exceptions.JSON(m)
		if !whole && err == nil {
			return "emit " + exception(m) + at(m.GetMeta())
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return "emit " + string(text) + "\n"
}

func exception(m *tallyv1.ExceptionEvent) string {
	switch v := m.GetEvent().(type) {
	case *tallyv1.ExceptionEvent_PaymentExcess:
		e := v.PaymentExcess
		return fmt.Sprintf("PaymentExcess %s %s of %d", e.GetPaymentId(),
			amount(e.GetExcess()), e.GetAmount().GetMinor())
	case *tallyv1.ExceptionEvent_PaymentMismatch:
		e := v.PaymentMismatch
		return fmt.Sprintf("PaymentMismatch %s %s, the order is in %s", e.GetPaymentId(),
			amount(e.GetAmount()), e.GetOrderCurrency())
	case *tallyv1.ExceptionEvent_PaymentUnmatched:
		e := v.PaymentUnmatched
		return strings.TrimSpace(fmt.Sprintf("PaymentUnmatched %s %s %s %s", e.GetPaymentId(),
			amount(e.GetAmount()), e.GetReason(), e.GetNote()))
	case *tallyv1.ExceptionEvent_ConfirmedPaymentReversed:
		e := v.ConfirmedPaymentReversed
		return fmt.Sprintf("ConfirmedPaymentReversed %s %s was %s with %d", e.GetPaymentId(),
			amount(e.GetAmount()), e.GetWas(), e.GetConfirmedMinor())
	case *tallyv1.ExceptionEvent_OrderCancelRefused:
		e := v.OrderCancelRefused
		return fmt.Sprintf("OrderCancelRefused rejection=%t %s", e.GetRejection(), e.GetReason())
	case *tallyv1.ExceptionEvent_OrderConflicted:
		e := v.OrderConflicted
		return fmt.Sprintf("OrderConflicted %s, then %s",
			amount(e.GetFirst().GetTotal()), amount(e.GetSecond().GetTotal()))
	case *tallyv1.ExceptionEvent_PaymentConflicted:
		e := v.PaymentConflicted
		return fmt.Sprintf("PaymentConflicted %s %s, then %s", e.GetFirst().GetPaymentId(),
			amount(e.GetFirst().GetAmount()), amount(e.GetSecond().GetAmount()))
	}
	return ending(m)
}

func ending(m *tallyv1.ExceptionEvent) string {
	switch v := m.GetEvent().(type) {
	case *tallyv1.ExceptionEvent_OrderExpired:
		e := v.OrderExpired
		line := fmt.Sprintf("OrderExpired %s due=%d returns", amount(e.GetTotal()),
			e.GetDue().GetSeconds())
		for _, r := range e.GetReturns() {
			line += fmt.Sprintf(" %s:%d", r.GetPaymentId(), r.GetMinor())
		}
		return line
	case *tallyv1.ExceptionEvent_OrderWithdrawn:
		e := v.OrderWithdrawn
		return strings.TrimSpace(fmt.Sprintf("OrderWithdrawn rejection=%t %s",
			e.GetRejection(), e.GetReason()))
	case *tallyv1.ExceptionEvent_RefundOwed:
		e := v.RefundOwed
		return fmt.Sprintf("RefundOwed %s %s %s", e.GetPaymentId(), amount(e.GetAmount()),
			e.GetReason())
	}
	return "nothing"
}

func amount(m *tallyv1.Money) string {
	if m == nil {
		return "no amount"
	}
	return fmt.Sprintf("%d %s", m.GetMinor(), m.GetCurrency())
}

// at ends a line: the time, and the causes that came with an id.
func at(m *tallyv1.Meta) string {
	line := fmt.Sprintf(" at=%d", m.GetAt().GetSeconds())
	var named []string
	for _, id := range m.GetCauses() {
		if len(id) < 32 {
			named = append(named, id)
		}
	}
	if named != nil {
		line += " causes=" + strings.Join(named, ",")
	}
	return line + "\n"
}

// brief is one line for the row.
func brief(row *confirm.Row) string {
	if row == nil {
		return "no row\n"
	}
	line := "row " + strings.ToLower(row.State.String())
	if row.Placed {
		line += fmt.Sprintf(" %d %s", row.Order.Total, row.Order.Currency)
	}
	if row.Deadline != 0 {
		line += fmt.Sprintf(" until %d", row.Deadline/1_000_000)
	}
	if d := row.Digest; d != nil {
		line += fmt.Sprintf("; digest of %d", len(d.Payments))
	}
	for i, p := range row.Payments {
		if i == shown {
			return line + fmt.Sprintf("; and %d more\n", len(row.Payments)-i)
		}
		line += fmt.Sprintf("; %s", p.PaymentID)
		if p.Currency != "" {
			line += fmt.Sprintf(" %d %s", p.Amount, p.Currency)
		}
		line += " " + strings.ToLower(p.Disposition.String())
		if p.Confirmed != p.Amount && p.Confirmed != 0 {
			line += fmt.Sprintf(" with %d", p.Confirmed)
		}
		if p.ReversedLate {
			line += " reversed late"
		}
	}
	return line + "\n"
}

func dispositions(row *confirm.Row) string {
	order, fates := confirm.Dispositions(row)
	line := fmt.Sprintf("order %q\n", order)
	for _, f := range fates {
		line += fmt.Sprintf("%s %s %d:", f.PaymentID, f.Currency, f.Amount)
		for _, part := range []struct {
			name string
			n    int64
		}{
			{"confirmed", f.Confirmed},
			{"pending", f.Pending},
			{"excess", f.Excess},
			{"mismatched", f.Mismatched},
			{"unmatched", f.Unmatched},
			{"expired", f.Expired},
			{"late", f.Late},
			{"reversed", f.Reversed},
		} {
			if part.n != 0 {
				line += fmt.Sprintf(" %s=%d", part.name, part.n)
			}
		}
		if f.ReversedLate {
			line += " reversed late"
		}
		line += "\n"
	}
	return line
}
