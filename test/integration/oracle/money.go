package oracle

import (
	"slices"
	"time"

	"tallystick/schemas/tallyv1"
)

// A payment is money that came in for an order, by the provider's word or by the
// operator's, and what became of it.
type payment struct {
	id, order, currency string
	amount              int64
	at                  time.Time
	// come tells that it came at all, booked that the operator brought it.
	come, booked bool
	// taken is why it was taken back, once for each record that says so.
	taken []string
	// before tells that it was taken back before it came, in the topic that brought
	// it, and after that its fate was known before it was taken back.
	before, after bool
	// repeats is how many more of its records there are by payment than by order.
	repeats int

	confirmed, owed int64
	refunds         []tallyv1.RefundOwed_Reason
	late            []*tallyv1.ConfirmedPaymentReversed
}

func (s *Shop) payment(id, orderID string) *payment {
	p := s.payments[id]
	if p == nil {
		p = &payment{id: id, order: orderID}
		s.payments[id] = p
		o := s.order(orderID)
		o.payments = append(o.payments, p)
	}
	if p.order != orderID {
		s.fault("payment %s is for order %s and for order %s", id, p.order, orderID)
	}
	return p
}

// Payment takes in a record of payments. One that comes again counts once.
func (s *Shop) Payment(value []byte, at time.Time) {
	var m tallyv1.PaymentEvent
	if !s.decode("a payment", value, &m) {
		return
	}
	if r := m.GetPaymentReversed(); r != nil {
		p := s.payment(r.GetPaymentId(), r.GetOrderId())
		p.taken = append(p.taken, r.GetReason())
		p.repeats++
		return
	}
	r := m.GetPaymentReceived()
	p := s.payment(r.GetPaymentId(), r.GetOrderId())
	p.comes(r.GetAmount(), at)
	p.repeats++
}

// comes notes that a payment has come. What was said of it before came in the same
// topic.
func (p *payment) comes(m *tallyv1.Money, at time.Time) {
	if !p.come {
		p.come, p.before, p.at = true, len(p.taken) > 0, at
		p.amount, p.currency = m.GetMinor(), m.GetCurrency()
	}
}

// PaymentByOrder takes in a record of payments-by-order.
func (s *Shop) PaymentByOrder(orderID string, value []byte) {
	var m tallyv1.PaymentEvent
	if !s.decode("a payment by order", value, &m) {
		return
	}
	id, of := m.GetPaymentReceived().GetPaymentId(), m.GetPaymentReceived().GetOrderId()
	if r := m.GetPaymentReversed(); r != nil {
		id, of = r.GetPaymentId(), r.GetOrderId()
	}
	if of != orderID {
		s.fault("payment %s for order %s is under order %s", id, of, orderID)
	}
	s.payment(id, of).repeats--
}

// Correction takes in a record of corrections, after all payments.
func (s *Shop) Correction(value []byte, at time.Time) {
	var m tallyv1.CorrectionEvent
	if !s.decode("a correction", value, &m) {
		return
	}
	if v := m.GetPaymentVoided(); v != nil {
		p := s.payment(v.GetPaymentId(), v.GetOrderId())
		p.taken = append(p.taken, v.GetReason())
		return
	}
	a := m.GetPaymentAdjusted()
	p := s.payment(a.GetPaymentId(), a.GetOrderId())
	if p.come && !p.booked {
		s.fault("payment %s is booked by hand and by the provider", p.id)
		return
	}
	p.booked = true
	p.comes(a.GetAmount(), at)
}

// After says that a payment was taken back by somebody who knew its fate already.
func (s *Shop) After(paymentID string) {
	if p := s.payments[paymentID]; p != nil && len(p.taken) > 0 {
		p.after = true
		return
	}
	s.fault("payment %s should have been taken back, and was not", paymentID)
}

// Confirmation takes in a record of confirmations.
func (s *Shop) Confirmation(value []byte) {
	var m tallyv1.ConfirmationEvent
	if !s.decode("a confirmation", value, &m) {
		return
	}
	c := m.GetOrderConfirmed()
	o := s.order(c.GetOrderId())
	o.confirmed++
	for i, share := range c.GetPayments() {
		o.shares += share.GetMinor()
		p := s.payments[share.GetPaymentId()]
		if p == nil || !p.come || p.order != c.GetOrderId() {
			s.fault("order %s is confirmed by payment %s, which never came", c.GetOrderId(),
				share.GetPaymentId())
			continue
		}
		p.confirmed += share.GetMinor()
		// Payments count in the order in which they came, until the total is covered.
		if last := i == len(c.GetPayments())-1; !last && share.GetMinor() != p.amount {
			s.fault("order %s is confirmed by %d of the %d of payment %s, which is not the last",
				c.GetOrderId(), share.GetMinor(), p.amount, p.id)
		}
	}
}

// Exception takes in a record of exceptions.
func (s *Shop) Exception(value []byte) {
	var m tallyv1.ExceptionEvent
	if !s.decode("an exception", value, &m) {
		return
	}
	switch e := m.GetEvent().(type) {
	case *tallyv1.ExceptionEvent_OrderExpired:
		s.order(e.OrderExpired.GetOrderId()).expired++
	case *tallyv1.ExceptionEvent_OrderWithdrawn:
		o := s.order(e.OrderWithdrawn.GetOrderId())
		o.withdrawn++
		o.ended = e.OrderWithdrawn
	case *tallyv1.ExceptionEvent_OrderCancelRefused:
		s.order(e.OrderCancelRefused.GetOrderId()).cancelRefused++
	case *tallyv1.ExceptionEvent_RefundOwed:
		p := s.payment(e.RefundOwed.GetPaymentId(), e.RefundOwed.GetOrderId())
		p.owed += e.RefundOwed.GetAmount().GetMinor()
		p.refunds = append(p.refunds, e.RefundOwed.GetReason())
	case *tallyv1.ExceptionEvent_ConfirmedPaymentReversed:
		r := e.ConfirmedPaymentReversed
		p := s.payment(r.GetPaymentId(), r.GetOrderId())
		p.late = append(p.late, r)
	}
}

// money holds that a payment ended once: confirmed, owed, or taken back before
// either was said of it.
func (s *Shop) money(p *payment, v *Verdict) {
	if p.repeats != 0 {
		s.fault("payment %s: its records are %d more by payment than by order", p.id, p.repeats)
	}
	stated := p.confirmed + p.owed
	if !p.come {
		if stated != 0 || len(p.late) > 0 {
			s.fault("payment %s never came: %d are confirmed, %d have to go back, and %d times somebody "+
				"says that it went back", p.id, p.confirmed, p.owed, len(p.late))
		}
		return
	}
	v.Payments++
	v.Received += p.amount
	v.ConfirmedMinor += p.confirmed
	v.Owed += p.owed
	v.ReversedLate += len(p.late)
	switch inTime := len(p.taken) > 0 && stated == 0 && len(p.late) == 0 && !p.after; {
	case p.before && !inTime:
		s.fault("payment %s was taken back before it came: %d are confirmed, %d have to go back", p.id,
			p.confirmed, p.owed)
	case inTime: // it lowered the sum, and nothing is said of it
		v.TakenBack += p.amount
	case s.orders[p.order].asked == nil && stated == 0 && len(p.late) == 0:
		v.Waiting += p.amount
	case stated != p.amount:
		s.fault("payment %s of %d for order %s: %d are confirmed and %d have to go back", p.id,
			p.amount, p.order, p.confirmed, p.owed)
	default:
		s.refund(p)
		s.late(p)
	}
}

// refund holds that money has to go back for a reason that fits the end of its order.
func (s *Shop) refund(p *payment) {
	o := s.orders[p.order]
	for _, why := range p.refunds {
		fits := false
		switch why { //nolint:exhaustive // no payment of a run is due to the other reasons
		case tallyv1.RefundOwed_EXCESS:
			fits = o.confirmed == 1
		case tallyv1.RefundOwed_ORDER_EXPIRED, tallyv1.RefundOwed_CAME_LATE:
			fits = o.expired == 1
		case tallyv1.RefundOwed_ORDER_REJECTED:
			fits = o.ended.GetRejection()
		case tallyv1.RefundOwed_ORDER_CANCELLED:
			fits = o.withdrawn == 1 && !o.ended.GetRejection()
		}
		if !fits {
			s.fault("payment %s has to go back by reason of %v, and order %s %s", p.id, why, p.order,
				o.outcome())
		}
	}
}

// late holds what is said of a payment that was taken back after its fate was
// stated: that, once, and nothing of others.
func (s *Shop) late(p *payment) {
	if len(p.taken) == 0 && len(p.late) > 0 || len(p.taken) > 0 && len(p.late) != 1 {
		s.fault("payment %s: %d are confirmed and %d have to go back; it was taken back by %d records, "+
			"and %d times somebody says so", p.id, p.confirmed, p.owed, len(p.taken), len(p.late))
		return
	}
	for _, e := range p.late {
		was := tallyv1.ConfirmedPaymentReversed_CONFIRMED
		if p.confirmed == 0 && len(p.refunds) > 0 {
			was = map[tallyv1.RefundOwed_Reason]tallyv1.ConfirmedPaymentReversed_Was{
				tallyv1.RefundOwed_EXCESS:          tallyv1.ConfirmedPaymentReversed_EXCESS,
				tallyv1.RefundOwed_ORDER_EXPIRED:   tallyv1.ConfirmedPaymentReversed_EXPIRED,
				tallyv1.RefundOwed_CAME_LATE:       tallyv1.ConfirmedPaymentReversed_LATE,
				tallyv1.RefundOwed_ORDER_REJECTED:  tallyv1.ConfirmedPaymentReversed_UNMATCHED,
				tallyv1.RefundOwed_ORDER_CANCELLED: tallyv1.ConfirmedPaymentReversed_UNMATCHED,
			}[p.refunds[0]]
		}
		if e.GetWas() != was || e.GetConfirmedMinor() != p.confirmed ||
			e.GetAmount().GetMinor() != p.amount || !slices.Contains(p.taken, e.GetReason()) {
			s.fault("payment %s of %d, %v with %d confirmed, was taken back because of %q; what is said "+
				"is %v", p.id, p.amount, was, p.confirmed, p.taken, e)
		}
	}
}
