package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/processors/confirm"
	"tallystick/query/reading"
	"tallystick/schemas"
	"tallystick/topology"
)

// A Story is what happened to an order.
type Story struct {
	Order string `json:"order"`
	// State is what the order is now, in one word.
	State string `json:"state"`
	// Why says which event made it so; empty if none is known.
	Why string `json:"why,omitempty"`
	// Events are in the order of cause and effect, those that have nothing to do with
	// each other in the order of time.
	Events []Event `json:"events"`
	// Row is confirm's row as the rules leave it now, null if there is none.
	Row json.RawMessage `json:"row"`
	// Horizon is where the logs begin that do not begin at 0 any more.
	Horizon []Place `json:"horizon,omitempty"`
	// Notes say what could not be told, and what does not fit.
	Notes []string `json:"notes,omitempty"`
	Cost  Cost     `json:"cost"`
}

// An Event is a command or an event about the order, or a deadline that came.
type Event struct {
	// No is its number in the story, from 1 on.
	No int `json:"no"`
	// At is the timestamp of the record. What is said has that of what it was said
	// at. For a deadline it is the deadline.
	At   time.Time `json:"at"`
	Type string    `json:"type"`
	// Place is that of the record; for a deadline that of the journal's.
	Place
	// By is the processor that wrote it, or who else did.
	By string `json:"by,omitempty"`
	// ID is the event's own, or the one that others name it by.
	ID string `json:"id,omitempty"`
	// Causes are the ids of what it follows from, Because the numbers of these in the
	// story, Missing the ids whose records were not found.
	Causes  []string `json:"causes,omitempty"`
	Because []int    `json:"because,omitempty"`
	Missing []string `json:"missing,omitempty"`
	// CopyOf is the number of the event of which this is a copy under another key.
	CopyOf int `json:"copy_of,omitempty"`
	// Depth is how many steps it is from what nobody here caused.
	Depth int `json:"depth"`
	// Words say in a few words what it says.
	Words string `json:"words,omitempty"`
	// Row is what it did to a row, if the row is followed.
	Row *Change `json:"row,omitempty"`
	// Refused tells that confirm could not process it: it is in the dead letters.
	Refused bool            `json:"refused,omitempty"`
	Value   json.RawMessage `json:"value"`
	// LeftOut tells that the value is not given, since those before it came to
	// [MaxValueBytes].
	LeftOut bool `json:"left_out,omitempty"`

	record *kgo.Record // until its value is given
}

// A Change is a row before and after an event.
type Change struct {
	Processor string `json:"processor"`
	// Before and After are the row, null where there is none. Both are missing if they
	// are left out, since those before them came to [MaxRowBytes].
	Before  json.RawMessage `json:"before,omitempty"`
	After   json.RawMessage `json:"after,omitempty"`
	LeftOut bool            `json:"left_out,omitempty"`
	// Words say what has changed.
	Words string `json:"words"`
}

// TypeDeadline is the type of a deadline that came.
const TypeDeadline = "Deadline"

// ErrUnknown means that no topic says anything of the order.
var ErrUnknown = errors.New("history: no topic says anything of the order")

// Story tells what happened to an order, or returns [ErrUnknown] or [ErrLong].
func (r *Reader) Story(ctx context.Context, order string) (*Story, error) {
	records, err := r.records(ctx, order)
	if err != nil {
		return nil, err
	}
	if len(records) == 0 {
		return nil, ErrUnknown
	}
	s := &Story{Order: order, Events: []Event{}, Row: null, Horizon: r.horizon(order)}
	for _, k := range records {
		if r.decoders[k.Topic] != nil {
			s.Events = append(s.Events, r.tell(k))
		}
	}
	f, err := r.fold(ctx, order, records)
	if err != nil {
		return nil, err
	}
	rows := &allowance{bytes: MaxRowBytes}
	if err := s.commands(r, order, records, rows); err != nil {
		return nil, err
	}
	if err := s.follow(r, f, rows); err != nil {
		return nil, err
	}
	s.arrange(r, f)
	s.State, s.Why = outcome(s.Events)
	s.notes(r, f)
	s.values(r)
	s.leftOut(rows)
	s.Cost = r.cost()
	return s, nil
}

// null is the row that is not there.
var null = json.RawMessage("null")

func rowJSON(row *confirm.Row) (json.RawMessage, error) {
	if row == nil {
		return null, nil
	}
	return schemas.ConfirmRows.JSON(row)
}

// tell returns a record as it is in a story.
func (r *Reader) tell(k *kgo.Record) Event {
	e := Event{At: k.Timestamp.UTC(), Type: "unreadable", Place: placeOf(k), Value: null}
	what, err := r.decoders[k.Topic](k.Value)
	if err != nil {
		return e
	}
	e.Type, e.ID, e.Causes, e.Words = what.Kind, what.ID(), what.Meta.GetCauses(), what.Words()
	e.record = k
	if t, ok := r.o.Topology.Topic(k.Topic); ok {
		for _, kind := range t.Holds {
			if kind.Name == e.Type {
				e.By = kind.Writer
			}
		}
	}
	return e
}

// values gives the events their values, in the order of the story.
func (s *Story) values(r *Reader) {
	values := &allowance{bytes: MaxValueBytes}
	first := 0
	for i := range s.Events {
		e := &s.Events[i]
		k := e.record
		if e.record = nil; k == nil {
			continue
		}
		if values.out == 0 {
			what, _ := r.decode(k)
			value, err := what.JSON()
			if err != nil {
				continue
			}
			if values.take(len(value)) {
				e.Value = value
				continue
			}
			first = e.No
		} else {
			values.take(0)
		}
		e.LeftOut = true
	}
	if values.out > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("values are given up to %d MiB: those of %d events are "+
			"left out, from %d on; the records are at their places", MaxValueBytes>>20, values.out, first))
	}
}

// leftOut says that rows are left out.
func (s *Story) leftOut(rows *allowance) {
	if rows.out == 0 {
		return
	}
	i := slices.IndexFunc(s.Events, func(e Event) bool { return e.Row != nil && e.Row.LeftOut })
	s.Notes = append(s.Notes, fmt.Sprintf("rows before and after are given up to %d MiB: those of %d "+
		"events are left out, the first at %d; tally state %s --at %s gives the row after it, and so on",
		MaxRowBytes>>20, rows.out, s.Events[i].No, s.Order, s.Events[i].Place))
}

// follow puts what confirm did to what is told, and says what the row is at the end.
func (s *Story) follow(r *Reader, f *fold, rows *allowance) error {
	at := make(map[Place]int, len(s.Events))
	for i := range s.Events {
		at[s.Events[i].Place] = i
	}
	var row *confirm.Row
	text := null // of the row, as long as rows are given
	for i := range f.moments {
		m := &f.moments[i]
		told, known := at[m.place]
		if m.told = told; m.fired != nil || !known {
			m.told = len(s.Events)
			s.Events = append(s.Events, Event{At: m.at, Place: m.place, Value: null})
		}
		e := &s.Events[m.told]
		e.Refused = m.refused
		if m.fired != nil {
			e.Type, e.By = TypeDeadline, topology.Confirm
			e.Words = "passed by the " + m.fired.Clock + " clock at " +
				time.UnixMicro(m.fired.Now).UTC().Format(time.RFC3339)
		} else if e.Type == "" {
			e.Type, e.Words = "Retry", "a dead letter is processed again"
		}
		if !m.changed {
			continue
		}
		was := row
		row, _ = confirm.Step(r.o.Rules, was, m.event)
		e.Row = &Change{Processor: topology.Confirm, Words: changed(was, row)}
		if err := e.Row.give(row, &text, rows); err != nil {
			return err
		}
	}
	var err error
	s.Row, err = rowJSON(row)
	return err
}

// give gives the row before, of which text is the JSON, and the row after, of which
// it is then, if there is room for them.
func (c *Change) give(row *confirm.Row, text *json.RawMessage, rows *allowance) error {
	if rows.out > 0 {
		c.LeftOut = !rows.take(0)
		return nil
	}
	after, err := rowJSON(row)
	if err != nil {
		return err
	}
	if c.LeftOut = !rows.take(len(*text) + len(after)); !c.LeftOut {
		c.Before, c.After = *text, after
	}
	*text = after
	return nil
}

// notes says what could not be told.
func (s *Story) notes(r *Reader, f *fold) {
	for _, p := range f.open {
		s.Notes = append(s.Notes, "no worker has processed "+p.String()+" yet")
	}
	for _, p := range f.lost {
		s.Notes = append(s.Notes, p.String()+" was processed before the journal begins: rows before "+
			"and after are not known")
	}
	said := map[string]bool{}
	for i := range f.moments {
		for _, id := range f.moments[i].said {
			said[id] = true
		}
	}
	if len(f.lost) > 0 {
		return
	}
	n := r.o.Names
	for i := range s.Events {
		e := &s.Events[i]
		if e.Topic != n.Confirmations && e.Topic != n.Exceptions {
			continue
		}
		if !said[e.ID] {
			s.Notes = append(s.Notes, e.Type+" at "+e.Place.String()+" is not what the rules say: "+
				"are they those of the workers? tally audit looks closer")
		}
	}
}

// ends are the events that change what an order is, and what it is then. Those
// further down count more, whenever they came: a cancel after the confirmation
// changes nothing.
var ends = []struct{ event, state string }{
	{"PaymentReceived", "awaiting its order"},
	{"PlaceOrder", "asked for"},
	{"OrderRefused", "refused"},
	{"OrderPlaced", "placed"},
	{"OrderValidated", "validated"},
	{"OrderRejected", "rejected"},
	{"OrderCancelled", "cancelled"},
	{"OrderExpired", "expired"},
	{"OrderConfirmed", "confirmed"},
}

// outcome is what the events make of the order, and which of them did.
func outcome(events []Event) (state, why string) {
	state = "unknown"
	for _, end := range ends {
		for i := range events {
			if e := &events[i]; e.Type == end.event {
				state, why = end.state, e.Type+" at "+e.Place.String()
				if e.Words != "" {
					why += ": " + e.Words
				}
				break
			}
		}
	}
	return state, why
}

// commands puts the row of the service orders to the commands. It has one input,
// so that the order of its records is that of the topic.
func (s *Story) commands(
	r *Reader, order string, records []*kgo.Record, rows *allowance,
) error {
	var asked []*kgo.Record
	for _, k := range records {
		if k.Topic == r.o.Names.OrderCommands && r.o.Chain {
			asked = append(asked, k)
		}
	}
	slices.SortFunc(asked, func(a, b *kgo.Record) int { return cmp.Compare(a.Offset, b.Offset) })
	steps, err := orderRows(order, asked)
	if err != nil {
		return err
	}
	for i := range s.Events {
		change := steps[s.Events[i].Place]
		if change == nil {
			continue
		}
		if s.Events[i].Row = change; !rows.take(len(change.Before) + len(change.After)) {
			change.Before, change.After, change.LeftOut = nil, nil, true
		}
	}
	return nil
}

// decode reads a record of any topic of events; false if it cannot be read.
func (r *Reader) decode(k *kgo.Record) (reading.Event, bool) {
	read := r.decoders[k.Topic]
	if read == nil {
		return reading.Event{}, false
	}
	e, err := read(k.Value)
	return e, err == nil
}
