package replay

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine/journal"
)

// A Done is one thing that an engine did with: a record or a timer.
type Done struct {
	// Record was read, or Fired came; the other one is nil.
	Record *kgo.Record
	Fired  *journal.Firing
	// Refused says that no callback finished the record: it is in the dead letters.
	Refused bool
	// Stream is the stream time at that moment, in microseconds since 1970, or 0.
	Stream int64
	// Segment is the offset in the journal.
	Segment int64
	// Begins says that it is the first of its transaction.
	Begins bool
	// Table is what the partition of the group's table holds after the transaction;
	// nil if the journal does not say it.
	Table *journal.Table
}

// Merged repeats what a group did in one partition, in the order in which its
// journal has it. The log has to hold the journal and all topics that it names.
// An error ends the sequence, and is its last element.
func (l *Log) Merged(
	ctx context.Context, journalTopic string, partition int32,
) iter.Seq2[Done, error] {
	return func(yield func(Done, error) bool) {
		m := merger{
			ctx: ctx, log: l, partition: partition, yield: yield, inputs: map[string]*cursor{},
		}
		defer m.close()
		if err := m.all(journalTopic); err != nil && !m.stopped {
			yield(Done{}, err)
		}
	}
}

type merger struct {
	ctx       context.Context //nolint:containedctx // it lives as long as one range over Merged
	log       *Log
	partition int32
	yield     func(Done, error) bool
	inputs    map[string]*cursor
	spans     map[string]Span // what is read of the inputs; nil is all of them
	clock     follower
	begins    bool // a transaction of which nothing was given yet
	table     *journal.Table
	stopped   bool
}

// A Page is a segment and its offset in the journal.
type Page struct {
	*journal.Segment
	Offset int64
}

// all goes through the journal, a transaction at a time: one begins with the
// segment that has a clock.
func (m *merger) all(topic string) error {
	var pages []Page
	for r, err := range m.log.Records(m.ctx, topic, m.partition) {
		if err != nil {
			return err
		}
		s, err := journal.Parse(r.Value)
		if err != nil {
			return fmt.Errorf("%s/%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
		}
		if s.Clock != nil {
			if err := m.transaction(pages); err != nil || m.stopped {
				return err
			}
			pages = pages[:0]
		}
		pages = append(pages, Page{s, r.Offset})
	}
	return m.transaction(pages)
}

type spot struct {
	topic  string
	offset int64
}

func (m *merger) transaction(pages []Page) error {
	m.begins, m.table = true, nil
	if len(pages) > 0 {
		m.table = pages[len(pages)-1].Table
	}
	skipped, refused := map[spot]bool{}, map[spot]bool{}
	for _, s := range pages {
		note(skipped, s.Topics, s.Skipped)
		note(refused, s.Topics, s.Refused)
	}
	for _, s := range pages {
		if s.Clock != nil {
			m.clock.set(s.Clock)
		}
		for i := 0; i < len(s.Runs) && !m.stopped; i += 3 {
			topic := s.Topics[s.Runs[i]]
			if err := m.run(topic, s.Runs[i+1], s.Runs[i+2], s.Offset, skipped, refused); err != nil {
				return err
			}
		}
		if err := m.undelivered(skipped, s.Offset); err != nil {
			return err
		}
		for i := range s.Fired {
			if m.stopped {
				return nil
			}
			m.give(Done{Fired: &s.Fired[i], Stream: m.clock.stream, Segment: s.Offset})
		}
	}
	return nil
}

func note(set map[spot]bool, topics []string, pairs []int64) {
	for i := 0; i < len(pairs); i += 2 {
		set[spot{topics[pairs[i]], pairs[i+1]}] = true
	}
}

// run gives the records of one run.
func (m *merger) run(
	topic string, first, last, segment int64, skipped, refused map[spot]bool,
) error {
	c := m.inputs[topic]
	if c == nil {
		span, bounded := m.spans[topic]
		if !bounded {
			span = m.log.Span(topic, m.partition)
		}
		c = &cursor{}
		c.next, c.stop = iter.Pull2(m.log.Range(m.ctx, topic, m.partition, span.Start, span.End))
		m.inputs[topic] = c
	}
	for !m.stopped {
		r, err := c.peek()
		switch {
		case err != nil:
			return err
		case r == nil || r.Offset > last:
			return nil
		}
		c.at = nil
		at := spot{topic, r.Offset}
		switch {
		case skipped[at]:
			delete(skipped, at)
			m.give(Done{Record: r, Refused: true, Stream: m.clock.stream, Segment: segment})
		case r.Offset >= first:
			m.clock.advance(topic, r.Timestamp.UnixMicro())
			m.give(Done{
				Record: r, Refused: refused[at], Stream: m.clock.stream, Segment: segment,
			})
		}
	}
	return nil
}

// undelivered gives the records of a transaction that were in no run.
func (m *merger) undelivered(skipped map[spot]bool, segment int64) error {
	last := map[string]int64{}
	for at := range skipped {
		last[at.topic] = max(last[at.topic], at.offset)
	}
	for _, topic := range slices.Sorted(maps.Keys(last)) {
		const none = math.MaxInt64 // first of a run that has no records
		if err := m.run(topic, none, last[topic], segment, skipped, nil); err != nil {
			return err
		}
	}
	return nil
}

func (m *merger) give(d Done) {
	d.Begins, m.begins = m.begins, false
	d.Table = m.table
	m.stopped = !m.yield(d, nil)
}

func (m *merger) close() {
	for _, c := range m.inputs {
		c.stop()
	}
}

// A cursor stands on a record of an input.
type cursor struct {
	next func() (*kgo.Record, error, bool)
	stop func()
	at   *kgo.Record
}

// peek returns the record at the cursor, nil at the end.
func (c *cursor) peek() (*kgo.Record, error) {
	if c.at == nil {
		r, err, ok := c.next()
		if err != nil || !ok {
			return nil, err
		}
		c.at = r
	}
	return c.at, nil
}

// A follower repeats the clock of a partition, as package journal describes it.
type follower struct {
	stream, ahead int64
	high          map[string]int64
	idle          map[string]bool
}

func (f *follower) set(c *journal.Clock) {
	f.stream, f.ahead = 0, math.MaxInt64
	if c.Stream != nil {
		f.stream = *c.Stream
	}
	if c.Ahead != nil {
		f.ahead = *c.Ahead
	}
	f.high, f.idle = map[string]int64{}, map[string]bool{}
	for topic, h := range c.Inputs {
		f.high[topic], f.idle[topic] = math.MinInt64, h.Idle
		if h.High != nil {
			f.high[topic] = *h.High
		}
	}
}

func (f *follower) advance(topic string, at int64) {
	high, input := f.high[topic]
	if !input || at > f.ahead || at <= high && !f.idle[topic] {
		return
	}
	f.high[topic], f.idle[topic] = max(high, at), false
	low := int64(math.MaxInt64)
	for t, high := range f.high {
		if !f.idle[t] {
			low = min(low, high)
		}
	}
	f.stream = max(f.stream, low)
}
