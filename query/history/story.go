package history

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
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
}

// A Change is a row before and after an event.
type Change struct {
	Processor string `json:"processor"`
	// Before and After are the row, null where there is none.
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
	// Words say what has changed.
	Words string `json:"words"`
}

// TypeDeadline is the type of a deadline that came.
const TypeDeadline = "Deadline"

// ErrUnknown means that no topic says anything of the order.
var ErrUnknown = errors.New("history: no topic says anything of the order")

// Story tells what happened to an order, or returns [ErrUnknown].
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
	if err := s.follow(f); err != nil {
		return nil, err
	}
	if err := s.commands(r, order, records); err != nil {
		return nil, err
	}
	s.arrange(r, f)
	s.State, s.Why = outcome(s.Events)
	if s.Row, err = rowJSON(f.row(len(f.moments))); err != nil {
		return nil, err
	}
	s.notes(r, f)
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
	if value, err := what.JSON(); err == nil {
		e.Value = value
	}
	if t, ok := r.o.Topology.Topic(k.Topic); ok {
		for _, kind := range t.Holds {
			if kind.Name == e.Type {
				e.By = kind.Writer
			}
		}
	}
	return e
}

// follow puts what confirm did to what is told.
func (s *Story) follow(f *fold) error {
	for i := range f.moments {
		m := &f.moments[i]
		m.told = -1
		if m.fired == nil {
			m.told = slices.IndexFunc(s.Events, func(e Event) bool { return e.Place == m.place })
		}
		if m.told < 0 {
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
		if m.before == m.after {
			continue
		}
		before, err := rowJSON(m.before)
		if err != nil {
			return err
		}
		after, err := rowJSON(m.after)
		if err != nil {
			return err
		}
		e.Row = &Change{topology.Confirm, before, after, changed(m.before, m.after)}
	}
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
func (s *Story) commands(r *Reader, order string, records []*kgo.Record) error {
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
		if change := steps[s.Events[i].Place]; change != nil {
			s.Events[i].Row = change
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
