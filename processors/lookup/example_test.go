package lookup_test

import (
	"fmt"
	"time"

	"tallystick/processors/lookup"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A notice says that something happened to an order. Whether it is paid follows
// from what the order service knows.
func ExampleStep() {
	known := lookup.Known{}.WithOrder(&tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: "o1", Total: schemas.Money(1200, "EUR"),
		}},
	}, time.Unix(1, 0))
	notice := lookup.Notice{OrderID: "o1", Topic: "orders", Offset: 7}
	fmt.Println(lookup.Step(notice, nil, known) != nil)

	known = known.WithPayment(&tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: "p1", OrderId: "o1", Amount: schemas.Money(1200, "EUR"),
		}},
	}, time.Unix(2, 0))
	next := lookup.Notice{OrderID: "o1", Topic: "payments", Offset: 3}
	fmt.Println(lookup.Step(next, nil, known) != nil, lookup.Step(notice, &next, known) != nil)
	// Output:
	// false
	// true false
}
