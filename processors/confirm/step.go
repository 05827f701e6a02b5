package confirm

import (
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// MaxPayments is how many payments are kept for one order.
const MaxPayments = schemas.MaxShares

// Row is all that is known of one order.
type Row = schemas.ConfirmRow

// Rules are what a user can choose about the decision.
type Rules struct {
	// RepeatSpeech makes Step say again, under the same ids, what it has said
	// about a record that comes again. It goes with at-least-once delivery: there
	// the row may have been stored and what was said be lost, and the record that
	// is delivered again is all there is to make up for it. Under exactly-once
	// delivery the two are never apart, and repeats are left unanswered.
	RepeatSpeech bool
}

// Outcomes are what Step says.
type Outcomes struct {
	// Confirmed is the confirmation of the order, or nil.
	Confirmed *tallyv1.ConfirmationEvent
	// Exceptions are in the order of the payments that they are about.
	Exceptions []*tallyv1.ExceptionEvent
}

// Step applies e to row and returns the next row and what is to be said. A nil
// row is an order of which nothing is known. Neither row nor what it refers to
// is changed; if e changes nothing, row itself is returned. All events of one
// row must be about the same order.
//
// What Step says follows from the causes of each event alone: its id, its time
// and its content are the same, whichever of the causes came last.
func Step(rules Rules, row *Row, e Event) (*Row, Outcomes) {
	s := step{rules: rules, old: row, orderID: e.about()}
	if row != nil {
		s.row = *row
	}
	switch e := e.(type) {
	case Placed:
		s.placed(e)
	case Ended:
		s.ended(e)
	case Received:
		s.received(e)
	case Reversed:
		s.reversed(e)
	}
	if !s.changed {
		return row, s.out
	}
	next := s.row
	return &next, s.out
}

// A step is the application of one event.
type step struct {
	rules   Rules
	orderID string
	old     *Row
	row     Row
	changed bool
	// owned tells that row.Payments is not shared with old.
	owned bool
	out   Outcomes
}

// placed takes the order in and counts the payments that waited for it.
func (s *step) placed(e Placed) {
	o := rowOrder(e)
	if s.row.Placed {
		switch {
		case !sameOrder(&s.row.Order, &o):
			s.sayOrderConflicted(&o)
		case s.rules.RepeatSpeech:
			s.sayAll()
		}
		return
	}
	s.changed = true
	s.row.Placed, s.row.Order = true, o
	if s.row.State != tallyv1.ConfirmRow_AWAITING_ORDER {
		return
	}
	s.row.State = tallyv1.ConfirmRow_PENDING
	s.own(0)
	s.count(0)
}

// received takes a payment in.
func (s *step) received(e Received) {
	p := rowPayment(e)
	i := s.find(p.PaymentID)
	switch {
	case i >= 0 && s.row.Payments[i].Currency == "":
		// Its reversal overtook it: it is known now, and counts for nothing.
		s.own(0)
		p.Disposition = tallyv1.ConfirmRow_REVERSED
		s.row.Payments[i] = p
		return
	case i >= 0 && !samePayment(&s.row.Payments[i], &p):
		s.sayPaymentConflicted(i, &p)
		return
	case i >= 0:
		if s.rules.RepeatSpeech {
			s.sayAbout(i)
		}
		return
	case len(s.row.Payments) >= MaxPayments:
		s.sayTooMany(&p)
		return
	}
	s.own(1)
	s.row.Payments = append(s.row.Payments, p)
	i = len(s.row.Payments) - 1
	switch s.row.State {
	case tallyv1.ConfirmRow_AWAITING_ORDER:
	case tallyv1.ConfirmRow_PENDING, tallyv1.ConfirmRow_CONFIRMED:
		s.count(i)
	case tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED:
		s.unmatch(i)
	}
}

// count decides the payments from index i on, those before being decided or
// counted already, and confirms the order when they cover it.
func (s *step) count(i int) {
	var sum int64
	for k := range i {
		if p := &s.row.Payments[k]; p.Disposition == tallyv1.ConfirmRow_WAITING {
			sum += p.Amount
		}
	}
	if s.row.State == tallyv1.ConfirmRow_PENDING && s.row.Order.Total == 0 {
		s.row.State = tallyv1.ConfirmRow_CONFIRMED
		s.sayConfirmed()
	}
	for ; i < len(s.row.Payments); i++ {
		p := &s.row.Payments[i]
		switch {
		case p.Disposition != tallyv1.ConfirmRow_WAITING:
		case p.Currency != s.row.Order.Currency:
			p.Disposition = tallyv1.ConfirmRow_MISMATCHED
			s.sayMismatch(i)
		case s.row.State == tallyv1.ConfirmRow_PENDING:
			sum += p.Amount
			if sum >= s.row.Order.Total {
				s.confirm(i, sum-s.row.Order.Total)
			}
		case p.Amount == 0:
			p.Disposition = tallyv1.ConfirmRow_COUNTED
		default:
			p.Disposition = tallyv1.ConfirmRow_EXCESS
			s.sayExcess(i)
		}
	}
}

// confirm confirms the order by its payments up to index last, of which so much
// is not needed.
func (s *step) confirm(last int, excess int64) {
	for k := range last + 1 {
		if p := &s.row.Payments[k]; p.Disposition == tallyv1.ConfirmRow_WAITING {
			p.Disposition, p.Confirmed = tallyv1.ConfirmRow_COUNTED, p.Amount
		}
	}
	s.row.State = tallyv1.ConfirmRow_CONFIRMED
	s.row.Payments[last].Confirmed -= excess
	s.sayConfirmed()
	if excess > 0 {
		s.sayExcess(last)
	}
}

// ended ends an order that is not confirmed.
func (s *step) ended(e Ended) {
	switch s.row.State {
	case tallyv1.ConfirmRow_AWAITING_ORDER, tallyv1.ConfirmRow_PENDING:
		s.own(0)
		s.row.State = tallyv1.ConfirmRow_CANCELLED
		if e.Rejection {
			s.row.State = tallyv1.ConfirmRow_REJECTED
		}
		s.row.End = schemas.RowEnd{EventID: e.ID, At: e.At, Reason: e.Reason}
		for i := range s.row.Payments {
			if s.row.Payments[i].Disposition == tallyv1.ConfirmRow_WAITING &&
				s.row.Payments[i].Currency != "" {
				s.unmatch(i)
			}
		}
	case tallyv1.ConfirmRow_CONFIRMED:
		if !s.row.CancelRefused || s.rules.RepeatSpeech {
			s.sayCancelRefused(e)
		}
		s.changed = s.changed || !s.row.CancelRefused
		s.row.CancelRefused = true
	case tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED:
		if s.rules.RepeatSpeech {
			s.sayAll()
		}
	}
}

// unmatch gives the payment at index i back, because the order has ended.
func (s *step) unmatch(i int) {
	s.row.Payments[i].Disposition = tallyv1.ConfirmRow_UNMATCHED
	s.sayUnmatched(i)
}

// reversed takes a payment out of the sum, or says that it is too late for it.
func (s *step) reversed(e Reversed) {
	i := s.find(e.Payment.GetPaymentId())
	if i < 0 && len(s.row.Payments) >= MaxPayments {
		s.sayReversalTooMany(e)
		return
	}
	if i < 0 {
		s.own(1)
		s.row.Payments = append(s.row.Payments, schemas.RowPayment{
			PaymentID:   e.Payment.GetPaymentId(),
			Disposition: tallyv1.ConfirmRow_REVERSED,
		})
		return
	}
	switch s.row.Payments[i].Disposition {
	case tallyv1.ConfirmRow_WAITING:
		s.own(0)
		s.row.Payments[i].Disposition = tallyv1.ConfirmRow_REVERSED
	case tallyv1.ConfirmRow_REVERSED:
	case tallyv1.ConfirmRow_COUNTED, tallyv1.ConfirmRow_EXCESS,
		tallyv1.ConfirmRow_MISMATCHED, tallyv1.ConfirmRow_UNMATCHED:
		if late := s.row.Payments[i].ReversedLate; !late || s.rules.RepeatSpeech {
			s.sayReversed(i, e)
			if !late {
				s.own(0)
				s.row.Payments[i].ReversedLate = true
			}
		}
	}
}

// find returns the index of a payment, or -1.
func (s *step) find(paymentID string) int {
	for i := range s.row.Payments {
		if s.row.Payments[i].PaymentID == paymentID {
			return i
		}
	}
	return -1
}

// own makes the row's payments free to be changed, with room for more of them.
func (s *step) own(more int) {
	s.changed = true
	if s.owned {
		return
	}
	s.owned = true
	if n := len(s.row.Payments) + more; n > 0 {
		s.row.Payments = append(make([]schemas.RowPayment, 0, n), s.row.Payments...)
	}
}
