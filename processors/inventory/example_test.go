package inventory_test

import (
	"fmt"
	"time"

	"tallystick/processors/inventory"
)

// An order wants two products, of which one lacks: the other is released.
func ExampleStep() {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	shirt, sock := want("shirt", 2), want("sock", 1)

	row, out := inventory.Step(nil, inventory.OfOrder(order("o1", shirt, sock), at))
	fmt.Println(row.GetState(), len(out.Commands))

	row, _ = inventory.Step(row, inventory.OfReply(reply("o1", shirt, true), at))
	row, out = inventory.Step(row, inventory.OfReply(reply("o1", sock, false), at))
	fmt.Println(row.GetState(), out.Check.GetStockShort().GetProductIds())
	fmt.Println("release", out.Commands[0].GetReleaseStock().GetProductId())
	// Output:
	// RESERVING 2
	// REFUSED [sock]
	// release shirt
}

// Three pieces come in: two can be reserved, and then not two more.
func ExampleStepStock() {
	row, _, _ := inventory.StepStock(nil, inventory.OfStock(added("shirt", 3)))
	two := inventory.Reserve{
		Line: inventory.Line{ProductID: "shirt", OrderID: "o1", Quantity: 2},
	}
	row, first, _ := inventory.StepStock(row, two)
	two.OrderID = "o2"
	row, second, _ := inventory.StepStock(row, two)
	fmt.Println(first.GetStockLineReserved().GetOrderId(), second.GetStockLineRefused().GetOrderId())
	fmt.Println(row.GetOnHand(), row.GetReserved())
	// Output:
	// o1 o2
	// 3 2
}
