package confirm

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// What is said follows from the row (and, for what the row does not keep, from
// the record in hand). It can therefore be said again later in the same words.

// sayAll says again all that has been said about the order, as far as it is
// whole, and not by a deadline.
func (s *step) sayAll() {
	switch s.row.State {
	case tallyv1.ConfirmRow_CONFIRMED:
		if s.row.Placed {
			s.sayConfirmed()
		}
	case tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED:
		if s.endIsWhole() {
			s.sayWithdrawn()
		}
	case tallyv1.ConfirmRow_AWAITING_ORDER, tallyv1.ConfirmRow_PENDING,
		tallyv1.ConfirmRow_EXPIRED, tallyv1.ConfirmRow_ABANDONED:
	}
	for i := range s.row.Payments {
		s.sayFate(i)
	}
}

// sayAbout says again what has been said about the payment at index i.
func (s *step) sayAbout(i int) {
	if s.row.Payments[i].Confirmed > 0 && s.row.Placed {
		s.sayConfirmed()
	}
	s.sayFate(i)
}

// sayLapsed says again what has been said when a deadline had passed. No record
// of its own comes again for that: any record about the order makes up for it.
func (s *step) sayLapsed() {
	if s.row.State == tallyv1.ConfirmRow_EXPIRED && s.row.Placed {
		s.sayExpired()
	}
	for i := range s.row.Payments {
		if s.row.Payments[i].Disposition == tallyv1.ConfirmRow_UNKNOWN {
			s.sayUnmatched(i)
		}
	}
}

// sayFate says again how the payment at index i ended, if not in the
// confirmation or by a deadline.
func (s *step) sayFate(i int) {
	p := &s.row.Payments[i]
	switch p.Disposition {
	case tallyv1.ConfirmRow_WAITING, tallyv1.ConfirmRow_REVERSED,
		tallyv1.ConfirmRow_RETURNED, tallyv1.ConfirmRow_UNKNOWN:
	case tallyv1.ConfirmRow_COUNTED, tallyv1.ConfirmRow_EXCESS:
		if p.Amount > p.Confirmed {
			s.sayExcess(i)
		}
	case tallyv1.ConfirmRow_MISMATCHED:
		s.sayMismatch(i)
	case tallyv1.ConfirmRow_UNMATCHED, tallyv1.ConfirmRow_LATE:
		s.sayUnmatched(i)
	}
}

// endIsWhole tells whether an end is known, and not only that there was one.
func (s *step) endIsWhole() bool { return s.row.Digest == nil || !s.row.Digest.Ended }

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
	if o.ContactName != "" || o.ContactEmail != "" {
		c.confirmed.Contact = &tallyv1.Contact{Name: o.ContactName, Email: o.ContactEmail}
	}
	setTime(&c.at, at)
	c.meta.Id = s.id(orderConfirmed)
	c.meta.Causes, c.meta.At = causes, &c.at
	c.event.OrderConfirmed = &c.confirmed
	c.envelope.Meta, c.envelope.Event = &c.meta, &c.event
	s.out.Confirmed = &c.envelope
}

func (s *step) sayExpired() {
	o, due := &s.row.Order, s.row.End.At
	e := &tallyv1.OrderExpired{
		OrderId: s.orderID, CustomerId: o.CustomerID, Total: schemas.Money(o.Total, o.Currency),
		Due: new(timestamppb.Timestamp),
	}
	setTime(e.Due, due)
	causes := []string{orderEventID(s.orderID, o)}
	for i := range s.row.Payments {
		p := &s.row.Payments[i]
		if p.Disposition == tallyv1.ConfirmRow_RETURNED && p.Amount > 0 {
			e.Returns = append(e.Returns,
				&tallyv1.OrderExpired_Return{PaymentId: p.PaymentID, Minor: p.Amount})
			causes = append(causes, paymentEventID(s.orderID, p))
		}
	}
	m := meta(s.id(orderExpired), due, causes...)
	s.say(&tallyv1.ExceptionEvent{
		Meta: m, Event: &tallyv1.ExceptionEvent_OrderExpired{OrderExpired: e},
	})
	for i := range s.row.Payments {
		if p := &s.row.Payments[i]; p.Disposition == tallyv1.ConfirmRow_RETURNED {
			s.sayRefund(m, p, p.Amount, tallyv1.RefundOwed_ORDER_EXPIRED)
		}
	}
}

// sayWithdrawn follows from what ended the order alone, whether the order has
// come or not.
func (s *step) sayWithdrawn() {
	end := &s.row.End
	rejection := s.row.State == tallyv1.ConfirmRow_REJECTED
	s.say(&tallyv1.ExceptionEvent{
		Meta: meta(s.id(orderWithdrawn), end.At, endEventID(s.orderID, rejection, end)),
		Event: &tallyv1.ExceptionEvent_OrderWithdrawn{OrderWithdrawn: &tallyv1.OrderWithdrawn{
			OrderId: s.orderID, Reason: end.Reason, Rejection: rejection,
		}},
	})
}

func (s *step) sayCancelRefused(e Ended) {
	end := schemas.RowEnd{EventID: e.ID, At: e.At, Reason: e.Reason}
	cause, at := s.orderCause()
	s.say(&tallyv1.ExceptionEvent{
		Meta: meta(s.id("OrderCancelRefused"), max(at, e.At),
			cause, endEventID(s.orderID, e.Rejection, &end)),
		Event: &tallyv1.ExceptionEvent_OrderCancelRefused{
			OrderCancelRefused: &tallyv1.OrderCancelRefused{
				OrderId: s.orderID, Reason: e.Reason, Rejection: e.Rejection,
			},
		},
	})
}

// sayOrderConflicted reports an order as often as it comes, under one id. Of a
// first one that is not whole, which event it was is not known any more.
func (s *step) sayOrderConflicted(first, second *schemas.RowOrder, whole bool) {
	causes := []string{orderEventID(s.orderID, second)}
	if whole {
		causes = []string{orderEventID(s.orderID, first), causes[0]}
	}
	s.say(&tallyv1.ExceptionEvent{
		Meta: meta(s.id("OrderConflicted", orderContentID(s.orderID, second)),
			max(first.At, second.At), causes...),
		Event: &tallyv1.ExceptionEvent_OrderConflicted{OrderConflicted: &tallyv1.OrderConflicted{
			First: orderMessage(s.orderID, first), Second: orderMessage(s.orderID, second),
		}},
	})
}

// orderCause returns the id of the event that brought the order, and when it was
// so. Of an order that is not whole it is what was said about it last.
func (s *step) orderCause() (string, int64) {
	if s.row.Placed {
		return orderEventID(s.orderID, &s.row.Order), s.row.Order.At
	}
	return s.id(orderConfirmed), 0
}

// The kinds of events that others follow from.
const (
	orderConfirmed = "OrderConfirmed"
	orderExpired   = "OrderExpired"
	orderWithdrawn = "OrderWithdrawn"
)

// id returns the id of the event of this kind about the order, and about parts of
// it.
func (s *step) id(kind string, parts ...string) string {
	switch len(parts) {
	case 0:
		return schemas.EventID(kind, s.orderID)
	case 1:
		return schemas.EventID(kind, s.orderID, parts[0])
	}
	return schemas.EventID(kind, append([]string{s.orderID}, parts...)...)
}

func (s *step) say(e *tallyv1.ExceptionEvent) {
	s.out.Exceptions = append(s.out.Exceptions, e)
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
