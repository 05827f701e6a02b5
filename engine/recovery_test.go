package engine_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
)

func TestRestartReadsOnlyTheTail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 300)
	w.joined(300)
	wk.end()
	wk = w.start(fs, nil)
	w.sendMany(300, 400)
	w.joined(400)
	if n := wk.e.Stats().Restored; n != 0 {
		t.Errorf("restored %d records after a clean stop, want 0", n)
	}
	wk.end()
}

func TestWipedTableIsTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), nil)
	w.sendMany(0, 300)
	w.joined(300)
	before := wk.onDisk()
	wk.end()
	wk = w.start(vfs.NewMem(), nil)
	w.eventually("restored", func() bool { return wk.e.Stats().Ready })
	if after := wk.local(); !maps.Equal(before, after) || len(after) != 300 {
		t.Errorf("restored %d rows, not the same %d", len(after), len(before))
	}
	if n := wk.e.Stats().Restored; n < 300 {
		t.Errorf("restored %d records, want at least 300", n)
	}
	wk.end()
}

// TestCrashBetweenKafkaAndDisk stops the world between the two commits, the
// moment for which the protocol is made, and goes on from the disk as it was.
func TestCrashBetweenKafkaAndDisk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sendMany(0, 50)
	fs := vfs.NewCrashableMem()
	release := make(chan struct{})
	var dead sync.WaitGroup
	for life := range 5 {
		frozen := make(chan *vfs.MemFS, 1)
		left := 2
		wk := w.start(fs, nil, func(c *engine.Config) {
			c.Probe = &engine.Probe{Committed: func() {
				if left--; left == 0 {
					frozen <- fs.CrashClone(vfs.CrashCloneCfg{
						UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, uint64(life))),
					})
					<-release
				}
			}}
		})
		sent := 50 + life*1000
		w.eventually("second transaction", func() bool {
			w.sendMany(sent, sent+1)
			sent++
			return len(frozen) > 0
		})
		fs = <-frozen
		dead.Go(func() {
			<-release
			_ = wk.wait(true) // it finds itself fenced, or writes to a disk that is gone
		})
	}
	wk := w.start(fs, nil)
	sent := map[string]bool{}
	for _, r := range w.committed(leftTopic) {
		sent[string(r.Key)] = true
	}
	w.joined(len(sent))
	if r := wk.e.Stats().Rebuilt; r != 0 {
		t.Errorf("%d tables were rebuilt, want none", r)
	}
	wk.onDisk()
	wk.end()
	close(release)
	dead.Wait()
}

func TestTwinIsFenced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.start(vfs.NewMem(), nil)
	w.sendMany(0, 50)
	w.joined(50)
	second := w.start(vfs.NewMem(), nil)
	err := first.wait(false)
	if !errors.Is(err, engine.ErrFenced) {
		t.Errorf("the first of two with one name ended with %v, want %v", err, engine.ErrFenced)
	}
	w.sendMany(50, 100)
	w.joined(100)
	second.end()
}

func TestSecondWorkerTakesItsShare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sendMany(0, 200)
	fs := vfs.NewMem()
	one := w.start(fs, nil)
	w.joined(200)
	two := w.start(vfs.NewMem(), nil, func(c *engine.Config) { c.Instance = "two" })
	w.eventually("two workers share", func() bool {
		return len(one.e.Stats().Partitions) == 2 && len(two.e.Stats().Partitions) == 2 &&
			one.e.Stats().Ready && two.e.Stats().Ready
	})
	w.sendMany(200, 400)
	w.joined(400)
	if n := one.e.Stats().Restored; n != 0 {
		t.Errorf("the worker that kept its partitions restored %d records", n)
	}
	two.end()
	w.sendMany(400, 500)
	w.joined(500)
	one.end()
}

func leaving(c *engine.Config) { c.LeaveOnStop = true }

func TestGroupOffsetsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil, leaving)
	w.sendMany(0, 50)
	w.joined(50)
	wk.end()
	if _, err := w.admin.DeleteGroup(t.Context(), testGroup); err != nil {
		t.Fatal(err)
	}
	wk = w.start(fs, nil, func(c *engine.Config) { c.Instance = "other" })
	if err := wk.wait(false); !errors.Is(err, engine.ErrOffsetsLost) {
		t.Errorf("ended with %v, want %v", err, engine.ErrOffsetsLost)
	}
	w.joined(50)
}

// TestTableOfAnotherLog begins with a table whose topic was deleted and made
// again: nothing in it may be trusted.
func TestTableOfAnotherLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil, leaving)
	w.sendMany(0, 50)
	w.joined(50)
	wk.end()
	topics := []string{testTable, leftTopic, rightTopic, joinedTopic}
	if _, err := w.admin.DeleteTopics(t.Context(), topics...); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.DeleteGroup(t.Context(), testGroup); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.CreateTopics(t.Context(), testParts, 1, nil, topics[1:]...); err != nil {
		t.Fatal(err)
	}
	wk = w.start(fs, nil)
	w.client.PurgeTopicsFromClient(topics...)
	w.sendMany(1000, 1010)
	w.joined(10)
	wk.onDisk()
	wk.end()
}

func TestHangingTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), nil)
	w.sendMany(0, 10)
	w.joined(10)
	wk.end()
	stranger := w.newClient(kgo.TransactionalID("stranger"), kgo.TransactionTimeout(time.Minute))
	if err := stranger.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	r := &kgo.Record{Topic: testTable, Key: []byte("k1"), Value: []byte("l9r9")}
	if err := stranger.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	wk = w.start(vfs.NewMem(), nil, func(c *engine.Config) {
		c.TransactionTimeout = 500 * time.Millisecond
	})
	if err := wk.wait(false); !errors.Is(err, engine.ErrHangingTransaction) {
		t.Errorf("ended with %v, want %v", err, engine.ErrHangingTransaction)
	}
}

// TestRestoreStepsOverMarkers restores from a log whose tail holds nothing that
// a consumer delivers: an aborted transaction, then nothing.
func TestRestoreStepsOverMarkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 40)
	w.joined(40)
	wk.end()
	stranger := w.newClient(kgo.TransactionalID("stranger"))
	for range 3 {
		if err := stranger.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for p := range int32(testParts) {
			stranger.Produce(t.Context(), &kgo.Record{
				Topic: testTable, Partition: p, Key: []byte("k1"), Value: []byte("l7r7"),
			}, nil)
		}
		if err := stranger.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := stranger.EndTransaction(t.Context(), kgo.TryAbort); err != nil {
			t.Fatal(err)
		}
	}
	for _, disk := range []vfs.FS{fs, vfs.NewMem()} {
		wk = w.start(disk, nil)
		w.eventually("restored", func() bool { return wk.e.Stats().Ready })
		if got, want := wk.local(), w.rows(); !maps.Equal(got, want) || len(got) != 40 {
			t.Errorf("%d local rows, %d in the changelog, want 40", len(got), len(want))
		}
		wk.end()
	}
}

func TestAtLeastOnceJoinsAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	once := func(c *engine.Config) { c.Guarantee = engine.AtLeastOnce }
	fs := vfs.NewMem()
	wk := w.start(fs, nil, once)
	w.sendMany(0, 200)
	w.joined(200)
	wk.end()
	wk = w.start(fs, nil, once)
	w.sendMany(200, 300)
	w.joined(300)
	wk.end()
}

func TestStuckCallbackStopsTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	free := make(chan struct{})
	defer close(free)
	wk := w.start(vfs.NewMem(), func(goka.Context, any) { <-free }, func(c *engine.Config) {
		c.TransactionTimeout = time.Second
	})
	w.send(leftTopic, "a=1")
	select {
	case err := <-wk.done:
		if !errors.Is(err, engine.ErrStalled) {
			t.Errorf("ended with %v, want %v", err, engine.ErrStalled)
		}
	case <-time.After(testWithin):
		t.Fatal("a stuck callback did not stop the worker")
	}
}

func TestDeferCommitIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), func(ctx goka.Context, _ any) { ctx.DeferCommit()(nil) })
	w.send(leftTopic, "a=1")
	if err := wk.wait(false); !errors.Is(err, engine.ErrRefused) {
		t.Errorf("ended with %v, want %v", err, engine.ErrRefused)
	}
}

func TestFailStopsTheWorker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), func(ctx goka.Context, _ any) {
		ctx.SetValue("l1r0")
		ctx.Fail(errors.New("on purpose"))
	})
	w.send(leftTopic, "a=1")
	err := wk.wait(false)
	if !errors.Is(err, engine.ErrRow) || !strings.Contains(err.Error(), "on purpose") {
		t.Errorf("ended with %v, want %v: on purpose", err, engine.ErrRow)
	}
	if rows := w.rows(); len(rows) != 0 {
		t.Errorf("rows of the failed transaction were committed: %v", rows)
	}
}

// TestIdleTableIsNotRebuilt comes back to a table that was not written to for
// longer than tombstones are kept. Nothing is behind it, so it is not too old.
func TestIdleTableIsNotRebuilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	compact, ms := "compact", "1"
	_, err := w.admin.CreateTopics(t.Context(), testParts, 1,
		map[string]*string{"cleanup.policy": &compact, "delete.retention.ms": &ms}, testTable)
	if err != nil {
		t.Fatal(err)
	}
	fs := vfs.NewMem()
	rebuilt := func(instance string, fs vfs.FS, from int) int64 {
		wk := w.start(fs, nil, func(c *engine.Config) { c.Instance = instance }, leaving)
		w.sendMany(from, from+50)
		w.joined(from + 50)
		wk.end()
		return wk.e.Stats().Rebuilt
	}
	for from := 0; from < 150; from += 50 {
		if n := rebuilt("one", fs, from); n != 0 {
			t.Errorf("%d tables were rebuilt that nobody else wrote to", n)
		}
	}
	rebuilt("two", vfs.NewMem(), 150)
	if n := rebuilt("one", fs, 200); n != testParts {
		t.Errorf("%d tables were rebuilt, want those that fell behind: %d", n, testParts)
	}
}

// TestSlowCallbacks has more records waiting than callbacks get through within
// the transaction timeout.
func TestSlowCallbacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sendMany(0, 200)
	wk := w.start(vfs.NewMem(), func(ctx goka.Context, msg any) {
		<-time.After(5 * time.Millisecond) // is what makes it slow
		joinSides(ctx, msg)
	}, func(c *engine.Config) { c.TransactionTimeout = 400 * time.Millisecond })
	w.joined(200)
	wk.end()
}

// TestStuckCallbackWithManySmallPolls fills what waits before the callback with
// many small portions; the worker must notice all the same.
func TestStuckCallbackWithManySmallPolls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	free := make(chan struct{})
	defer close(free)
	wk := w.start(vfs.NewMem(), func(goka.Context, any) { <-free }, func(c *engine.Config) {
		c.TransactionTimeout, c.Interval = 4*time.Second, 2*time.Second
	})
	var err error
	w.eventually("stopped", func() bool {
		for range 10 {
			w.send(leftTopic, "a=1")
		}
		select {
		case err = <-wk.done:
			return true
		default:
			return false
		}
	})
	if !errors.Is(err, engine.ErrStalled) {
		t.Errorf("ended with %v, want %v", err, engine.ErrStalled)
	}
}

// TestStopWhileJoining stops a worker that waits for the group: a member that is
// gone has not timed out yet.
func TestStopWhileJoining(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := func(c *engine.Config) { c.SessionTimeout = 15 * time.Second }
	one := w.start(vfs.NewMem(), nil, slow)
	w.sendMany(0, 10)
	w.joined(10)
	one.end()
	two := w.start(vfs.NewMem(), nil, slow, func(c *engine.Config) { c.Instance = "two" })
	w.eventually("a join", func() bool {
		groups, err := w.admin.DescribeGroups(t.Context(), testGroup)
		return err == nil && len(groups[testGroup].Members) > 1 ||
			err == nil && groups[testGroup].State == "PreparingRebalance"
	})
	began := time.Now()
	two.end()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
}
