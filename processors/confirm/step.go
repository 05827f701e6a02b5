package confirm

import (
	"slices"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// MaxPayments is how many payments are kept for one order.
const MaxPayments = schemas.MaxShares

// Row is all that is known of one order.
type Row = schemas.ConfirmRow

// Outcomes are what Step says.
type Outcomes struct {
	// Confirmed is the confirmation of the order, or nil.
	Confirmed *tallyv1.ConfirmationEvent
	// Exceptions are in the order of the payments that they are about.
	Exceptions []*tallyv1.ExceptionEvent
}

// Step applies e to row and returns the next row and what is to be said. A nil
// row is an order of which nothing is known; if nil is returned for a row, it is
// to be deleted. Neither row nor what it refers to is changed; if e changes
// nothing, row itself is returned. All events of one row must be about the same
// order.
//
// If the row's deadline is before the time of e, the row lapses first, and if e
// opens what was over before it came, that lapses at once. When exactly a firing
// comes ([Lapsed]), or whether one comes at all before the next record, therefore
// makes no difference.
//
// What Step says follows from the causes of each event alone: its id, its time
// and its content are the same, whichever of the causes came last.
func Step(rules Rules, row *Row, e Event) (*Row, Outcomes) {
	if p, ok := e.(Placed); ok && p.Validated != rules.RequireValidation {
		return row, Outcomes{}
	}
	s := step{rules: rules, orderID: e.about(), recorded: e.clock().Recorded}
	if row != nil {
		s.row = *row
		s.lapse(e)
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
	case Voided:
		s.reversed(e.reversal())
	case Adjusted:
		s.received(e.payment())
	case Lapsed:
	}
	if s.taken {
		s.redate()
		s.lapseAtOnce(e)
	}
	switch {
	case s.taken, s.lapsed && !s.gone:
		next := s.row
		return &next, s.out
	case s.gone:
		return nil, s.out
	}
	return row, s.out
}

// A step is the application of one event.
type step struct {
	rules    Rules
	orderID  string
	recorded int64
	row      Row
	// taken tells that the event changed the row, lapsed that a deadline did, gone
	// that it was the last one.
	taken, lapsed, gone bool
	// owned tells that row.Payments is not shared with the row before, ownedDigest
	// the same of row.Digest.
	owned, ownedDigest bool
	out                Outcomes
}

// placed takes the order in and counts the payments that waited for it.
func (s *step) placed(e Placed) {
	o := rowOrder(e)
	switch {
	case s.row.Placed && !sameOrder(&s.row.Order, &o):
		s.sayOrderConflicted(&s.row.Order, &o, true)
		return
	case s.row.Placed:
		if s.rules.RepeatSpeech {
			s.sayAll()
		}
		return
	case s.row.Digest != nil && s.row.Digest.Placed:
		if first := s.row.Digest.Order; first != orderDigest(&o) {
			s.sayOrderConflicted(&schemas.RowOrder{
				Total: first.Total, Currency: first.Currency,
			}, &o, false)
		}
		return
	}
	s.taken = true
	s.row.Placed, s.row.Order = true, o
	switch s.row.State {
	case tallyv1.ConfirmRow_AWAITING_ORDER, tallyv1.ConfirmRow_ABANDONED:
	case tallyv1.ConfirmRow_PENDING, tallyv1.ConfirmRow_CONFIRMED,
		tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED, tallyv1.ConfirmRow_EXPIRED:
		return
	}
	s.row.State = tallyv1.ConfirmRow_PENDING
	if s.row.Deadline = o.Due; o.Due == 0 {
		s.row.Deadline = after(e.Recorded, s.rules.PayWithin)
	}
	s.own(0)
	all := s.row.Payments
	inTime := s.lateLast()
	s.row.Payments = all[:inTime]
	s.count(0)
	if inTime == len(all) {
		return
	}
	if s.row.State == tallyv1.ConfirmRow_PENDING {
		s.expire(s.row.Deadline)
	}
	s.row.Payments = all
	if s.row.State == tallyv1.ConfirmRow_CONFIRMED {
		s.count(inTime)
		return
	}
	for i := range all[inTime:] {
		s.unmatch(inTime + i)
	}
}

// lateLast puts payments that waited for the order, but would have come after its
// deadline if all had been read in the order of their times, behind the others, and
// returns how many others there are.
func (s *step) lateLast() int {
	at := max(s.row.Deadline, s.recorded)
	late := func(p schemas.RowPayment) bool {
		return s.row.Deadline != 0 && waits(&p) && recordedAfter(&p, at)
	}
	payments := s.row.Payments
	if !slices.ContainsFunc(payments, late) {
		return len(payments)
	}
	slices.SortStableFunc(payments, func(a, b schemas.RowPayment) int {
		switch l := late(a); {
		case l == late(b):
			return 0
		case l:
			return 1
		}
		return -1
	})
	return slices.IndexFunc(payments, late)
}

// received takes a payment in.
func (s *step) received(e Received) {
	p := rowPayment(e)
	i := s.find(p.PaymentID)
	switch {
	case i >= 0 && s.row.Payments[i].Currency == "":
		// Its reversal overtook it: it is known now, and counts for nothing.
		s.take(0)
		p.Disposition = tallyv1.ConfirmRow_REVERSED
		s.row.Payments[i] = p
		return
	case i >= 0 && !samePayment(&s.row.Payments[i], &p):
		s.sayPaymentConflicted(&s.row.Payments[i], &p, true)
		return
	case i >= 0:
		if s.rules.RepeatSpeech {
			s.sayAbout(i)
		}
		return
	}
	if k := s.findCut(p.PaymentID); k >= 0 {
		s.receivedCut(k, &p)
		return
	}
	if s.full() {
		s.sayTooMany(&p)
		return
	}
	s.take(1)
	s.row.Payments = append(s.row.Payments, p)
	i = len(s.row.Payments) - 1
	switch s.row.State {
	case tallyv1.ConfirmRow_AWAITING_ORDER:
	case tallyv1.ConfirmRow_ABANDONED: // it has a while of its own
		s.row.State, s.row.Deadline = tallyv1.ConfirmRow_AWAITING_ORDER, 0
	case tallyv1.ConfirmRow_PENDING, tallyv1.ConfirmRow_CONFIRMED:
		s.count(i)
	case tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED, tallyv1.ConfirmRow_EXPIRED:
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
		s.settle(tallyv1.ConfirmRow_CONFIRMED, s.recorded)
		s.sayConfirmed()
	}
	currency := s.currency()
	for ; i < len(s.row.Payments); i++ {
		p := &s.row.Payments[i]
		switch {
		case p.Disposition != tallyv1.ConfirmRow_WAITING:
		case p.Currency != currency:
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
	s.settle(tallyv1.ConfirmRow_CONFIRMED, s.recorded)
	s.row.Payments[last].Confirmed -= excess
	s.sayConfirmed()
	if excess > 0 {
		s.sayExcess(last)
	}
}

// ended ends an order that is not confirmed.
func (s *step) ended(e Ended) {
	switch s.row.State {
	case tallyv1.ConfirmRow_AWAITING_ORDER, tallyv1.ConfirmRow_PENDING,
		tallyv1.ConfirmRow_ABANDONED:
		s.take(0)
		state := tallyv1.ConfirmRow_CANCELLED
		if e.Rejection {
			state = tallyv1.ConfirmRow_REJECTED
		}
		s.settle(state, s.recorded)
		s.row.End = schemas.RowEnd{EventID: e.ID, At: e.At, Reason: e.Reason}
		s.sayWithdrawn()
		for i := range s.row.Payments {
			if waits(&s.row.Payments[i]) {
				s.unmatch(i)
			}
		}
	case tallyv1.ConfirmRow_CONFIRMED:
		if !s.row.CancelRefused || s.rules.RepeatSpeech {
			s.sayCancelRefused(e)
		}
		s.taken = s.taken || !s.row.CancelRefused
		s.row.CancelRefused = true
	case tallyv1.ConfirmRow_CANCELLED, tallyv1.ConfirmRow_REJECTED, tallyv1.ConfirmRow_EXPIRED:
		if s.rules.RepeatSpeech {
			s.sayAll()
		}
	}
}

// waits tells whether nothing has been decided about a payment that has come.
func waits(p *schemas.RowPayment) bool {
	return p.Disposition == tallyv1.ConfirmRow_WAITING && p.Currency != ""
}

// unmatch gives the payment at index i back, because the order has ended.
func (s *step) unmatch(i int) {
	s.row.Payments[i].Disposition = tallyv1.ConfirmRow_UNMATCHED
	if s.row.State == tallyv1.ConfirmRow_EXPIRED {
		s.row.Payments[i].Disposition = tallyv1.ConfirmRow_LATE
	}
	s.sayUnmatched(i)
}

// reversed takes a payment out of the sum, or says that it is too late for it.
func (s *step) reversed(e Reversed) {
	id := e.Payment.GetPaymentId()
	i := s.find(id)
	if i < 0 {
		switch k := s.findCut(id); {
		case k >= 0:
			s.reversedCut(k, e)
		case s.full():
			s.sayReversalTooMany(e)
		default:
			s.take(1)
			s.row.Payments = append(s.row.Payments, schemas.RowPayment{
				PaymentID: id, Disposition: tallyv1.ConfirmRow_REVERSED,
			})
		}
		return
	}
	switch s.row.Payments[i].Disposition {
	case tallyv1.ConfirmRow_WAITING:
		s.take(0)
		s.row.Payments[i].Disposition = tallyv1.ConfirmRow_REVERSED
	case tallyv1.ConfirmRow_REVERSED:
	case tallyv1.ConfirmRow_COUNTED, tallyv1.ConfirmRow_EXCESS,
		tallyv1.ConfirmRow_MISMATCHED, tallyv1.ConfirmRow_UNMATCHED,
		tallyv1.ConfirmRow_RETURNED, tallyv1.ConfirmRow_LATE, tallyv1.ConfirmRow_UNKNOWN:
		if late := s.row.Payments[i].ReversedLate; !late || s.rules.RepeatSpeech {
			s.sayReversed(&s.row.Payments[i], e, true)
			if !late {
				s.take(0)
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

// full tells whether the row has no room for another payment.
func (s *step) full() bool {
	n := len(s.row.Payments)
	if s.row.Digest != nil {
		n += len(s.row.Digest.Payments)
	}
	return n >= MaxPayments
}

// currency returns the currency of an order that has come.
func (s *step) currency() string {
	if s.row.Placed || s.row.Digest == nil {
		return s.row.Order.Currency
	}
	return s.row.Digest.Order.Currency
}

// take notes that the event changes the row, and makes its payments free to be
// changed, with room for more of them.
func (s *step) take(more int) {
	s.taken = true
	s.own(more)
}

// own makes the row's payments free to be changed, with room for more of them.
func (s *step) own(more int) {
	if s.owned {
		return
	}
	s.owned = true
	if n := len(s.row.Payments) + more; n > 0 {
		s.row.Payments = append(make([]schemas.RowPayment, 0, n), s.row.Payments...)
	}
}
