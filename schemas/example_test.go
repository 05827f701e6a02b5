package schemas_test

import (
	"fmt"

	"tallystick/schemas"
)

// Both forms are read; what is not valid becomes Malformed, with the reason.
func ExampleCodec_Decode() {
	for _, value := range []string{
		`{"order_placed": {"order_id": "o1", "total": {"minor": 1200, "currency": "EUR"}}}`,
		`{"order_placed": {"order_id": "o1", "total": {"minor": -5, "currency": "EUR"}}}`,
	} {
		msg, err := schemas.Orders.Decode([]byte(value))
		if err != nil {
			panic(err) // never
		}
		if bad, ok := msg.(schemas.Malformed); ok {
			fmt.Println(bad)
			continue
		}
		fmt.Println(schemas.CheckKey("o1", msg))
	}
	// Output:
	// <nil>
	// malformed: order_placed.total.minor is -5, it must not be negative
}
