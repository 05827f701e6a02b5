package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/engine"
	"tallystick/state"
	"tallystick/topology"
)

// defaultStateDir is where a worker keeps its tables unless told otherwise.
const defaultStateDir = "tally-state"

// running is what tally run was asked.
type running struct {
	services                      []string
	stateDir, instance, guarantee string
	http, misrouted, profile      string
	format                        string
	interval, session             time.Duration
	transaction, idle             time.Duration
	leave, oldBrokers             bool
	cacheMiB, rowCacheMiB         int64
}

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
			tally run --until-idle`),
		GroupID: groupWork,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.services = args
			return m.profiled(r.profile, func() error { return m.work(cmd.Context(), s, r) })
		},
	}
	r.register(cmd)
	return cmd
}

func (r *running) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.stateDir, "state-dir", defaultStateDir, "directory of the worker's tables")
	f.StringVar(&r.instance, "instance", "", "the worker's name in the group (default: the host name)")
	f.StringVar(&r.guarantee, "guarantee", engine.ExactlyOnce.String(),
		"exactly-once, or at-least-once for brokers without transactions")
	f.StringVar(&r.http, "http", "127.0.0.1:0",
		"address of /livez, /readyz, /metrics and, for this machine only, /tables; \"off\" for none")
	f.StringVar(&r.format, "format", formatProtobuf,
		"form of the confirmations and exceptions: protobuf, or json for tools without the schema")
	f.DurationVar(&r.interval, "interval", 100*time.Millisecond,
		"how long a transaction collects records, which is how long a confirmation waits")
	f.DurationVar(&r.session, "session-timeout", 30*time.Second,
		"how long a silent worker keeps its partitions")
	f.DurationVar(&r.transaction, "transaction-timeout", 15*time.Second,
		"how long others wait for a transaction of a worker that died")
	f.BoolVar(&r.leave, "leave", false, "give the place in the group up at the end")
	f.DurationVar(&r.idle, "until-idle", 0,
		"end when there was nothing to do for so long, as in --until-idle=5s")
	f.Lookup("until-idle").NoOptDefVal = "2s"
	f.StringVar(&r.misrouted, "misrouted", "stop",
		"what to do about a record in the wrong partition for its key: stop or dead-letters")
	f.BoolVar(&r.oldBrokers, "allow-transaction-v1", false,
		"run on brokers whose transactions can, rarely, end twice (KIP-890)")
	f.Int64Var(&r.cacheMiB, "cache-mib", state.DefaultCacheBytes>>20,
		"memory for blocks of the tables")
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
		leave: r.leave, oldBrokers: r.oldBrokers, log: m.logger(s),
		cacheBytes: r.cacheMiB << 20, rowBytes: r.rowCacheMiB << 20,
	}
	c.json = r.format == formatJSON
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
	c.processors = processorsOf(chosen)
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
	cl, err := m.connect(ctx, s)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := s.ready(ctx, cl, s.topology(shape{})); err != nil {
		return err
	}
	w, err := m.newWorker(c)
	if err != nil {
		return err
	}
	c.log.Info("worker begins", "groups", w.groups(), "instance", c.instance,
		"state_dir", c.dir, "guarantee", c.guarantee.String(), "interval", c.interval,
		"brokers", strings.Join(c.brokers, ","))
	err = m.serve(ctx, w, c, r, kadm.NewClient(cl))
	if closed := w.close(); err == nil {
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
	ctx context.Context, w *worker, c workerConfig, r *running, adm *kadm.Client,
) error {
	server, err := m.listen(ctx, w, c.instance, r.http, c.log)
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
			if w.idle(running, m, adm, r.idle) {
				c.log.Info("nothing to do any more", "for", r.idle)
				stop(errIdle)
			}
			return nil
		})
	}
	return g.Wait()
}

// idle waits until the worker has had nothing to do for the given time, and
// returns false if ctx is done before. What the worker's fetches say is taken
// for true at once if the group's offsets agree, else after a while: offsets
// never reach the end of a topic that ends with a transaction's marker.
func (w *worker) idle(ctx context.Context, m *Main, adm *kadm.Client, enough time.Duration) bool {
	const sure = 5
	tick := time.NewTicker(min(enough/4+time.Millisecond, 250*time.Millisecond))
	defer tick.Stop()
	since, records := m.Now(), int64(-1)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		if n := w.records(); n != records || w.busy() {
			since, records = m.Now(), n
			continue
		}
		quiet := m.Now().Sub(since)
		if quiet >= sure*enough || quiet >= enough && w.behind(ctx, adm) == 0 {
			return true
		}
	}
}

// busy says that a processor is not ready, or has records to read.
func (w *worker) busy() bool {
	return slices.ContainsFunc(w.units, func(u *unit) bool {
		st := u.engine.Stats()
		return !st.Ready || st.Lag > 0
	})
}

// behind is how many offsets the groups are behind the ends of their inputs, all
// workers together; below zero if that cannot be told.
func (w *worker) behind(ctx context.Context, adm *kadm.Client) int64 {
	var behind int64
	for _, u := range w.units {
		n := u.behind(ctx, adm)
		if n < 0 {
			return n
		}
		behind += n
	}
	return behind
}

func (u *unit) behind(ctx context.Context, adm *kadm.Client) int64 {
	ends, err := adm.ListCommittedOffsets(ctx, u.inputs()...)
	if err != nil || ends.Error() != nil {
		return -1
	}
	at, err := adm.FetchOffsets(kadm.RequireStable(ctx), u.group)
	if err != nil || at.Error() != nil {
		return -1
	}
	var behind int64
	ends.Each(func(o kadm.ListedOffset) {
		done, _ := at.Lookup(o.Topic, o.Partition)
		behind += max(0, o.Offset-max(0, done.At))
	})
	return behind
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
