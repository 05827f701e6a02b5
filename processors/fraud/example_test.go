package fraud_test

import (
	"fmt"

	"tallystick/processors/fraud"
)

// A customer orders for 6000 and, half an hour later, for 5000 more.
func ExampleStep() {
	row, check := fraud.Step(fraud.Rules{}, nil, placed("o1", "c1", 600_000, "EUR", minute(1)))
	fmt.Println(check.GetFraudCleared() != nil)

	_, check = fraud.Step(fraud.Rules{}, row, placed("o2", "c1", 500_000, "EUR", minute(31)))
	fmt.Println(check.GetFraudSuspected().GetReason())
	// Output:
	// true
	// 1100000 EUR in minor units, the sum of orders (2) within 1h0m0s, is above the limit of 1000000
}
