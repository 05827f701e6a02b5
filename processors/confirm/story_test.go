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
//	order total=N [currency=C] [customer=T] [due=S] [id=T] [at=S]
//	payment P amount=N [currency=C] [method=T] [id=T] [at=S]
//	payments from=N to=M amount=N      (a payment for every number)
//	reversal P [reason=T] [id=T] [at=S]
//	cancel [reason=T] [id=T] [at=S]
//	reject [reason=T] [id=T] [at=S]
//
// Times are seconds; a record without one is a second later than the one before.
// Without an id the record has none. What is not a record: "rules repeat-speech",
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
		s.rules.RepeatSpeech = d.HasArg("repeat-speech")
		return fmt.Sprintf("%+v\n", s.rules)
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

// step applies e and returns what was said. It fails if the row does not survive
// its codec, or what was said does not.
func (s *story) step(t *testing.T, e confirm.Event) []any {
	t.Helper()
	next, out := confirm.Step(s.rules, s.row, e)
	s.row = next
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
	now := time.Unix(s.clock, 0)
	meta := &tallyv1.Meta{Id: text("id", "")}
	switch d.Cmd {
	case "order":
		o := &tallyv1.OrderPlaced{
			OrderId: "o1", CustomerId: text("customer", ""),
			Total: schemas.Money(number("total", -1), text("currency", "EUR")),
		}
		if d.HasArg("due") {
			o.Due = timestamppb.New(time.Unix(number("due", 0), 0))
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
	}, time.Unix(1, 0))
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
	line := "row " + strings.ToLower(row.State.String())
	if row.Placed {
		line += fmt.Sprintf(" %d %s", row.Order.Total, row.Order.Currency)
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
		line += fmt.Sprintf("%s %s %d: confirmed=%d pending=%d excess=%d mismatched=%d "+
			"unmatched=%d reversed=%d late=%t\n", f.PaymentID, f.Currency, f.Amount, f.Confirmed,
			f.Pending, f.Excess, f.Mismatched, f.Unmatched, f.Reversed, f.ReversedLate)
	}
	return line
}
