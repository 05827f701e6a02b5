package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A worker is one life of a `tally run`, as a process or within this one.
type worker struct {
	s         *stage
	name, dir string // no dir: its tables are in memory
	log       *logbook
	stop      func() // as SIGTERM does
	kill      func() // SIGKILL, for processes only
	done      chan struct{}
	code      int // after done
}

// arguments of a worker; the last of a flag counts.
func (w *worker) arguments(more []string) []string {
	args := append([]string{"run"}, w.s.where()...)
	args = append(args, "--instance", w.name, "--log-format", "json")
	if w.dir == "" {
		args = append(args, "--state", "memory")
	} else {
		args = append(args, "--state-dir", w.dir)
	}
	return append(args, more...)
}

// flag is how the verbs that look find the worker: by its disk, else by its
// address.
func (w *worker) flag() string {
	w.s.t.Helper()
	if w.dir != "" {
		return "--state-dir=" + w.dir
	}
	said := w.log.entries("http")
	if len(said) == 0 {
		w.s.t.Fatalf("%s has said no address", w.name)
	}
	return "--worker=" + said[len(said)-1].Address
}

func (s *stage) newWorker(name, dir string) *worker {
	w := &worker{s: s, name: name, dir: dir, log: &logbook{}, done: make(chan struct{})}
	s.t.Cleanup(func() {
		w.stop()
		<-w.done
		if s.t.Failed() {
			s.t.Logf("end of the log of %s, exit code %d:\n%s", name, w.code, w.log.tail(40))
		}
	})
	return w
}

// spawn starts a worker as a process of its own, from the binary that users get.
func (s *stage) spawn(name, dir string, more ...string) *worker {
	s.t.Helper()
	path, err := binary()
	if err != nil {
		s.t.Fatal(err)
	}
	w := s.newWorker(name, dir)
	cmd := exec.Command(path, w.arguments(more)...)
	cmd.Stdout, cmd.Stderr = io.Discard, w.log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	w.stop = func() { _ = cmd.Process.Signal(syscall.SIGTERM) }
	w.kill = func() {
		if err := cmd.Process.Kill(); err != nil {
			s.t.Errorf("kill %s: %v", name, err)
		}
		<-w.done
	}
	go func() {
		defer close(w.done)
		var exit *exec.ExitError
		if err := cmd.Wait(); errors.As(err, &exit) {
			w.code = exit.ExitCode()
		}
	}()
	return w
}

// run starts a worker within this process, with options for its Kafka clients.
func (s *stage) run(name, dir string, options []kgo.Opt, more ...string) *worker {
	s.t.Helper()
	w := s.newWorker(name, dir)
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	w.stop = cancel
	go func() {
		defer close(w.done)
		m := command(new(bytes.Buffer), new(bytes.Buffer))
		m.Stderr, m.Client = w.log, options
		w.code = m.Run(ctx, w.arguments(more))
	}()
	return w
}

// ended tells whether the worker has ended.
func (w *worker) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// end stops the worker, which must exit with 0.
func (w *worker) end() {
	w.s.t.Helper()
	w.stop()
	w.s.until(w.name+" ends", w.ended)
	if w.code != 0 {
		w.s.t.Errorf("%s ended with exit code %d: %s", w.name, w.code, w.log.tail(1))
	}
}

// assigned are the partitions that the worker has, once their tables are
// restored; nil before.
func (w *worker) assigned() []int32 {
	entries := w.log.entries("assigned")
	if len(entries) == 0 {
		return nil
	}
	return entries[len(entries)-1].Partitions
}

// holds waits until the worker has n partitions.
func (w *worker) holds(n int) *worker {
	w.s.t.Helper()
	w.s.until(w.name+" has its partitions", func() bool {
		if w.ended() {
			w.s.t.Fatalf("%s ended with exit code %d: %s", w.name, w.code, w.log.tail(3))
		}
		return len(w.assigned()) == n
	})
	return w
}

// restored sums up what the worker says to have restored, and returns the
// lowest offset from which it did so.
func (w *worker) restored() (records, from int64) {
	from = -1
	for _, e := range w.log.entries("restored") {
		records += e.Records
		if from < 0 || e.From < from {
			from = e.From
		}
	}
	return records, from
}

// An entry is one line of a worker's log.
type entry struct {
	Level, Msg string
	Partitions []int32
	Partition  int32
	Records    int64
	From, To   int64
	Restarts   int64
	Address    string
}

// A logbook takes a worker's log while it is written.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// entries are the lines with that message.
func (l *logbook) entries(msg string) []entry {
	var found []entry
	for line := range strings.Lines(l.String()) {
		var e entry
		if json.Unmarshal([]byte(line), &e) == nil && e.Msg == msg {
			found = append(found, e)
		}
	}
	return found
}

// tail returns the last n lines.
func (l *logbook) tail(n int) string {
	lines := strings.Split(strings.TrimSpace(l.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// complaint is the one line with which a verb says why it failed.
func (l *logbook) complaint(t *testing.T) string {
	t.Helper()
	last := l.tail(1)
	if !strings.HasPrefix(last, "tally: ") {
		t.Errorf("the last line is no complaint: %s", last)
	}
	return last
}
