package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/engine"
	"tallystick/query/replay"
	"tallystick/state"
	"tallystick/topology"
)

// defaultStateDir is where a worker keeps its tables unless told otherwise.
const defaultStateDir = "tally-state"

// running is what tally run was asked.
type running struct {
	services                     []string
	state, stateDir              string
	instance, guarantee          string
	http, misrouted, profile     string
	format                       string
	interval, session            time.Duration
	transaction, idle, idleAfter time.Duration
	leave, oldBrokers, park      bool
	rules                        rules
	sending                      sending
	reaching                     reaching
	cacheMiB, rowCacheMiB        int64
	// placed and sized tell that a directory and a size of the cache were named.
	placed, sized bool
}

// Where a worker keeps its tables.
const (
	stateDisk   = "disk"
	stateMemory = "memory"
)

func (m *Main) runCommand(s *settings) *cobra.Command {
	r := &running{}
	cmd := &cobra.Command{
		Use:   "run [SERVICE...]",
		Short: "Join orders and payments: a worker against a cluster",
		Long: paragraph(`
			Start as many workers as you like, each with a state directory and an instance name
			of its own; they share the partitions. A worker that comes back under its name
			within the session timeout takes its partitions up again where it left them.

			SIGTERM drains the worker and keeps its place in the group; --leave gives it up.
			Without names the worker runs confirm, the main job, or with --chain every service.`),
		Example: examples(`
			tally run --brokers localhost:9092
			tally run --state-dir /var/lib/tally --instance worker-0 --http 127.0.0.1:8070
			tally run --state memory --http 127.0.0.1:8070
			tally run --until-idle`),
		GroupID: groupWork,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.services = args
			r.placed, r.sized = cmd.Flags().Changed("state-dir"), cmd.Flags().Changed("cache-mib")
			defer growHeap(r.state)()
			return m.profiled(r.profile, func() error { return m.work(cmd.Context(), s, r) })
		},
	}
	r.register(cmd)
	r.rules.register(cmd)
	r.sending.register(cmd)
	r.reaching.register(cmd)
	return cmd
}

func (r *running) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.state, "state", stateDisk,
		"where the tables are: disk, or memory, to read them from their changelogs at each start")
	f.StringVar(&r.stateDir, "state-dir", defaultStateDir, "directory of the worker's tables")
	f.StringVar(&r.instance, "instance", "", "the worker's name in the group (default: the host name)")
	f.StringVar(&r.guarantee, "guarantee", engine.ExactlyOnce.String(),
		"exactly-once, or at-least-once for brokers without transactions")
	f.StringVar(&r.http, "http", "127.0.0.1:0",
		"address of the page, /livez, /readyz, /metrics and, for this machine only, /tables; "+
			"\"off\" for none")
	f.StringVar(&r.format, "format", formatProtobuf,
		"form of the confirmations and exceptions: protobuf, or json for tools without the schema")
	f.DurationVar(&r.interval, "interval", 100*time.Millisecond,
		"how long a transaction collects records, which is how long a confirmation waits")
	f.DurationVar(&r.session, "session-timeout", 30*time.Second,
		"how long a silent worker keeps its partitions")
	f.DurationVar(&r.transaction, "transaction-timeout", 15*time.Second,
		"how long others wait for a transaction of a worker that died")
	f.DurationVar(&r.idleAfter, "idle-after", time.Second,
		"how long an input may be silent until the time of records goes on without it")
	f.BoolVar(&r.leave, "leave", false, "give the place in the group up at the end")
	f.DurationVar(&r.idle, "until-idle", 0,
		"end when there was nothing to do for so long, as in --until-idle=5s")
	f.Lookup("until-idle").NoOptDefVal = "2s"
	f.BoolVar(&r.park, "park", true,
		"let later records of an order wait behind its dead letter; exactly-once only")
	f.StringVar(&r.misrouted, "misrouted", "stop",
		"what to do about a record in the wrong partition for its key: stop or dead-letters")
	f.BoolVar(&r.oldBrokers, "allow-transaction-v1", false,
		"run on brokers whose transactions can, rarely, end twice (KIP-890)")
	f.Int64Var(&r.cacheMiB, "cache-mib", state.DefaultCacheBytes>>20,
		"memory for blocks of the tables; with --state memory 16 unless given")
	f.Int64Var(&r.rowCacheMiB, "row-cache-mib", state.DefaultRowCacheBytes>>20,
		"memory for rows")
	f.StringVar(&r.profile, "cpuprofile", "", "write a CPU profile to this file")
}

// config checks what was asked and turns it into the worker's configuration.
func (m *Main) workerConfig(s *settings, r *running, client []kgo.Opt) (workerConfig, error) {
	c := workerConfig{
		wiring:  s.wiring(),
		brokers: s.Brokers, client: client, dir: r.stateDir,
		instance: r.instance, interval: r.interval, session: r.session, transaction: r.transaction,
		idleAfter: r.idleAfter, leave: r.leave, oldBrokers: r.oldBrokers, log: m.logger(s),
		cacheBytes: r.cacheMiB << 20, rowBytes: r.rowCacheMiB << 20,
	}
	if err := r.place(&c); err != nil {
		return c, err
	}
	c.json, c.park, c.rules = r.format == formatJSON, r.park, r.rules
	if err := r.rules.validate(); err != nil {
		return c, err
	}
	if err := r.sending.validate(); err != nil {
		return c, err
	}
	c.sending, c.rules.notify = r.sending, r.sending.rules(c.rules.notify)
	var err error
	if r.format != formatProtobuf && r.format != formatJSON {
		return c, usageError("use protobuf or json", "--format has no form %q", r.format)
	}
	if c.guarantee, err = engine.ParseGuarantee(r.guarantee); err != nil {
		return c, usageError("use exactly-once or at-least-once", "--guarantee has no %q", r.guarantee)
	}
	chosen, err := s.choose(r.services, c.guarantee)
	if err != nil {
		return c, err
	}
	c.processors, c.services = processorsOf(chosen), names(chosen)
	switch r.misrouted {
	case "stop":
	case "dead-letters":
		c.misrouted = engine.MisroutedToDeadLetters
	default:
		return c, usageError("use stop or dead-letters", "--misrouted has no %q", r.misrouted)
	}
	if r.cacheMiB < 1 || r.rowCacheMiB < 1 {
		return c, usageError("for example 64", "--cache-mib and --row-cache-mib must be above zero")
	}
	if c.instance == "" {
		if c.instance, err = os.Hostname(); err != nil {
			return c, usageError("name it by --instance", "this host has no name: %w", err)
		}
	}
	return c, nil
}

// growHeap lets the heap grow by heapGrowth, if the tables are not on it and nobody has
// said otherwise, until the function that it returns is called.
func growHeap(state string) func() {
	if state != stateDisk || os.Getenv("GOGC") != "" {
		return func() {}
	}
	was := debug.SetGCPercent(heapGrowth)
	return func() { debug.SetGCPercent(was) }
}

// place settles where the tables are. In memory there is no directory, and the
// size of the cache of blocks is left to the tables unless it was named.
func (r *running) place(c *workerConfig) error {
	switch r.state {
	case stateDisk:
		if c.dir == "" {
			return usageError("for tables in memory use --state memory", "--state-dir is empty")
		}
		return nil
	case stateMemory:
	default:
		return usageError("use disk or memory", "--state has no %q", r.state)
	}
	if r.placed {
		return usageError("leave --state-dir out, or use --state disk",
			"--state memory has no directory, and --state-dir names %s", r.stateDir)
	}
	if c.dir = ""; !r.sized {
		c.cacheBytes = 0
	}
	return nil
}

// work runs the worker and what belongs to it until ctx is done, or the worker
// has nothing to do any more, or something fails.
func (m *Main) work(ctx context.Context, s *settings, r *running) error {
	opts, err := m.clientOptions(s)
	if err != nil {
		return err
	}
	c, err := m.workerConfig(s, r, opts)
	if err != nil {
		return err
	}
	cl, err := m.connectTo(ctx, s)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := s.ready(ctx, cl, s.topology(shape{}).Part(c.services...)); err != nil {
		return err
	}
	if c.door, err = m.door(ctx, r.http, r.reaching); err != nil {
		return err
	}
	defer c.door.close()
	w, err := m.newWorker(ctx, c)
	if err != nil {
		return err
	}
	if err := m.addPage(w, c, cl); err != nil {
		return errors.Join(err, w.close(ctx, c.log))
	}
	if err := m.addAPI(w, c, cl); err != nil {
		return errors.Join(err, w.close(ctx, c.log))
	}
	c.log.Info("worker begins", "groups", w.groups(), "instance", c.instance,
		"state", cmp.Or(c.dir, stateMemory), "guarantee", c.guarantee.String(), "interval", c.interval,
		"brokers", strings.Join(c.brokers, ","))
	err = m.serve(ctx, w, c, r, cl)
	if closed := w.close(ctx, c.log); err == nil {
		err = closed
	}
	for _, u := range w.units {
		st := u.engine.Stats()
		c.log.Info("worker ends", "group", u.group, "records", st.Records,
			"transactions", st.Transactions, "dead_letters", st.DeadLetters, "restored", st.Restored,
			"restarts", st.Restarts)
	}
	return err
}

// errIdle ends a worker that has nothing to do any more.
var errIdle = errors.New("nothing to do")

// serve runs the engine, the HTTP server and the watch for idleness, until one
// of them ends.
func (m *Main) serve(
	ctx context.Context, w *worker, c workerConfig, r *running, cl *kgo.Client,
) error {
	server, err := m.listen(w, c.instance, c.door, c.log)
	if err != nil {
		return err
	}
	defer server.close()
	if m.Ready != nil {
		m.Ready(Serving{Brokers: c.brokers, HTTP: server.address})
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	g := errgroup.Group{}
	g.Go(func() error {
		defer stop(nil)
		return w.run(running)
	})
	g.Go(func() error {
		err := server.run(running)
		if err != nil {
			stop(err)
		}
		return err
	})
	if r.idle > 0 {
		g.Go(func() error {
			if w.idle(running, m, cl, r.idle) {
				c.log.Info("nothing to do any more", "for", r.idle)
				stop(errIdle)
			}
			return nil
		})
	}
	return g.Wait()
}

// idle waits until the worker has had nothing to do for the given time, and
// returns false if ctx is done before.
func (w *worker) idle(ctx context.Context, m *Main, cl *kgo.Client, enough time.Duration) bool {
	tick := time.NewTicker(min(enough/4+time.Millisecond, 250*time.Millisecond))
	defer tick.Stop()
	since, records := m.Now(), int64(-1)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if n := w.records(); n != records || !w.ready() {
			since, records = m.Now(), n
			continue
		}
		if m.Now().Sub(since) >= enough && w.caughtUp(ctx, cl) {
			return true
		}
	}
}

// caughtUp tells whether nothing is left to read for any of the groups, all workers
// together. What cannot be told is not so.
func (w *worker) caughtUp(ctx context.Context, cl *kgo.Client) bool {
	return !slices.ContainsFunc(w.units, func(u *unit) bool {
		return !u.caughtUp(ctx, cl)
	})
}

// caughtUp looks at what is behind the group's offsets: only markers of
// transactions may be there, and what was aborted.
func (u *unit) caughtUp(ctx context.Context, cl *kgo.Client) bool {
	bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	log, err := replay.Open(bounded, cl, time.Second, u.inputs()...)
	if err != nil {
		return false
	}
	at, err := kadm.NewClient(cl).FetchOffsets(kadm.RequireStable(bounded), u.group)
	if err != nil || at.Error() != nil {
		return false
	}
	for _, topic := range u.inputs() {
		for p := range log.Partitions(topic) {
			span := log.Span(topic, p)
			from := span.Start
			if done, ok := at.Lookup(topic, p); ok {
				from = max(from, done.At)
			}
			for range log.Range(bounded, topic, p, from, span.End) {
				return false // a record, or an error
			}
		}
	}
	return true
}

// ready checks that the topics are there and as a worker needs them.
func (s *settings) ready(ctx context.Context, cl *kgo.Client, t topology.Topology) error {
	plan, err := t.Plan(ctx, kadm.NewClient(cl))
	if err != nil {
		return err
	}
	return unready(plan)
}

// profiled writes a CPU profile of do, if a file for it is named.
func (m *Main) profiled(path string, do func() error) error {
	if path == "" {
		return do()
	}
	file, err := os.Create(path)
	if err != nil {
		return hinted("check --cpuprofile", "profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return errors.Join(fmt.Errorf("profile: %w", err), file.Close())
	}
	err = do()
	pprof.StopCPUProfile()
	return errors.Join(err, file.Close())
}
