package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/processors/confirm"
	"tallystick/schemas/tallyv1"
)

// A When is a moment of the past: a time, or right after a record was processed.
type When struct {
	// Time takes in what has a timestamp up to it. If it is zero, Place counts.
	Time time.Time
	// Place is a record that confirm has read or written. If both are zero, the moment
	// is the end: all that was processed counts.
	Place Place
}

func (w When) end() bool { return w.Time.IsZero() && w.Place == (Place{}) }

// String returns the moment as [ParseWhen] reads it.
func (w When) String() string {
	switch {
	case w.end():
		return "the end"
	case w.Time.IsZero():
		return w.Place.String()
	}
	return w.Time.UTC().Format(time.RFC3339Nano)
}

// ErrWhen means that a text is no moment.
var ErrWhen = errors.New("history: a moment is a time like 2026-05-04T12:00:00Z or 2026-05-04, " +
	"a while ago like -2h or 3d ago, or a record like payments/0/17")

// ParseWhen reads a moment. Times without a zone are in UTC; a date is its first
// moment; a while ago is to the millisecond.
func ParseWhen(text string, now time.Time) (When, error) {
	text = strings.TrimSpace(text)
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05", time.DateTime, time.DateOnly,
	} {
		if at, err := time.Parse(layout, text); err == nil {
			return When{Time: at.UTC()}, nil
		}
	}
	if text == "now" {
		return When{Time: now.UTC()}, nil
	}
	if while, ok := strings.CutSuffix(text, " ago"); ok {
		text = "-" + while
	}
	if while, ok := strings.CutPrefix(text, "-"); ok {
		const day = 24 * time.Hour
		d, err := time.ParseDuration(while)
		if days, isDays := strings.CutSuffix(while, "d"); isDays {
			var n int
			if n, err = strconv.Atoi(days); int64(n) > math.MaxInt64/int64(day) {
				return When{}, ErrWhen
			}
			d = time.Duration(n) * day
		}
		if err != nil || d < 0 {
			return When{}, ErrWhen
		}
		return When{Time: now.Add(-d).UTC().Truncate(time.Millisecond)}, nil
	}
	place, err := ParsePlace(text)
	if err != nil {
		return When{}, ErrWhen
	}
	return When{Place: place}, nil
}

// A State is an order as it was at a moment. Amounts are in minor units.
type State struct {
	Order string `json:"order"`
	At    string `json:"at"`
	// State is what the order was, in one word.
	State    string `json:"state"`
	Customer string `json:"customer,omitempty"`
	Currency string `json:"currency,omitempty"`
	Total    int64  `json:"total"`
	// Paid is what counted for the order.
	Paid int64 `json:"paid"`
	// Deadline is when the row would have lapsed next.
	Deadline *time.Time `json:"deadline,omitempty"`
	Payments []Payment  `json:"payments"`
	// Row is confirm's row, null if there was none.
	Row json.RawMessage `json:"row"`
	// After is what confirm did last with the order until then, nil if nothing.
	After *Place `json:"after,omitempty"`
	// Taken is how many things confirm had done with the order, Later how many it did
	// since.
	Taken int `json:"taken"`
	Later int `json:"later"`
	// Horizon is where the logs begin that do not begin at 0 any more.
	Horizon []Place  `json:"horizon,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	Cost    Cost     `json:"cost"`
}

// A Payment is a payment of an order, and what had become of its money. The parts
// add up to the amount.
type Payment struct {
	ID         string `json:"id"`
	Currency   string `json:"currency"`
	Amount     int64  `json:"amount"`
	Confirmed  int64  `json:"confirmed,omitempty"`
	Pending    int64  `json:"pending,omitempty"`
	Excess     int64  `json:"excess,omitempty"`
	Mismatched int64  `json:"mismatched,omitempty"`
	Unmatched  int64  `json:"unmatched,omitempty"`
	Expired    int64  `json:"expired,omitempty"`
	Late       int64  `json:"late,omitempty"`
	Reversed   int64  `json:"reversed,omitempty"`
	// ReversedLate tells that it was reversed after its fate had been stated.
	ReversedLate bool `json:"reversed_late,omitempty"`
}

// ErrUnprocessed means that no worker has come to a record yet: there is no state
// after it.
var ErrUnprocessed = errors.New("history: no worker has processed the record yet")

// A PlaceError says why there is no state of an order after a record.
type PlaceError struct {
	Place Place
	// At is the record's timestamp if it is about the order, else zero.
	At    time.Time
	Order string
}

// Error says what the record is not.
func (e *PlaceError) Error() string {
	if e.At.IsZero() {
		return fmt.Sprintf("history: %s is no record about order %q", e.Place, e.Order)
	}
	return fmt.Sprintf("history: confirm, whose row this is, does not read %s", e.Place.Topic)
}

// Hint says what to ask for instead.
func (e *PlaceError) Hint() string {
	if e.At.IsZero() {
		return "tally explain lists the records about an order"
	}
	return "ask for the time of the record, --at " + e.At.UTC().Format(time.RFC3339Nano)
}

// At returns an order as it was. It returns [ErrUnknown] if no topic says anything
// of the order, [ErrLong] if too many do, a [PlaceError] or [ErrUnprocessed] if the
// record of w is not one after which there is a state.
//
// For a time, what counts is what has a timestamp up to it, in the order in which
// it was merged, whenever it came in; of deadlines those up to it.
func (r *Reader) At(ctx context.Context, order string, w When) (*State, error) {
	records, err := r.records(ctx, order)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, ErrUnknown
	}
	f, err := r.fold(ctx, order, records)
	if err != nil {
		return nil, err
	}
	taken, err := r.cut(f, w, order, records)
	if err != nil {
		return nil, err
	}
	row, ever := r.row(taken)
	s := &State{
		Order: order, At: w.String(), Payments: []Payment{}, Horizon: r.horizon(order),
		Taken: len(taken), Later: len(f.moments) - len(taken),
	}
	if n := len(taken); n > 0 {
		s.After = &taken[n-1].place
	}
	for _, p := range f.lost {
		s.Notes = append(s.Notes, p.String()+" was processed before the journal begins: it is not "+
			"counted here")
	}
	if s.Row, err = rowJSON(row); err != nil {
		return nil, err
	}
	s.fill(row)
	if row == nil {
		s.State = r.without(w, taken, records)
		if ever {
			s.Notes = append(s.Notes, "its row is deleted after the time for which settled orders are kept")
		}
	}
	s.Cost = r.cost()
	return s, nil
}

// fill takes what people want to know out of a row.
func (s *State) fill(row *confirm.Row) {
	if row == nil {
		return
	}
	s.State, s.Customer = stateOf(row), row.Order.CustomerID
	s.Total, s.Currency = price(row)
	s.Paid = paid(row)
	if row.Deadline != 0 {
		at := time.UnixMicro(row.Deadline).UTC()
		s.Deadline = &at
	}
	_, fates := confirm.Dispositions(row)
	for _, f := range fates {
		s.Payments = append(s.Payments, Payment{
			ID: f.PaymentID, Currency: f.Currency, Amount: f.Amount, Confirmed: f.Confirmed,
			Pending: f.Pending, Excess: f.Excess, Mismatched: f.Mismatched, Unmatched: f.Unmatched,
			Expired: f.Expired, Late: f.Late, Reversed: f.Reversed, ReversedLate: f.ReversedLate,
		})
	}
}

// without says what an order was of which confirm had no row, or no row any more.
func (r *Reader) without(w When, taken []moment, records []*kgo.Record) string {
	limit := w.Time
	if w.end() {
		limit = time.UnixMilli(math.MaxInt64)
	}
	if limit.IsZero() && len(taken) > 0 {
		limit = taken[len(taken)-1].at
	}
	var events []Event
	for _, k := range records {
		if r.decoders[k.Topic] != nil && !k.Timestamp.After(limit) {
			events = append(events, r.tell(k))
		}
	}
	state, _ := outcome(events)
	return state
}

// cut returns what had been done until a moment.
func (r *Reader) cut(f *fold, w When, order string, records []*kgo.Record) ([]moment, error) {
	if w.end() {
		return f.moments, nil
	}
	if w.Time.IsZero() {
		n, err := r.after(f, w.Place, order, records)
		return f.moments[:n], err
	}
	return slices.DeleteFunc(slices.Clone(f.moments), func(m moment) bool {
		return m.at.After(w.Time)
	}), nil
}

// after returns how many things confirm had done with the order when it was done
// with a record: one that it read, one of which that is a copy, or one that it wrote.
func (r *Reader) after(f *fold, at Place, order string, records []*kgo.Record) (int, error) {
	for i := len(f.moments) - 1; i >= 0; i-- { // one page can have two deadlines
		if f.moments[i].place == at {
			return i + 1, nil
		}
	}
	if slices.Contains(f.open, at) {
		return 0, fmt.Errorf("%w: %s", ErrUnprocessed, at)
	}
	i := slices.IndexFunc(records, func(k *kgo.Record) bool { return placeOf(k) == at })
	if i < 0 {
		return 0, &PlaceError{Place: at, Order: order}
	}
	e, _ := r.decode(records[i])
	id := e.ID()
	for i := range f.moments {
		if id != "" && slices.Contains(f.moments[i].said, id) {
			return i + 1, nil
		}
	}
	if _, payment := e.Envelope.(*tallyv1.PaymentEvent); payment {
		for _, k := range records {
			if o, ok := r.decode(k); ok && o.ID() == id && placeOf(k) != at {
				return r.after(f, placeOf(k), order, nil)
			}
		}
	}
	return 0, &PlaceError{Place: at, At: records[i].Timestamp, Order: order}
}
