package history

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/processors/confirm"
	"tallystick/query/replay"
	"tallystick/schemas"
	"tallystick/topology"
)

// An input makes the event of confirm that a value of one of its inputs holds; nil
// if confirm has nothing to do with it. It refuses what a worker refuses.
type input func(key string, value []byte, at confirm.Clock) (confirm.Event, error)

// inputsOf returns the inputs of confirm.
func inputsOf(n topology.Names, chain bool) map[string]input {
	joined := n.Payments
	if chain {
		joined = n.PaymentsByOrder
	}
	return map[string]input{
		n.Orders: func(key string, value []byte, at confirm.Clock) (confirm.Event, error) {
			m, err := schemas.Orders.Unmarshal(value)
			if err == nil {
				err = schemas.CheckKey(key, m)
			}
			if err != nil {
				return nil, err
			}
			return confirm.OfOrder(m, at), nil
		},
		joined: func(key string, value []byte, at confirm.Clock) (confirm.Event, error) {
			m, err := schemas.Payments.Unmarshal(value)
			if err == nil {
				err = schemas.CheckKey(key, m)
			}
			if err != nil {
				return nil, err
			}
			return confirm.OfPayment(m, at), nil
		},
		n.Corrections: func(key string, value []byte, at confirm.Clock) (confirm.Event, error) {
			m, err := schemas.Corrections.Unmarshal(value)
			if err == nil {
				err = schemas.CheckKey(key, m)
			}
			if err != nil {
				return nil, err
			}
			return confirm.OfCorrection(m, at), nil
		},
	}
}

// A moment is one thing that confirm did with an order: it took a record in, or a
// deadline came.
type moment struct {
	// place is that of the record, or that of the journal's page which has the
	// deadline.
	place Place
	// at is the timestamp of the record, or the deadline.
	at time.Time
	// fired is nil for a record.
	fired *firing
	// refused tells that the record is in the dead letters instead.
	refused bool
	// event is nil if confirm has nothing to do with the record. The row after it is not
	// kept, since each can be as long as all events: it is made again by them.
	event confirm.Event
	// changed tells that the row was another one after it.
	changed bool
	// said are the ids of what was said.
	said []string
	// told is the index of its event in a story that is not arranged yet.
	told int
}

// A fold is what confirm did with an order, in the order in which it did.
type fold struct {
	moments []moment
	// open are the records that no worker has come to yet.
	open []Place
	// lost are those that were processed before the journal begins.
	lost []Place
}

// row applies what was done to no row, and returns the last one and whether there
// ever was one.
func (r *Reader) row(moments []moment) (row *confirm.Row, ever bool) {
	for i := range moments {
		if e := moments[i].event; e != nil {
			row, _ = confirm.Step(r.o.Rules, row, e)
			ever = ever || row != nil
		}
	}
	return row, ever
}

// A folder applies the rules to an order's records again.
type folder struct {
	r     *Reader
	order string
	p     int32
	row   *confirm.Row
	out   fold
	// offsets are those of the order's records by topic, sorted.
	offsets map[string][]int64
}

// fold replays what confirm did with the records of an order.
func (r *Reader) fold(ctx context.Context, order string, records []*kgo.Record) (*fold, error) {
	f := &folder{
		r: r, order: order, p: r.partition(r.o.Names.Orders, order), offsets: map[string][]int64{},
	}
	r.journal.partition = f.p
	own := map[Place]bool{}
	for _, k := range records {
		if _, ok := r.inputs[k.Topic]; (ok || r.retries(k.Topic)) && k.Partition == f.p {
			own[placeOf(k)] = true
		}
	}
	for p := range own {
		f.offsets[p.Topic] = append(f.offsets[p.Topic], p.Offset)
	}
	for _, offsets := range f.offsets {
		slices.Sort(offsets)
	}
	transactions, err := f.locate(ctx, own)
	if err != nil {
		return nil, err
	}
	end := r.journal.span().End
	for i, t := range transactions {
		if err := f.repeat(ctx, t, own); err != nil {
			return nil, err
		}
		next := end
		if i+1 < len(transactions) {
			next = transactions[i+1].start()
		}
		if err := f.lapse(ctx, t.end, next); err != nil {
			return nil, err
		}
	}
	return &f.out, nil
}

func (r *Reader) retries(topic string) bool {
	return r.o.Retried != nil && topic == r.o.Names.Retry(topology.Confirm)
}

// locate returns the transactions in which the records were processed, in their
// order, each once.
func (f *folder) locate(ctx context.Context, own map[Place]bool) ([]*transaction, error) {
	places := make([]Place, 0, len(own))
	for p := range own {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Offset, b.Offset))
	})
	start := f.r.journal.span().Start
	from := map[string]int64{}
	var found []*transaction
	for _, p := range places {
		lo, known := from[p.Topic]
		if !known {
			lo = start
		}
		t, err := f.r.journal.with(ctx, p.Topic, p.Offset, lo)
		switch {
		case err != nil:
			return nil, err
		case t == nil && start > 0 && !known:
			f.out.lost = append(f.out.lost, p)
		case t == nil:
			f.out.open = append(f.out.open, p)
		default:
			found, from[p.Topic] = append(found, t), t.start()
		}
	}
	compare := func(a, b *transaction) int { return cmp.Compare(a.start(), b.start()) }
	slices.SortFunc(found, compare)
	same := func(a, b *transaction) bool { return compare(a, b) == 0 }
	return slices.CompactFunc(found, same), nil
}

// repeat applies what one transaction did with the order.
func (f *folder) repeat(ctx context.Context, t *transaction, own map[Place]bool) error {
	left := t.among(f.offsets)
	for _, s := range t.pages {
		for i := range s.Fired {
			if s.Fired[i].RowKey() == f.order {
				left++
			}
		}
	}
	for d, err := range f.r.log.Transaction(ctx, f.p, t.pages) {
		if err != nil {
			return fmt.Errorf("history: %w", err)
		}
		switch {
		case d.Fired != nil && d.Fired.RowKey() == f.order:
			f.fire(&firing{*d.Fired, d.Segment})
		case d.Record != nil && own[placeOf(d.Record)]:
			if err := f.take(d); err != nil {
				return err
			}
		default:
			continue
		}
		if left--; left == 0 {
			break // what else the transaction did is nobody's business here
		}
	}
	return nil
}

// take applies a record.
func (f *folder) take(d replay.Done) error {
	m := moment{
		place: placeOf(d.Record), at: d.Record.Timestamp.UTC(), refused: d.Refused,
	}
	record := d.Record
	if f.r.retries(record.Topic) && !d.Refused {
		again, ok := f.r.o.Retried(record)
		if !ok {
			return nil
		}
		record = again
	}
	if read := f.r.inputs[record.Topic]; read != nil && !d.Refused {
		var stream time.Time
		if d.Stream != 0 {
			stream = time.UnixMicro(d.Stream)
		}
		e, err := read(f.order, record.Value, confirm.ClockOf(record.Timestamp, stream))
		if err != nil {
			return fmt.Errorf("history: %s was processed and cannot be read: %w", m.place, err)
		}
		if e != nil {
			f.step(&m, e)
		}
	}
	f.out.moments = append(f.out.moments, m)
	return nil
}

// fire applies a deadline that came.
func (f *folder) fire(at *firing) {
	m := moment{
		place: Place{f.r.journal.topic, f.p, at.page}, at: time.UnixMicro(at.At).UTC(), fired: at,
	}
	f.step(&m, confirm.Lapsed{OrderID: f.order, At: at.At})
	f.out.moments = append(f.out.moments, m)
}

func (f *folder) step(m *moment, e confirm.Event) {
	next, out := confirm.Step(f.r.o.Rules, f.row, e)
	m.event, m.changed = e, next != f.row
	f.row = next
	if out.Confirmed != nil {
		m.said = append(m.said, out.Confirmed.GetMeta().GetId())
	}
	for _, x := range out.Exceptions {
		m.said = append(m.said, x.GetMeta().GetId())
	}
}

// lapse applies the deadlines that came between two offsets of the journal.
func (f *folder) lapse(ctx context.Context, from, to int64) error {
	for f.row != nil && f.row.Deadline != 0 && from < to {
		all, err := f.r.journal.fired(ctx, f.order, f.row.Deadline, from, to)
		if err != nil || all == nil {
			return err
		}
		for i := range all {
			f.fire(&all[i])
		}
		from = all[0].page + 1
	}
	return nil
}
