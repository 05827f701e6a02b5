package lookup

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestStories tells the stories in testdata. What the order service knows of order
// o1 grows by "order total=N", "payment P amount=N", "reversal P" and "cancel";
// "notice N" is the record at offset N, which makes the worker ask. "restart"
// forgets what the worker remembers.
func TestStories(t *testing.T) {
	datadriven.Walk(t, "testdata/stories", func(t *testing.T, path string) {
		known, memory := Known{}, newMemory(10)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var n int64
			switch d.Cmd {
			case "order":
				d.ScanArgs(t, "total", &n)
				known = known.WithOrder(order(n), time.Unix(1, 0))
			case "cancel":
				known = known.WithOrder(cancel(), time.Unix(1, 0))
			case "payment":
				d.ScanArgs(t, "amount", &n)
				known = known.WithPayment(payment(d.CmdArgs[0].Key, n), time.Unix(1, 0))
			case "reversal":
				known = known.WithPayment(reversal(d.CmdArgs[0].Key), time.Unix(1, 0))
			case "restart":
				memory = newMemory(10)
			case "notice":
				return noticed(t, d, memory, known)
			default:
				d.Fatalf(t, "no such command: %s", d.Cmd)
			}
			return ""
		})
	})
}

func noticed(t *testing.T, d *datadriven.TestData, memory *memory, known Known) string {
	t.Helper()
	n := Notice{OrderID: "o1", Topic: "orders"}
	if _, err := fmt.Sscan(d.CmdArgs[0].Key, &n.Offset); err != nil {
		t.Fatal(err)
	}
	c := Step(n, memory.of("o1"), known)
	if c == nil {
		return "nothing\n"
	}
	memory.keep(n)
	b := strings.Builder{}
	fmt.Fprintf(&b, "emit OrderConfirmed %d by", c.GetOrderConfirmed().GetTotal().GetMinor())
	for _, p := range c.GetOrderConfirmed().GetPayments() {
		fmt.Fprintf(&b, " %s:%d", p.GetPaymentId(), p.GetMinor())
	}
	return b.String() + "\n"
}

// TestRemembersOnce: as long as the worker remembers, an order is confirmed on one
// notice only, whatever the service says and however often notices come again.
func TestRemembersOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known, memory := Known{}.WithOrder(order(3), time.Unix(1, 0)), newMemory(10)
		on := map[int64]bool{}
		for i := range rapid.IntRange(0, 20).Draw(t, "notices") {
			if rapid.Bool().Draw(t, "paid") {
				known = known.WithPayment(payment(fmt.Sprint(i), 1), time.Unix(1, 0))
			}
			n := Notice{OrderID: "o1", Topic: "t", Offset: rapid.Int64Range(0, 9).Draw(t, "offset")}
			if Step(n, memory.of("o1"), known) != nil {
				memory.keep(n)
				on[n.Offset] = true
			}
		}
		if len(on) > 1 {
			t.Fatalf("confirmed on notices %v", on)
		}
	})
}

// TestMemoryIsBounded: the oldest order is forgotten first.
func TestMemoryIsBounded(t *testing.T) {
	m := newMemory(3)
	for i := range 10 {
		m.keep(Notice{OrderID: fmt.Sprint(i)})
		m.keep(Notice{OrderID: fmt.Sprint(i), Offset: 1})
	}
	for i := range 10 {
		if got, want := m.of(fmt.Sprint(i)) != nil, i > 6; got != want {
			t.Errorf("order %d is remembered: %t", i, got)
		}
	}
	if len(m.said) != 3 || len(m.ring) != 3 {
		t.Errorf("%d of %d are kept", len(m.said), len(m.ring))
	}
}

func order(total int64) *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: "o1", Total: schemas.Money(total, "EUR"),
		}},
	}
}

func cancel() *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o1"},
		},
	}
}

func payment(id string, amount int64) *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: "o1", Amount: schemas.Money(amount, "EUR"),
		}},
	}
}

func reversal(id string) *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReversed{
			PaymentReversed: &tallyv1.PaymentReversed{PaymentId: id, OrderId: "o1"},
		},
	}
}
