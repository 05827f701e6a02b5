package confirm_test

import (
	"fmt"
	"time"

	"tallystick/processors/confirm"
)

// A payment overtakes its order; the order is confirmed when it comes.
func ExampleStep() {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	at := confirm.ClockOf(now, now)
	rules := confirm.Rules{}

	row, out := confirm.Step(rules, nil, confirm.OfPayment(payment("p1", 1500), at))
	fmt.Println(row.State, out.Confirmed != nil)

	row, out = confirm.Step(rules, row, confirm.OfOrder(order(1200), at))
	fmt.Println(row.State, out.Confirmed.GetOrderConfirmed().GetTotal().GetMinor())
	fmt.Println("excess", out.Exceptions[0].GetPaymentExcess().GetExcess().GetMinor())
	// Output:
	// AWAITING_ORDER false
	// CONFIRMED 1200
	// excess 300
}

// The audit asks a row how the money of each payment ended.
func ExampleDispositions() {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	at := confirm.ClockOf(now, now)
	row, _ := confirm.Step(confirm.Rules{}, nil, confirm.OfOrder(order(1200), at))
	row, _ = confirm.Step(confirm.Rules{}, row, confirm.OfPayment(payment("p1", 1500), at))

	ending, fates := confirm.Dispositions(row)
	fmt.Println(ending, fates[0].Confirmed, fates[0].Excess)
	// Output: confirmed 1200 300
}
