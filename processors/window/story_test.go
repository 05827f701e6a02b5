package window

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestStories tells the stories in testdata, one record per command:
//
//	rules window=D grace=D orders=N    (a new, empty memory)
//	order O total=N at=S
//	payment P of=O amount=N at=S
//	reversal P of=O at=S
//	cancel O at=S
//	repeat                             (the last record is delivered again)
//
// Times are seconds. Stream time is the highest time so far, unless "stream" says
// otherwise. Printed is what is said, what is lost, and how many orders are kept.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		s := &story{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return s.command(t, d)
		})
	})
}

type story struct {
	buffer *buffer
	last   Event
	offset int64
	stream int64
}

func (s *story) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	switch d.Cmd {
	case "rules":
		var window, grace string
		rules := Rules{}
		d.ScanArgs(t, "window", &window)
		d.ScanArgs(t, "grace", &grace)
		d.ScanArgs(t, "orders", &rules.MaxOrders)
		rules.Window, rules.Grace = duration(t, window), duration(t, grace)
		if err := rules.Validate(); err != nil {
			return err.Error() + "\n"
		}
		*s = story{buffer: newBuffer(rules)}
		return "ok\n"
	case "repeat":
	default:
		s.last = s.record(t, d)
	}
	var b strings.Builder
	out := s.buffer.take(s.last, func(id string, why Loss) {
		fmt.Fprintf(&b, "lost %s: %s\n", id, why)
	})
	if c := out.Confirmed.GetOrderConfirmed(); c != nil {
		fmt.Fprintf(&b, "emit OrderConfirmed %s %d by", c.GetOrderId(), c.GetTotal().GetMinor())
		for _, p := range c.GetPayments() {
			fmt.Fprintf(&b, " %s:%d", p.GetPaymentId(), p.GetMinor())
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%d kept\n", len(s.buffer.entries))
	return b.String()
}

func (s *story) record(t *testing.T, d *datadriven.TestData) Event {
	t.Helper()
	var at, n int64
	id, of := d.CmdArgs[0].Key, ""
	d.ScanArgs(t, "at", &at)
	s.stream = max(s.stream, at)
	if d.HasArg("stream") {
		d.ScanArgs(t, "stream", &s.stream)
	}
	s.offset++
	e := Event{
		Cause: Cause{d.Cmd, s.offset}, Recorded: at * 1e6, Stream: s.stream * 1e6,
	}
	switch d.Cmd {
	case "order":
		d.ScanArgs(t, "total", &n)
		e.Order = order(id, n)
	case "cancel":
		e.Order = cancel(id)
	case "payment":
		d.ScanArgs(t, "of", &of)
		d.ScanArgs(t, "amount", &n)
		e.Payment = payment(id, of, n)
	case "reversal":
		d.ScanArgs(t, "of", &of)
		e.Payment = reversal(id, of)
	default:
		d.Fatalf(t, "no such command: %s", d.Cmd)
	}
	return e
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func order(id string, total int64) *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: id, Total: schemas.Money(total, "EUR"),
		}},
	}
}

func cancel(id string) *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: id},
		},
	}
}

func payment(id, orderID string, amount int64) *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: orderID, Amount: schemas.Money(amount, "EUR"),
		}},
	}
}

func reversal(id, orderID string) *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReversed{PaymentReversed: &tallyv1.PaymentReversed{
			PaymentId: id, OrderId: orderID,
		}},
	}
}
