package simulation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	return confirm.Define(confirm.Topics{
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

// look notes what a crash left on a disk, and returns the disk.
func (w *worker) look(disk *vfs.MemFS) *vfs.MemFS {
	copied := disk.CrashClone(vfs.CrashCloneCfg{
		UnsyncedDataPercent: 100, RNG: w.s.chance.draw("copy"),
	})
	images, err := w.images(copied)
	if err != nil {
		w.s.complain("%s: crash image: %v", w.name, err)
	}
	w.onDisk = map[int32]int64{}
	for _, i := range images {
		w.onDisk[i.partition] = i.offset
	}
	w.s.keep(images)
	return disk
}

// An image is what is on disk of a partition of the table.
type image struct {
	what      string
	partition int32
	offset    int64
	rows      map[string]string
}

func (w *worker) images(disk vfs.FS) (images []image, err error) {
	if _, err := disk.Stat("rows"); err != nil {
		return nil, nil // died before it had made anything
	}
	db, err := w.open(disk, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if why := db.Recovered(); why != "" {
		return nil, fmt.Errorf("tables were torn: %s", why)
	}
	ids, err := db.Tables()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		t, err := db.Table(id)
		if err != nil {
			return nil, err
		}
		i, err := snapshot(t.Committed())
		if err != nil {
			return nil, err
		}
		i.what, i.partition = "crash image of "+w.name+w.s.clock(), id.Partition
		images = append(images, i)
	}
	return images, nil
}

func snapshot(v state.View) (i image, err error) {
	snap, err := v.Snapshot()
	if err != nil {
		return image{}, err
	}
	defer func() { err = errors.Join(err, snap.Close()) }()
	i = image{offset: snap.Offset(), rows: map[string]string{}}
	for row, err := range snap.All("") {
		if err != nil {
			return image{}, err
		}
		i.rows[row.Key] = string(row.Value)
	}
	return i, nil
}

// A journal keeps the last lines that the workers logged.
type journal struct {
	slog.Handler
	w *worker
	s *simulation
}

// Handle looks at a line: where a restore begins tells whether a crash cost
// more than the tail of the changelog.
func (j journal) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "restored" {
		var partition, from int64
		r.Attrs(func(a slog.Attr) bool {
			switch a.Key {
			case "partition":
				partition = a.Value.Int64()
			case "from":
				from = a.Value.Int64()
			}
			return true
		})
		if on, ok := j.w.onDisk[int32(partition)]; ok && from <= on {
			j.s.complain("%s restored partition %d from %d, and had it up to %d",
				j.w.name, partition, from, on)
		}
	}
	return j.Handler.Handle(ctx, r)
}

// WithAttrs is needed for the lines of handlers made by With to be looked at.
func (j journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	j.Handler = j.Handler.WithAttrs(attrs)
	return j
}
