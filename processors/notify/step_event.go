package notify

import (
	"strconv"
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// An Event is one input record, decoded. All times are in microseconds since 1970.
//
//sumtype:decl
type Event interface {
	// about returns the id of the order.
	about() string
	// time is when the event was recorded: what was due by then has lapsed.
	time() int64
	// clock is the time of day when it is processed.
	clock() int64
}

// Origin is which event it is and when.
type Origin struct {
	// Order is the id of the order.
	Order string
	// ID is the event's id.
	ID string
	// At is when it happened.
	At int64
	// Recorded is the timestamp of its record.
	Recorded int64
	// Now is the time of day when it is processed, as the engine recorded it.
	Now int64
}

func (o Origin) about() string { return o.Order }

// A record from the future lets nothing lapse.
func (o Origin) time() int64 {
	if o.Now > 0 {
		return min(o.Recorded, o.Now)
	}
	return o.Recorded
}

func (o Origin) clock() int64 {
	if o.Now > 0 {
		return o.Now
	}
	return o.Recorded
}

func (f Fired) time() int64 { return f.Recorded }

// A Result is how an attempt ended.
type Result int

// The results of attempts.
const (
	Accepted  Result = iota // the receiver has taken it
	Refused                 // the receiver has certainly not taken it
	Unsettled               // nobody knows
)

type (
	// Confirmed is a confirmation to tell somebody about.
	Confirmed struct {
		Origin
		Confirmation *tallyv1.ConfirmationEvent
	}
	// Ended is the result of an attempt.
	Ended struct {
		Origin
		Channel    tallyv1.Channel
		Attempt    int32
		Result     Result
		Reason     string
		Permanent  bool
		Untried    bool
		RetryAfter time.Duration
	}
	// Fired says that the row's deadline, which is Recorded, has come.
	Fired struct{ Origin }
)

// OfConfirmation returns the event that m holds, or nil if it holds none, which no
// valid m does.
func OfConfirmation(m *tallyv1.ConfirmationEvent, recorded, now time.Time) Event {
	c := m.GetOrderConfirmed()
	if c == nil {
		return nil
	}
	o := origin(c.GetOrderId(), m.GetMeta(), recorded, now)
	if o.ID == "" {
		o.ID = schemas.EventID("OrderConfirmed", c.GetOrderId())
	}
	return Confirmed{o, m}
}

// OfResult returns the event that m holds, or nil if it holds none, which no valid
// m does.
func OfResult(m *tallyv1.NotifyResultEvent, recorded, now time.Time) Event {
	e := Ended{Origin: origin(schemas.NotifyResultOrderID(m), m.GetMeta(), recorded, now)}
	switch v := m.GetEvent().(type) {
	case *tallyv1.NotifyResultEvent_AttemptAccepted:
		e.Channel, e.Attempt = v.AttemptAccepted.GetChannel(), v.AttemptAccepted.GetAttempt()
	case *tallyv1.NotifyResultEvent_AttemptRefused:
		r := v.AttemptRefused
		e.Channel, e.Attempt, e.Result = r.GetChannel(), r.GetAttempt(), Refused
		e.Reason, e.Permanent, e.Untried = r.GetReason(), r.GetPermanent(), r.GetUntried()
		asked := min(r.GetRetryAfterUs(), longestPause.Microseconds())
		e.RetryAfter = time.Duration(asked) * time.Microsecond
	case *tallyv1.NotifyResultEvent_AttemptUnsettled:
		u := v.AttemptUnsettled
		e.Channel, e.Attempt, e.Result = u.GetChannel(), u.GetAttempt(), Unsettled
		e.Reason = u.GetReason()
	default:
		return nil
	}
	if e.ID == "" {
		e.ID = ResultID(e.Result, e.Order, e.Channel, e.Attempt)
	}
	return e
}

// OfTimer returns the event that the deadline of the order's row has come.
func OfTimer(order string, deadline, now time.Time) Event {
	at := schemas.Micros(deadline)
	return Fired{Origin{Order: order, At: at, Recorded: at, Now: schemas.Micros(now)}}
}

// ResultID is the id of the event that an attempt ended so.
func ResultID(r Result, order string, channel tallyv1.Channel, attempt int32) string {
	kind := "AttemptAccepted"
	switch r {
	case Accepted:
	case Refused:
		kind = "AttemptRefused"
	case Unsettled:
		kind = "AttemptUnsettled"
	}
	return schemas.EventID(kind, order, channel.String(), digits(attempt))
}

func origin(order string, m *tallyv1.Meta, recorded, now time.Time) Origin {
	return Origin{
		Order: order, ID: m.GetId(), At: schemas.MetaAt(m, recorded),
		Recorded: schemas.Micros(recorded), Now: schemas.Micros(now),
	}
}

func digits(n int32) string { return strconv.FormatInt(int64(n), 10) }
