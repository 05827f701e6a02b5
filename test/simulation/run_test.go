package simulation

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/topology"
)

const (
	partitions = 4
	workers    = 2
	timedKills = 7
	catchUp    = 15 * time.Minute // from the end of the faults to a lag of 0
	tailLines  = 120
)

// A variant is a way to break the application, which a run must notice.
type variant string

const (
	asBuilt   variant = ""
	rowsFirst variant = "rows-first" // rows go to disk before the commit on Kafka
)

// A simulation is one run.
type simulation struct {
	seed    int64
	variant variant
	names   topology.Names
	net     kfake.VirtualNetwork
	cluster *kfake.Cluster
	chance  *chance
	began   time.Time
	beat    *atomic.Int64
	healed  atomic.Bool
	healing chan struct{} // closed when healed
	latency bool          // requests take time

	mu         sync.Mutex
	counts     map[string]int
	notes      []string
	lines      []string
	complaints []string
	seen       observation
}

// note remembers what was done to the application.
func (s *simulation) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, s.clock()+" "+fmt.Sprintf(format, args...))
}

// complain remembers what is wrong.
func (s *simulation) complain(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.complaints = append(s.complaints, s.clock()+" "+fmt.Sprintf(format, args...))
}

func (s *simulation) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what]++
}

func (s *simulation) keep(images []image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.images = append(s.seen.images, images...)
}

// tally adds up what the lives of the workers did.
func (s *simulation) tally(st engine.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts["transactions"] += int(st.Transactions)
	s.counts["aborts"] += int(st.Aborts)
	s.counts["new clients"] += int(st.Restarts)
	s.counts["restored records"] += int(st.Restored)
	s.counts["rebuilt tables"] += int(st.Rebuilt)
}

// clock is the virtual time since the beginning.
func (s *simulation) clock() string {
	return fmt.Sprintf("%12v", time.Since(s.began).Round(time.Microsecond))
}

// deadly tells whether a worker is to die now, which it does once in n times.
func (s *simulation) deadly(kind string, n int) bool {
	return !s.healed.Load() && s.chance.oneIn("kill: "+kind, n)
}

// simulate runs one seed in a bubble of its own. The beat counts requests.
func simulate(t *testing.T, seed int64, v variant, beat *atomic.Int64) (s *simulation) {
	synctest.Test(t, func(t *testing.T) {
		s = newSimulation(seed, v)
		s.beat = beat
		s.all(t)
	})
	return s
}

func newSimulation(seed int64, v variant) *simulation {
	s := &simulation{
		seed: seed, variant: v, names: topology.Options{}.Names(), chance: newChance(seed),
		began: time.Now(), healing: make(chan struct{}), counts: map[string]int{},
		latency: os.Getenv(envLatency) != "",
	}
	s.seen.log = map[int32][]entry{}
	return s
}

// all makes the cluster, runs, and takes the cluster down.
func (s *simulation) all(t *testing.T) {
	var err error
	// One broker: the client writes to each by a goroutine of its own, of which
	// one waits with a mutex for what another asks the coordinator.
	s.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9101),
		kfake.ListenFn(s.net.Listen), kfake.BrokerConfigs(map[string]string{
			// Never: kfake's compaction takes what an open transaction wrote for
			// committed, and drops abort markers that readers still wait for. Both
			// lose rows, which Kafka's does not.
			"log.cleaner.backoff.ms": "864000000",
		}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.cluster.Close()
	client := s.client()
	defer client.Close()
	admin := kadm.NewClient(client)
	if err := s.makeTopics(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	s.misbehave()
	s.run(t.Context(), admin)
}

func (s *simulation) makeTopics(ctx context.Context, admin *kadm.Client) error {
	plan, err := topology.Default(topology.Options{Partitions: partitions}).Plan(ctx, admin)
	if err == nil {
		_, err = plan.Apply(ctx, admin)
	}
	return err
}

func (s *simulation) client(opts ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(s.cluster.ListenAddrs()...),
		kgo.Dialer(s.net.DialContext), kgo.DisableClientMetrics())...)
	if err != nil {
		panic(err) // the options are wrong
	}
	return c
}

// run lets the hour pass, heals, waits until all is caught up, and looks.
func (s *simulation) run(ctx context.Context, admin *kadm.Client) {
	work, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	ws := make([]*worker, workers)
	for i := range ws {
		ws[i] = &worker{s: s, name: fmt.Sprintf("worker-%d", i+1), disk: vfs.NewCrashableMem()}
		all.Go(func() { ws[i].supervise(work) })
	}
	all.Go(func() { s.load(work) })
	all.Go(func() { s.watch(work, admin) })
	all.Go(func() { s.elect(work) })
	for range timedKills {
		r := s.chance.draw("timed kill")
		after, w := time.Duration(r.Int64N(int64(span))), ws[r.IntN(workers)]
		all.Go(func() {
			select {
			case <-time.After(after):
			case <-work.Done():
				return
			}
			if l := w.current(); l != nil {
				l.die("at some time")
			}
		})
	}
	time.Sleep(span + time.Second)
	s.healed.Store(true)
	close(s.healing)
	for _, w := range ws { // a life that was hit last may be losing its answers still
		if l := w.current(); l != nil {
			l.net.cutter.Mend()
		}
	}
	s.note("healed")
	if s.caughtUp(ctx, admin) {
		time.Sleep(5 * time.Second) // what is committed on Kafka gets to disk
		s.final(ws)
	}
	stop()
	all.Wait()
	if err := s.observe(ctx, admin); err != nil {
		s.complain("%v", err)
	}
	if n := s.counts["rebuilt tables"]; n > 0 {
		s.complain("%d tables were rebuilt", n)
	}
	s.complaints = append(s.complaints, s.seen.verify()...)
}

// load sends the traffic at its times.
func (s *simulation) load(ctx context.Context) {
	client := s.client()
	defer client.Close()
	s.seen.facts = traffic(s.seed, s.names)
	for _, f := range s.seen.facts {
		time.Sleep(f.at - time.Since(s.began))
		r := &kgo.Record{Topic: f.topic, Key: f.key, Value: f.value}
		client.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err != nil {
				s.complain("load: %v", err)
			}
			f.partition, f.offset = r.Partition, r.Offset
		})
	}
	if err := client.Flush(ctx); err != nil {
		s.complain("load: %v", err)
	}
}

// delay makes a request take time, if that is asked for. It is not by default:
// then whoever waits for a mutex whose holder waits for an answer stops the
// clock for ever.
func (s *simulation) delay() {
	if s.latency {
		time.Sleep(200*time.Microsecond + time.Duration(s.chance.draw("delay").IntN(5_000_000)))
	}
}

// summary is the run in a line.
func (s *simulation) summary() string {
	var kills, faults int
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(s.counts)) {
		switch {
		case strings.HasPrefix(k, "kill: "):
			kills += s.counts[k]
		case strings.HasPrefix(k, "fault: "):
			faults += s.counts[k]
		default:
			parts = append(parts, fmt.Sprintf("%d %s", s.counts[k], k))
		}
	}
	return fmt.Sprintf("%d facts, %d kills, %d faults, %s, %d crash images", len(s.seen.facts),
		kills, faults, strings.Join(parts, ", "), len(s.seen.images))
}

// dump is all that helps to understand a failure.
func (s *simulation) dump() string {
	var b strings.Builder
	section := func(name string, lines []string, most int) {
		fmt.Fprintf(&b, "-- %s\n", name)
		if n := len(lines) - most; n > 0 {
			fmt.Fprintf(&b, "(%d more)\n", n)
			lines = lines[n:]
		}
		for _, l := range lines {
			fmt.Fprintln(&b, l)
		}
	}
	section("what was done", s.notes, tailLines)
	for _, k := range slices.Sorted(maps.Keys(s.counts)) {
		fmt.Fprintf(&b, "%6d %s\n", s.counts[k], k)
	}
	section("the end of the log", s.lines, tailLines)
	section("what is wrong", s.complaints, 40)
	return b.String()
}
