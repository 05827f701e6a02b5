package ways

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/topology"
)

// A Way is how the job is done.
type Way string

// The ways. The lookup is measured with and without a cache.
const (
	Confirm      Way = "confirm"
	Lookup       Way = "lookup"
	CachedLookup Way = "lookup+cache"
	Window       Way = "window"
)

// A Scenario is what happens meanwhile.
type Scenario string

// The scenarios.
const (
	Plain   Scenario = "plain"
	Outage  Scenario = "outage"
	Late    Scenario = "late"
	Restart Scenario = "restart"
)

// Ways and Scenarios return all of them in the order in which they are run.
func Ways() []Way { return []Way{Confirm, Lookup, CachedLookup, Window} }

// Scenarios returns all scenarios in the order in which they are run.
func Scenarios() []Scenario { return []Scenario{Plain, Outage, Late, Restart} }

// Config is what is run and on what.
type Config struct {
	Brokers []string
	// Client is put before the own options of every Kafka client, and Dial connects
	// those of the workers.
	Client []kgo.Opt
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	// Dir is where the workers keep their tables. It has to be empty.
	Dir string
	// Prefix begins the names of all topics and groups, which are deleted afterwards.
	Prefix      string
	Partitions  int32
	Replication int16
	Orders      int
	Seed        uint64
	// Rate is how many records a second come while latency is measured.
	Rate int
	// Latency is how long the order service takes for an answer, and Outage how long
	// it is down in that scenario.
	Latency, Outage time.Duration
	// Away is how long a worker that was killed is gone.
	Away time.Duration
	// Interval is how long a transaction, or what is committed at once without one,
	// collects records.
	Interval time.Duration
	// CacheFor is how long the cached lookup takes an answer for good.
	CacheFor time.Duration
	Logger   *slog.Logger
}

// Validate names what is wrong with the settings.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(c.Orders >= 10 && c.Orders <= 1_000_000,
		"orders must lie between 10 and 1000000, not %d", c.Orders)
	need(c.Rate >= 10 && c.Rate <= 1_000_000,
		"rate must lie between 10 and 1000000, not %d", c.Rate)
	need(c.Latency >= 0 && c.Latency <= 200*time.Millisecond,
		"latency must lie between 0 and 200ms, not %v", c.Latency)
	need(c.Outage > 0 && c.Outage <= time.Minute,
		"outage must lie between 0 and 1m, not %v", c.Outage)
	need(c.CacheFor > 0 && c.CacheFor <= time.Hour,
		"cache must lie between 0 and 1h, not %v", c.CacheFor)
	return errors.Join(errs...)
}

// A Result is what one way did in one scenario.
type Result struct {
	Way      Way      `json:"way"`
	Scenario Scenario `json:"scenario"`
	Records  int      `json:"records"`
	// Expected are the orders that their payments cover, Confirmed those of them
	// that have a confirmation, Lost the others, and Doubled those with several.
	Expected  int `json:"expected"`
	Confirmed int `json:"confirmed"`
	Lost      int `json:"lost"`
	Doubled   int `json:"doubled"`
	// Wrong are confirmations of orders that are not covered, or of another total.
	Wrong int `json:"wrong"`
	// Lookups is how often the order service was asked.
	Lookups int64 `json:"lookups"`
	// P50 and P99 are how long after the record that covers an order its
	// confirmation could be read, in milliseconds.
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	// Rate is how many records a second were done when many came at once, and CPU
	// what the whole process, broker and loader and order service in it, worked
	// for them. Both are of the scenario plain alone, else 0.
	Rate float64 `json:"records_per_second,omitempty"`
	CPU  float64 `json:"cpu_seconds_per_million,omitempty"`
}

// A Bench runs the ways.
type Bench struct {
	c     Config
	total int
	at    atomic.Pointer[run]
}

// New returns a bench for settings that are valid.
func New(c Config) (*Bench, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Bench{c: c}, nil
}

// Run runs the ways through the scenarios, one after the other.
func (b *Bench) Run(ctx context.Context, ways []Way, scenarios []Scenario) ([]Result, error) {
	b.total = len(ways) * len(scenarios)
	var results []Result
	for _, scenario := range scenarios {
		for _, way := range ways {
			result, err := b.one(ctx, way, scenario, len(results)+1)
			if err != nil {
				return results, fmt.Errorf("ways: %s, %s: %w", way, scenario, err)
			}
			results = append(results, result)
		}
	}
	return results, nil
}

// Line says how far the bench is. It may be called at any time.
func (b *Bench) Line() string {
	r := b.at.Load()
	if r == nil {
		return "ways: setting up"
	}
	return fmt.Sprintf("ways: %d of %d: %s, %s: %d of %d records sent, %d confirmations",
		r.number, b.total, r.way, r.scenario, r.sent.Load(), len(r.facts), r.read.count())
}

// freshTopics is for topics that were made a moment ago: a client that does not find
// one asks again soon, and not after the seconds that it takes by itself, which
// would count as latency.
var freshTopics = kgo.MetadataMinAge(50 * time.Millisecond)

// one makes the topics of a run, runs it, and deletes them.
func (b *Bench) one(
	ctx context.Context, way Way, scenario Scenario, number int,
) (_ Result, err error) {
	app := fmt.Sprintf("%s%d", b.c.Prefix, number)
	o := topology.Options{
		Prefix: app + "-", App: app, Partitions: b.c.Partitions, Replication: b.c.Replication,
		NoParking: true,
	}
	r := &run{
		c: &b.c, way: way, scenario: scenario, number: number, names: o.Names(),
		dir:   filepath.Join(b.c.Dir, app),
		facts: work(b.c.Orders, b.c.Seed, scenario == Late, time.Now()),
	}
	r.settled = settling(r.facts)
	r.appended = make([]time.Time, len(r.facts))
	cl, err := kgo.NewClient(append(append([]kgo.Opt{}, b.c.Client...),
		kgo.SeedBrokers(b.c.Brokers...), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<20),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		freshTopics)...)
	if err != nil {
		return Result{}, err
	}
	defer cl.Close()
	r.client, r.adm = cl, kadm.NewClient(cl)
	plan, err := topology.Default(o).Plan(ctx, r.adm)
	if err != nil {
		return Result{}, err
	}
	if _, err := plan.Apply(ctx, r.adm); err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, r.clean(context.WithoutCancel(ctx), app)) }()
	if r.read, err = r.reader(); err != nil {
		return Result{}, err
	}
	defer r.read.close()
	b.at.Store(r)
	return r.play(ctx)
}

// clean deletes what the run has left in the cluster and on disk.
func (r *run) clean(ctx context.Context, app string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	listed, err := r.adm.ListTopics(ctx)
	if err != nil {
		return err
	}
	var ours []string
	for _, name := range listed.Names() {
		if len(name) > len(app) && name[:len(app)+1] == app+"-" {
			ours = append(ours, name)
		}
	}
	_, err = r.adm.DeleteTopics(ctx, ours...)
	_, gone := r.adm.DeleteGroups(ctx, r.group())
	return errors.Join(err, gone, os.RemoveAll(r.dir))
}
