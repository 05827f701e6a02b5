package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/state"
	"tallystick/topology/keyhash"
)

// An Engine runs one Goka processor. It is made by [New], gives its wrapper and
// options to the processor's definition, and is run once.
type Engine struct {
	cfg      Config
	log      *slog.Logger
	admin    *admin
	stats    counters
	poison   quarantine
	inputs   map[string]bool // topics of the graph; true if tombstones are allowed
	outputs  map[goka.Stream]goka.Codec
	effects  map[goka.Stream]goka.Codec // outputs that Kafka never sees
	rows     goka.Codec                 // of the group's table, nil if it has none
	parking  bool                       // keys may be parked
	retries  string                     // the topic of retries
	epoch    atomic.Pointer[epoch]
	session  atomic.Pointer[session]
	stopOnce sync.Once
	stopped  error         // why the engine stopped; set once
	stalled  chan struct{} // closed when callbacks did not finish
	cluster  string
	running  context.Context // of Run
	quit     context.CancelFunc
	taken    atomic.Bool   // by Consume, or by a stop that came before it
	inFlight atomic.Int64  // how many records may be, see pace
	width    atomic.Int32  // partitions of the inputs, once they are known
	restores chan struct{} // has one for each that is under way

	mu     sync.Mutex
	tables map[int32]*state.Table // the group's table, by partition, while assigned
	clocks map[int32]*clock       // of the inputs that are assigned; never written to
	ends   map[place]int64        // where the restore of a table partition ended
	lots   map[int32]*lot         // the keys that are parked, by partition, while assigned
	counts map[string]int32       // partitions of each input
	unread map[place]int64        // records behind the last one fetched
	newest map[place]time.Time    // timestamps of tables that others write
}

// A place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// New returns an engine for cfg. It opens no connection.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	e := &Engine{
		cfg:    cfg,
		log:    cfg.Logger.With("group", cfg.Group, "instance", cfg.Instance),
		inputs: map[string]bool{}, outputs: map[goka.Stream]goka.Codec{},
		effects: map[goka.Stream]goka.Codec{}, retries: RetryTopic(cfg.Group),
		tables: map[int32]*state.Table{},
		ends:   map[place]int64{},
		counts: map[string]int32{},
		unread: map[place]int64{},
		newest: map[place]time.Time{},

		restores: make(chan struct{}, restoresAtOnce),
		stalled:  make(chan struct{}),
	}
	e.inFlight.Store(lowMark)
	return e, nil
}

// TransactionalID is the id under which the engine's transactions run.
func (e *Engine) TransactionalID() string { return e.cfg.Group + "-" + e.cfg.Instance }

// Options are the options with which goka.NewProcessor makes a processor that
// this engine runs. [Engine.Run] uses them; they are exported for programs that
// make the processor themselves.
func (e *Engine) Options() []goka.ProcessorOption {
	return []goka.ProcessorOption{
		goka.WithConsumerGroupBuilder(e.consumerGroup),
		goka.WithConsumerSaramaBuilder(e.tableConsumer),
		goka.WithProducerBuilder(e.producer),
		goka.WithTopicManagerBuilder(e.topicManager),
		goka.WithStorageBuilder(e.storage),
		goka.WithContextWrapper(e.wrapContext),
		goka.WithHasher(keyhash.New),
		goka.WithPartitionChannelSize(laneDepth),
		goka.WithNilHandling(goka.NilProcess), // the engine has taken the others out
		goka.WithLogger(gokaLogger{e.log}),
	}
}

// Run makes the processor of g and runs it until ctx is done, which commits
// what is in flight and returns nil, or until it can't go on safely, which
// returns one of the package's errors. It is called once.
func (e *Engine) Run(ctx context.Context, g *goka.GroupGraph) error {
	if string(g.Group()) != e.cfg.Group {
		return fmt.Errorf("engine: graph is of group %s, config of %s", g.Group(), e.cfg.Group)
	}
	// Answers about topics are not cached for long: topics are made and asked for.
	client, err := kgo.NewClient(append(e.clientOptions(),
		kgo.MetadataMinAge(20*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer client.Close()
	e.admin = &admin{client: client, kadm: kadm.NewClient(client), log: e.log}
	e.running = ctx
	if err := e.prepare(ctx, g); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return nil
		}
		return err
	}
	p, err := goka.NewProcessor(e.cfg.Brokers, g, e.Options()...)
	if err != nil && ctx.Err() != nil {
		return nil // nothing was begun
	}
	if err != nil {
		return e.reason(fmt.Errorf("engine: make processor: %w", err))
	}
	// Goka drops its lookups as soon as its context is done, which must not be
	// before what is in flight is finished.
	lasting, quit := context.WithCancel(context.WithoutCancel(ctx))
	defer quit()
	e.quit = quit
	defer context.AfterFunc(ctx, func() {
		if !e.taken.Swap(true) {
			quit()
		}
	})()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(lasting) }()
	select {
	case err = <-ended:
		if ctx.Err() != nil {
			err = nil // what matters has been said to stop
		}
	case <-e.stalled: // Goka would wait for the callback, perhaps for ever
		return e.reason(nil)
	}
	if err := e.reason(err); err != nil {
		return err
	}
	if e.cfg.LeaveOnStop && !e.cfg.DynamicMembership {
		return e.admin.leave(context.WithoutCancel(ctx), e.cfg.Group, e.cfg.Instance)
	}
	return nil
}

// prepare checks the cluster and the topics before Goka sees them, so that
// what is wrong has a name.
func (e *Engine) prepare(ctx context.Context, g *goka.GroupGraph) error {
	if err := errors.Join(e.prepareInputs(g), e.checkIndex(g)); err != nil {
		return err
	}
	if loop := g.LoopStream(); loop != nil {
		e.inputs[loop.Topic()] = false
	}
	if table := g.GroupTable(); table != nil {
		e.rows = table.Codec()
	}
	if err := e.prepareOutputs(g); err != nil {
		return err
	}
	for _, join := range g.JointTables() {
		for _, lookup := range g.LookupTables() {
			if join.Topic() == lookup.Topic() {
				return fmt.Errorf("%w: %s is both joined and looked up", ErrRefused, join.Topic())
			}
		}
	}
	for _, t := range e.cfg.AllowTombstones {
		if _, ok := e.inputs[t]; !ok {
			return fmt.Errorf("engine: allow-tombstones: %s is not an input", t)
		}
		e.inputs[t] = true
	}
	if err := e.checkUntimed(); err != nil {
		return err
	}
	if e.cfg.Guarantee == ExactlyOnce && !e.cfg.AllowTransactionV1 {
		if err := e.admin.transactionVersion(ctx); err != nil {
			return err
		}
	}
	var err error
	if e.cluster, err = e.admin.cluster(ctx); err != nil {
		return err
	}
	if e.counts, err = e.admin.checkTopics(ctx, g, e.cfg.DeadLetters, e.virtual); err != nil {
		return err
	}
	if loop := g.LoopStream(); loop != nil { // Goka makes it with as many
		e.counts[loop.Topic()] = e.counts[e.firstInput()]
	}
	if err := e.prepareJournal(ctx); err != nil {
		return err
	}
	if err := e.prepareRetries(ctx); err != nil {
		return err
	}
	e.know()
	return nil
}

// stop records why the engine stops; the first reason stands.
func (e *Engine) stop(err error) error {
	e.stopOnce.Do(func() { e.stopped = err })
	return err
}

// reason replaces what Goka made of an error by the error itself.
func (e *Engine) reason(err error) error {
	e.stopOnce.Do(func() { e.stopped = err })
	return e.stopped
}

// Table returns the committed rows of an assigned partition of the group's
// table, and false if the partition is not assigned to this worker.
func (e *Engine) Table(partition int32) (state.View, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, ok := e.tables[partition]
	if !ok {
		return state.View{}, false
	}
	return t.Committed(), true
}

// assignedTables are the partitions of the group's table that this worker owns.
func (e *Engine) assignedTables() []*state.Table {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Values(e.tables))
}

// partitionCount is the number of partitions of an input.
func (e *Engine) partitionCount(topic string) int32 { return e.counts[topic] }

// grown returns ErrTopic if an input has more partitions than it had when the
// engine began: keys have moved between its partitions, and rows have not.
func (e *Engine) grown(assigned map[string][]int32) error {
	for topic, partitions := range assigned {
		for _, p := range partitions {
			if n := e.partitionCount(topic); p >= n {
				return fmt.Errorf("%w: %s had %d partitions and has partition %d now (hint: the keys of a "+
					"table can't be spread anew; give a new group new inputs)", ErrTopic, topic, n, p)
			}
		}
	}
	return nil
}

// saw notes how many records of an input are still unread.
func (e *Engine) saw(at place, unread int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.lag.Add(unread - e.unread[at])
	e.unread[at] = unread
}

func (e *Engine) clientOptions() []kgo.Opt {
	opts := append([]kgo.Opt{}, e.cfg.Client...)
	return append(opts,
		kgo.SeedBrokers(e.cfg.Brokers...),
		kgo.ClientID(e.TransactionalID()),
		kgo.MaxDecompressBatchBytes(64<<20),
	)
}

// consume runs epochs, the lives of one client each, until ctx is done or an
// error comes that a new client doesn't get over.
func (e *Engine) consume(ctx context.Context, topics []string, h handler) error {
	const longest = 5 * time.Second
	wait := 50 * time.Millisecond
	for ctx.Err() == nil {
		done, held := e.stats.transactions.Load(), e.poison.size()
		err := e.live(ctx, topics, h)
		var r restart
		if !errors.As(err, &r) {
			if err != nil {
				return e.stop(err)
			}
			continue
		}
		e.stats.restarts.Add(1)
		e.log.Warn("starting again with a new client", "cause", err)
		if e.stats.transactions.Load() > done || e.poison.size() > held { // it got somewhere
			wait = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, longest)
	}
	return nil
}

// gokaLogger hands Goka's words to slog at debug level: what matters to an
// operator the engine says itself.
type gokaLogger struct{ log *slog.Logger }

func (l gokaLogger) Printf(format string, args ...any) {
	l.log.Debug("goka: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l gokaLogger) Println(args ...any) { l.Printf("%s", fmt.Sprintln(args...)) }

func (l gokaLogger) Print(args ...any) { l.Printf("%s", fmt.Sprint(args...)) }
