package engine

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/state"
)

// laneDepth is how many records wait in each of the two channels between the
// engine and a callback.
const laneDepth = 256

// lowMark is how many records may be in flight when more are polled, unless
// callbacks are slow. It keeps them busy, and a transaction not much longer than
// its interval.
const lowMark = 10_000

// handler is Goka's processor, as sarama would call it.
type handler = sarama.ConsumerGroupHandler

// A session is one assignment as Goka sees it: it implements
// sarama.ConsumerGroupSession. Its context ends only when no record is in
// flight, because Goka drops what it has queued when that happens.
type session struct {
	ep          *epoch
	generation  int32
	assigned    map[string][]int32
	lanes       map[int32]*lane
	claims      []*claim
	h           handler
	ctx         context.Context
	cancel      context.CancelFunc
	consuming   sync.WaitGroup
	outstanding atomic.Int64  // records delivered and not yet marked
	low         atomic.Int64  // at how many of them more are polled, at most lowMark
	few         chan struct{} // gets a token when outstanding comes down to low, or to 0
	ending      atomic.Bool
	failed      atomic.Bool
	lost        chan struct{} // closed when failed
	failOnce    sync.Once
	err         error // why it failed; read it after lost is closed

	clocks  map[int32]*clock
	journal *pages
	tables  map[int32]*state.Table // of the partitions, if the group has a table
	lots    map[int32]*lot         // of the partitions, if keys may be parked
	retries atomic.Int64           // records that are retried in the open transaction

	mu       sync.Mutex
	batch    map[place][][]*kgo.Record // what was delivered in the open transaction
	poisoned []spot                    // what was taken out of the quarantine in it
}

// A claim is one partition of one input: it implements
// sarama.ConsumerGroupClaim. All records of a partition go through the claim of
// its first input, so that their order across inputs is the engine's.
type claim struct {
	topic     string
	partition int32
	messages  chan *sarama.ConsumerMessage
}

// Topic returns the claim's topic.
func (c *claim) Topic() string { return c.topic }

// Partition returns the claim's partition.
func (c *claim) Partition() int32 { return c.partition }

// InitialOffset is unknown here: the client has the offsets.
func (c *claim) InitialOffset() int64 { return sarama.OffsetOldest }

// HighWaterMarkOffset is not asked for.
func (c *claim) HighWaterMarkOffset() int64 { return 0 }

// Messages returns the claim's channel.
func (c *claim) Messages() <-chan *sarama.ConsumerMessage { return c.messages }

// A lane carries the records of one partition, of all inputs, to Goka.
type lane struct {
	in   chan []sarama.ConsumerMessage
	out  chan *sarama.ConsumerMessage
	done chan struct{}
}

func newSession(ep *epoch, generation int32, assigned map[string][]int32, h handler) *session {
	s := &session{
		ep: ep, generation: generation, assigned: assigned, h: h,
		lanes: map[int32]*lane{}, few: make(chan struct{}, 1), lost: make(chan struct{}),
		batch: map[place][][]*kgo.Record{}, journal: newPages(ep.e.cfg.Journal),
	}
	s.low.Store(ep.e.inFlight.Load())
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Claims returns the assignment.
func (s *session) Claims() map[string][]int32 { return s.assigned }

// MemberID returns the group member's id.
func (s *session) MemberID() string {
	id, _ := s.ep.client.GroupMetadata()
	return id
}

// GenerationID counts the assignments of the client.
func (s *session) GenerationID() int32 { return s.generation }

// Context ends with the session.
func (s *session) Context() context.Context { return s.ctx }

// MarkOffset counts a record as finished. Goka calls it once for each. Which
// offsets are committed is decided by what was polled, all of which is finished
// before the transaction ends.
func (s *session) MarkOffset(string, int32, int64, string) {
	if n := s.outstanding.Add(-1); n == 0 || n == s.low.Load() {
		select {
		case s.few <- struct{}{}:
		default:
		}
	}
}

// MarkMessage counts a record as finished.
func (s *session) MarkMessage(m *sarama.ConsumerMessage, metadata string) {
	s.MarkOffset(m.Topic, m.Partition, m.Offset+1, metadata)
}

// Commit does nothing: the transaction commits.
func (s *session) Commit() {}

// ResetOffset does nothing: Goka never calls it.
func (s *session) ResetOffset(string, int32, int64, string) {}

// fail ends the session with err; the first error stands.
func (s *session) fail(err error) {
	s.failOnce.Do(func() {
		s.err = err
		s.failed.Store(true)
		close(s.lost)
		s.ep.interruptPoll()
	})
}

// run begins to consume: Goka's goroutine per claim, one of ours per partition.
func (s *session) run() {
	topics := make([]string, 0, len(s.assigned))
	for t := range s.assigned {
		topics = append(topics, t)
	}
	slices.Sort(topics)
	for _, t := range topics {
		for _, p := range s.assigned[t] {
			c := &claim{topic: t, partition: p, messages: make(chan *sarama.ConsumerMessage, laneDepth)}
			s.claims = append(s.claims, c)
			if s.lanes[p] == nil {
				l := &lane{
					in: make(chan []sarama.ConsumerMessage, 16), out: c.messages,
					done: make(chan struct{}),
				}
				s.lanes[p] = l
				go l.carry(s.lost)
			}
			s.consuming.Go(func() {
				err := s.h.ConsumeClaim(s, c)
				if !s.ending.Load() {
					s.fail(fmt.Errorf("%w: Goka gave up on %s/%d: %w", ErrRow, c.topic, c.partition,
						orEnded(err)))
				}
			})
		}
	}
}

func orEnded(err error) error {
	if err == nil {
		return context.Canceled
	}
	return err
}

// carry moves records until in is closed, or drops them once lost is closed.
func (l *lane) carry(lost <-chan struct{}) {
	defer close(l.done)
	for batch := range l.in {
		for i := range batch {
			select {
			case l.out <- &batch[i]:
			case <-lost:
			}
		}
	}
}

// stop ends the session. No transaction is open, or the open one is lost.
func (s *session) stop() error {
	s.ending.Store(true)
	s.ep.e.stats.ready.Store(false)
	s.cancel()
	for _, l := range s.lanes {
		close(l.in)
	}
	for _, l := range s.lanes {
		<-l.done
	}
	for _, c := range s.claims {
		close(c.messages)
	}
	s.consuming.Wait()
	err := s.h.Cleanup(s)
	s.ep.e.forget()
	s.ep.e.session.CompareAndSwap(s, nil)
	return err
}

// deliver hands the records of one partition to Goka, in order. If the lane is
// full, wait has to get them there.
func (s *session) deliver(
	partition int32, records []*kgo.Record, wait func(chan<- []sarama.ConsumerMessage,
		[]sarama.ConsumerMessage) error,
) error {
	l := s.lanes[partition]
	if l == nil {
		return again(fmt.Errorf("got records of partition %d, which is not assigned", partition))
	}
	batch := make([]sarama.ConsumerMessage, len(records))
	for i, r := range records {
		retried := r.Topic == s.ep.e.retries
		if retried {
			r = s.again(r)
		}
		m := &batch[i]
		m.Topic, m.Partition, m.Offset = r.Topic, r.Partition, r.Offset
		m.Key, m.Value, m.Timestamp = r.Key, r.Value, r.Timestamp
		for _, h := range r.Headers {
			if h.Key == RetryHeader && !retried {
				continue // nobody but the engine says so
			}
			m.Headers = append(m.Headers, &sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
	}
	s.outstanding.Add(int64(len(batch)))
	select {
	case l.in <- batch:
		return nil
	default:
		return wait(l.in, batch)
	}
}

// remember keeps what was fetched until the transaction ends.
func (s *session) remember(at place, records []*kgo.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batch[at] = append(s.batch[at], records)
}

// forgetBatch drops what was remembered.
func (s *session) forgetBatch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.batch)
	s.retries.Store(0)
}

// find returns a record of the open transaction, nil if it is not of it.
func (s *session) find(at spot) *kgo.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range s.batch[at.place] {
		i := sort.Search(len(rs), func(i int) bool { return rs[i].Offset >= at.offset })
		if i < len(rs) && rs[i].Offset == at.offset {
			return rs[i]
		}
	}
	return nil
}
