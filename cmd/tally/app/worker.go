package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/engine"
	"tallystick/query/page"
	"tallystick/schemas"
	"tallystick/state"
)

// A worker is a process: one database of tables and, on it, a processor or
// several, each of a consumer group of its own. The verbs run and demo are made
// of it.
type worker struct {
	units  []*unit
	db     *state.DB
	dir    string     // empty if the tables are in memory
	sender *dispatch  // nil unless notify is among them
	page   *page.Page // nil if it has none
	api    *served    // nil unless views are among them, behind a door
}

// A unit is one processor of a worker: its graph and the engine that runs it.
type unit struct {
	name   string
	group  string
	sends  bool // see processor
	engine *engine.Engine
	graph  *goka.GroupGraph
}

// workerConfig is what distinguishes one worker from another.
type workerConfig struct {
	wiring
	brokers     []string
	client      []kgo.Opt
	processors  []processor
	services    []string
	door        *door  // where it answers over HTTP
	dir         string // empty for tables in memory
	instance    string
	interval    time.Duration
	session     time.Duration
	transaction time.Duration
	idleAfter   time.Duration
	leave       bool
	oldBrokers  bool
	misrouted   engine.Misrouted
	cacheBytes  int64
	rowBytes    int64
	log         *slog.Logger
}

// Names below the state directory.
const (
	rowsDir    = "rows"
	workerFile = "worker.json"
)

// newWorker opens the tables and makes the engines. The caller closes it.
func (m *Main) newWorker(ctx context.Context, c workerConfig) (*worker, error) {
	o := state.Options{
		InMemory: c.dir == "", Logger: c.log, Now: m.Now,
		CacheBytes: c.cacheBytes, RowCacheBytes: c.rowBytes,
	}
	if c.dir != "" {
		if err := os.MkdirAll(c.dir, 0o750); err != nil {
			return nil, hinted("check --state-dir", "state: %w", err)
		}
		o.Dir = filepath.Join(c.dir, rowsDir)
	}
	db, err := state.Open(o)
	if errors.Is(err, state.ErrInUse) {
		return nil, hinted("stop it, or give this worker another --state-dir",
			"state directory %s is in use by another worker", c.dir)
	} else if err != nil {
		return nil, hinted("check --state-dir", "%w", err)
	}
	if aside := db.Recovered(); aside != "" {
		c.log.Warn("tables were set aside and are restored from their changelogs", "aside", aside)
	}
	w := &worker{db: db, dir: c.dir}
	c.viewing(w)
	for _, p := range c.processors {
		if p.sends {
			if w.sender, err = c.newDispatch(ctx, m.Now); err != nil {
				return nil, errors.Join(err, w.close(ctx, c.log))
			}
			c.effects = w.sender.take
		}
		u, err := c.newUnit(p, db)
		if err != nil {
			return nil, errors.Join(err, w.close(ctx, c.log))
		}
		w.units = append(w.units, u)
	}
	return w, nil
}

// A whole process takes no more memory for its open transactions than one
// engine of a process that has no other.
const (
	transactionRecords = 50_000
	transactionBytes   = 32 << 20
)

// newUnit makes the engine and the graph of one processor.
func (c workerConfig) newUnit(p processor, db *state.DB) (*unit, error) {
	share := len(c.processors)
	cfg := engine.Config{
		Brokers: c.brokers, Client: c.client, Group: c.names.Group(p.name), Instance: c.instance,
		State: db, Guarantee: c.guarantee, Interval: c.interval, DeadLetters: c.names.DeadLetters,
		SessionTimeout: c.session, TransactionTimeout: c.transaction, LeaveOnStop: c.leave,
		AllowTransactionV1: c.oldBrokers, OnMisrouted: c.misrouted, Logger: c.log,
		MaxRecords: transactionRecords / share, MaxBytes: transactionBytes / share,
		Park: c.parks(p.name), Journal: c.journals(p.name), IdleAfter: c.idleAfter,
	}
	if p.engine != nil {
		p.engine(c.wiring, &cfg)
	}
	e, err := engine.New(cfg)
	if err != nil {
		return nil, usageError(seeHelp, "processor %s: %w", p.name, err)
	}
	check := schemas.CheckKey
	if p.check != nil {
		check = p.check
	}
	graph := p.graph(c.wiring, func(cb goka.ProcessCallback) goka.ProcessCallback {
		return e.Wrap(cb, check)
	})
	return &unit{name: p.name, group: cfg.Group, sends: p.sends, engine: e, graph: graph}, nil
}

// run processes until ctx is done, which drains and returns nil, or until going
// on would not be safe for one of the processors: then all end, and the error
// names the one that did not go on.
func (w *worker) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if w.page != nil {
		g.Go(func() error {
			w.page.Run(ctx)
			return nil
		})
	}
	for _, u := range w.units {
		g.Go(func() error {
			if err := u.engine.Run(ctx, u.graph); err != nil {
				return fmt.Errorf("processor %s: %w", u.name, explain(err))
			}
			return nil
		})
	}
	return g.Wait()
}

// ready says that every processor has followed an assignment and has its tables.
func (w *worker) ready() bool {
	return !slices.ContainsFunc(w.units, func(u *unit) bool { return !u.engine.Stats().Ready })
}

// waiting names the processors that are not ready.
func (w *worker) waiting() []string {
	var names []string
	for _, u := range w.units {
		if !u.engine.Stats().Ready {
			names = append(names, u.name)
		}
	}
	return names
}

// unit returns the processor whose group has this name.
func (w *worker) unit(group string) (*unit, bool) {
	i := slices.IndexFunc(w.units, func(u *unit) bool { return u.group == group })
	if i < 0 {
		return nil, false
	}
	return w.units[i], true
}

// groups are the consumer groups of the worker.
func (w *worker) groups() []string {
	groups := make([]string, len(w.units))
	for i, u := range w.units {
		groups[i] = u.group
	}
	return groups
}

// records is how many input records all processors have committed.
func (w *worker) records() int64 {
	var n int64
	for _, u := range w.units {
		n += u.engine.Stats().Records
	}
	return n
}

// table is the changelog of the processor's table, empty without one.
func (u *unit) table() string {
	if t := u.graph.GroupTable(); t != nil {
		return t.Topic()
	}
	return ""
}

// inputs are the topics that the processor reads record by record, without
// those that exist inside the engine only.
func (u *unit) inputs() []string {
	var topics []string
	for _, in := range u.graph.InputStreams() {
		if in.Topic() != engine.TimersTopic(u.group) {
			topics = append(topics, in.Topic())
		}
	}
	return topics
}

// close ends the sender and the database, when no processor runs any more.
func (w *worker) close(ctx context.Context, log *slog.Logger) error {
	if w.sender != nil {
		w.sender.close(ctx, log)
	}
	if w.api != nil {
		w.api.close()
	}
	if err := w.db.Close(); err != nil {
		return fmt.Errorf("state: close: %w", err)
	}
	return nil
}

// rightsHint is for workers that may not do what they have to.
const rightsHint = "docs/operations.md lists the rights that a worker needs"

// explain puts what the operator can do behind the errors with which the engine
// stops.
func explain(err error) error {
	for _, known := range []struct {
		err  error
		hint string
	}{
		{engine.ErrFenced, "give each worker an --instance of its own"},
		{
			engine.ErrMisrouted,
			"or set such records apart by --misrouted dead-letters",
		},
		{engine.ErrTransactionVersion, "accept the risk by --allow-transaction-v1"},
		{engine.ErrTopic, "tally topics plan shows what differs"},
		{engine.ErrStalled, "the settings are --transaction-timeout and --interval"},
		{engine.ErrGroup, "see --session-timeout, or choose another group by --app"},
		{engine.ErrRow, "docs/operations.md says what to look at"},
		{
			kerr.InvalidTransactionTimeout,
			"lower --transaction-timeout, or raise transaction.max.timeout.ms of the brokers",
		},
		{kerr.TopicAuthorizationFailed, rightsHint},
		{kerr.GroupAuthorizationFailed, rightsHint},
		{kerr.TransactionalIDAuthorizationFailed, rightsHint},
	} {
		if errors.Is(err, known.err) {
			return hinted(known.hint, "%w", err)
		}
	}
	return err
}
