package engine

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// never is the highest timestamp of an input of which no record is known.
const never = math.MinInt64

// peekBytes is how much of an input is fetched to see whether it has a record: a lot
// of markers, and no more than that of records that are only looked at.
const peekBytes = 64 << 10

// A clock tells the stream time of one partition: the minimum over its inputs of
// the highest timestamp of their records, those left out that are idle, and those
// that [Config.Untimed] names. It never goes back. All times are in microseconds
// since 1970.
//
// Within a transaction it is moved by the goroutine that runs the callbacks, with
// each record; between the last mark and the next delivery by the engine's.
type clock struct {
	inputs []hand
	stream atomic.Int64 // never, if it is not known
	ahead  int64        // a later timestamp is from the far future
	far    int          // how many of those there were in the transaction
}

// A hand is what a clock knows of one input.
type hand struct {
	topic    string
	high     int64
	idle     bool
	heard    time.Time // when the input gave a record last
	position int64     // of the next record, -1 if not known
}

func newClock() *clock {
	c := &clock{ahead: math.MaxInt64}
	c.stream.Store(never)
	return c
}

// time is the stream time, zero if it is not known or there is no clock.
func (c *clock) time() time.Time {
	if c == nil || c.stream.Load() == never {
		return time.Time{}
	}
	return time.UnixMicro(c.stream.Load())
}

// advance moves the clock by a record. One from the far future is counted and
// moves nothing: it would make everything late that comes after it.
func (c *clock) advance(topic string, timestamp time.Time) {
	h, at := c.hand(topic), timestamp.UnixMicro()
	switch {
	case h == nil: // it has no part in the clock
	case at > c.ahead:
		c.far++
	case at > h.high || h.idle:
		h.high, h.idle = max(h.high, at), false
		c.settle()
	}
}

// hand returns what is known of an input, nil if it has no part in the clock. It
// looks at the names alone: who delivers records writes other fields meanwhile.
func (c *clock) hand(topic string) *hand {
	for i := range c.inputs {
		if h := &c.inputs[i]; h.topic == topic {
			return h
		}
	}
	return nil
}

// settle brings the stream time up to what the inputs say.
func (c *clock) settle() {
	low := int64(math.MaxInt64)
	for i := range c.inputs {
		if h := &c.inputs[i]; !h.idle {
			low = min(low, h.high)
		}
	}
	if low == math.MaxInt64 { // all are idle: the latest that was heard of
		low = never
		for i := range c.inputs {
			low = max(low, c.inputs[i].high)
		}
	}
	if low > c.stream.Load() {
		c.stream.Store(low)
	}
}

// resting tells that all inputs are idle.
func (c *clock) resting() bool {
	for i := range c.inputs {
		if !c.inputs[i].idle {
			return false
		}
	}
	return true
}

// fetched notes that an input gave a record, and where its next one will be.
func (c *clock) fetched(topic string, next int64) {
	if h := c.hand(topic); h != nil {
		h.heard, h.position = time.Now(), next
	}
}

// The clock is kept with the committed offsets, as their metadata, so that the
// transaction that moves the one moves the other and both survive the loss of a
// disk.

const clockMark = "tally1"

// mark returns the metadata for the offset of an input.
func (c *clock) mark(topic string) (string, bool) {
	for i := range c.inputs {
		if c.inputs[i].topic == topic {
			return fmt.Sprintf("%s %d %d", clockMark, c.inputs[i].high, c.stream.Load()), true
		}
	}
	return "", false
}

// add adds an input with what the metadata of its offset says, if it is ours.
func (c *clock) add(topic string, at committedOffset) {
	h := hand{topic: topic, high: never, heard: time.Now(), position: at.offset}
	if high, stream, ok := readMark(at.metadata); ok {
		h.high = high
		c.stream.Store(max(c.stream.Load(), stream))
	}
	c.inputs = append(c.inputs, h)
}

// readMark reads the metadata of an offset, if it is ours.
func readMark(metadata string) (high, stream int64, ok bool) {
	f := strings.Fields(metadata)
	if len(f) != 3 || f[0] != clockMark {
		return never, never, false
	}
	high, err := strconv.ParseInt(f[1], 10, 64)
	stream, err2 := strconv.ParseInt(f[2], 10, 64)
	return high, stream, err == nil && err2 == nil
}

// StreamTime reads the stream time of a partition from the metadata of an offset
// that the group has committed for it, so that anybody can tell it without asking
// the worker. It is false where the metadata is not an engine's, or the time was
// not known yet.
func StreamTime(metadata string) (time.Time, bool) {
	_, stream, ok := readMark(metadata)
	if !ok || stream == never {
		return time.Time{}, false
	}
	return time.UnixMicro(stream).UTC(), true
}

// newClocks returns the clocks of an assignment, as its committed offsets have them.
func (e *Engine) newClocks(
	assigned map[string][]int32, committed map[place]committedOffset,
) map[int32]*clock {
	clocks := map[int32]*clock{}
	for topic, partitions := range assigned {
		if _, input := e.inputs[topic]; !input || slices.Contains(e.cfg.Untimed, topic) {
			continue
		}
		for _, p := range partitions {
			if clocks[p] == nil {
				clocks[p] = newClock()
			}
			at, ok := committed[place{topic, p}]
			if !ok {
				at.offset = -1
			}
			clocks[p].add(topic, at)
		}
	}
	return clocks
}

// checkUntimed holds that what has no part in the clock is an input, and that
// something is left to move it.
func (e *Engine) checkUntimed() error {
	timed := maps.Clone(e.inputs)
	for _, topic := range e.cfg.Untimed {
		if _, ok := e.inputs[topic]; !ok {
			return fmt.Errorf("engine: untimed: %s is not an input", topic)
		}
		delete(timed, topic)
	}
	if len(timed) == 0 {
		return fmt.Errorf("engine: untimed: no input of group %s is left to move stream time",
			e.cfg.Group)
	}
	return nil
}

// lookUp finds out which inputs are idle: those that gave nothing for a while and
// have nothing more. One that is idle is looked at again, because it may have
// records that don't get here. No transaction is in progress, or nothing of it in
// flight.
func (s *session) lookUp(ctx context.Context) {
	e := s.ep.e
	quiet := map[string]bool{}
	for _, c := range s.clocks {
		c.ahead = time.Now().Add(e.cfg.MaxAhead).UnixMicro()
		e.stats.ahead.Add(int64(c.far))
		c.far = 0
		for i := range c.inputs {
			if h := &c.inputs[i]; time.Since(h.heard) >= e.cfg.IdleAfter {
				quiet[h.topic] = true
			}
		}
	}
	if len(quiet) == 0 {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	logs, err := e.admin.allEnds(bounded, slices.Collect(maps.Keys(quiet)))
	if err != nil {
		e.log.Debug("whether inputs are idle can't be told", "error", err)
	}
	for p, c := range s.clocks {
		for i := range c.inputs {
			h := &c.inputs[i]
			if time.Since(h.heard) < e.cfg.IdleAfter {
				continue
			}
			at := place{h.topic, p}
			log, known := logs[at]
			h.idle = known && e.exhausted(bounded, h, at, log)
			h.heard = time.Now()
		}
		c.settle()
	}
}

// exhausted tells whether nothing is left to read of an input, and nothing is
// written that may still be. What cannot be told is not so: the clock then waits.
func (e *Engine) exhausted(ctx context.Context, h *hand, at place, log ends) bool {
	if log.stable < log.high {
		return false
	}
	f := fetcher{admin: e.admin, at: at, next: max(h.position, log.start), most: peekBytes}
	for f.next < log.stable { // only markers and aborted records can be in between
		records, err := f.fetch(ctx, log.stable)
		if err != nil || len(records) > 0 {
			return false
		}
	}
	h.position = f.next
	return true
}

// annotate puts the clocks into a commit of offsets, and into it the offsets of
// partitions in which nothing moved that has a part in the clock: the clock itself
// may have gone on, and by them the group finds out whether the partition of timers
// is still ours.
func (t *transaction) annotate(req *kmsg.TxnOffsetCommitRequest) error {
	committed := t.ep.client.CommittedOffsets()
	for p := range t.unwound(req) {
		for topic, partitions := range committed {
			o, ok := partitions[p]
			if ok && o.Offset >= 0 && !commits(req, topic, p) {
				addOffset(req, topic, p, o)
			}
		}
	}
	for i := range req.Topics {
		topic := &req.Topics[i]
		for k := range topic.Partitions {
			p := &topic.Partitions[k]
			p.Metadata = t.s.metadata(topic.Topic, p.Partition, p.Metadata)
		}
	}
	return nil
}

// unwound are the partitions that take part in the transaction and whose clock would
// not be in the commit.
func (t *transaction) unwound(req *kmsg.TxnOffsetCommitRequest) map[int32]bool {
	all := map[int32]bool{}
	for p := range t.fired {
		all[p] = true
	}
	for _, topic := range req.Topics {
		for _, p := range topic.Partitions {
			all[p.Partition] = true
		}
	}
	maps.DeleteFunc(all, func(p int32, _ bool) bool {
		c := t.s.clocks[p]
		return c == nil || slices.ContainsFunc(c.inputs, func(h hand) bool {
			return commits(req, h.topic, p)
		})
	})
	return all
}

// metadata is what goes with the committed offset of an input; what it was, for
// other topics.
func (s *session) metadata(topic string, partition int32, was *string) *string {
	if c := s.clocks[partition]; c != nil {
		if mark, ok := c.mark(topic); ok {
			return &mark
		}
	}
	return was
}

func commits(req *kmsg.TxnOffsetCommitRequest, topic string, partition int32) bool {
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if t.Topic == topic && p.Partition == partition {
				return true
			}
		}
	}
	return false
}

func addOffset(
	req *kmsg.TxnOffsetCommitRequest, topic string, partition int32, o kgo.EpochOffset,
) {
	p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch = partition, o.Offset, o.Epoch
	for i := range req.Topics {
		if req.Topics[i].Topic == topic {
			req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
			return
		}
	}
	t := kmsg.NewTxnOffsetCommitRequestTopic()
	t.Topic, t.Partitions = topic, append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
}

// annotatePlain is annotate for commits outside of transactions.
func (t *transaction) annotatePlain(req *kmsg.OffsetCommitRequest) error {
	for i := range req.Topics {
		topic := &req.Topics[i]
		for k := range topic.Partitions {
			p := &topic.Partitions[k]
			p.Metadata = t.s.metadata(topic.Topic, p.Partition, p.Metadata)
		}
	}
	return nil
}
