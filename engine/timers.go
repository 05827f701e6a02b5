package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/state"
)

// Timers give the rows of the group's table deadlines. A row whose deadline has
// come is delivered to the processor as a record of a topic that exists in this
// process only, [TimersTopic], which must be an input of the graph:
//
//   - its key is the row's,
//   - its timestamp is the row's deadline,
//   - its value is a word, "stream" or "wall": the clock that had come so far.
//
// The callback runs in the transaction like any other, sees the row, and has to
// give it a later deadline or none. One that leaves the deadline as it is, or
// panics, stops the worker with [ErrTimer].
//
// A deadline comes when the stream time of its partition is past it, and also
// when all inputs of the partition are idle and the time of day is past it by
// Grace. Rows of a partition come in the order of their deadlines, after the
// records of the transaction in which stream time has passed them. A timer is a
// trigger and no judge: a record of that transaction can come before it though it
// is later than the deadline. A callback that compares the times of records with
// the deadline of the row decides the same, whatever is in one transaction.
type Timers struct {
	// Deadline returns the deadline of an encoded row in microseconds since 1970,
	// or 0 for none. It is called with every row that is written, and must not
	// keep it.
	Deadline func(row []byte) int64
	// Version, at most 254, changes with what Deadline says about the same row; tables
	// on disk of another version are set aside and restored.
	Version uint8
	// Wall makes the time of day alone decide, for deadlines that are about the
	// world outside and not about the records.
	Wall bool
	// Grace is how long after a deadline the time of day lets it come; 1 s.
	Grace time.Duration
}

// TimersTopic is the name of the input by which a group gets its timers.
func TimersTopic(group string) string { return group + "-timers" }

// The clocks that can let a deadline come, as the values of timer records say it.
const (
	streamClock = "stream"
	wallClock   = "wall"
)

const (
	maxFirings = 50_000 // in one transaction
	timerTick  = 250 * time.Millisecond
)

// reached is how far the time has come that decides on the deadlines of a
// partition.
func (s *session) reached(c *clock) int64 {
	t := s.ep.e.cfg.Timers
	wall := time.Now().Add(-t.Grace).UnixMicro()
	if t.Wall {
		return time.Now().UnixMicro()
	}
	// A record at the deadline itself is in time.
	until := c.stream.Load() - 1
	if c.stream.Load() == never {
		until = never
	}
	if c.resting() {
		until = max(until, wall)
	}
	return until
}

// due returns rows of a table whose deadline has come, without those that wait
// behind a dead letter.
func (s *session) due(table *state.Table, limit int) ([]state.Due, error) {
	p := table.Identity().Partition
	c := s.clocks[p]
	if c == nil {
		return nil, nil
	}
	due, err := table.Due(s.reached(c), limit, func(key string) (bool, error) {
		return s.parked(p, key)
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRow, err)
	}
	return due, nil
}

// nap is how long the loop may wait for records, 0 without a limit.
func (ep *epoch) nap() time.Duration {
	if ep.e.cfg.Timers == nil {
		return 0
	}
	return timerTick
}

// overdue tells whether a transaction is needed for timers alone.
func (ep *epoch) overdue(ctx context.Context) (bool, error) {
	ep.mu.Lock()
	s := ep.session
	ep.mu.Unlock()
	if ep.e.cfg.Timers == nil || s == nil || s.clocks == nil {
		return false, nil
	}
	s.lookUp(ctx)
	for _, table := range ep.e.assignedTables() {
		due, err := s.due(table, 1)
		if err != nil || len(due) > 0 {
			return err == nil, err
		}
	}
	return false, nil
}

// fire delivers the rows whose deadlines have come, and what has come by doing so.
func (t *transaction) fire() error {
	if t.ep.e.cfg.Timers == nil {
		return nil
	}
	most := min(maxFirings, t.ep.e.cfg.MaxRecords)
	for n := 0; n < most; {
		round, err := t.fireRound(most - n)
		if err != nil || round == 0 {
			return err
		}
		if err := t.drain(0); err != nil {
			return err
		}
		n += round
		if t.ep.rebalancing.Load() || time.Since(t.ep.began) > t.ep.e.cfg.TransactionTimeout/2 {
			return nil // the rest comes in the next transaction
		}
	}
	return nil
}

func (t *transaction) fireRound(limit int) (int, error) {
	n := 0
	for _, table := range t.ep.e.assignedTables() {
		due, err := t.s.due(table, limit-n)
		if err != nil || len(due) == 0 {
			if err != nil {
				return n, err
			}
			continue
		}
		if err := t.fireAll(table.Identity().Partition, due); err != nil {
			return n, err
		}
		n += len(due)
	}
	return n, nil
}

// fireAll delivers due rows of one partition.
func (t *transaction) fireAll(partition int32, due []state.Due) error {
	topic := TimersTopic(t.ep.e.cfg.Group)
	fired := t.fired[partition]
	if fired == nil {
		fired = map[string]int64{}
		t.fired[partition] = fired
	}
	c := t.s.clocks[partition]
	stream := c.stream.Load()
	records := make([]*kgo.Record, len(due))
	for i, d := range due {
		if at, ok := fired[d.Key]; ok && at >= d.At {
			return t.ep.e.stop(fmt.Errorf("%w: key %s is still due at %s after its timer (hint: the "+
				"callback of %s must give the row a later deadline, or none)", ErrTimer,
				printable([]byte(d.Key)), time.UnixMicro(d.At).UTC().Format(time.RFC3339Nano), topic))
		}
		fired[d.Key] = d.At
		word := wallClock
		if d.At < stream && !t.ep.e.cfg.Timers.Wall {
			word = streamClock
		}
		records[i] = &kgo.Record{
			Topic: topic, Partition: partition, Offset: int64(len(fired)), Key: []byte(d.Key),
			Value: []byte(word), Timestamp: time.UnixMicro(d.At),
		}
	}
	now := max(stream, t.s.reached(c))
	t.s.journal.fired(partition, c, records, now)
	t.ep.e.stats.timers.Add(int64(len(due)))
	return t.s.deliver(partition, records, t.push)
}

// prepareInputs notes the inputs of the graph, and whether it takes timers.
func (e *Engine) prepareInputs(g *goka.GroupGraph) error {
	timers := TimersTopic(e.cfg.Group)
	declared := false
	for _, in := range g.InputStreams() {
		if in.Topic() == timers {
			declared = true
			continue
		}
		e.inputs[in.Topic()] = false
	}
	switch {
	case declared != (e.cfg.Timers != nil):
		return fmt.Errorf("engine: timers: the graph has to have %s as an input if, and only if, "+
			"timers are set", timers)
	case declared && g.GroupTable() == nil:
		return fmt.Errorf("engine: timers: group %s has no table", e.cfg.Group)
	case len(e.inputs) == 0:
		return fmt.Errorf("engine: group %s reads no topic", e.cfg.Group)
	}
	return nil
}

// virtual tells whether a topic of the graph exists in this process only.
func (e *Engine) virtual(topic string) bool {
	return e.isEffect(topic) || topic == TimersTopic(e.cfg.Group)
}

// firstInput is the first of the inputs by name; all have as many partitions.
func (e *Engine) firstInput() string { return slices.Min(slices.Collect(maps.Keys(e.inputs))) }

// prepareJournal makes the journal's topic.
func (e *Engine) prepareJournal(ctx context.Context) error {
	if !e.cfg.Journal {
		return nil
	}
	forever, policy := "-1", "delete"
	return e.admin.ensure(ctx, JournalTopic(e.cfg.Group), int(e.counts[e.firstInput()]),
		map[string]*string{"cleanup.policy": &policy, "retention.ms": &forever})
}
