package engine

import (
	"fmt"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine/journal"
)

// JournalTopic is the name of the topic in which a group's engine writes down the
// order in which records and timers came; see package journal.
func JournalTopic(group string) string { return group + "-journal" }

// pageNumbers is how many numbers a segment holds before another one is begun. It
// keeps segments far below the largest record that Kafka takes by default.
const pageNumbers = 30_000

// pages are what is to be written to the journal with the open transaction.
type pages struct {
	off  bool
	mu   sync.Mutex
	open map[int32][]*journal.Segment
	fire map[int32]int // what the timers of the last segment take, in numbers
}

func newPages(on bool) *pages {
	return &pages{off: !on, open: map[int32][]*journal.Segment{}, fire: map[int32]int{}}
}

// last returns the segment to write to; mu is held. The first one of a transaction
// begins with the clock, which nobody moves at that moment.
func (j *pages) last(partition int32, c *clock) *journal.Segment {
	all := j.open[partition]
	if len(all) == 0 {
		all = append(all, &journal.Segment{Clock: c.snapshot()})
		j.open[partition] = all
	}
	s := all[len(all)-1]
	if len(s.Runs)+len(s.Skipped)+len(s.Refused)+j.fire[partition] > pageNumbers {
		s = new(journal.Segment)
		j.open[partition] = append(all, s)
		j.fire[partition] = 0
	}
	return s
}

func topicIndex(s *journal.Segment, topic string) int64 {
	if i := slices.Index(s.Topics, topic); i >= 0 {
		return int64(i)
	}
	s.Topics = append(s.Topics, topic)
	return int64(len(s.Topics) - 1)
}

// delivered notes records in the order in which they are delivered.
func (j *pages) delivered(partition int32, c *clock, records []*kgo.Record) {
	if j.off || len(records) == 0 {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n].Topic == records[0].Topic {
			n++
		}
		s := j.last(partition, c)
		if len(s.Fired) > 0 { // runs come before timers
			s = new(journal.Segment)
			j.open[partition] = append(j.open[partition], s)
			j.fire[partition] = 0
		}
		s.Runs = append(s.Runs, topicIndex(s, records[0].Topic), records[0].Offset, records[n-1].Offset)
		records = records[n:]
	}
}

// bury notes a record that goes to the dead letters: one that was delivered and
// refused, or that was not delivered.
func (j *pages) bury(c *clock, at spot, delivered bool) {
	if j.off || c == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.last(at.partition, c)
	if delivered {
		s.Refused = append(s.Refused, topicIndex(s, at.topic), at.offset)
	} else {
		s.Skipped = append(s.Skipped, topicIndex(s, at.topic), at.offset)
	}
}

// fired notes timers.
func (j *pages) fired(partition int32, c *clock, records []*kgo.Record, now int64) {
	if j.off {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range records {
		s := j.last(partition, c)
		s.Fired = append(s.Fired, journal.NewFiring(r.Key, r.Timestamp.UnixMicro(),
			string(r.Value), now))
		j.fire[partition] += 12 + len(r.Key)/3 // JSON can make six letters of one
	}
}

// take returns the segments of all partitions, and begins anew.
func (j *pages) take() map[int32][]*journal.Segment {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := j.open
	j.open = make(map[int32][]*journal.Segment, len(all))
	clear(j.fire)
	return all
}

// snapshot is the clock as the journal has it.
func (c *clock) snapshot() *journal.Clock {
	known := func(at int64) *int64 {
		if at == never {
			return nil
		}
		return &at
	}
	s := &journal.Clock{
		Stream: known(c.stream.Load()), Ahead: known(c.ahead), Inputs: map[string]journal.Hand{},
	}
	for i := range c.inputs {
		h := &c.inputs[i]
		s.Inputs[h.topic] = journal.Hand{High: known(h.high), Idle: h.idle}
	}
	return s
}

// writeJournal puts the transaction's segments into it. All callbacks have finished.
func (t *transaction) writeJournal() error {
	for partition, segments := range t.s.journal.take() {
		var err error
		if segments[len(segments)-1].Table, err = t.ep.e.tableAfter(partition); err != nil {
			return err
		}
		for _, s := range segments {
			value, err := s.Marshal()
			if err != nil {
				return fmt.Errorf("engine: %w", err)
			}
			t.ep.produce(&kgo.Record{
				Topic: JournalTopic(t.ep.e.cfg.Group), Partition: partition,
				Key: []byte{}, Value: value,
			}, t.ep.wrote)
		}
	}
	return nil
}

// tableAfter is what a partition of the group's table holds when the open transaction
// is committed; nil if the group has none.
func (e *Engine) tableAfter(partition int32) (*journal.Table, error) {
	e.mu.Lock()
	table := e.tables[partition]
	e.mu.Unlock()
	if table == nil {
		return nil, nil
	}
	sum, err := table.PendingFingerprint()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRow, err)
	}
	return &journal.Table{Fingerprint: sum.String(), Rows: sum.Rows()}, nil
}
