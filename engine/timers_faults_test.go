package engine_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/engine"
	"tallystick/engine/journal"
)

// TestTimerOfZombie: a worker that lost its place in the group can't commit what
// only timers did, though no record was read in that transaction.
func TestTimerOfZombie(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	var e *engine.Engine
	define := func(made *engine.Engine) *goka.GroupGraph {
		e = made
		return g.define(made)
	}
	k := keysOf(1, 1)
	stop := w.run(define, timed(time.Hour)) // the deadline is past, and not its to see
	w.sendAt(leftTopic, k[0], time.Now().Add(-time.Second-life))
	w.eventually("the record", func() bool { return len(g.noted()) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var left atomic.Bool
	stop = w.run(define, timed(100*time.Millisecond), func(c *engine.Config) {
		c.Probe = &engine.Probe{Committing: func() {
			if left.Swap(true) {
				return
			}
			b := kadm.LeaveGroup(testGroup).InstanceIDs("one")
			if _, err := w.admin.LeaveGroup(t.Context(), b); err != nil {
				t.Error(err)
			}
		}}
	})
	w.eventually("the deadline", func() bool { return len(w.committed(joinedTopic)) > 0 })
	if n := e.Stats().Restarts; n != 1 {
		t.Errorf("%d new clients, want 1: the first transaction is a zombie's", n)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := w.expired(); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// TestTimerBehindUnreadRecords: an input that was idle and can't be read for a
// while is not idle any more once it has something. The time of day waits for it.
func TestTimerBehindUnreadRecords(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	var client *kgo.Client
	stop := w.run(g.define, timed(100*time.Millisecond), func(c *engine.Config) {
		c.Probe = &engine.Probe{Client: func(cl *kgo.Client) { client = cl }}
	})
	k := keysOf(1, 2)
	w.sendAt(leftTopic, k[1], time.Now().Add(-time.Second-life)) // shows that all is idle
	w.eventually("the first", func() bool { return len(w.expired()) == 1 })
	client.PauseFetchTopics(rightTopic)
	w.peeks(rightTopic, 64<<10)
	due := time.Now().Add(time.Second)
	w.sendAt(rightTopic, k[0], due.Add(-time.Second)) // in time
	w.sendAt(leftTopic, k[0], due.Add(-life))
	w.eventually("the order", func() bool { return g.records() == 2 })
	w.eventually("past the deadline", func() bool {
		return time.Since(due) > time.Second
	})
	if got := w.expired(); len(got) != 1 {
		t.Errorf("a deadline came before the record that was there: %v", got)
	}
	client.ResumeFetchTopics(rightTopic)
	w.eventually("the record", func() bool { return g.records() == 3 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := w.expired(); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// peeks holds that requests for a topic outside of fetch sessions, as those that
// look whether it has a record, ask for few bytes.
func (w *world) peeks(topic string, most int32) {
	topics, err := w.admin.ListTopics(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cluster.ControlKey(keyFetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		for _, rt := range r.(*kmsg.FetchRequest).Topics {
			once := r.(*kmsg.FetchRequest).SessionEpoch == -1 && rt.TopicID == topics[topic].ID
			if once && rt.Partitions[0].PartitionMaxBytes > most {
				w.t.Errorf("%d bytes are fetched to be looked at", rt.Partitions[0].PartitionMaxBytes)
			}
		}
		return nil, nil, false
	})
}

// TestTimerBehindUndecidedRecords: what a transaction has written that is not
// decided may still come. The time of day waits for it.
func TestTimerBehindUndecidedRecords(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	k := keysOf(1, 1)
	due := time.Now().Add(time.Second)
	tx := w.newClient(kgo.TransactionalID("other"),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{
		Topic: rightTopic, Key: []byte(k[0]), Timestamp: due.Add(-time.Second), Value: []byte("x"),
	}
	if err := tx.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	stop := w.run(g.define, timed(100*time.Millisecond))
	w.sendAt(leftTopic, k[0], due.Add(-life))
	w.eventually("past the deadline", func() bool { return time.Since(due) > 1500*time.Millisecond })
	if got := w.expired(); len(got) != 0 {
		t.Errorf("a deadline came while a record was not decided: %v", got)
	}
	if err := tx.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	w.eventually("the record", func() bool { return g.records() == 2 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := w.expired(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// TestClockOfPendingCommit: where a transaction has written offsets and is not
// decided, the clock is what it makes of it, not what was before.
func TestClockOfPendingCommit(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	k := keysOf(1, 2)
	stop := w.run(g.define, timed(time.Hour))
	w.sendAt(leftTopic, k[0], base)
	w.eventually("the record", func() bool { return len(g.noted()) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	end := w.pendingCommit(map[string]int64{leftTopic: 1, rightTopic: 0},
		fmt.Sprintf("tally1 %d %d", base.UnixMicro(), base.Add(life/2).UnixMicro()))
	stop = w.run(g.define, timed(time.Hour))
	time.AfterFunc(time.Second, end) // when the worker has asked for the offsets
	w.sendAt(leftTopic, k[1], base.Add(time.Second))
	w.eventually("the record", func() bool { return len(g.noted()) == 2 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	segments := w.committed(engine.JournalTopic(testGroup))
	s, err := journal.Parse(segments[len(segments)-1].Value)
	if err != nil {
		t.Fatal(err)
	}
	if s.Clock.Stream == nil || *s.Clock.Stream != base.Add(life/2).UnixMicro() {
		t.Errorf("the clock was %s", segments[len(segments)-1].Value)
	}
}

// pendingCommit has a transaction commit offsets of partition 1 for the group,
// which is decided when the returned function is called.
func (w *world) pendingCommit(offsets map[string]int64, metadata string) (end func()) {
	w.t.Helper()
	ctx := w.t.Context()
	init := kmsg.NewPtrInitProducerIDRequest()
	init.TransactionalID, init.TransactionTimeoutMillis = kmsg.StringPtr("twin"), 20_000
	id, err := init.RequestWith(ctx, w.client)
	if err != nil || id.ErrorCode != 0 {
		w.t.Fatal(err, id.ErrorCode)
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.ProducerID, add.ProducerEpoch = "twin", id.ProducerID, id.ProducerEpoch
	add.Group = testGroup
	if resp, err := add.RequestWith(ctx, w.client); err != nil || resp.ErrorCode != 0 {
		w.t.Fatal(err, resp)
	}
	topics, err := w.admin.ListTopics(ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = "twin", id.ProducerID, id.ProducerEpoch
	req.Group, req.Generation = testGroup, -1
	for topic, offset := range offsets {
		rt := kmsg.NewTxnOffsetCommitRequestTopic()
		rt.Topic, rt.TopicID = topic, topics[topic].ID
		rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.LeaderEpoch, rp.Metadata = 1, offset, -1, &metadata
		rt.Partitions = append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, w.client)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, rt := range resp.Topics {
		if err := kerr.ErrorForCode(rt.Partitions[0].ErrorCode); err != nil {
			w.t.Fatal(err)
		}
	}
	return func() {
		req := kmsg.NewPtrEndTxnRequest()
		req.TransactionalID, req.Commit = "twin", true
		req.ProducerID, req.ProducerEpoch = id.ProducerID, id.ProducerEpoch
		if resp, err := req.RequestWith(ctx, w.client); err != nil || resp.ErrorCode != 0 {
			w.t.Error(err, resp)
		}
	}
}
