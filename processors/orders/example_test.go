package orders_test

import (
	"fmt"
	"time"

	"tallystick/processors/orders"
)

// A command is a wish: it is carried out, known again, or refused.
func ExampleStep() {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	rules := orders.Rules{}

	row, said := orders.Step(rules, nil, orders.OfCommand(order(1200), at))
	fmt.Println(said.GetOrderPlaced().GetTotal().GetMinor())

	row, said = orders.Step(rules, row, orders.OfCommand(order(1200), at))
	fmt.Println(said)

	_, said = orders.Step(rules, row, orders.OfCommand(order(1300), at))
	fmt.Println(said.GetOrderRefused().GetReason())
	// Output:
	// 1200
	// <nil>
	// ID_TAKEN
}
