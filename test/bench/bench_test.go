package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"tallystick/test/kafkatest"
)

const interval = 100 * time.Millisecond

// TestThroughput runs the floor and a worker in turns over the same inputs and
// prints one table.
func TestThroughput(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it needs a real broker")
	}
	n, err := number("BENCH_N", 5_000)
	must(t, err)
	rounds, err := number("BENCH_RUNS", 1)
	must(t, err)
	s := newSuite(t, n)
	formats := []format{protobuf, jsonText}
	for _, f := range formats {
		s.load(f)
	}
	var runs []run
	for round := range rounds {
		for _, f := range formats {
			name := fmt.Sprintf("%s-%d", f, round)
			runs = append(runs, s.floor(f, name), s.worker(f, name))
			for _, r := range runs[len(runs)-2:] {
				t.Logf("%-5s %-8s %6.2f CPU-s/M, %7.0f inputs/s, exactly once: %s",
					r.system, r.format, r.perMillion(), r.rate(), r.exact)
			}
		}
	}
	t.Logf("%d orders, %d payments, %v transactions, medians:\n\n%s",
		n, len(s.work.payments), interval, table(runs))
}

// TestFloorProcess is no test: the floor has to be a process of its own, and
// this binary is one.
func TestFloorProcess(t *testing.T) {
	text := os.Getenv("BENCH_FLOOR")
	if text == "" {
		return
	}
	signal.Ignore(syscall.SIGTERM) // it ends by itself, if not before its last commit is seen
	var job floorJob
	must(t, json.Unmarshal([]byte(text), &job))
	must(t, floor(t.Context(), job))
}

// TestVerify proves that the reader notices what is missing, doubled or wrong.
func TestVerify(t *testing.T) {
	all := func() []int {
		seen := make([]int, 200)
		for order := range seen {
			if !unpaid(order) {
				seen[order] = 1
			}
		}
		return seen
	}
	must(t, compare(all()))
	for name, spoil := range map[string]func([]int){
		"missing": func(seen []int) { seen[3] = 0 },
		"doubled": func(seen []int) { seen[3] = 2 },
		"unasked": func(seen []int) { seen[7] = 1 },
	} {
		seen := all()
		spoil(seen)
		if err := compare(seen); err == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

// TestWorkload pins what the workload promises.
func TestWorkload(t *testing.T) {
	const n = 20_000
	w := newWorkload(n, 1)
	paid, before := map[int]int{}, 0
	for _, p := range w.payments {
		if paid[p.order]++; p.at < p.order {
			before++
		}
	}
	if got, want := len(paid), n-n/100; got != want {
		t.Errorf("%d orders are paid, want %d", got, want)
	}
	if got, want := len(w.payments)-len(paid), n/200; got != want {
		t.Errorf("%d payments come twice, want %d", got, want)
	}
	if share := float64(before) / n; share < 0.18 || share > 0.22 {
		t.Errorf("%.2f of the payments come before their orders, want about a fifth", share)
	}
	for _, f := range []format{protobuf, jsonText} {
		value, err := f.payment(w.payments[0].order)
		must(t, err)
		t.Logf("a payment in %s has %d bytes", f, len(value))
	}
}

type suite struct {
	t       *testing.T
	work    workload
	brokers []string
	admin   *kadm.Client
	binary  string
	prefix  string
}

func newSuite(t *testing.T, n int) *suite {
	t.Helper()
	kind := kafkatest.Process
	if os.Getenv("TALLY_TEST_BROKERS") != "" {
		kind = kafkatest.External
	} else if os.Getenv("KAFKA_CLASSPATH") == "" {
		kind = kafkatest.Container
	}
	options := []kafkatest.Option{kafkatest.OfKind(kind)}
	if os.Getenv("BENCH_N") != "" && kind != kafkatest.External {
		options = append(options, kafkatest.Large())
	}
	b := kafkatest.Start(t, options...)
	binary, err := build(t.Context(), t.TempDir())
	must(t, err)
	return &suite{
		t: t, work: newWorkload(n, 1), brokers: b.Addrs(), admin: b.Admin(t),
		binary: binary, prefix: b.Prefix(t),
	}
}

// names are the flags that name the topics of a format and of a run.
func (s *suite) names(f format, app string) []string {
	return []string{"--prefix", s.topics(f), "--app", s.prefix + app}
}

func (s *suite) topics(f format) string { return s.prefix + string(f) + "-" }

func (s *suite) load(f format) {
	s.t.Helper()
	ctx := s.t.Context()
	must(s.t, prepare(ctx, s.binary, s.brokers, s.names(f, "load")...))
	began := time.Now()
	size, err := load(ctx, s.brokers, s.work, f, s.topics(f))
	must(s.t, err)
	s.t.Logf("%d records of %d bytes in %s loaded in %.1f s",
		s.work.inputs(), size, f, time.Since(began).Seconds())
}

func (s *suite) floor(f format, name string) run {
	s.t.Helper()
	job := floorJob{
		Brokers: s.brokers, Orders: s.topics(f) + "orders", Payments: s.topics(f) + "payments",
		Table: s.prefix + name + "-floor-table", Results: s.prefix + name + "-floor-results",
		Group: s.prefix + name + "-floor", Inputs: s.work.inputs(), Interval: interval,
	}
	_, err := s.admin.CreateTopics(s.t.Context(), partitions, 1, nil, job.Table, job.Results)
	must(s.t, err)
	text, err := json.Marshal(job)
	must(s.t, err)
	cmd := exec.Command(os.Args[0], "-test.run=^TestFloorProcess$")
	cmd.Env = append(os.Environ(), "BENCH_FLOOR="+string(text))
	r := s.run(cmd, job.Group, f)
	r.system, r.exact = "floor", "-"
	s.drop(job.Table, job.Results)
	return r
}

func (s *suite) worker(f format, name string) run {
	s.t.Helper()
	ctx := s.t.Context()
	names := s.names(f, name)
	must(s.t, prepare(ctx, s.binary, s.brokers, names...))
	confirmations := s.topics(f) + "confirmations"
	from, err := s.admin.ListEndOffsets(ctx, confirmations)
	must(s.t, errors.Join(err, from.Error()))
	profile := ""
	if dir := os.Getenv("BENCH_PROFILE"); dir != "" {
		profile = filepath.Join(dir, name+".pprof")
	}
	state := filepath.Join(s.t.TempDir(), "state")
	app := s.prefix + name
	r := s.run(worker(s.brokers, s.binary, state, profile, names...), app+"-confirm", f)
	r.system, r.exact = "tally", "yes"
	if r.said != "" {
		s.t.Logf("%s said:\n%s", name, r.said)
	}
	to, err := s.admin.ListEndOffsets(ctx, confirmations)
	must(s.t, errors.Join(err, to.Error()))
	if err := verify(ctx, s.brokers, confirmations, from, to, s.work); err != nil {
		s.t.Error(err)
		r.exact = "NO"
	}
	s.drop(app+"-confirm-table", app+"-dead-letters")
	must(s.t, os.RemoveAll(state))
	return r
}

// run measures a process until its group has taken all inputs.
func (s *suite) run(cmd *exec.Cmd, group string, f format) run {
	s.t.Helper()
	watch := func(ended <-chan struct{}) ([]sample, error) {
		ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Minute)
		defer cancel()
		return progress(ctx, s.admin, group, s.work.inputs(), ended,
			s.topics(f)+"orders", s.topics(f)+"payments")
	}
	r, err := measured(cmd, watch)
	must(s.t, err)
	r.inputs, r.format = s.work.inputs(), f
	return r
}

// drop deletes topics that the next runs do not need.
func (s *suite) drop(topics ...string) {
	s.t.Helper()
	_, err := s.admin.DeleteTopics(s.t.Context(), topics...)
	must(s.t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
