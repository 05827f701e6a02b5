package schemas

import (
	"cmp"
	"errors"

	"tallystick/schemas/tallyv1"
)

// The codecs of the service fraud.
var (
	// CustomerOrders is the codec of orders that are keyed by their customer.
	CustomerOrders = Codec[*tallyv1.CustomerOrderEvent]{
		kind:  "customer's order event",
		fresh: func() *tallyv1.CustomerOrderEvent { return new(tallyv1.CustomerOrderEvent) },
		check: checkCustomerOrder,
	}
	// FraudRows is the codec of the table of fraud.
	FraudRows = RowCodec[*tallyv1.FraudRow]{
		kind:  "row of fraud",
		fresh: func() *tallyv1.FraudRow { return new(tallyv1.FraudRow) },
	}
)

// CustomerOrderKey returns the key of an order among those of its customer: the
// customer id, or the order id if it names no customer.
func CustomerOrderKey(o *tallyv1.OrderPlaced) string {
	return cmp.Or(o.GetCustomerId(), o.GetOrderId())
}

// checkCustomerOrder wants an order that was placed.
func checkCustomerOrder(e *tallyv1.CustomerOrderEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	v, ok := e.GetEvent().(*tallyv1.CustomerOrderEvent_OrderPlaced)
	if !ok {
		return errNoEvent
	}
	if len(v.OrderPlaced.GetLines()) > 0 {
		return errors.New("order_placed.lines: they are left out here")
	}
	return within("order_placed", checkPlaced(v.OrderPlaced))
}
