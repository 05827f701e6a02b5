package details_test

import (
	"fmt"
	"time"

	"tallystick/processors/details"
	"tallystick/schemas/tallyv1"
)

// What is known of the customer is carried along with the verdict.
func ExampleStep() {
	o, _ := details.OfOrder(order("c1"), time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC))
	ann := &tallyv1.CustomerUpdated{CustomerId: "c1", Name: "Ann", Email: "ann@example.org"}

	said := details.Step(details.Rules{}, o, ann, nil)
	fmt.Println(said.GetDetailsAccepted().GetContact().GetEmail())

	ann.Closed = true
	said = details.Step(details.Rules{}, o, ann, nil)
	fmt.Println(said.GetDetailsRefused().GetReason())
	// Output:
	// ann@example.org
	// the account of customer c1 is closed
}
