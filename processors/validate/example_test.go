package validate_test

import (
	"fmt"
	"time"

	"tallystick/processors/validate"
)

// The checks of an order come in any order; the last one decides.
func ExampleStep() {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	rules := validate.Rules{}
	var row *validate.Row
	for _, e := range []validate.Event{
		validate.OfCheck(checkEvent("suspected", "ten orders in an hour", nil), at),
		validate.OfOrder(orderEvent("placed", 1200), at),
		validate.OfCheck(checkEvent("accepted", "", nil), at),
		validate.OfCheck(checkEvent("reserved", "", nil), at),
	} {
		next, said := validate.Step(rules, row, e)
		fmt.Println(next.GetState())
		if row = next; said != nil {
			fmt.Println(said.GetOrderRejected().GetReason())
		}
	}
	// Output:
	// OPEN
	// OPEN
	// OPEN
	// REJECTED
	// fraud: ten orders in an hour
}
