package confirm

import (
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Deadlines. What a row becomes when it lapses follows from the deadline alone,
// not from the time at which that is noticed.

// lapse lets the row do all that was due before e. A record at the very time of
// the deadline is in time, a firing there is not too early.
func (s *step) lapse(e Event) {
	now := e.clock().latest()
	_, firing := e.(Lapsed)
	if s.rules.RepeatSpeech && !firing {
		s.sayLapsed()
	}
	for at := s.row.Deadline; at != 0 && (at < now || at == now && firing); at = s.row.Deadline {
		s.lapsed = true
		switch s.row.State {
		case tallyv1.ConfirmRow_AWAITING_ORDER:
			s.abandon(at)
		case tallyv1.ConfirmRow_PENDING:
			s.expire(at)
		case tallyv1.ConfirmRow_CONFIRMED, tallyv1.ConfirmRow_CANCELLED,
			tallyv1.ConfirmRow_REJECTED, tallyv1.ConfirmRow_EXPIRED, tallyv1.ConfirmRow_ABANDONED:
			if isCut(&s.row) {
				s.row, s.gone = Row{}, true
				return
			}
			s.row = cut(&s.row, after(at, s.rules.KeepDigest))
			s.owned, s.ownedDigest = false, true
		}
	}
}

// lapseAtOnce lets lapse what e has opened too late: an order that was due before
// it came and that is not covered by what came before it, payments that wait for
// longer than they may. A row that is settled stays whole until the next event.
func (s *step) lapseAtOnce(e Event) {
	at := s.row.Deadline
	if at == 0 || at >= e.clock().latest() {
		return
	}
	switch s.row.State {
	case tallyv1.ConfirmRow_AWAITING_ORDER:
		s.abandon(at)
	case tallyv1.ConfirmRow_PENDING:
		s.expire(at)
	case tallyv1.ConfirmRow_CONFIRMED, tallyv1.ConfirmRow_CANCELLED,
		tallyv1.ConfirmRow_REJECTED, tallyv1.ConfirmRow_EXPIRED, tallyv1.ConfirmRow_ABANDONED:
	}
}

// abandon gives payments up whose order has not come.
func (s *step) abandon(at int64) {
	s.own(0)
	s.settle(tallyv1.ConfirmRow_ABANDONED, at)
	for i := range s.row.Payments {
		if p := &s.row.Payments[i]; waits(p) {
			p.Disposition, p.Lapsed = tallyv1.ConfirmRow_UNKNOWN, at
			s.sayUnmatched(i)
		}
	}
}

// expire ends an order that was not paid in time.
func (s *step) expire(at int64) {
	s.own(0)
	s.settle(tallyv1.ConfirmRow_EXPIRED, at)
	s.row.End = schemas.RowEnd{At: at}
	for i := range s.row.Payments {
		if p := &s.row.Payments[i]; waits(p) {
			p.Disposition = tallyv1.ConfirmRow_RETURNED
		}
	}
	s.sayExpired()
}

// settle puts the row into a state in which nothing is awaited any more, at a
// time at the earliest.
func (s *step) settle(state tallyv1.ConfirmRow_State, at int64) {
	s.row.State = state
	s.row.Deadline = after(max(at, s.row.Latest), s.rules.KeepSettled)
	s.row.Latest = 0
}

// redate puts the deadline off, because the row has taken something in.
func (s *step) redate() {
	keep := s.rules.KeepSettled
	switch s.row.State {
	case tallyv1.ConfirmRow_AWAITING_ORDER:
		if s.row.Deadline == 0 {
			s.row.Deadline = after(s.recorded, s.rules.OrderWithin)
		}
		s.row.Latest = max(s.row.Latest, s.recorded)
		return
	case tallyv1.ConfirmRow_PENDING:
		s.row.Latest = max(s.row.Latest, s.recorded)
		return
	case tallyv1.ConfirmRow_CONFIRMED, tallyv1.ConfirmRow_CANCELLED,
		tallyv1.ConfirmRow_REJECTED, tallyv1.ConfirmRow_EXPIRED, tallyv1.ConfirmRow_ABANDONED:
		if isCut(&s.row) {
			keep = s.rules.KeepDigest
		}
	}
	if later := after(s.recorded, keep); later == 0 || s.row.Deadline == 0 {
		s.row.Deadline = later
	} else {
		s.row.Deadline = max(s.row.Deadline, later)
	}
}
