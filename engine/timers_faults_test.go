package engine_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
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
	due := time.Now().Add(2 * time.Second)
	k := keysOf(1, 1)
	stop := w.run(define, timed(100*time.Millisecond))
	w.sendAt(leftTopic, k[0], due.Add(-life))
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
	due := time.Now().Add(3 * time.Second)
	w.sendAt(leftTopic, k[0], due.Add(-life))
	w.sendAt(leftTopic, k[1], due.Add(-time.Second-life)) // shows that all is idle
	w.eventually("the first", func() bool { return len(w.expired()) == 1 })
	client.PauseFetchTopics(rightTopic)
	w.sendAt(rightTopic, k[0], due.Add(-time.Second)) // in time
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
