package confirm

import (
	"strconv"
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// An Event is one input record, decoded, or a firing of the timers.
//
//sumtype:decl
type Event interface {
	// about returns the id of the order.
	about() string
	// clock returns the times of the record.
	clock() Clock
}

// A Clock is what time it is for a record, in microseconds since 1970.
type Clock struct {
	// Recorded is the timestamp of the record.
	Recorded int64
	// Stream is the stream time at which it was delivered, or 0 if there is none.
	Stream int64
}

// ClockOf returns the clock of a record. A stream time that is not known is the
// zero time.
func ClockOf(recorded, stream time.Time) Clock {
	return Clock{schemas.Micros(recorded), schemas.Micros(stream)}
}

// latest is the time by which deadlines are judged.
func (c Clock) latest() int64 { return max(c.Recorded, c.Stream) }

func (c Clock) clock() Clock { return c }

// Origin is which event it is and when it was so.
type Origin struct {
	// ID is the event's id as the record gave it, or empty.
	ID string
	// At is when it happened, in microseconds since 1970.
	At int64
}

type (
	// Placed opens an order. Validated tells whether it was found to be in order,
	// which Contact goes with.
	Placed struct {
		Origin
		Clock
		Order     *tallyv1.OrderPlaced
		Validated bool
		Contact   *tallyv1.Contact
	}
	// Ended is a cancel or a rejection.
	Ended struct {
		Origin
		Clock
		OrderID   string
		Reason    string
		Rejection bool
	}
	// Received is a payment.
	Received struct {
		Origin
		Clock
		Payment *tallyv1.PaymentReceived
	}
	// Reversed takes a payment back.
	Reversed struct {
		Origin
		Clock
		Payment *tallyv1.PaymentReversed
	}
	// Voided is a correction: a payment should not have been booked. It acts like
	// its reversal.
	Voided struct {
		Origin
		Clock
		Payment *tallyv1.PaymentVoided
	}
	// Adjusted is a correction: money counts that no payment said so of. It acts
	// like a payment.
	Adjusted struct {
		Origin
		Clock
		Payment *tallyv1.PaymentAdjusted
	}
	// Lapsed is a firing of the timers: what was due at At or before is over. It
	// is a trigger only. Whatever comes after a deadline finds it passed anyway,
	// and a firing that comes before it, or again, changes nothing.
	Lapsed struct {
		OrderID string
		At      int64
	}
)

func (e Placed) about() string   { return e.Order.GetOrderId() }
func (e Ended) about() string    { return e.OrderID }
func (e Received) about() string { return e.Payment.GetOrderId() }
func (e Reversed) about() string { return e.Payment.GetOrderId() }
func (e Voided) about() string   { return e.Payment.GetOrderId() }
func (e Adjusted) about() string { return e.Payment.GetOrderId() }
func (e Lapsed) about() string   { return e.OrderID }

func (e Lapsed) clock() Clock { return Clock{Recorded: e.At} }

// OfOrder returns the event that m holds. The time of the record counts if m
// has none. It returns nil if m holds nothing that the processor has to do with.
func OfOrder(m *tallyv1.OrderEvent, c Clock) Event {
	o := origin(m.GetMeta(), c)
	switch v := m.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		return Placed{Origin: o, Clock: c, Order: v.OrderPlaced}
	case *tallyv1.OrderEvent_OrderValidated:
		w := v.OrderValidated
		return Placed{o, c, w.GetOrder(), true, w.GetContact()}
	case *tallyv1.OrderEvent_OrderCancelled:
		w := v.OrderCancelled
		return Ended{o, c, w.GetOrderId(), w.GetReason(), false}
	case *tallyv1.OrderEvent_OrderRejected:
		w := v.OrderRejected
		return Ended{o, c, w.GetOrderId(), w.GetReason(), true}
	}
	return nil
}

// OfPayment returns the event that m holds. The time of the record counts if m
// has none. It returns nil if m holds no event, which no valid m does.
func OfPayment(m *tallyv1.PaymentEvent, c Clock) Event {
	o := origin(m.GetMeta(), c)
	switch v := m.GetEvent().(type) {
	case *tallyv1.PaymentEvent_PaymentReceived:
		return Received{o, c, v.PaymentReceived}
	case *tallyv1.PaymentEvent_PaymentReversed:
		return Reversed{o, c, v.PaymentReversed}
	}
	return nil
}

// OfCorrection returns the event that m holds. The time of the record counts if m
// has none. It returns nil if m holds no event, which no valid m does.
func OfCorrection(m *tallyv1.CorrectionEvent, c Clock) Event {
	o := origin(m.GetMeta(), c)
	switch v := m.GetEvent().(type) {
	case *tallyv1.CorrectionEvent_PaymentVoided:
		return Voided{o, c, v.PaymentVoided}
	case *tallyv1.CorrectionEvent_PaymentAdjusted:
		return Adjusted{o, c, v.PaymentAdjusted}
	}
	return nil
}

// reversal is the reversal that the correction acts like.
func (e Voided) reversal() Reversed {
	return Reversed{e.Origin, e.Clock, &tallyv1.PaymentReversed{
		PaymentId: e.Payment.GetPaymentId(), OrderId: e.Payment.GetOrderId(),
		Reason: e.Payment.GetReason(),
	}}
}

// AdjustedMethod is the method of payment in rows and exceptions of what came in by
// a correction.
const AdjustedMethod = "correction"

// payment is the payment that the correction acts like.
func (e Adjusted) payment() Received {
	return Received{e.Origin, e.Clock, &tallyv1.PaymentReceived{
		PaymentId: e.Payment.GetPaymentId(), OrderId: e.Payment.GetOrderId(),
		Amount: e.Payment.GetAmount(), Method: AdjustedMethod,
	}}
}

func origin(m *tallyv1.Meta, c Clock) Origin {
	o := Origin{ID: m.GetId(), At: c.Recorded}
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
