package confirm_test

import (
	"testing"
	"time"

	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// BenchmarkStep is a pair of an order and a payment that covers it, from
// decoded values to encoded confirmation, without the rows' codec. With ids the
// records bring event ids, without they are derived.
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct{ name, order, payment string }{
		{"WithIDs", "8f0c7a1e5b", "77ab01fe90"},
		{"WithoutIDs", "", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
			o := confirm.OfOrder(&tallyv1.OrderEvent{
				Meta: &tallyv1.Meta{Id: c.order},
				Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
					OrderId: "order-000123", CustomerId: "customer-77",
					Total: schemas.Money(129900, "EUR"),
				}},
			}, now)
			p := &tallyv1.PaymentEvent{
				Meta: &tallyv1.Meta{Id: c.payment},
				Event: &tallyv1.PaymentEvent_PaymentReceived{
					PaymentReceived: &tallyv1.PaymentReceived{
						PaymentId: "payment-000456", OrderId: "order-000123",
						Amount: schemas.Money(129900, "EUR"), Method: "card",
					},
				},
			}
			row, _ := confirm.Step(confirm.Rules{}, nil, o)
			b.ReportAllocs()
			for b.Loop() {
				_, out := confirm.Step(confirm.Rules{}, row, confirm.OfPayment(p, now))
				if _, err := schemas.Confirmations.Marshal(out.Confirmed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStepOrder(b *testing.B) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	o := &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: "order-000123", CustomerId: "customer-77",
			Total: schemas.Money(129900, "EUR"),
		}},
	}
	b.ReportAllocs()
	for b.Loop() {
		confirm.Step(confirm.Rules{}, nil, confirm.OfOrder(o, now))
	}
}
