package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/engine"
	"tallystick/query/audit"
	"tallystick/topology"
)

// showing is what tally demo was asked.
type showing struct {
	made  generating
	shape shape
	serve bool
	only  string
}

func (m *Main) demoCommand(s *settings) *cobra.Command {
	d := &showing{}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole chain in one process: no Kafka, no Docker, no network",
		Long: paragraph(`
			Starts a small Kafka inside this process and all services of the chain on it. Makes
			up customers, products, stock, orders and payments that come out of order, twice,
			in parts, too much, too late or not at all, follows each order to its end, sends
			the confirmations to a mail server and a web server of its own, and ends with the
			audit. With --only confirm it is the main job: orders and payments, joined.`),
		Example: examples(`
			tally demo
			tally demo --orders 20000 --seed 7
			tally demo --only confirm
			tally demo -o json
			tally demo --serve`),
		GroupID: groupWork,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.demo(cmd.Context(), s, d)
		},
	}
	d.made.register(cmd.Flags(), 1000, true)
	d.shape.register(cmd, 4)
	cmd.Flags().BoolVar(&d.serve, "serve", false,
		"keep the broker and the worker up afterwards, for the other verbs")
	cmd.Flags().StringVar(&d.only, "only", "", "confirm for the main job alone")
	return cmd
}

// demonstrated is what tally demo prints as JSON: the report of the audit, and
// how it came about.
type demonstrated struct {
	*audit.Report
	Seed         uint64  `json:"seed"`
	Loaded       int64   `json:"loaded"`
	Transactions int64   `json:"transactions"`
	Seconds      float64 `json:"seconds"`
	Rate         float64 `json:"records_per_second"`
}

// demo sets the stage in a directory of its own, and takes it away at the end.
func (m *Main) demo(ctx context.Context, s *settings, d *showing) error {
	if err := d.shape.validate(); err != nil {
		return err
	}
	if d.only != "" && d.only != topology.Confirm {
		return usageError("use --only confirm, or leave it out", "--only has no %q", d.only)
	}
	if _, err := d.made.records(d.only == "", m.Now()); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tally-demo-")
	if err != nil {
		return hinted("check TMPDIR", "demo: %w", err)
	}
	defer os.RemoveAll(dir)
	// Its compaction, at work every hour, takes rows of transactions with it.
	broker, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "864000000"}))
	if err != nil {
		return fmt.Errorf("demo: broker: %w", err)
	}
	defer broker.Close()
	local := *s
	local.Brokers = broker.ListenAddrs()
	local.TLS, local.TLSCA, local.TLSCert, local.TLSKey = false, "", "", ""
	local.SASLMechanism, local.SASLUser, local.SASLPasswordFile = "", "", ""
	local.Chain = d.only == ""
	stage := &stage{m: m, s: &local, d: d, dir: dir}
	cl, err := m.connect(ctx, stage.s, producerOptions()...)
	if err != nil {
		return err
	}
	defer cl.Close()
	stage.say("a Kafka inside this process listens on %s", strings.Join(local.Brokers, ", "))
	if err := stage.topics(ctx, kadm.NewClient(cl)); err != nil {
		return err
	}
	play := stage.playChain
	if d.only != "" {
		play = stage.play
	}
	report, err := play(ctx, cl)
	if err != nil {
		return err
	}
	return differences(report)
}

// A stage is a demo on its way.
type stage struct {
	m   *Main
	s   *settings
	d   *showing
	dir string
}

// say tells the onlooker what happens, unless a machine looks on.
func (st *stage) say(format string, args ...any) {
	if st.s.Output != outputJSON {
		fmt.Fprintf(st.m.Stdout, format+"\n", args...)
	}
}

func (st *stage) topics(ctx context.Context, adm *kadm.Client) error {
	plan, err := st.s.topology(st.d.shape).Plan(ctx, adm)
	if err != nil {
		return err
	}
	created, err := plan.Apply(ctx, adm)
	if err != nil {
		return err
	}
	st.say("%s, %d partitions each: %s", count(len(created), "topic"), st.d.shape.Partitions,
		cut(strings.Join(created, ", "), 70))
	return nil
}

// play runs the worker beside the loading, waits until it has done everything,
// audits, and shows the result.
func (st *stage) play(ctx context.Context, cl *kgo.Client) (*audit.Report, error) {
	st.d.made.untilNow(st.m.Now())
	records, err := st.d.made.records(false, st.m.Now())
	if err != nil {
		return nil, err
	}
	c := st.workerConfig()
	if c.door, err = st.m.door(ctx, "127.0.0.1:0", reaching{}); err != nil {
		return nil, err
	}
	defer c.door.close()
	w, err := st.m.newWorker(ctx, c)
	if err != nil {
		return nil, err
	}
	defer w.close(ctx, st.logger()) //nolint:errcheck // its directory goes as well
	if err := st.m.addPage(w, c, cl); err != nil {
		return nil, err
	}
	if err := st.m.addAPI(w, c, cl); err != nil {
		return nil, err
	}
	server, err := st.m.listen(w, "demo", c.door, st.logger())
	if err != nil {
		return nil, err
	}
	defer server.close()
	st.point(server)
	working, stop := context.WithCancel(ctx)
	defer stop()
	g, working := errgroup.WithContext(working)
	g.Go(func() error { return w.run(working) })
	g.Go(func() error { return server.run(working) })
	report, err := st.act(working, cl, w, records)
	if err == nil && st.d.serve {
		st.hold(working, server)
	}
	stop()
	if failed := g.Wait(); failed != nil && ctx.Err() == nil {
		return nil, failed
	}
	return report, err
}

// workerConfig is that of a worker with all that the demo shows.
func (st *stage) workerConfig() workerConfig {
	var all []string
	if !st.s.Chain {
		all = []string{topology.Confirm, topology.Views}
	}
	chosen, _ := st.s.choose(all, engine.ExactlyOnce) //nolint:errcheck // they are there
	c := workerConfig{
		wiring: st.s.wiring(), brokers: st.s.Brokers, client: st.m.Client,
		processors: processorsOf(chosen), dir: filepath.Join(st.dir, defaultStateDir),
		instance: "demo", interval: 100 * time.Millisecond, leave: true,
		cacheBytes: 32 << 20, rowBytes: 32 << 20, log: st.logger(),
	}
	// What is made up for the main job has bad records under the keys of orders,
	// which are not to wait behind them here.
	c.park, c.rules = st.s.Chain, defaultRules()
	return c
}

// logger keeps the log out of the show, where refused records are announced in
// numbers.
func (st *stage) logger() *slog.Logger {
	quiet := *st.s
	quiet.LogLevel = max(quiet.LogLevel, slog.LevelError)
	return st.m.logger(&quiet)
}

// act loads, waits and audits.
func (st *stage) act(
	ctx context.Context, cl *kgo.Client, w *worker, records recordSeq,
) (*audit.Report, error) {
	began := st.m.Now()
	var early int64
	sent, err := st.m.send(ctx, st.s, cl, formatProtobuf, overtaken(records, &early), func() string {
		return ", joined " + thousands(w.units[0].engine.Stats().Records)
	})
	if err != nil {
		return nil, err
	}
	st.say("sent %s: %s about orders, %s about payments, of which %s before their order",
		count(sent.Records, "record"), thousands(sent.Orders), thousands(sent.Payments),
		thousands(early))
	if err := st.finish(ctx, w, sent.Records); err != nil {
		return nil, err
	}
	took := st.m.Now().Sub(began)
	stats := w.units[0].engine.Stats()
	st.say("joined in %s, exactly once, %.1f s after the first record (%s records a second)\n",
		count(stats.Transactions, "transaction"), took.Seconds(),
		thousands(int64(float64(sent.Records)/took.Seconds())))
	if st.s.Output != outputJSON {
		said, err := st.readSamples(ctx, cl)
		if err != nil {
			return nil, err
		}
		said.write(st.m.Stdout)
	}
	auditing := st.m.Now()
	report, err := st.m.auditCluster(ctx, st.s, cl, engine.ExactlyOnce, defaultRules())
	if err != nil {
		return nil, err
	}
	w.page.Audited(report, st.m.Now().Sub(auditing))
	result := demonstrated{
		report, st.d.made.seed, sent.Records, stats.Transactions, took.Seconds(),
		float64(sent.Records) / max(took.Seconds(), 0.001),
	}
	return report, st.m.show(st.s, result, func(out io.Writer) error {
		return writeReport(out, report)
	})
}

// finish waits until the worker has committed all that was sent.
func (st *stage) finish(ctx context.Context, w *worker, sent int64) error {
	line := func() string {
		stats := w.units[0].engine.Stats()
		return fmt.Sprintf("joining: %s of %s records in %s", thousands(stats.Records),
			thousands(sent), count(stats.Transactions, "transaction"))
	}
	shown := st.m.ticker(st.s, line)
	defer shown.stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for w.units[0].engine.Stats().Records < sent {
		select {
		case <-ctx.Done():
			return fmt.Errorf("demo: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// point says where the page is, for a demo that goes on for long enough to look at it.
func (st *stage) point(server *server) {
	if st.d.serve {
		st.say("the page of it all: http://%s/", server.address)
	}
}

// hold keeps everything up until the demo is interrupted.
func (st *stage) hold(ctx context.Context, server *server) {
	brokers, chain := strings.Join(st.s.Brokers, ","), ""
	if st.s.Chain {
		chain = " --chain"
	}
	fmt.Fprintf(st.m.Stderr, `
broker %[1]s and worker %[2]s stay up; end with Ctrl-C.
The page is at http://%[2]s/, an order at http://%[2]s/#/order/o%[4]d-000001. Try:
  %[5]s table scan --limit 3 --brokers %[1]s --worker %[2]s
  %[5]s audit --brokers %[1]s%[3]s
  %[5]s explain o%[4]d-000001 --brokers %[1]s%[3]s
  %[5]s state o%[4]d-000001 --brokers %[1]s%[3]s --at -1h
  %[5]s whatif --due-within 1m --brokers %[1]s%[3]s
  curl http://%[2]s/orders/o%[4]d-000001
`, brokers, server.address, chain, st.d.made.seed, st.m.called())
	if st.m.Ready != nil {
		st.m.Ready(Serving{Brokers: st.s.Brokers, HTTP: server.address})
	}
	<-ctx.Done()
}
