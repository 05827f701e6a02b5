package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// A run is one measured run of one system.
type run struct {
	system string
	format format
	exact  string // whether a reader found each confirmation once

	cpu    time.Duration // user and system time of the process
	wall   time.Duration // from its start until all inputs were committed
	steady float64       // inputs per second between a tenth and nine tenths, or 0
	peak   int64         // resident memory in bytes
	inputs int
	said   string // its warnings
}

// perMillion is what the CPU would have worked for a million inputs.
func (r run) perMillion() float64 { return r.cpu.Seconds() / float64(r.inputs) * 1e6 }

func (r run) rate() float64 { return float64(r.inputs) / r.wall.Seconds() }

// measured starts a process, has watch wait until its work is done, ends it by
// SIGTERM unless it ends by itself, and takes the operating system's account.
func measured(cmd *exec.Cmd, watch func(ended <-chan struct{}) ([]sample, error)) (run, error) {
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return run{}, fmt.Errorf("bench: %w", err)
	}
	ended := make(chan struct{})
	var exit error
	go func() {
		exit = cmd.Wait()
		close(ended)
	}()
	samples, err := watch(ended)
	wall := time.Since(began)
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-ended:
	case <-time.After(time.Minute):
		err = errors.Join(err, errors.New("bench: it does not stop"), cmd.Process.Kill())
		<-ended
	}
	if err = errors.Join(err, exit); err != nil {
		return run{}, fmt.Errorf("bench: %s: %w\n%s", cmd.Path, err, said.String())
	}
	r := run{wall: wall, steady: slope(samples), said: said.String()}
	r.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		r.peak = usage.Maxrss << 10 // Linux counts in KiB
	}
	return r, nil
}

// build makes the binary that is measured.
func build(ctx context.Context, into string) (string, error) {
	binary := into + "/tally"
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "tallystick/cmd/tally")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("bench: build: %w\n%s", err, out)
	}
	return binary, nil
}

// prepare creates the topics of a prefix and of an application.
func prepare(ctx context.Context, binary string, brokers []string, names ...string) error {
	args := append([]string{
		"topics", "apply", "--brokers", strings.Join(brokers, ","),
		"--partitions", fmt.Sprint(partitions), "--timeout", "60s",
	}, names...)
	cmd := exec.CommandContext(ctx, binary, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("bench: topics: %w\n%s", err, out)
	}
	return nil
}

// worker is `tally run`; a profile is written if one is named.
func worker(brokers []string, binary, state, profile string, names ...string) *exec.Cmd {
	args := append([]string{
		"run", "--brokers", strings.Join(brokers, ","), "--instance", "bench",
		"--state-dir", state, "--http", "off", "--log-level", "warn",
	}, names...)
	if profile != "" {
		args = append(args, "--cpuprofile", profile)
	}
	return exec.Command(binary, args...)
}

// table writes the medians of all runs, one line for each system and format.
func table(runs []run) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "system\tformat\texactly once\tCPU-s/M inputs\tinputs/s\tsteady\tpeak MiB\truns\t")
	var order []string
	groups := map[string][]run{}
	for _, r := range runs {
		name := r.system + "\t" + string(r.format)
		if groups[name] == nil {
			order = append(order, name)
		}
		groups[name] = append(groups[name], r)
	}
	for _, name := range order {
		g := groups[name]
		cpu := values(g, run.perMillion)
		fmt.Fprintf(w, "%s\t%s\t%.2f (%.2f-%.2f)\t%.0f\t%.0f\t%.0f\t%d\t\n", name, g[0].exact,
			median(cpu), cpu[0], cpu[len(cpu)-1], median(values(g, run.rate)),
			median(values(g, func(r run) float64 { return r.steady })),
			median(values(g, func(r run) float64 { return float64(r.peak) / (1 << 20) })), len(g))
	}
	_ = w.Flush() // a strings.Builder takes everything
	return b.String()
}

// values returns one figure of every run, in order of size.
func values(runs []run, figure func(run) float64) []float64 {
	v := make([]float64, len(runs))
	for i, r := range runs {
		v[i] = figure(r)
	}
	slices.Sort(v)
	return v
}

func median(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// number reads a count from the environment.
func number(name string, otherwise int) (int, error) {
	text := os.Getenv(name)
	if text == "" {
		return otherwise, nil
	}
	var n int
	if _, err := fmt.Sscan(text, &n); err != nil || n < 1 {
		return 0, fmt.Errorf("bench: %s=%q is no count", name, text)
	}
	return n, nil
}
