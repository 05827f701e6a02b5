package simulation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/state"
)

// ghostTime is how long a worker may take, in virtual time, to end after it was
// killed or stopped.
const ghostTime = 10 * time.Minute

// A worker is one name in the group, with a disk. It lives as often as it is
// killed, and once more.
type worker struct {
	s    *simulation
	name string
	disk *vfs.MemFS
	// onDisk is what the crash left of each table partition: a restore must
	// begin behind it.
	onDisk map[int32]int64
	boots  int // how often the machine was started

	mu   sync.Mutex
	life *life // nil while dead
}

// A life of a worker lasts from a start to a kill or a stop.
type life struct {
	w      *worker
	engine *engine.Engine
	db     *state.DB
	net    *network
	client atomic.Pointer[kgo.Client]
	ctx    context.Context // ends with the process
	once   sync.Once
	dying  chan string // gets the cause of death
}

// die asks for the death of the worker, who does no more from here on.
func (l *life) die(why string) { l.once.Do(func() { l.dying <- why }) }

// stand keeps the engine from going on, as the death of its process would.
func (l *life) stand(why string) {
	l.die(why)
	<-l.ctx.Done()
}

// current returns the life that is going on, or nil.
func (w *worker) current() *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.life
}

func (w *worker) setLife(l *life) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.life = l
}

// supervise starts the worker again and again until ctx is done.
func (w *worker) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		killed, err := w.live(ctx)
		switch {
		case killed:
			w.disk = w.look(w.disk)
		case err != nil:
			w.s.complain("%s stopped by itself: %v", w.name, err)
		}
		select {
		case <-time.After(w.absence()):
		case <-w.s.healing:
		case <-ctx.Done():
		}
	}
}

// absence is how long a worker is away: mostly short enough to keep its place in
// the group, at times so long that the other takes over.
func (w *worker) absence() time.Duration {
	r := w.s.chance.draw("absence")
	if r.IntN(3) == 0 {
		return time.Duration(r.Int64N(int64(3 * time.Minute)))
	}
	return time.Duration(r.Int64N(int64(5 * time.Second)))
}

// open opens the tables on the worker's disk.
func (w *worker) open(disk vfs.FS, readOnly bool) (*state.DB, error) {
	o := state.Options{
		Dir: "rows", FS: disk, CacheBytes: 4 << 20, RowCacheBytes: 256 << 10,
		MemTableBytes: 256 << 10, Now: time.Now, Logger: w.s.logger(w),
		BootID: func() string { return fmt.Sprint("boot ", w.boots) },
		Tune: func(p *pebble.Options) {
			// The default one wakes up ten times a second.
			p.Experimental.CompactionScheduler = pebble.
				NewConcurrencyLimitSchedulerWithNoPeriodicGrantingForTest()
		},
	}
	if readOnly {
		return state.OpenReadOnly(o)
	}
	return state.Open(o)
}

// live is one life. It reports whether it ended by a kill.
func (w *worker) live(ctx context.Context) (killed bool, err error) {
	process, end := context.WithCancel(context.Background())
	defer end()
	stopped, stop := context.WithCancel(ctx)
	defer stop()
	l := &life{w: w, ctx: process, dying: make(chan string, 1)}
	l.net = newNetwork(w.s, w.name, l.die)
	if l.db, err = w.open(w.disk, false); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, l.db.Close()) }()
	if why := l.db.Recovered(); why != "" {
		w.s.complain("%s found its tables torn: %s", w.name, why)
	}
	graph, err := l.wire()
	if err != nil {
		return false, err
	}
	w.setLife(l)
	defer w.setLife(nil)
	defer func() { w.s.tally(l.engine.Stats()) }()
	ended := make(chan error, 1)
	go func() { ended <- l.engine.Run(stopped, graph) }()
	select {
	case why := <-l.dying:
		l.net.sever()
		w.crash(why)
		end()
		stop()
		return true, l.bury(ended)
	case err := <-ended:
		return false, err
	case <-ctx.Done():
	}
	select {
	case err := <-ended:
		return false, err
	case <-time.After(ghostTime):
		return false, fmt.Errorf("%s does not stop", w.name)
	}
}

// wire makes the engine and the graph as the command does.
func (l *life) wire() (*goka.GroupGraph, error) {
	w, names := l.w, l.w.s.names
	var err error
	l.engine, err = engine.New(engine.Config{
		Brokers: w.s.cluster.ListenAddrs(), Group: names.ConfirmGroup, Instance: w.name,
		State: l.db, DeadLetters: names.DeadLetters, Logger: w.s.logger(w),
		Client: []kgo.Opt{
			kgo.Dialer(l.net.dial), kgo.WithContext(l.ctx), kgo.DisableClientMetrics(),
		},
		Probe: &engine.Probe{
			Client:     func(c *kgo.Client) { l.client.Store(c) },
			Committing: l.committing,
			Committed:  l.committed,
		},
	})
	if err != nil {
		return nil, err
	}
	return confirm.Rules{}.Define(confirm.Topics{
		Group: names.ConfirmGroup, Orders: names.Orders, Payments: names.Payments,
		Confirmations: names.Confirmations, Exceptions: names.Exceptions,
	}, func(cb goka.ProcessCallback) goka.ProcessCallback {
		return l.engine.Wrap(cb, schemas.CheckKey)
	}), nil
}

// committing is the moment before a transaction is asked to commit.
func (l *life) committing() {
	if l.w.s.variant == rowsFirst {
		l.applyEarly()
	}
	if l.w.s.deadly("committing", 400) {
		l.stand("before the commit")
	}
}

// committed is the moment between the commit on Kafka and the one on disk.
func (l *life) committed() {
	if l.w.s.deadly("committed", 250) {
		l.stand("between the two commits")
	}
}

// applyEarly breaks the protocol: it puts rows on disk that may never be
// committed on Kafka.
func (l *life) applyEarly() {
	ids, err := l.db.Tables()
	var commits []state.Commit
	for _, id := range ids {
		t, e := l.db.Table(id)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		commits = append(commits, state.Commit{Table: t, Offset: t.Offset()})
	}
	if err = errors.Join(err, l.db.Commit(commits...)); err != nil {
		l.w.s.complain("apply early: %v", err)
	}
}

// crash makes the disk what it is after the process, or the machine, died.
func (w *worker) crash(why string) {
	r := w.s.chance.draw("what survives")
	percent := []int{100, 100, 50, 0}[r.IntN(4)]
	w.s.note("%s is killed %s, %d %% of what was not synced survives", w.name, why, percent)
	w.s.count("kill: " + why)
	if percent < 100 {
		w.boots++ // the machine went down with it
	}
	w.disk = w.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: r})
}

// bury waits until nothing of a dead worker moves any more. Its client holds on
// to buffered records until they are taken from it.
func (l *life) bury(ended <-chan error) error {
	for deadline := time.Now().Add(ghostTime); time.Now().Before(deadline); {
		if c := l.client.Load(); c != nil {
			c.UnsafeAbortBufferedRecords()
		}
		select {
		case <-ended:
			return nil
		case <-time.After(time.Second):
		}
	}
	return fmt.Errorf("%s does not end after its death", l.w.name)
}
