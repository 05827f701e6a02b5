package notify

import (
	"strconv"
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Row is what is known of telling about one order.
type Row = tallyv1.NotifyRow

// Outcomes are what Step says and asks for.
type Outcomes struct {
	Notices []*tallyv1.NoticeEvent
	// Effects are attempts whose gates the row that is returned with them has
	// opened. They must not be carried out unless that row is committed.
	Effects []*tallyv1.SendConfirmation
}

// longestPause bounds what a receiver may ask for.
const longestPause = 24 * time.Hour

// Step applies e to row and returns the next row, what is to be said and what is
// to be tried. A nil row is an order of which nothing is known, or any more. Step
// does not change the row that it is given; if e changes nothing, it returns it.
//
// What has lapsed by the time of e lapses first. No two effects have the same
// channel and attempt, and none follows a result that says sent, bounced or
// unknown, or a gate that was given up.
func Step(rules Rules, row *Row, e Event) (*Row, Outcomes) {
	s := step{rules: rules, row: row, order: e.about(), now: e.clock()}
	s.lapse(e.time())
	switch e := e.(type) {
	case Confirmed:
		s.confirmed(e)
	case Ended:
		s.ended(e)
	case Fired: // the lapse was all
	}
	return s.row, s.out
}

// A step is the application of one event.
type step struct {
	rules Rules
	order string
	row   *Row // nil is none
	owned bool // the row is not the one that was given
	now   int64
	out   Outcomes
}

// own makes the row free to be changed.
func (s *step) own() {
	if s.owned && s.row != nil {
		return
	}
	s.owned = true
	next := &Row{}
	if old := s.row; old != nil {
		next.DeadlineUs, next.EventId, next.AtUs = old.GetDeadlineUs(), old.GetEventId(), old.GetAtUs()
		next.Confirmation = old.GetConfirmation()
		for _, d := range old.GetDeliveries() {
			next.Deliveries = append(next.Deliveries, &tallyv1.NotifyRow_Delivery{
				Channel: d.GetChannel(), State: d.GetState(), Attempt: d.GetAttempt(),
				Untried: d.GetUntried(), DeadlineUs: d.GetDeadlineUs(), Overdue: d.GetOverdue(),
				Reason: d.GetReason(),
			})
		}
	}
	s.row = next
}

// confirmed opens the gates of a confirmation that is new.
func (s *step) confirmed(e Confirmed) {
	if s.row != nil {
		return
	}
	c := e.Confirmation.GetOrderConfirmed()
	var channels []tallyv1.Channel
	if s.rules.Mail && c.GetContact().GetEmail() != "" {
		channels = append(channels, tallyv1.Channel_MAIL)
	}
	if s.rules.Webhook {
		channels = append(channels, tallyv1.Channel_WEBHOOK)
	}
	if len(channels) == 0 {
		return
	}
	s.own()
	s.row.EventId, s.row.AtUs, s.row.Confirmation = e.ID, e.At, e.Confirmation
	stale := s.rules.Keep > 0 && min(e.At, e.Recorded) <= s.now-s.rules.Keep.Microseconds()
	for _, channel := range channels {
		d := &tallyv1.NotifyRow_Delivery{Channel: channel}
		s.row.Deliveries = append(s.row.Deliveries, d)
		if stale {
			d.Attempt, d.State = 1, tallyv1.NotifyRow_UNRESOLVED
			d.Reason = "it came when its row could have been dropped already"
			s.sayUnresolved(d, s.row.GetAtUs(), "")
			continue
		}
		s.open(d)
	}
	s.settle()
}

// open opens the gate of a channel for its next attempt.
func (s *step) open(d *tallyv1.NotifyRow_Delivery) {
	d.State, d.Overdue = tallyv1.NotifyRow_OPEN, false
	d.Attempt++
	d.DeadlineUs = s.now + s.rules.Gate.Microseconds()
	s.out.Effects = append(s.out.Effects, &tallyv1.SendConfirmation{
		OrderId: s.order, Channel: d.GetChannel(), Attempt: d.GetAttempt(),
		EventId: s.row.GetEventId(), DeadlineUs: d.GetDeadlineUs(),
		Confirmation: s.row.GetConfirmation(),
	})
}

// ended takes in how an attempt ended.
func (s *step) ended(e Ended) {
	i := find(s.row, e.Channel)
	if i < 0 || s.row.GetDeliveries()[i].GetAttempt() != e.Attempt {
		return
	}
	switch s.row.GetDeliveries()[i].GetState() {
	case tallyv1.NotifyRow_OPEN:
		s.own()
		s.conclude(s.row.GetDeliveries()[i], e)
	case tallyv1.NotifyRow_UNRESOLVED:
		if e.Result != Unsettled { // now somebody knows
			s.own()
			s.resolve(s.row.GetDeliveries()[i], e)
		} else if s.rules.RepeatSpeech {
			s.sayUnresolved(s.row.GetDeliveries()[i], e.At, e.ID)
		}
	case tallyv1.NotifyRow_SENT:
		if e.Result == Accepted && s.rules.RepeatSpeech {
			s.saySent(s.row.GetDeliveries()[i], e)
		}
	case tallyv1.NotifyRow_BOUNCED:
		if e.Result == Refused && s.rules.RepeatSpeech {
			s.sayBounced(s.row.GetDeliveries()[i], e)
		}
	case tallyv1.NotifyRow_WAITING:
	}
	s.settle()
}

// conclude closes the gate of an attempt by its result.
func (s *step) conclude(d *tallyv1.NotifyRow_Delivery, e Ended) {
	if e.Result == Refused && e.Untried {
		d.Untried++
	}
	again := e.Result == Refused && !e.Permanent && tries(d) < int32(s.rules.MaxAttempts)
	switch {
	case again:
		d.State, d.Overdue, d.Reason = tallyv1.NotifyRow_WAITING, false, e.Reason
		d.DeadlineUs = max(s.now, e.Recorded) + s.pause(d, e.RetryAfter)
	case e.Result == Unsettled:
		d.State, d.DeadlineUs, d.Overdue = tallyv1.NotifyRow_UNRESOLVED, 0, false
		d.Reason = e.Reason
		s.sayUnresolved(d, e.At, e.ID)
	default:
		s.resolve(d, e)
	}
}

// resolve ends a channel: what was sent is sent, and what was refused is not sent.
func (s *step) resolve(d *tallyv1.NotifyRow_Delivery, e Ended) {
	d.DeadlineUs, d.Overdue, d.Reason = 0, false, e.Reason
	if e.Result == Accepted {
		d.State = tallyv1.NotifyRow_SENT
		s.saySent(d, e)
		return
	}
	d.State = tallyv1.NotifyRow_BOUNCED
	s.sayBounced(d, e)
}

// pause is how long to wait before the next attempt, in microseconds. A part of
// it differs from order to order, so that what was refused together does not come
// back together.
func (s *step) pause(d *tallyv1.NotifyRow_Delivery, asked time.Duration) int64 {
	wait := s.rules.Backoff
	for range tries(d) - 1 {
		if wait = 2 * wait; wait >= s.rules.MaxBackoff {
			break
		}
	}
	wait = min(wait, s.rules.MaxBackoff)
	wait = max(wait, min(asked, longestPause))
	const parts = 4 * 256 // up to a quarter is added
	return (wait + wait/parts*lot(s.order, d)).Microseconds()
}

// lapse does what the deadlines before t ask for.
func (s *step) lapse(t int64) {
	if s.row.GetDeadlineUs() == 0 || s.row.GetDeadlineUs() > t {
		return
	}
	if !unsettled(s.row) { // it has been kept long enough
		s.row, s.owned = nil, true
		return
	}
	s.own()
	s.now = max(s.now, t)
	for _, d := range s.row.GetDeliveries() {
		switch {
		case d.GetDeadlineUs() == 0 || d.GetDeadlineUs() > t:
		case d.GetState() == tallyv1.NotifyRow_WAITING:
			s.open(d)
		case !d.GetOverdue():
			d.Overdue = true
			d.DeadlineUs = s.now + s.rules.Grace.Microseconds()
		default:
			at := d.GetDeadlineUs()
			d.State, d.DeadlineUs, d.Overdue = tallyv1.NotifyRow_UNRESOLVED, 0, false
			d.Reason = "no result came in time"
			s.sayUnresolved(d, at, "")
		}
	}
	s.settle()
}

// settle recomputes what follows from the deliveries: the deadline of the row, and
// whether there is anything left to send.
func (s *step) settle() {
	if !s.owned || s.row == nil {
		return
	}
	s.row.DeadlineUs = 0
	sendable, known := false, true
	for _, d := range s.row.GetDeliveries() {
		sendable = sendable || d.GetDeadlineUs() != 0
		known = known && d.GetState() != tallyv1.NotifyRow_UNRESOLVED
		if at := d.GetDeadlineUs(); at != 0 &&
			(s.row.GetDeadlineUs() == 0 || at < s.row.GetDeadlineUs()) {
			s.row.DeadlineUs = at
		}
	}
	if sendable {
		return
	}
	s.row.Confirmation = nil // with it goes the customer's address
	if known && s.rules.Keep > 0 {
		s.row.DeadlineUs = s.now + s.rules.Keep.Microseconds()
	}
}

// unsettled tells whether a channel waits for something to come.
func unsettled(row *Row) bool {
	for _, d := range row.GetDeliveries() {
		if d.GetDeadlineUs() != 0 {
			return true
		}
	}
	return false
}

// tries is how many attempts the receiver was asked.
func tries(d *tallyv1.NotifyRow_Delivery) int32 { return d.GetAttempt() - d.GetUntried() }

func find(row *Row, channel tallyv1.Channel) int {
	for i, d := range row.GetDeliveries() {
		if d.GetChannel() == channel {
			return i
		}
	}
	return -1
}

// lot is a number below 256 that follows from the attempt alone.
func lot(order string, d *tallyv1.NotifyRow_Delivery) time.Duration {
	id := schemas.EventID("lot", order, d.GetChannel().String(), digits(d.GetAttempt()))
	n, err := strconv.ParseUint(id[:2], 16, 8)
	if err != nil {
		return 0
	}
	return time.Duration(n)
}
