package bench

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// near is how many positions a payment may be away from its order.
const near = 50_000

// A workload is a number of orders and their payments. One order in a hundred
// is not paid, one payment in two hundred comes twice, and a fifth of the
// payments come before their orders.
type workload struct {
	orders   int
	payments []payment // in the order in which they come
}

// A payment is of an order, which is one by number, and comes at a time that
// is counted like the orders' numbers.
type payment struct{ order, at int }

func newWorkload(orders int, seed uint64) workload {
	random := rand.New(rand.NewPCG(seed, 1))
	payments := make([]payment, 0, orders+orders/100)
	window := min(near, max(1, orders/4))
	for order := range orders {
		if unpaid(order) {
			continue
		}
		copies := 1
		if order%200 == 50 {
			copies = 2
		}
		for range copies {
			away := 1 + random.IntN(window)
			if random.IntN(5) == 0 {
				away = -away
			}
			payments = append(payments, payment{order, order + away})
		}
	}
	slices.SortStableFunc(payments, func(a, b payment) int { return cmp.Compare(a.at, b.at) })
	return workload{orders: orders, payments: payments}
}

// inputs is how many records there are.
func (w workload) inputs() int { return w.orders + len(w.payments) }

// unpaid says whether nobody pays an order.
func unpaid(order int) bool { return order%100 == 7 }

// total is what an order costs.
func total(order int) int64 { return 100 + int64(order)*7919%100_000 }

// key is an order's id, and the key of all its records.
func key(order int) string { return fmt.Sprintf("order-%010d", order) }

// firstAt is the time of the first record. Were it long ago, all rows would be due by the
// time of day, and those of a partition that is read to its end before the others lapse
// while these are still measured: many in one run, none in the next.
var firstAt = time.Now().Add(-time.Hour).Truncate(time.Second)

// at is the time of a record, one millisecond for each order.
func at(n int) time.Time { return firstAt.Add(time.Duration(n) * time.Millisecond) }

// A format is how a record's value is written.
type format string

const (
	protobuf format = "protobuf"
	jsonText format = "json"
)

// order returns the value of an order's record.
func (f format) order(order int) ([]byte, error) {
	e := &tallyv1.OrderEvent{
		Meta: &tallyv1.Meta{Id: fmt.Sprintf("o-%024x", order), At: timestamppb.New(at(order))},
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: key(order), CustomerId: fmt.Sprintf("customer-%08d", order%100_000),
			Total: money(total(order)), Due: timestamppb.New(at(order).Add(24 * time.Hour)),
		}},
	}
	if f == jsonText {
		return schemas.Orders.JSON(e)
	}
	return schemas.Orders.Marshal(e)
}

// payment returns the value of a payment's record; both copies of a payment
// that comes twice are the same.
func (f format) payment(order int) ([]byte, error) {
	e := &tallyv1.PaymentEvent{
		Meta: &tallyv1.Meta{Id: fmt.Sprintf("p-%024x", order), At: timestamppb.New(at(order))},
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: fmt.Sprintf("payment-%020d", order), OrderId: key(order),
			Amount: money(total(order)), Method: "card",
		}},
	}
	if f == jsonText {
		return schemas.Payments.JSON(e)
	}
	return schemas.Payments.Marshal(e)
}

func money(minor int64) *tallyv1.Money {
	return &tallyv1.Money{Minor: &minor, Currency: "EUR"}
}
