package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
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
	healed  atomic.Bool
	healing chan struct{} // closed when healed

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
	if st.Rebuilt != 0 {
		s.complaints = append(s.complaints, fmt.Sprintf("%d tables were rebuilt", st.Rebuilt))
	}
}

// clock is the virtual time since the beginning.
func (s *simulation) clock() string {
	return fmt.Sprintf("%12v", time.Since(s.began).Round(time.Microsecond))
}

// deadly tells whether a worker is to die now, which it does once in n times.
func (s *simulation) deadly(kind string, n int) bool {
	return !s.healed.Load() && s.chance.oneIn("kill: "+kind, n)
}

// logger keeps the last lines of all workers.
func (s *simulation) logger(w *worker) *slog.Logger {
	o := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "group" {
			return slog.Attr{}
		}
		return a
	}}
	return slog.New(journal{Handler: slog.NewTextHandler(tail{s}, o), w: w, s: s})
}

// A tail is where the log goes.
type tail struct{ s *simulation }

func (t tail) Write(b []byte) (int, error) {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.s.lines = append(t.s.lines, t.s.clock()+" "+strings.TrimSpace(string(b)))
	if n := len(t.s.lines); n > 4*tailLines {
		t.s.lines = append([]string{}, t.s.lines[n-tailLines:]...)
	}
	return len(b), nil
}

// simulate runs one seed in the bubble that it is called in.
func simulate(t *testing.T, seed int64, v variant) *simulation {
	s := &simulation{
		seed: seed, variant: v, names: topology.Options{}.Names(), chance: newChance(seed),
		began: time.Now(), healing: make(chan struct{}), counts: map[string]int{},
	}
	var err error
	s.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9101),
		kfake.ListenFn(s.net.Listen),
		// Compaction would take what the oracle compares crash images with.
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "864000000"}))
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
	return s
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

// watch follows the group's offsets, which never go back.
func (s *simulation) watch(ctx context.Context, admin *kadm.Client) {
	last := map[string]int64{}
	for ctx.Err() == nil {
		if offsets, err := admin.FetchOffsets(ctx, s.names.ConfirmGroup); err == nil {
			offsets.Each(func(o kadm.OffsetResponse) {
				at := fmt.Sprintf("%s/%d", o.Topic, o.Partition)
				if o.At < last[at] {
					s.complain("the group's offset of %s went from %d back to %d", at, last[at], o.At)
				}
				last[at] = o.At
			})
		}
		select {
		case <-time.After(7 * time.Second):
		case <-ctx.Done():
		}
	}
}

// caughtUp waits until the group has read everything.
func (s *simulation) caughtUp(ctx context.Context, admin *kadm.Client) bool {
	var left string
	for deadline := time.Now().Add(catchUp); time.Now().Before(deadline); time.Sleep(time.Second) {
		left = s.lag(ctx, admin)
		if left == "" {
			s.note("caught up")
			return true
		}
	}
	s.complain("not caught up %v after the last fault: %s", catchUp, left)
	return false
}

// lag says what the group has not read yet.
func (s *simulation) lag(ctx context.Context, admin *kadm.Client) string {
	ends, err := admin.ListEndOffsets(ctx, s.names.Orders, s.names.Payments)
	if err != nil {
		return err.Error()
	}
	offsets, err := admin.FetchOffsets(ctx, s.names.ConfirmGroup)
	if err != nil {
		return err.Error()
	}
	var left []string
	ends.Each(func(e kadm.ListedOffset) {
		at := int64(0)
		if o, ok := offsets.Lookup(e.Topic, e.Partition); ok {
			at = max(o.At, 0)
		}
		if at != e.Offset {
			left = append(left, fmt.Sprintf("%s/%d at %d of %d", e.Topic, e.Partition, at, e.Offset))
		}
	})
	slices.Sort(left)
	return strings.Join(left, ", ")
}

// final takes the tables of the workers as they are at the end.
func (s *simulation) final(ws []*worker) {
	for _, w := range ws {
		l := w.current()
		if l == nil {
			s.complain("%s is not there at the end", w.name)
			continue
		}
		for _, p := range l.engine.Stats().Partitions {
			v, ok := l.engine.Table(p)
			if !ok {
				s.complain("%s has lost partition %d at the end", w.name, p)
				continue
			}
			i, err := snapshot(v)
			if err != nil {
				s.complain("%s: table at the end: %v", w.name, err)
			}
			i.what, i.partition = w.name+" at the end", p
			s.seen.finals = append(s.seen.finals, i)
		}
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
