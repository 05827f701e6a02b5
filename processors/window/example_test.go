package window_test

import (
	"fmt"

	"tallystick/processors/window"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A payment that comes within the window confirms its order. One that comes later
// finds nothing.
func ExampleStep() {
	rules := window.DefaultRules()
	order := window.Event{Order: &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: "o1", Total: schemas.Money(1200, "EUR"),
		}},
	}}
	payment := window.Event{Payment: &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: "p1", OrderId: "o1", Amount: schemas.Money(1200, "EUR"),
		}},
	}}
	for _, after := range []int64{5, 15} {
		payment.Recorded = after * 60_000_000
		payment.Stream = payment.Recorded
		entry, _ := window.Step(rules, nil, order)
		_, out := window.Step(rules, entry, payment)
		fmt.Printf("%d minutes: confirmed %t, lost %q\n", after, out.Confirmed != nil, out.Lost)
	}
	// Output:
	// 5 minutes: confirmed true, lost ""
	// 15 minutes: confirmed false, lost "the window ended"
}
