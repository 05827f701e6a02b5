package confirm_test

import (
	"testing"
	"time"

	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// rules are those of most users.
var rules = confirm.DefaultRules()

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
			}, confirm.ClockOf(now, now))
			p := &tallyv1.PaymentEvent{
				Meta: &tallyv1.Meta{Id: c.payment},
				Event: &tallyv1.PaymentEvent_PaymentReceived{
					PaymentReceived: &tallyv1.PaymentReceived{
						PaymentId: "payment-000456", OrderId: "order-000123",
						Amount: schemas.Money(129900, "EUR"), Method: "card",
					},
				},
			}
			clock := confirm.ClockOf(now, now)
			row, _ := confirm.Step(rules, nil, o)
			b.ReportAllocs()
			for b.Loop() {
				_, out := confirm.Step(rules, row, confirm.OfPayment(p, clock))
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
	clock := confirm.ClockOf(now, now)
	b.ReportAllocs()
	for b.Loop() {
		confirm.Step(rules, nil, confirm.OfOrder(o, clock))
	}
}

// BenchmarkDigest cuts down the row of a confirmed order with one payment, and
// says how many bytes there were and are.
func BenchmarkDigest(b *testing.B) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	clock := confirm.ClockOf(now, now)
	o, p := order(129900), payment("payment-000456", 129900)
	o.GetOrderPlaced().CustomerId = "customer-77"
	o.Meta, p.Meta = &tallyv1.Meta{Id: "8f0c7a1e5b"}, &tallyv1.Meta{Id: "77ab01fe90"}
	p.GetPaymentReceived().Method = "card"
	row, _ := confirm.Step(rules, nil, confirm.OfOrder(o, clock))
	row, _ = confirm.Step(rules, row, confirm.OfPayment(p, clock))
	digest, _ := confirm.Step(rules, row, confirm.Lapsed{OrderID: "o1", At: row.Deadline})
	whole, _ := schemas.ConfirmRows.Marshal(row)
	rest, _ := schemas.ConfirmRows.Marshal(digest)
	for b.Loop() {
		confirm.Step(rules, row, confirm.Lapsed{OrderID: "o1", At: row.Deadline})
	}
	b.ReportMetric(float64(len(whole)), "B-whole")
	b.ReportMetric(float64(len(rest)), "B-digest")
}
