package window

import (
	"errors"
	"fmt"
	"time"

	"tallystick/processors/internal/cover"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Rules are what a user can choose.
type Rules struct {
	// Window is how far apart the records about an order may be, by their time.
	Window time.Duration
	// Grace is how long after its window an order is kept, for records that come
	// out of order.
	Grace time.Duration
	// MaxOrders is how many orders are kept for one partition.
	MaxOrders int
}

// DefaultRules returns the rules for a user who has not chosen any.
func DefaultRules() Rules {
	return Rules{Window: 10 * time.Minute, Grace: time.Minute, MaxOrders: 100_000}
}

// Validate returns what is wrong with the rules.
func (r Rules) Validate() error {
	const longest = 31 * 24 * time.Hour
	var errs []error
	if r.Window < time.Millisecond || r.Window > longest {
		errs = append(errs, fmt.Errorf("window: %v is not between 1ms and %v", r.Window, longest))
	}
	if r.Grace < 0 || r.Grace > longest {
		errs = append(errs, fmt.Errorf("grace: %v is not between 0 and %v", r.Grace, longest))
	}
	if r.MaxOrders < 1 {
		errs = append(errs, fmt.Errorf("max-orders: %d is not above 0", r.MaxOrders))
	}
	return errors.Join(errs...)
}

// A Cause is which record it is.
type Cause struct {
	Topic  string
	Offset int64
}

// An Event is one input record, decoded.
type Event struct {
	// Either Order or Payment is set.
	Order   *tallyv1.OrderEvent
	Payment *tallyv1.PaymentEvent
	Cause   Cause
	// Recorded is the time of the record and Stream the stream time of its
	// partition, in microseconds since 1970.
	Recorded int64
	Stream   int64
}

// An Entry is what is kept of one order. It is not changed once it is made.
type Entry struct {
	Deal cover.Deal
	// First is the time of the record that opened the window.
	First int64
	// Said is the record on which the order was confirmed, or nil.
	Said *Cause
}

// Over tells whether the entry is not kept any more at that stream time.
func (e *Entry) Over(rules Rules, stream int64) bool {
	return stream > e.First+rules.Window.Microseconds()+rules.Grace.Microseconds()
}

// open tells whether the entry is of an order that was not confirmed or ended.
func (e *Entry) open() bool { return e.Said == nil && !e.Deal.Ended }

// A Loss is why what was known of an order is not any more.
type Loss string

// The losses.
const (
	// TooLate is a record whose window was over when it came.
	TooLate Loss = "came after its window"
	// Lapsed is an order that was open at the end of its window.
	Lapsed Loss = "the window ended"
	// Crowded is an open order that had to make way for another.
	Crowded Loss = "no room"
)

// Outcome is what Step says.
type Outcome struct {
	// Confirmed is the confirmation of the order, or nil.
	Confirmed *tallyv1.ConfirmationEvent
	// Lost is why something was lost by this event, or empty.
	Lost Loss
}

// Step applies e to the entry of its order and returns the next entry and what is
// to be said. A nil entry is an order of which nothing is kept. The entry that is
// given is left alone.
//
// If e is the record on which the order was confirmed, delivered once more, the
// confirmation is said again: it may not have got out.
func Step(rules Rules, entry *Entry, e Event) (*Entry, Outcome) {
	var out Outcome
	window := rules.Window.Microseconds()
	if entry != nil && (entry.Over(rules, e.Stream) || e.Recorded > entry.First+window) {
		if entry.open() {
			out.Lost = Lapsed
		}
		entry = nil
	}
	next := Entry{First: e.Recorded}
	if entry != nil {
		next = *entry
	}
	if e.Recorded < next.First-window || (&Entry{First: e.Recorded}).Over(rules, e.Stream) {
		out.Lost = TooLate
		return entry, out
	}
	recorded := time.UnixMicro(e.Recorded)
	switch {
	case next.Said != nil && *next.Said != e.Cause:
		return entry, out
	case next.Said != nil:
		out.Confirmed = next.Deal.Confirmation()
		return entry, out
	case e.Order != nil:
		next.Deal = next.Deal.WithOrder(e.Order, recorded)
	default:
		next.Deal = next.Deal.WithPayment(e.Payment, recorded)
	}
	if out.Confirmed = next.Deal.Confirmation(); out.Confirmed != nil {
		next.Said = &e.Cause
	}
	return &next, out
}

// orderID returns the id of the order that the event is about.
func (e Event) orderID() string {
	if e.Order != nil {
		return schemas.OrderID(e.Order)
	}
	return schemas.PaymentOrderID(e.Payment)
}
