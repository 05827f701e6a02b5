package fraud

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// What counts where the rules do not say.
const (
	DefaultWindow = time.Hour
	// DefaultLimit is in minor units of any currency.
	DefaultLimit      = 1_000_000
	DefaultMaxEntries = 500
)

// Row is what is known of one customer's latest orders.
type Row = tallyv1.FraudRow

// Rules are what a user can choose about the decision. A zero is the default.
type Rules struct {
	// Window is how long the time is over which orders are added up. It is at
	// least a microsecond.
	Window time.Duration
	// Limit is what the orders of one customer and currency may come to within
	// the window, in minor units.
	Limit int64
	// Limits are for single currencies, instead of Limit.
	Limits map[string]int64
	// MaxEntries is how many orders a row keeps, and so how many a customer may
	// place within the window.
	MaxEntries int
	// RepeatSpeech makes Step say again, in the same words, what it has said of an
	// order that comes again. It goes with at-least-once delivery: there the row
	// may have been stored and the verdict be lost.
	RepeatSpeech bool
}

// Validate tells what is wrong with the rules.
func (r Rules) Validate() error {
	if r.Window < 0 || r.Window > 0 && r.Window < time.Microsecond {
		return fmt.Errorf("fraud: a window of %s is too short", r.Window)
	}
	if r.Limit < 0 {
		return fmt.Errorf("fraud: the limit is %d, it must not be negative", r.Limit)
	}
	for currency, n := range r.Limits {
		if n < 0 {
			return fmt.Errorf("fraud: the limit for %s is %d, it must not be negative", currency, n)
		}
	}
	if r.MaxEntries < 0 {
		return fmt.Errorf("fraud: %d orders are no limit", r.MaxEntries)
	}
	return nil
}

func (r Rules) window() int64 { return cmp.Or(r.Window, DefaultWindow).Microseconds() }

func (r Rules) maxEntries() int { return cmp.Or(r.MaxEntries, DefaultMaxEntries) }

func (r Rules) limit(currency string) int64 {
	if n, ok := r.Limits[currency]; ok {
		return n
	}
	return cmp.Or(r.Limit, DefaultLimit)
}

// Placed is an order of the row's customer. Times are in microseconds since 1970.
type Placed struct {
	// ID is the id of the event that placed it.
	ID string
	// At is when it happened, as the event says it.
	At int64
	// Recorded is the time of the record, which is the one that counts.
	Recorded int64
	// Stream is how far the time of all records has come.
	Stream int64
	Order  *tallyv1.OrderPlaced
}

// Step applies e to row and returns the next row and the verdict on the order, or
// nil if it has been said. A nil row is a customer of whom nothing is known. Row
// is not changed; if e changes nothing, row itself is returned. All events of one
// row must be about the same customer.
//
// The orders of one currency that were cleared never come to more than the limit
// within any span of time shorter than the window, in whatever order their
// records arrive, as long as none comes later than the window behind stream time
// and the row is not full.
func Step(rules Rules, row *Row, e Placed) (*Row, *tallyv1.OrderCheckEvent) {
	o := e.Order
	if o.GetCustomerId() == "" {
		return row, verdict(e, "")
	}
	for _, x := range row.GetEntries() {
		switch {
		case x.GetOrderId() != o.GetOrderId():
		case rules.RepeatSpeech:
			return row, verdict(e, x.GetReason())
		default:
			return row, nil
		}
	}
	entries := prune(row.GetEntries(), e.Stream-2*rules.window())
	if near := count(entries, e.Recorded, rules.window()); near >= rules.maxEntries() {
		return row, verdict(e, fmt.Sprintf("too many orders: %d others within %s", near,
			cmp.Or(rules.Window, DefaultWindow)))
	}
	entries = makeRoom(entries, e.Recorded, rules.maxEntries())
	reason := exceeds(rules, entries, e)
	entry := &tallyv1.FraudRow_Entry{
		OrderId: o.GetOrderId(), Minor: o.GetTotal().GetMinor(),
		Currency: o.GetTotal().GetCurrency(), AtUs: e.Recorded, Reason: reason,
	}
	i := len(entries)
	for i > 0 && entries[i-1].GetAtUs() > e.Recorded {
		i--
	}
	return &Row{Entries: slices.Insert(entries, i, entry)}, verdict(e, reason)
}

// prune returns a copy without the entries that are not after the horizon.
func prune(entries []*tallyv1.FraudRow_Entry, horizon int64) []*tallyv1.FraudRow_Entry {
	kept := make([]*tallyv1.FraudRow_Entry, 0, len(entries)+1)
	for _, x := range entries {
		if x.GetAtUs() > horizon {
			kept = append(kept, x)
		}
	}
	return kept
}

// count tells how many entries are within the window, before or after.
func count(entries []*tallyv1.FraudRow_Entry, at, window int64) int {
	n := 0
	for _, x := range entries {
		if distance(x.GetAtUs(), at) < window {
			n++
		}
	}
	return n
}

func distance(a, b int64) int64 { return max(a, b) - min(a, b) }

// makeRoom takes the entries out that are farthest away in time, until there is
// room for one more.
func makeRoom(entries []*tallyv1.FraudRow_Entry, at int64, most int) []*tallyv1.FraudRow_Entry {
	for len(entries) >= most {
		first, last := entries[0], entries[len(entries)-1]
		if distance(first.GetAtUs(), at) >= distance(last.GetAtUs(), at) {
			entries = entries[1:]
		} else {
			entries = entries[:len(entries)-1]
		}
	}
	return entries
}

// exceeds says in words why the order is too much, or nothing. What counts is the
// dearest of all windows that hold the order: one that comes late makes windows
// full that were cleared before it came.
func exceeds(rules Rules, entries []*tallyv1.FraudRow_Entry, e Placed) string {
	o, window := e.Order.GetTotal(), rules.window()
	var near []*tallyv1.FraudRow_Entry
	for _, x := range entries {
		if x.GetCurrency() == o.GetCurrency() && x.GetReason() == "" &&
			distance(x.GetAtUs(), e.Recorded) < window {
			near = append(near, x)
		}
	}
	// Each window that could be the dearest begins with one of the entries before
	// the order, or with the order itself. From one to the next, entries come in
	// at the end and go out at the beginning.
	most, orders := o.GetMinor(), 1
	sum, end := o.GetMinor(), 0
	for i := 0; i <= len(near); i++ {
		begin := e.Recorded
		if i < len(near) {
			begin = min(begin, near[i].GetAtUs())
		}
		for end < len(near) && near[end].GetAtUs()-begin < window {
			sum += near[end].GetMinor()
			end++
		}
		if sum > most {
			most, orders = sum, end-i+1
		}
		if i == len(near) || near[i].GetAtUs() > e.Recorded {
			break
		}
		sum -= near[i].GetMinor()
	}
	limit := rules.limit(o.GetCurrency())
	if most <= limit {
		return ""
	}
	return fmt.Sprintf("%d %s in minor units, the sum of orders (%d) within %s, is above the "+
		"limit of %d", most, o.GetCurrency(), orders, cmp.Or(rules.Window, DefaultWindow), limit)
}

// verdict clears an order, or suspects it for a reason.
func verdict(e Placed, reason string) *tallyv1.OrderCheckEvent {
	id := e.Order.GetOrderId()
	if reason == "" {
		return &tallyv1.OrderCheckEvent{
			Meta: schemas.MetaOf(schemas.EventID("FraudCleared", id), e.At, e.ID),
			Event: &tallyv1.OrderCheckEvent_FraudCleared{
				FraudCleared: &tallyv1.FraudCleared{OrderId: id},
			},
		}
	}
	return &tallyv1.OrderCheckEvent{
		Meta: schemas.MetaOf(schemas.EventID("FraudSuspected", id), e.At, e.ID),
		Event: &tallyv1.OrderCheckEvent_FraudSuspected{
			FraudSuspected: &tallyv1.FraudSuspected{OrderId: id, Reason: reason},
		},
	}
}

// Rekey returns the order that m places as its customer's row gets it, and its
// key; or nil if m places none. The time of the record counts if m has none. Its
// lines are left out.
func Rekey(m *tallyv1.OrderEvent, recorded time.Time) (string, *tallyv1.CustomerOrderEvent) {
	o := m.GetOrderPlaced()
	if o == nil {
		return "", nil
	}
	return schemas.CustomerOrderKey(o), &tallyv1.CustomerOrderEvent{
		Meta: schemas.MetaOf(schemas.PlacedID(m.GetMeta(), o), schemas.MetaAt(m.GetMeta(), recorded),
			m.GetMeta().GetCauses()...),
		Event: &tallyv1.CustomerOrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: o.GetOrderId(), CustomerId: o.GetCustomerId(), Total: o.GetTotal(),
			Due: o.GetDue(),
		}},
	}
}
