package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	seeds      = 50
	shortSeeds = 5
	// ceiling is how much real time a seed may take, and stillness how much of it
	// may pass without a request. Virtual time stands still for ever if a
	// goroutine waits for a mutex whose holder waits for a timer.
	ceiling   = 5 * time.Minute
	stillness = 30 * time.Second
)

// The environment by which the test talks to the processes that it starts, and
// by which make talks to the test.
const (
	envSeed    = "SIM_SEED"    // the first seed
	envRuns    = "SIM_RUNS"    // how many
	envOne     = "SIM_ONE"     // in a process of its own: the seed to run
	envVariant = "SIM_VARIANT" // in a process of its own: what is broken
	envLatency = "SIM_LATENCY" // not empty: requests take time
)

// TestSimulation runs the seeds, each in a process of its own: a bubble is
// nearly serial, so that this is how to use more than one processor, and a
// process can be stopped.
func TestSimulation(t *testing.T) {
	if one := os.Getenv(envOne); one != "" {
		runHere(t, one)
		return
	}
	first, runs := int64(1), seeds
	if testing.Short() {
		runs = shortSeeds
	}
	if s := os.Getenv(envSeed); s != "" {
		first, runs = number(t, envSeed, s), 1
	}
	if s := os.Getenv(envRuns); s != "" {
		runs = int(number(t, envRuns, s))
	}
	failed := runAll(t, first, runs, asBuilt)
	if unguarded {
		noticed := slices.DeleteFunc(failed, func(f failure) bool {
			return !strings.Contains(f.output, saidTwice)
		})
		if t.Logf("%d seeds noticed that the guard is off", len(noticed)); len(noticed) == 0 {
			t.Error("the guard of the engine is off, and nothing was said twice")
		}
		return
	}
	for _, f := range failed {
		t.Errorf("seed %d failed; again: make sim SEED=%d\n%s", f.seed, f.seed, f.output)
	}
}

// TestRowsBeforeKafkaAreNoticed breaks the protocol: rows go to disk before
// their transaction is committed.
func TestRowsBeforeKafkaAreNoticed(t *testing.T) {
	const runs = 2
	noticed := slices.DeleteFunc(runAll(t, 1, runs, rowsFirst), func(f failure) bool {
		return !strings.Contains(f.output, "crash image of")
	})
	if len(noticed) < runs {
		t.Errorf("%d of %d seeds noticed", len(noticed), runs)
	}
}

func number(t *testing.T, name, value string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < 0 {
		t.Fatalf("%s=%s is not a number of seeds", name, value)
	}
	return n
}

// runHere runs one seed in this process.
func runHere(t *testing.T, one string) {
	seed := number(t, envOne, one)
	began := time.Now()
	var beat atomic.Int64
	over := make(chan struct{})
	defer close(over)
	go watchOver(&beat, over)
	s := simulate(t, seed, variant(os.Getenv(envVariant)), &beat)
	fmt.Printf("%s%s, %v\n", mark, s.summary(), time.Since(began).Round(time.Millisecond))
	if len(s.complaints) > 0 {
		t.Error(s.dump())
	}
}

// watchOver lets the process die with its stacks when the bubble stands still.
// It lives in real time.
func watchOver(beat *atomic.Int64, over <-chan struct{}) {
	for last := int64(-1); last != beat.Load(); {
		last = beat.Load()
		select {
		case <-over:
			return
		case <-time.After(stillness):
		}
	}
	fmt.Println(stoodStill)
	_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
}

// stoodStill is what a process says before it shows its stacks.
const stoodStill = "virtual time stood still"

// mark begins the line that sums a run up.
const mark = "simulated: "

// A failure is a seed that failed, and what it said.
type failure struct {
	seed   int64
	output string
}

// runAll runs seeds in processes, as many at a time as there are processors.
func runAll(t *testing.T, first int64, runs int, v variant) []failure {
	t.Helper()
	type result struct {
		seed   int64
		output string
		err    error
	}
	results := make(chan result)
	slots := make(chan struct{}, runtime.NumCPU())
	go func() {
		for seed := first; seed < first+int64(runs); seed++ {
			slots <- struct{}{}
			go func() {
				output, err := runProcess(t.Context(), seed, v)
				if errors.Is(err, errClient) {
					t.Logf("seed %d once more: %v\n%.3000s", seed, err, output)
					output, err = runProcess(t.Context(), seed, v)
				}
				<-slots
				results <- result{seed, output, err}
			}()
		}
	}()
	var failed []failure
	for range runs {
		r := <-results
		line := r.output
		if _, after, ok := strings.Cut(line, mark); ok {
			line, _, _ = strings.Cut(after, "\n")
		} else {
			line = "no summary"
		}
		t.Logf("seed %d: %s", r.seed, line)
		if r.err != nil {
			failed = append(failed, failure{r.seed, fmt.Sprintf("%v\n%s", r.err, r.output)})
		}
	}
	return failed
}

// runProcess runs one seed in a process of its own. One that takes too long is
// asked for its stacks.
func runProcess(ctx context.Context, seed int64, v variant) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, ceiling)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSimulation$", "-test.count=1",
		"-test.timeout=0")
	cmd.Env = append(os.Environ(), fmt.Sprint(envOne, "=", seed), envVariant+"="+string(v),
		"GOMAXPROCS=1", "GOTRACEBACK=all")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(fmt.Errorf("did not end within %v", ceiling), err)
	} else if !strings.Contains(output.String(), stoodStill) {
		return cut(output.String()), err
	}
	stacks, ours := culprits(output.String())
	if !ours {
		err = errors.Join(errClient, err)
	}
	return cut(stacks), err
}

// errClient means that virtual time stood still because the Kafka client waits
// for one of its mutexes, while the holder waits for time to pass. Where time
// is real this is no fault.
var errClient = errors.New("simulation: the Kafka client holds up virtual time")

// culprits puts the stacks first that make a bubble stand still: of goroutines
// that wait for a mutex, neither for virtual time nor for each other. It also
// tells whether the application is among them, or nobody.
func culprits(stacks string) (sorted string, ours bool) {
	out := []string{"goroutines that wait for something else than virtual time:"}
	for s := range strings.SplitSeq(stacks, "\n\n") {
		head, _, _ := strings.Cut(s, "\n")
		if !strings.Contains(head, "synctest bubble") || strings.Contains(head, "durable") {
			continue
		}
		out = append(out, s)
		ours = ours || !strings.Contains(head, "sync.Mutex.Lock") ||
			strings.Contains(s, "tallystick/")
	}
	return strings.Join(append(out, stacks), "\n\n"), ours || len(out) == 1
}

// cut shortens an output that nobody would read to its end.
func cut(s string) string {
	const most = 64 << 10
	if len(s) <= most {
		return s
	}
	return s[:most/2] + "\n... cut ...\n" + s[len(s)-most/2:]
}
