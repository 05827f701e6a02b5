package whatif

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/processors/confirm"
	"tallystick/query/replay"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A Partition is the replay of one partition. It is fed with what the journal says
// was done, and with what came out, each topic in its order, and then closed.
type Partition struct {
	o      Options
	rows   rows
	queue  queue
	sides  comparison
	report *Report
	// reached is how far the clocks are after what was taken last, clock how far they
	// were at most.
	reached, clock int64
	// deadlines are those that the table has for the keys that differ.
	deadlines map[string]int64
	// held counts, by key, the dead letters that nobody has dealt with.
	held map[string]int
	// dues are, where orders are to be due earlier, the times that they named and have.
	dues map[string]due
	// outside are the keys of orders that were not asked for.
	outside map[string]bool
	// inFlight are the keys that a worker was at, or should be.
	inFlight map[string]bool
}

// ErrTimer means that the decision leaves a deadline as it was when it has come. A
// worker would stop with it.
var ErrTimer = errors.New("a deadline that has come is left as it was")

// NewPartition returns a partition of which nothing is known.
func NewPartition(o Options) *Partition {
	if o.Step == nil {
		o.Step = confirm.Step
	}
	return &Partition{
		o: o, rows: rows{}, sides: newComparison(o.Rules.RepeatSpeech), report: NewReport(),
		deadlines: map[string]int64{}, held: map[string]int{}, outside: map[string]bool{},
		inFlight: map[string]bool{}, dues: map[string]due{},
	}
}

// InFlight notes that a worker was at a key while the outputs were read. What
// differs about it is left out.
func (p *Partition) InFlight(d replay.Done) {
	if d.Record == nil {
		p.inFlight[d.Fired.RowKey()] = true
	} else {
		p.inFlight[string(d.Record.Key)] = true
	}
}

// Take repeats one thing that the group did. Deadlines come at the end of the
// transaction in which the clocks have passed them.
func (p *Partition) Take(d replay.Done) error {
	if d.Begins {
		if err := p.advance(p.reached); err != nil {
			return err
		}
	}
	p.reached = d.Stream - 1 // a record at the deadline itself is in time
	p.clock = max(p.clock, p.reached)
	if d.Record != nil {
		return p.record(d)
	}
	if d.Fired.Now > d.Stream {
		// All inputs rest, and the time of day counts. What was due and came no more in
		// this transaction has a later deadline, and may meet a record before it comes.
		p.reached = max(p.reached, d.Fired.At-1)
		p.clock = max(p.clock, d.Fired.Now)
	}
	key := d.Fired.RowKey()
	if s := p.rows[key]; s != nil && s.due == d.Fired.At {
		return p.lapse(key, s.due)
	}
	return nil
}

// record repeats a record.
func (p *Partition) record(d replay.Done) error {
	r := d.Record
	if r.Topic == p.o.Topics.Retries && p.o.Topics.Retries != "" {
		return p.retry(d)
	}
	p.report.Records++
	if d.Refused {
		p.report.Refused++
		if p.o.Parking && r.Key != nil {
			p.held[string(r.Key)]++
		}
		return nil
	}
	return p.deliver(r, d.Stream)
}

// retry repeats what somebody asked to do about a dead letter.
func (p *Partition) retry(d replay.Done) error {
	if d.Refused || p.o.Retried == nil {
		return nil
	}
	again, ok := p.o.Retried(d.Record)
	key := string(d.Record.Key)
	if ok {
		key = string(again.Key)
		p.report.Refused--
		if err := p.deliver(again, d.Stream); err != nil {
			return err
		}
	}
	if p.held[key] > 1 {
		p.held[key]--
		return nil
	}
	delete(p.held, key)
	p.rows.queue(&p.queue, key)
	return nil
}

// deliver gives a record to the decision.
func (p *Partition) deliver(r *kgo.Record, stream int64) error {
	if !p.asked(r) {
		return nil
	}
	at := confirm.Clock{Recorded: r.Timestamp.UnixMicro(), Stream: stream}
	var e confirm.Event
	switch r.Topic {
	case p.o.Topics.Orders:
		m, err := schemas.Orders.Unmarshal(r.Value)
		if err != nil {
			p.report.unreadable(r, err)
			return nil
		}
		e, err = p.hurried(string(r.Key), m, confirm.OfOrder(m, at))
		if err != nil {
			return err
		}
	case p.o.Topics.Payments:
		m, err := schemas.Payments.Unmarshal(r.Value)
		if err != nil {
			p.report.unreadable(r, err)
			return nil
		}
		e = confirm.OfPayment(m, at)
	case p.o.Topics.Corrections:
		m, err := schemas.Corrections.Unmarshal(r.Value)
		if err != nil {
			p.report.unreadable(r, err)
			return nil
		}
		e = confirm.OfCorrection(m, at)
	}
	if e == nil {
		return nil
	}
	return p.step(string(r.Key), e)
}

// asked tells whether the order of a record is one of those that were asked for.
func (p *Partition) asked(r *kgo.Record) bool {
	if p.o.From.IsZero() && p.o.To.IsZero() {
		return true
	}
	key := string(r.Key)
	out, known := p.outside[key]
	if !known {
		at := r.Timestamp
		out = at.Before(p.o.From) || !p.o.To.IsZero() && !at.Before(p.o.To)
		p.outside[key] = out
	}
	return !out
}

// A due is when an order is due, as it names it, 0 for no time, and as is asked for.
type due struct{ named, asked int64 }

// hurried is an event about an order with the due time that is asked for. Everything
// else of it is as it was, its id with it.
func (p *Partition) hurried(
	key string, m *tallyv1.OrderEvent, e confirm.Event,
) (confirm.Event, error) {
	placed, ok := e.(confirm.Placed)
	if !ok || p.o.DueWithin == 0 {
		return e, nil
	}
	row, err := p.rows[key].open()
	if err != nil {
		return nil, err
	}
	if row != nil { // what is over before the order comes, is over
		before := max(placed.Recorded, placed.Stream) - 1
		row, _ = p.o.Step(p.o.Rules, row, confirm.Lapsed{OrderID: key, At: before})
	}
	if row == nil || !row.Placed && (row.Digest == nil || !row.Digest.Placed) {
		delete(p.dues, key) // it has not come, or is forgotten
	}
	named := int64(0)
	if d := placed.Order.GetDue(); d != nil {
		named = schemas.Micros(d.AsTime())
	}
	known, again := p.dues[key]
	if !again || known.named != named {
		known = due{named, placed.Recorded + p.o.DueWithin.Microseconds()}
		if named != 0 {
			known.asked = min(known.asked, named)
		}
		if !again { // one with another content does not count
			p.dues[key] = known
		}
	}
	order := &tallyv1.OrderPlaced{
		OrderId: placed.Order.GetOrderId(), CustomerId: placed.Order.GetCustomerId(),
		Total: placed.Order.GetTotal(), Lines: placed.Order.GetLines(),
		Due: timestamppb.New(time.UnixMicro(known.asked)),
	}
	placed.ID = schemas.PlacedID(m.GetMeta(), placed.Order)
	placed.Order = order
	return placed, nil
}

// step applies an event to the row of a key.
func (p *Partition) step(key string, e confirm.Event) error {
	s := p.rows[key]
	row, err := s.open()
	if err != nil {
		return err
	}
	next, said := p.o.Step(p.o.Rules, row, e)
	if next != row {
		if err := p.rows.put(&p.queue, key, s, next); err != nil {
			return err
		}
	}
	_, lapsed := e.(confirm.Lapsed)
	return p.say(key, said, lapsed)
}

// say holds what the decision says against what came out.
func (p *Partition) say(key string, said confirm.Outcomes, lapsed bool) error {
	if c := said.Confirmed; c != nil {
		value, err := schemas.Confirmations.Marshal(c)
		if err != nil {
			return fmt.Errorf("order %q: %w", key, err)
		}
		if p.sides.said(Confirmations, key, value, lapsed) {
			p.report.would(factsOf(c), 1)
		}
	}
	for _, x := range said.Exceptions {
		value, err := schemas.Exceptions.Marshal(x)
		if err != nil {
			return fmt.Errorf("order %q: %w", key, err)
		}
		if p.sides.said(Exceptions, key, value, lapsed) {
			p.report.would(factsOf(x), 1)
		}
	}
	return nil
}

// advance lets the deadlines come that are at now or before. A clock may have been
// further already, while all inputs rested.
func (p *Partition) advance(now int64) error {
	for {
		w, ok := p.queue.take(now)
		if !ok {
			return nil
		}
		s := p.rows[w.key]
		if s == nil || s.queued != w.at {
			continue // the row is gone, or has got another place
		}
		s.queued = 0
		switch {
		case p.held[w.key] > 0:
		case s.due > now:
			p.rows.queue(&p.queue, w.key)
		case s.due != 0:
			if err := p.lapse(w.key, s.due); err != nil {
				return err
			}
		}
	}
}

// lapse lets the deadline of a row come.
func (p *Partition) lapse(key string, at int64) error {
	p.report.Fired++
	if err := p.step(key, confirm.Lapsed{OrderID: key, At: at}); err != nil {
		return err
	}
	if s := p.rows[key]; s != nil && s.due != 0 && s.due <= at {
		return fmt.Errorf("%w: order %q", ErrTimer, key)
	}
	return nil
}

// Behind tells whether more was said than has come out so far, of which nothing
// has to be kept as soon as it comes.
func (p *Partition) Behind(o Output) bool { return p.sides.ahead[o] > 0 }

// Came takes in a record that came out.
func (p *Partition) Came(o Output, r *kgo.Record) {
	if p.outside[string(r.Key)] {
		return
	}
	p.sides.came(o, r)
}

// End lets time go on, if that is asked for, when all was taken.
func (p *Partition) End() error {
	if err := p.advance(p.reached); err != nil || p.o.Until.IsZero() {
		return err
	}
	return p.advance(p.o.Until.UnixMicro())
}

// Differs tells, when all was taken and all has come, whether anything differs. It
// may be that workers have not come to a deadline yet: their table, which can then
// be given to Row, tells for which orders.
func (p *Partition) Differs() bool {
	for _, l := range p.sides.open {
		p.deadlines[l.key] = 0
	}
	return len(p.deadlines) > 0
}

// Row takes in a record of the table's changelog.
func (p *Partition) Row(r *kgo.Record) error {
	if _, asked := p.deadlines[string(r.Key)]; !asked {
		return nil
	}
	p.deadlines[string(r.Key)] = 0
	if r.Value == nil {
		return nil
	}
	row, err := schemas.ConfirmRows.Unmarshal(r.Value)
	if err != nil {
		return fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	p.deadlines[string(r.Key)] = row.Deadline
	return nil
}

// Missing tells, when all was taken and all has come, whether something came out
// that was not said. All that came out can then be given to Again, which finds out
// whether it came out more than once.
func (p *Partition) Missing() bool { return p.sides.missing() }

// Again takes in a record that came out for the second time.
func (p *Partition) Again(o Output, r *kgo.Record) { p.sides.again(o, r) }

// overdue tells whether the worker has yet to come to the deadline of a row.
func (p *Partition) overdue(key string) bool {
	deadline := p.deadlines[key]
	return deadline != 0 && deadline <= p.clock
}

// Close returns the report.
func (p *Partition) Close() *Report {
	ranged := !p.o.From.IsZero() || !p.o.To.IsZero()
	p.report.Rows = int64(len(p.rows))
	differ := p.sides.left(func(key string) bool {
		_, known := p.outside[key]
		return p.outside[key] || ranged && !known
	})
	late := map[string]bool{} // keys of which something has only to be said yet
	p.report.conclude(differ, func(l *lonely) bool {
		if p.inFlight[l.key] || !l.lapsed || l.surplus > 0 || !p.overdue(l.key) {
			return p.inFlight[l.key]
		}
		late[l.key] = true
		return true
	}, p.o)
	p.report.InFlight = int64(len(p.inFlight) + len(late))
	return p.report
}
