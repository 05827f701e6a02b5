package ways

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/processors/confirm"
	"tallystick/processors/lookup"
	"tallystick/processors/window"
	"tallystick/schemas"
	"tallystick/state"
	"tallystick/topology"
)

// errDead is what the network says to a process that was killed.
var errDead = errors.New("ways: the process is dead")

// A life is a worker from its start to its stop or its death.
type life struct {
	r       *run
	engine  *engine.Engine
	db      *state.DB
	asker   *lookup.Client // nil unless it asks
	http    *http.Client
	process context.Context // ends with the process
	end     context.CancelFunc
	stop    context.CancelFunc // asks the engine to drain and end
	client  atomic.Pointer[kgo.Client]
	ended   chan error

	dying atomic.Bool
	stood chan struct{} // closed when the engine stands still before a commit
	once  sync.Once

	mu    sync.Mutex
	conns []net.Conn
	cut   bool
}

// start starts a worker on the disk of the run. Its processor begins anew: what
// was in the memory of an earlier one is gone.
func (r *run) start(ctx context.Context) (*life, error) {
	l := &life{r: r, ended: make(chan error, 1), stood: make(chan struct{})}
	l.process, l.end = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	if l.db, err = state.Open(state.Options{
		Dir: r.dir, Logger: r.c.Logger, Now: time.Now, CacheBytes: 32 << 20, RowCacheBytes: 32 << 20,
	}); err != nil {
		l.end()
		return nil, err
	}
	graph, err := l.wire()
	if err != nil {
		l.end()
		return nil, errors.Join(err, l.db.Close())
	}
	running, stop := context.WithCancel(ctx)
	l.stop = stop
	go func() { l.ended <- l.engine.Run(running, graph) }()
	return l, nil
}

// wire makes the engine and the graph of the way.
func (l *life) wire() (*goka.GroupGraph, error) {
	r := l.r
	cfg := engine.Config{
		Brokers: r.c.Brokers, Group: r.group(), Instance: "ways", State: l.db,
		DeadLetters: r.names.DeadLetters, LeaveOnStop: true, Logger: r.c.Logger, Interval: r.c.Interval,
		Guarantee: engine.AtLeastOnce,
		Client: append(append([]kgo.Opt{}, r.c.Client...),
			freshTopics, kgo.DialTLSConfig(nil), kgo.Dialer(l.dial), kgo.WithContext(l.process)),
		Probe: &engine.Probe{
			Client:     func(c *kgo.Client) { l.client.Store(c) },
			Committing: l.committing,
		},
	}
	if r.way == Confirm {
		cfg.Guarantee = engine.ExactlyOnce
		cfg.Timers = &engine.Timers{Deadline: schemas.ConfirmRowDeadline, Version: 1}
	}
	e, err := engine.New(cfg)
	if err != nil {
		return nil, err
	}
	l.engine = e
	wrap := func(cb goka.ProcessCallback) goka.ProcessCallback { return e.Wrap(cb, schemas.CheckKey) }
	n := r.names
	switch r.way {
	case Lookup, CachedLookup:
		// As many connections as partitions ask at the same time.
		l.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: int(r.c.Partitions)}}
		asking := lookup.DefaultAsking(r.service, l.http, time.Now)
		if r.way == CachedLookup {
			asking.CacheFor = r.c.CacheFor
		}
		if l.asker, err = lookup.NewClient(asking); err != nil {
			return nil, err
		}
		return lookup.Define(lookup.Topics{
			Group: cfg.Group, Orders: n.Orders, Payments: n.Payments, Confirmations: n.Confirmations,
		}, l.asker, wrap), nil
	case Window:
		return window.DefaultRules().Define(window.Topics{
			Group: cfg.Group, Orders: n.Orders, Payments: n.Payments, Confirmations: n.Confirmations,
		}, wrap), nil
	case Confirm:
	}
	return confirm.DefaultRules().Define(confirm.Topics{
		Group: cfg.Group, Orders: n.Orders, Payments: n.Payments, Confirmations: n.Confirmations,
		Exceptions: n.Exceptions, Timers: engine.TimersTopic(cfg.Group),
	}, wrap), nil
}

// group is the consumer group of the run, which the engine names topics after.
func (r *run) group() string {
	switch r.way {
	case Lookup, Window:
		return r.names.Group(string(r.way))
	case CachedLookup:
		return r.names.Group("lookup-cache")
	case Confirm:
	}
	return r.names.Group(topology.Confirm)
}

// committing is the moment before a transaction, or without one the offsets, are
// committed. A worker that dies does so there: what it said is out, and what it
// did is not marked as done.
func (l *life) committing() {
	if !l.dying.Load() {
		return
	}
	if c := l.client.Load(); c != nil {
		ctx, cancel := context.WithTimeout(l.process, time.Second)
		_ = c.Flush(ctx) // what does not get out in time stays
		cancel()
	}
	l.once.Do(func() { close(l.stood) })
	<-l.process.Done()
}

// dial connects to a broker as long as the process lives.
func (l *life) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := l.r.c.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, errors.Join(errDead, c.Close())
	}
	l.conns = append(l.conns, c)
	return c, nil
}

// kill ends the worker as kill -9 would: what is in flight stays unfinished, and
// nobody says goodbye.
func (l *life) kill(ctx context.Context) error {
	l.dying.Store(true)
	patience := time.NewTimer(2 * time.Second)
	defer patience.Stop()
	select {
	case <-l.stood:
	case <-patience.C:
	case err := <-l.ended:
		return errors.Join(errors.New("ways: the worker ended before it was killed"), err)
	case <-ctx.Done():
		return ctx.Err()
	}
	l.mu.Lock()
	l.cut = true
	for _, c := range l.conns {
		_ = c.Close() // it may be closed
	}
	l.mu.Unlock()
	l.end()
	l.stop()
	return l.bury()
}

// bury waits until nothing of a dead worker moves any more. Its client holds on to
// buffered records until they are taken from it.
func (l *life) bury() error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 4000 {
		if c := l.client.Load(); c != nil {
			c.UnsafeAbortBufferedRecords()
		}
		select {
		case <-l.ended: // with whatever error: it is dead
			return l.close()
		case <-tick.C:
		}
	}
	return errors.New("ways: a killed worker does not end")
}

// finish stops the worker in good order.
func (l *life) finish() error {
	l.stop()
	err := <-l.ended
	l.end()
	return errors.Join(err, l.close())
}

func (l *life) close() error {
	if l.http != nil {
		l.http.CloseIdleConnections()
	}
	if err := l.db.Close(); err != nil {
		return fmt.Errorf("ways: %w", err)
	}
	return nil
}
