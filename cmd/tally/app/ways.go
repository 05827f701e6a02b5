package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/cmd/tally/app/ways"
)

// comparing is what tally bench ways was asked.
type comparing struct {
	config ways.Config
	shape  shape
}

func (m *Main) benchCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure this machine",
		Example: examples("tally bench ways"),
		GroupID: groupLook,
	}
	needVerb(cmd)
	cmd.AddCommand(m.waysCommand(s))
	return cmd
}

func (m *Main) waysCommand(s *settings) *cobra.Command {
	c := &comparing{}
	cmd := &cobra.Command{
		Use:   "ways",
		Short: "Do the same join in three ways, and count what each loses, asks and takes",
		Long: paragraph(`
			confirm keeps both halves in a table. lookup takes thin notices and asks an order
			service about each, with a cache or without. window keeps both topics in memory
			for ten minutes of the shop's time, of which an hour is played in seconds.

			Scenarios: plain; outage, in which the order service is down for a while; late, in
			which one payment in ten comes up to 40 minutes after its order; restart, in which
			the worker is killed and another one takes over.

			It runs on a Kafka inside this process, or on the brokers that are named, on topics
			of its own, which it deletes afterwards.`),
		Example: examples(`
			tally bench ways
			tally bench ways --orders 20000 --latency 5ms
			tally bench ways -o json`),
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return m.compare(cmd.Context(), s, c)
		},
	}
	f := cmd.Flags()
	f.IntVar(&c.config.Orders, "orders", 5000, "orders in each run")
	f.Uint64Var(&c.config.Seed, "seed", 1, "fixes the records")
	f.IntVar(&c.config.Rate, "rate", 3500, "records a second while latency is measured")
	f.DurationVar(&c.config.Latency, "latency", time.Millisecond,
		"how long the order service takes for an answer")
	f.DurationVar(&c.config.Outage, "outage", time.Second, "how long it is down in outage")
	f.DurationVar(&c.config.CacheFor, "cache", 20*time.Millisecond,
		"how long the cached lookup takes an answer for good")
	c.shape.register(cmd, 12)
	return cmd
}

// compare runs the ways and shows the table. That confirm loses or doubles nothing
// is what tally promises: it fails if it does.
func (m *Main) compare(ctx context.Context, s *settings, c *comparing) error {
	if err := c.shape.validate(); err != nil {
		return err
	}
	if err := c.config.Validate(); err != nil {
		return usageError(seeHelp, "%s", oneLine(err.Error()))
	}
	done, err := m.stageWays(s, c)
	if err != nil {
		return err
	}
	defer done()
	bench, err := ways.New(c.config)
	if err != nil {
		return err
	}
	shown := m.ticker(s, bench.Line)
	began := m.Now()
	results, err := bench.Run(ctx, ways.Ways(), ways.Scenarios())
	shown.stop()
	if err != nil {
		return err
	}
	report := waysReport{
		Orders: c.config.Orders, Rate: c.config.Rate, Processors: runtime.NumCPU(),
		Embedded: !s.brokersGiven, Seconds: m.Now().Sub(began).Seconds(), Results: results,
	}
	err = m.show(s, report, func(out io.Writer) error { return report.write(out) })
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Wrong > 0 || r.Way == ways.Confirm && r.Lost+r.Doubled > 0 {
			return hinted("run it again with -o json, and report it", "%s in %s lost %d, doubled %d "+
				"and confirmed %d that it should not", r.Way, r.Scenario, r.Lost, r.Doubled, r.Wrong)
		}
	}
	return nil
}

// stageWays fills in what the settings say about the cluster, or starts one. The
// caller ends it by the function returned.
func (m *Main) stageWays(s *settings, c *comparing) (func(), error) {
	dir, err := os.MkdirTemp("", "tally-bench-")
	if err != nil {
		return nil, hinted("check TMPDIR", "bench: %w", err)
	}
	clean := func() { _ = os.RemoveAll(dir) } // a directory of temporary files
	b := &c.config
	b.Dir, b.Partitions, b.Replication = dir, c.shape.Partitions, c.shape.Replication
	b.Away, b.Interval = 300*time.Millisecond, 100*time.Millisecond
	b.Prefix = fmt.Sprintf("tally-ways-%d-%d-", os.Getpid(), m.Now().Unix())
	quiet := *s
	quiet.LogLevel = max(quiet.LogLevel, slog.LevelError) // workers are killed: that is the point
	b.Logger = m.logger(&quiet)
	if s.brokersGiven {
		b.Brokers = s.Brokers
		if b.Client, err = m.clientOptions(s); err == nil {
			b.Dial, err = s.dialer()
		}
		if err != nil {
			clean()
		}
		return clean, err
	}
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		clean()
		return nil, fmt.Errorf("bench: broker: %w", err)
	}
	b.Brokers = broker.ListenAddrs()
	b.Client = append([]kgo.Opt{kgo.DisableClientMetrics()}, m.Client...)
	b.Dial = new(net.Dialer).DialContext
	return func() {
		broker.Close()
		clean()
	}, nil
}

// dialer connects as the settings say, with TLS or without.
func (s *settings) dialer() (
	func(ctx context.Context, network, address string) (net.Conn, error), error,
) {
	secured, err := s.tlsConfig()
	if err != nil || secured == nil {
		return new(net.Dialer).DialContext, err
	}
	return (&tls.Dialer{Config: secured}).DialContext, nil
}

// waysReport is what tally bench ways prints.
type waysReport struct {
	Orders     int           `json:"orders"`
	Rate       int           `json:"rate"`
	Processors int           `json:"processors"`
	Embedded   bool          `json:"embedded"`
	Seconds    float64       `json:"seconds"`
	Results    []ways.Result `json:"results"`
}

func (r waysReport) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "scenario\tway\tconfirmed\tlost\tdoubled\tlook-ups\tp50 ms\tp99 ms\t"+
		"records/s\tCPU-s/M\t")
	for _, x := range r.Results {
		rate, cpu := "-", "-"
		if x.Rate > 0 {
			rate = thousands(int64(x.Rate))
		}
		if x.CPU > 0 {
			cpu = fmt.Sprintf("%.0f", x.CPU)
		}
		fmt.Fprintf(w, "%s\t%s\t%s of %s\t%s\t%s\t%s\t%.0f\t%.0f\t%s\t%s\t\n", x.Scenario, x.Way,
			thousands(x.Confirmed), thousands(x.Expected), thousands(x.Lost), thousands(x.Doubled),
			thousands(x.Lookups), x.P50, x.P99, rate, cpu)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%s in each run, %s records a second; records/s and CPU-s/M are of "+
		"half of them,\nthat come at once. It took %.0f s. docs/ways.md says how to read it.\n",
		count(r.Orders, "order"), thousands(r.Rate), r.Seconds)
	return err
}
