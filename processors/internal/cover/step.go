// Package cover is what processors without a table share: what they know of one
// order, wherever they keep it, and the confirmation that follows from it. It
// says what package confirm says, as long as neither loses anything.
package cover

import (
	"slices"
	"strconv"
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A Deal is what is known of one order. It is a value: methods return another one
// and leave theirs alone.
type Deal struct {
	// Order is nil as long as the order has not come. The first one counts.
	Order *Order
	// Ended tells that it was cancelled or rejected.
	Ended bool
	// Payments are in the order in which they came, each id once.
	Payments []Payment
}

// An Order is an order that was placed.
type Order struct {
	// EventID is that of the event, as its record gave it or derived.
	EventID string
	// At is when it was placed, in microseconds since 1970.
	At     int64
	Placed *tallyv1.OrderPlaced
}

// A Payment is a payment, or a reversal that came before its payment.
type Payment struct {
	ID string
	// EventID and At are those of the payment, as in [Order].
	EventID string
	At      int64
	// Received is nil if only a reversal has come.
	Received *tallyv1.PaymentReceived
	// Reversed payments count for nothing.
	Reversed bool
}

// WithOrder returns the deal after an event of the topic of orders. The time of
// its record counts if the event has none.
func (d Deal) WithOrder(m *tallyv1.OrderEvent, recorded time.Time) Deal {
	switch v := m.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		if d.Order == nil {
			d.Order = &Order{
				EventID: schemas.PlacedID(m.GetMeta(), v.OrderPlaced),
				At:      schemas.MetaAt(m.GetMeta(), recorded),
				Placed:  v.OrderPlaced,
			}
		}
	case *tallyv1.OrderEvent_OrderCancelled, *tallyv1.OrderEvent_OrderRejected:
		d.Ended = true
	}
	return d
}

// WithPayment returns the deal after an event of the topic of payments. What goes
// beyond the number of payments that a confirmation can name is left out.
func (d Deal) WithPayment(m *tallyv1.PaymentEvent, recorded time.Time) Deal {
	id := schemas.PaymentID(m)
	i := slices.IndexFunc(d.Payments, func(p Payment) bool { return p.ID == id })
	if i < 0 && len(d.Payments) >= schemas.MaxShares {
		return d
	}
	d.Payments = slices.Clone(d.Payments)
	if i < 0 {
		d.Payments = append(d.Payments, Payment{ID: id})
		i = len(d.Payments) - 1
	}
	p := &d.Payments[i]
	switch v := m.GetEvent().(type) {
	case *tallyv1.PaymentEvent_PaymentReceived:
		if p.Received == nil {
			p.EventID = paymentEventID(m.GetMeta(), v.PaymentReceived)
			p.At = schemas.MetaAt(m.GetMeta(), recorded)
			p.Received = v.PaymentReceived
		}
	case *tallyv1.PaymentEvent_PaymentReversed:
		p.Reversed = true
	}
	return d
}

// Confirmation returns the confirmation of the order if its payments cover the
// total, else nil. The same deal always gives the same one.
func (d Deal) Confirmation() *tallyv1.ConfirmationEvent {
	if d.Order == nil || d.Ended {
		return nil
	}
	placed := d.Order.Placed
	rest, at := placed.GetTotal().GetMinor(), d.Order.At
	causes := []string{d.Order.EventID}
	var shares []*tallyv1.OrderConfirmed_Share
	for i := range d.Payments {
		p := &d.Payments[i]
		amount := p.Received.GetAmount()
		if rest == 0 {
			break
		}
		if p.Reversed || amount.GetCurrency() != placed.GetTotal().GetCurrency() ||
			amount.GetMinor() == 0 {
			continue
		}
		share := min(rest, amount.GetMinor())
		rest -= share
		shares = append(shares, &tallyv1.OrderConfirmed_Share{PaymentId: p.ID, Minor: share})
		causes = append(causes, p.EventID)
		at = max(at, p.At)
	}
	if rest > 0 {
		return nil
	}
	id := placed.GetOrderId()
	return &tallyv1.ConfirmationEvent{
		Meta: schemas.MetaOf(schemas.EventID("OrderConfirmed", id), at, causes...),
		Event: &tallyv1.ConfirmationEvent_OrderConfirmed{
			OrderConfirmed: &tallyv1.OrderConfirmed{
				OrderId: id, CustomerId: placed.GetCustomerId(), Total: placed.GetTotal(),
				Payments: shares,
			},
		},
	}
}

// paymentEventID returns the id of the event of a payment, which follows from its
// content if it came without one.
func paymentEventID(m *tallyv1.Meta, p *tallyv1.PaymentReceived) string {
	if m.GetId() != "" {
		return m.GetId()
	}
	return schemas.EventID("PaymentReceived", p.GetOrderId(), p.GetPaymentId(),
		strconv.FormatInt(p.GetAmount().GetMinor(), 10), p.GetAmount().GetCurrency(), p.GetMethod())
}
