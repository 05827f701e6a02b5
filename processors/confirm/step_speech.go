package confirm

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// What is said follows from the row (and, for what the row does not keep, from
// the record in hand). It can therefore be said again later in the same words.

// sayAll says again all that has been said about the order.
func (s *step) sayAll() {
	if s.row.State == tallyv1.ConfirmRow_CONFIRMED {
		s.sayConfirmed()
	}
	for i := range s.row.Payments {
		s.sayFate(i)
	}
}

// sayAbout says again what has been said about the payment at index i.
func (s *step) sayAbout(i int) {
	if s.row.Payments[i].Confirmed > 0 {
		s.sayConfirmed()
	}
	s.sayFate(i)
}

// sayFate says again how the payment at index i ended, if not in the
// confirmation.
func (s *step) sayFate(i int) {
	p := &s.row.Payments[i]
	switch p.Disposition {
	case tallyv1.ConfirmRow_WAITING, tallyv1.ConfirmRow_REVERSED:
	case tallyv1.ConfirmRow_COUNTED, tallyv1.ConfirmRow_EXCESS:
		if p.Amount > p.Confirmed {
			s.sayExcess(i)
		}
	case tallyv1.ConfirmRow_MISMATCHED:
		s.sayMismatch(i)
	case tallyv1.ConfirmRow_UNMATCHED:
		s.sayUnmatched(i)
	}
}

// A confirmation is all the messages of one confirmation by one payment, in one
// piece of memory.
type confirmation struct {
	envelope  tallyv1.ConfirmationEvent
	meta      tallyv1.Meta
	at        timestamppb.Timestamp
	event     tallyv1.ConfirmationEvent_OrderConfirmed
	confirmed tallyv1.OrderConfirmed
	total     tallyv1.Money
	minor     int64
	share     tallyv1.OrderConfirmed_Share
	shares    [1]*tallyv1.OrderConfirmed_Share
	causes    [2]string
}

func (s *step) sayConfirmed() {
	o := &s.row.Order
	c := new(confirmation)
	c.minor = o.Total
	c.total.Minor, c.total.Currency = &c.minor, o.Currency
	c.confirmed.OrderId, c.confirmed.CustomerId = s.orderID, o.CustomerID
	c.confirmed.Total = &c.total
	at, first := o.At, true
	shares, causes := c.shares[:0], append(c.causes[:0], orderEventID(s.orderID, o))
	for i := range s.row.Payments {
		p := &s.row.Payments[i]
		if p.Confirmed == 0 {
			continue
		}
		share := &c.share
		if !first {
			share = new(tallyv1.OrderConfirmed_Share)
		}
		first = false
		share.PaymentId, share.Minor = p.PaymentID, p.Confirmed
		shares = append(shares, share)
		causes = append(causes, paymentEventID(s.orderID, p))
		at = max(at, p.At)
	}
	c.confirmed.Payments = shares
	setTime(&c.at, at)
	c.meta.Id = schemas.EventID("OrderConfirmed", s.orderID)
	c.meta.Causes, c.meta.At = causes, &c.at
	c.event.OrderConfirmed = &c.confirmed
	c.envelope.Meta, c.envelope.Event = &c.meta, &c.event
	s.out.Confirmed = &c.envelope
}

func (s *step) sayExcess(i int) {
	p := &s.row.Payments[i]
	e := &tallyv1.ExceptionEvent{
		Meta: s.orderAndPayment("PaymentExcess", p),
		Event: &tallyv1.ExceptionEvent_PaymentExcess{PaymentExcess: &tallyv1.PaymentExcess{
			PaymentId: p.PaymentID,
			OrderId:   s.orderID,
			Amount:    schemas.Money(p.Amount, p.Currency),
			Excess:    schemas.Money(p.Amount-p.Confirmed, p.Currency),
		}},
	}
	s.out.Exceptions = append(s.out.Exceptions, e)
}

func (s *step) sayMismatch(i int) {
	p := &s.row.Payments[i]
	e := &tallyv1.ExceptionEvent{
		Meta: s.orderAndPayment("PaymentMismatch", p),
		Event: &tallyv1.ExceptionEvent_PaymentMismatch{PaymentMismatch: &tallyv1.PaymentMismatch{
			PaymentId:     p.PaymentID,
			OrderId:       s.orderID,
			Amount:        schemas.Money(p.Amount, p.Currency),
			OrderCurrency: s.row.Order.Currency,
		}},
	}
	s.out.Exceptions = append(s.out.Exceptions, e)
}

func (s *step) sayUnmatched(i int) {
	p, end := &s.row.Payments[i], &s.row.End
	rejection := s.row.State == tallyv1.ConfirmRow_REJECTED
	reason := tallyv1.PaymentUnmatched_ORDER_CANCELLED
	if rejection {
		reason = tallyv1.PaymentUnmatched_ORDER_REJECTED
	}
	s.sayUnmatchedFor(
		meta(schemas.EventID("PaymentUnmatched", s.orderID, p.PaymentID), max(end.At, p.At),
			endEventID(s.orderID, rejection, end), paymentEventID(s.orderID, p)),
		&tallyv1.PaymentUnmatched{
			PaymentId: p.PaymentID,
			OrderId:   s.orderID,
			Amount:    schemas.Money(p.Amount, p.Currency),
			Reason:    reason,
			Note:      end.Reason,
		})
}

// sayTooMany refuses a payment that the row has no room for. The row does not
// remember it: it is refused as often as it comes, under one id.
func (s *step) sayTooMany(p *schemas.RowPayment) {
	s.sayUnmatchedFor(
		meta(schemas.EventID("PaymentUnmatched", s.orderID, p.PaymentID,
			paymentContentID(s.orderID, p)), p.At, paymentEventID(s.orderID, p)),
		&tallyv1.PaymentUnmatched{
			PaymentId: p.PaymentID,
			OrderId:   s.orderID,
			Amount:    schemas.Money(p.Amount, p.Currency),
			Reason:    tallyv1.PaymentUnmatched_TOO_MANY_PAYMENTS,
		})
}

// sayReversalTooMany is the same for the reversal of a payment that is not in
// the row.
func (s *step) sayReversalTooMany(e Reversed) {
	id := e.Payment.GetPaymentId()
	s.sayUnmatchedFor(
		meta(schemas.EventID("PaymentUnmatched", s.orderID, id, "reversal"), e.At,
			reversalEventID(e)),
		&tallyv1.PaymentUnmatched{
			PaymentId: id,
			OrderId:   s.orderID,
			Reason:    tallyv1.PaymentUnmatched_TOO_MANY_PAYMENTS,
			Note:      e.Payment.GetReason(),
		})
}

func (s *step) sayUnmatchedFor(m *tallyv1.Meta, p *tallyv1.PaymentUnmatched) {
	s.out.Exceptions = append(s.out.Exceptions, &tallyv1.ExceptionEvent{
		Meta:  m,
		Event: &tallyv1.ExceptionEvent_PaymentUnmatched{PaymentUnmatched: p},
	})
}

func (s *step) sayReversed(i int, e Reversed) {
	p := &s.row.Payments[i]
	var was tallyv1.ConfirmedPaymentReversed_Was
	switch p.Disposition {
	case tallyv1.ConfirmRow_COUNTED:
		was = tallyv1.ConfirmedPaymentReversed_CONFIRMED
	case tallyv1.ConfirmRow_EXCESS:
		was = tallyv1.ConfirmedPaymentReversed_EXCESS
	case tallyv1.ConfirmRow_MISMATCHED:
		was = tallyv1.ConfirmedPaymentReversed_MISMATCHED
	case tallyv1.ConfirmRow_UNMATCHED:
		was = tallyv1.ConfirmedPaymentReversed_UNMATCHED
	case tallyv1.ConfirmRow_WAITING, tallyv1.ConfirmRow_REVERSED:
		return
	}
	s.out.Exceptions = append(s.out.Exceptions, &tallyv1.ExceptionEvent{
		Meta: meta(schemas.EventID("ConfirmedPaymentReversed", s.orderID, p.PaymentID),
			max(p.At, e.At), paymentEventID(s.orderID, p), reversalEventID(e)),
		Event: &tallyv1.ExceptionEvent_ConfirmedPaymentReversed{
			ConfirmedPaymentReversed: &tallyv1.ConfirmedPaymentReversed{
				PaymentId:      p.PaymentID,
				OrderId:        s.orderID,
				Amount:         schemas.Money(p.Amount, p.Currency),
				Was:            was,
				ConfirmedMinor: p.Confirmed,
				Reason:         e.Payment.GetReason(),
			},
		},
	})
}

func (s *step) sayCancelRefused(e Ended) {
	o, end := &s.row.Order, schemas.RowEnd{EventID: e.ID, At: e.At, Reason: e.Reason}
	s.out.Exceptions = append(s.out.Exceptions, &tallyv1.ExceptionEvent{
		Meta: meta(schemas.EventID("OrderCancelRefused", s.orderID), max(o.At, e.At),
			orderEventID(s.orderID, o), endEventID(s.orderID, e.Rejection, &end)),
		Event: &tallyv1.ExceptionEvent_OrderCancelRefused{
			OrderCancelRefused: &tallyv1.OrderCancelRefused{
				OrderId: s.orderID, Reason: e.Reason, Rejection: e.Rejection,
			},
		},
	})
}

// sayOrderConflicted reports an order as often as it comes, under one id.
func (s *step) sayOrderConflicted(second *schemas.RowOrder) {
	first := &s.row.Order
	s.out.Exceptions = append(s.out.Exceptions, &tallyv1.ExceptionEvent{
		Meta: meta(schemas.EventID("OrderConflicted", s.orderID,
			orderContentID(s.orderID, second)), max(first.At, second.At),
			orderEventID(s.orderID, first), orderEventID(s.orderID, second)),
		Event: &tallyv1.ExceptionEvent_OrderConflicted{OrderConflicted: &tallyv1.OrderConflicted{
			First: orderMessage(s.orderID, first), Second: orderMessage(s.orderID, second),
		}},
	})
}

// sayPaymentConflicted reports a payment as often as it comes, under one id.
func (s *step) sayPaymentConflicted(i int, second *schemas.RowPayment) {
	first := &s.row.Payments[i]
	s.out.Exceptions = append(s.out.Exceptions, &tallyv1.ExceptionEvent{
		Meta: meta(schemas.EventID("PaymentConflicted", s.orderID, first.PaymentID,
			paymentContentID(s.orderID, second)), max(first.At, second.At),
			paymentEventID(s.orderID, first), paymentEventID(s.orderID, second)),
		Event: &tallyv1.ExceptionEvent_PaymentConflicted{
			PaymentConflicted: &tallyv1.PaymentConflicted{
				First:  paymentMessage(s.orderID, first),
				Second: paymentMessage(s.orderID, second),
			},
		},
	})
}

// orderAndPayment is the meta of an event that follows from the order and one
// payment.
func (s *step) orderAndPayment(kind string, p *schemas.RowPayment) *tallyv1.Meta {
	o := &s.row.Order
	return meta(schemas.EventID(kind, s.orderID, p.PaymentID), max(o.At, p.At),
		orderEventID(s.orderID, o), paymentEventID(s.orderID, p))
}

func meta(id string, at int64, causes ...string) *tallyv1.Meta {
	m := &tallyv1.Meta{Id: id, Causes: causes, At: new(timestamppb.Timestamp)}
	setTime(m.At, at)
	return m
}

func orderMessage(orderID string, o *schemas.RowOrder) *tallyv1.OrderPlaced {
	m := &tallyv1.OrderPlaced{
		OrderId:    orderID,
		CustomerId: o.CustomerID,
		Total:      schemas.Money(o.Total, o.Currency),
	}
	if o.Due != 0 {
		m.Due = new(timestamppb.Timestamp)
		setTime(m.Due, o.Due)
	}
	return m
}

func paymentMessage(orderID string, p *schemas.RowPayment) *tallyv1.PaymentReceived {
	return &tallyv1.PaymentReceived{
		PaymentId: p.PaymentID,
		OrderId:   orderID,
		Amount:    schemas.Money(p.Amount, p.Currency),
		Method:    p.Method,
	}
}

const microsPerSecond = 1_000_000

func setTime(t *timestamppb.Timestamp, micros int64) {
	t.Seconds = micros / microsPerSecond
	t.Nanos = int32(micros%microsPerSecond) * 1000
}

func micros(t *timestamppb.Timestamp) int64 {
	return t.GetSeconds()*microsPerSecond + int64(t.GetNanos())/1000
}
