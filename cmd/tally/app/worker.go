package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/state"
	"tallystick/topology"
)

// A worker is one processor with its tables on this machine's disk. The verbs
// run and demo are made of it.
type worker struct {
	engine *engine.Engine
	db     *state.DB
	graph  *goka.GroupGraph
	names  topology.Names
	dir    string
}

// workerConfig is what distinguishes one worker from another.
type workerConfig struct {
	brokers     []string
	client      []kgo.Opt
	names       topology.Names
	dir         string
	instance    string
	guarantee   engine.Guarantee
	interval    time.Duration
	session     time.Duration
	transaction time.Duration
	leave       bool
	oldBrokers  bool
	json        bool
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

// newWorker opens the tables and makes the engine. The caller closes it.
func (m *Main) newWorker(c workerConfig) (*worker, error) {
	if err := os.MkdirAll(c.dir, 0o750); err != nil {
		return nil, hinted("check --state-dir", "state: %w", err)
	}
	db, err := state.Open(state.Options{
		Dir: filepath.Join(c.dir, rowsDir), Logger: c.log, Now: m.Now,
		CacheBytes: c.cacheBytes, RowCacheBytes: c.rowBytes,
	})
	if errors.Is(err, state.ErrInUse) {
		return nil, hinted("stop it, or give this worker another --state-dir",
			"state directory %s is in use by another worker", c.dir)
	} else if err != nil {
		return nil, hinted("check --state-dir", "%w", err)
	}
	if aside := db.Recovered(); aside != "" {
		c.log.Warn("tables were set aside and are restored from their changelogs", "aside", aside)
	}
	e, err := engine.New(engine.Config{
		Brokers: c.brokers, Client: c.client, Group: c.names.ConfirmGroup, Instance: c.instance,
		State: db, Guarantee: c.guarantee, Interval: c.interval, DeadLetters: c.names.DeadLetters,
		SessionTimeout: c.session, TransactionTimeout: c.transaction, LeaveOnStop: c.leave,
		AllowTransactionV1: c.oldBrokers, OnMisrouted: c.misrouted, Logger: c.log,
	})
	if err != nil {
		return nil, errors.Join(usageError("see tally run --help", "%w", err), db.Close())
	}
	rules := confirm.Rules{RepeatSpeech: c.guarantee == engine.AtLeastOnce}
	graph := rules.Define(confirm.Topics{
		Group: c.names.ConfirmGroup, Orders: c.names.Orders, Payments: c.names.Payments,
		Confirmations: c.names.Confirmations, Exceptions: c.names.Exceptions, JSON: c.json,
	}, func(cb goka.ProcessCallback) goka.ProcessCallback { return e.Wrap(cb, schemas.CheckKey) })
	return &worker{engine: e, db: db, graph: graph, names: c.names, dir: c.dir}, nil
}

// run processes until ctx is done, which drains and returns nil, or until going
// on would not be safe.
func (w *worker) run(ctx context.Context) error {
	return explain(w.engine.Run(ctx, w.graph))
}

func (w *worker) close() error {
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
