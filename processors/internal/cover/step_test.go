package cover_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"tallystick/processors/confirm"
	"tallystick/processors/internal/cover"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestSaysWhatConfirmSays: for any log of one order that does not go on after its
// confirmation, the confirmation is that of package confirm, byte for byte.
func TestSaysWhatConfirmSays(t *testing.T) { rapid.Check(t, saysWhatConfirmSays) }

func saysWhatConfirmSays(t *rapid.T) {
	var row *confirm.Row
	var deal cover.Deal
	for i := range rapid.IntRange(1, 12).Draw(t, "records") {
		at := time.Unix(int64(rapid.IntRange(0, 50).Draw(t, "at")), 0)
		clock := confirm.ClockOf(at, time.Time{})
		var out confirm.Outcomes
		if rapid.IntRange(0, 3).Draw(t, "topic") == 0 {
			m := drawOrder(t, i)
			row, out = confirm.Step(confirm.Rules{}, row, confirm.OfOrder(m, clock))
			deal = deal.WithOrder(m, at)
		} else {
			m := drawPayment(t, i)
			row, out = confirm.Step(confirm.Rules{}, row, confirm.OfPayment(m, clock))
			deal = deal.WithPayment(m, at)
		}
		got, want := bytesOf(t, deal.Confirmation()), bytesOf(t, out.Confirmed)
		if !bytes.Equal(got, want) {
			t.Fatalf("after record %d it says\n%x, package confirm says\n%x", i, got, want)
		}
		if want != nil {
			return
		}
	}
}

func bytesOf(t *rapid.T, m *tallyv1.ConfirmationEvent) []byte {
	if m == nil {
		return nil
	}
	b, err := schemas.Confirmations.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func drawMeta(t *rapid.T, i int) *tallyv1.Meta {
	m := &tallyv1.Meta{}
	if rapid.Bool().Draw(t, "with id") {
		m.Id = fmt.Sprintf("e%d", i)
	}
	if rapid.Bool().Draw(t, "with time") {
		m.At = timestamppb.New(time.Unix(int64(rapid.IntRange(0, 50).Draw(t, "meta at")), 0))
	}
	return m
}

func drawMoney(t *rapid.T) *tallyv1.Money {
	return schemas.Money(rapid.Int64Range(0, 5).Draw(t, "minor"),
		rapid.SampledFrom([]string{"EUR", "EUR", "EUR", "USD"}).Draw(t, "currency"))
}

func drawOrder(t *rapid.T, i int) *tallyv1.OrderEvent {
	m := &tallyv1.OrderEvent{Meta: drawMeta(t, i)}
	switch rapid.IntRange(0, 9).Draw(t, "kind of order event") {
	case 0:
		m.Event = &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o1"},
		}
	case 1:
		m.Event = &tallyv1.OrderEvent_OrderRejected{
			OrderRejected: &tallyv1.OrderRejected{OrderId: "o1"},
		}
	default:
		o := &tallyv1.OrderPlaced{OrderId: "o1", CustomerId: "ann", Total: drawMoney(t)}
		if rapid.Bool().Draw(t, "with due") {
			o.Due = timestamppb.New(time.Unix(1000, 0))
		}
		m.Event = &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: o}
	}
	return m
}

func drawPayment(t *rapid.T, i int) *tallyv1.PaymentEvent {
	m := &tallyv1.PaymentEvent{Meta: drawMeta(t, i)}
	id := fmt.Sprintf("p%d", rapid.IntRange(1, 5).Draw(t, "payment"))
	if rapid.IntRange(0, 5).Draw(t, "reversal") == 0 {
		m.Event = &tallyv1.PaymentEvent_PaymentReversed{
			PaymentReversed: &tallyv1.PaymentReversed{PaymentId: id, OrderId: "o1"},
		}
		return m
	}
	m.Event = &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
		PaymentId: id, OrderId: "o1", Amount: drawMoney(t),
	}}
	return m
}

// TestDealIsAValue: what is derived from a deal does not show in it.
func TestDealIsAValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := cover.Deal{}.WithOrder(drawOrder(t, 0), time.Unix(0, 0))
		for i := range rapid.IntRange(0, 4).Draw(t, "payments") {
			base = base.WithPayment(drawPayment(t, i), time.Unix(0, 0))
		}
		before := fmt.Sprintf("%+v", base)
		a := base.WithPayment(drawPayment(t, 10), time.Unix(0, 0))
		shown := fmt.Sprintf("%+v", a)
		base.WithPayment(drawPayment(t, 11), time.Unix(0, 0))
		if fmt.Sprintf("%+v", base) != before || fmt.Sprintf("%+v", a) != shown {
			t.Fatalf("%+v became %+v", before, base)
		}
	})
}
