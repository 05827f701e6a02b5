package schemas_test

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// at is the time of everything in these tests that happens once.
var at = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func order() *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{
		Meta: &tallyv1.Meta{Id: "8f0c7a1e5b", At: timestamppb.New(at)},
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: "order-000123", CustomerId: "customer-77",
			Total: schemas.Money(129900, "EUR"),
			Due:   timestamppb.New(at.Add(72 * time.Hour)),
		}},
	}
}

func payment() *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{
		Meta: &tallyv1.Meta{Id: "77ab01fe90", At: timestamppb.New(at)},
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: "payment-000456", OrderId: "order-000123",
			Amount: schemas.Money(129900, "EUR"), Method: "card",
		}},
	}
}

func row() *schemas.ConfirmRow {
	return &schemas.ConfirmRow{
		State:  tallyv1.ConfirmRow_CONFIRMED,
		Placed: true,
		Order: schemas.RowOrder{
			CustomerID: "customer-77", Total: 129900, Currency: "EUR",
			Due: schemas.Micros(at.Add(72 * time.Hour)), EventID: "8f0c7a1e5b",
			At: schemas.Micros(at),
		},
		Payments: []schemas.RowPayment{{
			PaymentID: "payment-000456", Amount: 129900, Currency: "EUR", Method: "card",
			EventID: "77ab01fe90", At: schemas.Micros(at), Confirmed: 129900,
			Disposition: tallyv1.ConfirmRow_COUNTED,
		}},
	}
}

func BenchmarkDecodeOrder(b *testing.B) {
	wire, err := schemas.Orders.Marshal(order())
	if err != nil {
		b.Fatal(err)
	}
	text, err := schemas.Orders.JSON(order())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Protobuf", func(b *testing.B) { decode(b, schemas.Orders.Decode, wire) })
	b.Run("JSON", func(b *testing.B) { decode(b, schemas.Orders.Decode, text) })
}

func BenchmarkDecodePayment(b *testing.B) {
	wire, err := schemas.Payments.Marshal(payment())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Protobuf", func(b *testing.B) { decode(b, schemas.Payments.Decode, wire) })
}

func decode(b *testing.B, f func([]byte) (any, error), in []byte) {
	b.ReportAllocs()
	for b.Loop() {
		v, _ := f(in)
		if m, bad := v.(schemas.Malformed); bad {
			b.Fatal(m)
		}
	}
}

func BenchmarkEncodeOrder(b *testing.B) {
	m := order()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schemas.Orders.Marshal(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRow(b *testing.B) {
	wire, err := schemas.ConfirmRows.Marshal(row())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := schemas.ConfirmRows.Unmarshal(wire)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := schemas.ConfirmRows.Marshal(r); err != nil {
			b.Fatal(err)
		}
	}
}
