package confirm

import (
	"strconv"
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// An Event is one input record, decoded.
//
//sumtype:decl
type Event interface {
	// about returns the id of the order.
	about() string
}

// Origin is which event it is and when it was so.
type Origin struct {
	// ID is the event's id as the record gave it, or empty.
	ID string
	// At is when it happened, in microseconds since 1970.
	At int64
}

type (
	// Placed opens an order.
	Placed struct {
		Origin
		Order *tallyv1.OrderPlaced
	}
	// Ended is a cancel or a rejection.
	Ended struct {
		Origin
		OrderID   string
		Reason    string
		Rejection bool
	}
	// Received is a payment.
	Received struct {
		Origin
		Payment *tallyv1.PaymentReceived
	}
	// Reversed takes a payment back.
	Reversed struct {
		Origin
		Payment *tallyv1.PaymentReversed
	}
)

func (e Placed) about() string   { return e.Order.GetOrderId() }
func (e Ended) about() string    { return e.OrderID }
func (e Received) about() string { return e.Payment.GetOrderId() }
func (e Reversed) about() string { return e.Payment.GetOrderId() }

// OfOrder returns the event that m holds. The time of the record counts if m
// has none. It returns nil if m holds no event, which no valid m does.
func OfOrder(m *tallyv1.OrderEvent, recorded time.Time) Event {
	o := origin(m.GetMeta(), recorded)
	switch v := m.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		return Placed{o, v.OrderPlaced}
	case *tallyv1.OrderEvent_OrderCancelled:
		c := v.OrderCancelled
		return Ended{o, c.GetOrderId(), c.GetReason(), false}
	case *tallyv1.OrderEvent_OrderRejected:
		r := v.OrderRejected
		return Ended{o, r.GetOrderId(), r.GetReason(), true}
	}
	return nil
}

// OfPayment returns the event that m holds. The time of the record counts if m
// has none. It returns nil if m holds no event, which no valid m does.
func OfPayment(m *tallyv1.PaymentEvent, recorded time.Time) Event {
	o := origin(m.GetMeta(), recorded)
	switch v := m.GetEvent().(type) {
	case *tallyv1.PaymentEvent_PaymentReceived:
		return Received{o, v.PaymentReceived}
	case *tallyv1.PaymentEvent_PaymentReversed:
		return Reversed{o, v.PaymentReversed}
	}
	return nil
}

func origin(m *tallyv1.Meta, recorded time.Time) Origin {
	o := Origin{ID: m.GetId(), At: schemas.Micros(recorded)}
	if at := m.GetAt(); at != nil {
		o.At = micros(at)
	}
	return o
}

// The ids of events that came without one follow from their content, so that
// the same event has the same id however often and wherever it is met.

func orderEventID(orderID string, o *schemas.RowOrder) string {
	if o.EventID != "" {
		return o.EventID
	}
	return orderContentID(orderID, o)
}

func orderContentID(orderID string, o *schemas.RowOrder) string {
	return schemas.EventID("OrderPlaced", orderID, o.CustomerID,
		strconv.FormatInt(o.Total, 10), o.Currency, strconv.FormatInt(o.Due, 10))
}

func paymentEventID(orderID string, p *schemas.RowPayment) string {
	if p.EventID != "" {
		return p.EventID
	}
	return paymentContentID(orderID, p)
}

func paymentContentID(orderID string, p *schemas.RowPayment) string {
	return schemas.EventID("PaymentReceived", orderID, p.PaymentID,
		strconv.FormatInt(p.Amount, 10), p.Currency, p.Method)
}

func endEventID(orderID string, rejection bool, e *schemas.RowEnd) string {
	switch {
	case e.EventID != "":
		return e.EventID
	case rejection:
		return schemas.EventID("OrderRejected", orderID, e.Reason)
	}
	return schemas.EventID("OrderCancelled", orderID, e.Reason)
}

func reversalEventID(e Reversed) string {
	if e.ID != "" {
		return e.ID
	}
	p := e.Payment
	return schemas.EventID("PaymentReversed", p.GetOrderId(), p.GetPaymentId(), p.GetReason())
}
