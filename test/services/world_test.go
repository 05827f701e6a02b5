package services_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/state"
	"tallystick/test/kafkatest"
	"tallystick/topology/keyhash"
)

const (
	within = 60 * time.Second
	pause  = 10 * time.Millisecond
)

// A world is one test's part of a broker.
type world struct {
	t      *testing.T
	broker *kafkatest.Broker
	prefix string
	client *kgo.Client
	admin  *kadm.Client
}

func each(t *testing.T, test func(*world)) {
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) {
		w := &world{t: t, broker: b, prefix: b.Prefix(t), admin: b.Admin(t)}
		w.client = b.Client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
		test(w)
	})
}

// topic makes a topic of this world and returns its name.
func (w *world) topic(name string, partitions int32, configs ...string) string {
	w.t.Helper()
	w.broker.Topic(w.t, w.prefix+name, partitions, configs...)
	return w.prefix + name
}

// send produces records where their keys belong, unless they name a partition
// other than 0, and waits for them.
func (w *world) send(partitions int32, records ...*kgo.Record) {
	w.t.Helper()
	for _, r := range records {
		if r.Partition == 0 {
			r.Partition = keyhash.Partition(r.Key, partitions)
		}
	}
	if err := w.client.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// eventually polls until f holds.
func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(within); !f(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(pause)
	}
}

// committed reads a topic up to its end, as readers that see what is committed.
func (w *world) committed(topic string) []*kgo.Record {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	ends, err := w.admin.ListCommittedOffsets(ctx, topic)
	if err != nil {
		w.t.Fatal(err)
	}
	from, left := map[int32]kgo.Offset{}, map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			from[o.Partition], left[o.Partition] = kgo.NewOffset().AtStart(), o.Offset
		}
	})
	if len(left) == 0 {
		return nil
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.broker.Addrs()...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	var all []*kgo.Record
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("reading %s did not end; left %v", topic, left)
		}
		for _, r := range fetches.Records() {
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
		}
	}
	return all
}

// A definition makes the graph of a group for an engine.
type definition func(*engine.Engine) *goka.GroupGraph

// A worker is one life of a service.
type worker struct {
	w    *world
	e    *engine.Engine
	stop context.CancelFunc
	done chan error
	db   *state.DB
	// frozen gets a token when the worker stands still at its fault, until thaw
	// is closed.
	frozen, thaw chan struct{}
}

// A fault is the moment at which a worker stands still for ever, as one that was
// killed: before or after the commit of one of its transactions.
type fault struct {
	transaction int
	committed   bool
}

// start runs a worker with an empty disk.
func (w *world) start(
	group string, define definition, at fault, settings ...func(*engine.Config),
) *worker {
	w.t.Helper()
	db, err := state.Open(state.Options{
		Dir: "db", FS: vfs.NewMem(), CacheBytes: 8 << 20, RowCacheBytes: 1 << 20,
		MemTableBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	wk := &worker{
		w: w, db: db, done: make(chan error, 1),
		frozen: make(chan struct{}, 1), thaw: make(chan struct{}),
	}
	n := 0
	stand := func(committed bool) func() {
		return func() {
			if committed != at.committed || at.transaction == 0 {
				return
			}
			if n++; n == at.transaction {
				wk.frozen <- struct{}{}
				<-wk.thaw
			}
		}
	}
	cfg := engine.Config{
		Brokers: w.broker.Addrs(), Group: group, Instance: "one", State: db,
		DeadLetters: w.prefix + "dead-letters", Interval: 20 * time.Millisecond,
		SessionTimeout: 6 * time.Second, Logger: slog.New(slog.DiscardHandler),
		// A fetch of an input without records holds up those of the others.
		Client: []kgo.Opt{kgo.FetchMaxWait(100 * time.Millisecond)},
		Probe:  &engine.Probe{Committing: stand(false), Committed: stand(true)},
	}
	for _, set := range settings {
		set(&cfg)
	}
	e, err := engine.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	wk.e, wk.stop = e, cancel
	g := define(e)
	go func() { wk.done <- e.Run(ctx, g) }()
	return wk
}

// freeze waits until the worker stands still.
func (wk *worker) freeze() {
	wk.w.t.Helper()
	select {
	case <-wk.frozen:
	case err := <-wk.done:
		wk.w.t.Fatalf("the worker ended with %v", err)
	case <-time.After(within):
		wk.w.t.Fatal("the worker did not get to its fault")
	}
}

// lives fails the test if the worker has ended.
func (wk *worker) lives() bool {
	wk.w.t.Helper()
	select {
	case err := <-wk.done:
		wk.w.t.Fatalf("a worker ended with %v", err)
	default:
	}
	return true
}

// end waits for the worker to end and closes its tables.
func (wk *worker) end() error {
	wk.w.t.Helper()
	defer wk.stop()
	select {
	case err := <-wk.done:
		if err := wk.db.Close(); err != nil {
			wk.w.t.Error(err)
		}
		return err
	case <-time.After(within):
		wk.w.t.Fatal("the worker did not end")
		return nil
	}
}

// rounds is how often dying calls send.
const rounds = 9

// dying runs a service through lives of which each ends at a fault, with its disk;
// send is called twice in each life, and where the fault is in the second
// transaction, before and after the first. The last life goes on until done
// holds. Then the dead move once more, and may do no harm.
func (w *world) dying(
	group string, define definition, send func(round int), done func() bool,
) {
	w.t.Helper()
	var dead []*worker
	for life := range 4 {
		at := fault{transaction: 1 + life/2, committed: life%2 == 1}
		wk := w.start(group, define, at)
		send(2 * life)
		w.eventually("the first transaction", func() bool {
			return wk.lives() && (at.transaction == 1 || wk.e.Stats().Transactions > 0)
		})
		send(2*life + 1)
		wk.freeze()
		dead = append(dead, wk)
	}
	wk := w.start(group, define, fault{})
	send(rounds - 1)
	w.eventually("all is processed", func() bool { return wk.lives() && done() })
	for _, d := range dead {
		d.stop()
		close(d.thaw)
		_ = d.end() // nobody listens to it any more
	}
	wk.stop()
	if err := wk.end(); err != nil {
		w.t.Errorf("the last worker ended with %v", err)
	}
}
