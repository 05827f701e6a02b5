package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/cmd/tally/app"
	"tallystick/test/integration/checker"
	"tallystick/test/kafkatest"
)

const (
	// patience bounds every wait of these tests.
	patience = 2 * time.Minute
	// pause is how often a wait looks again.
	pause = 10 * time.Millisecond
	// partitions of every topic.
	partitions = 4
)

// binaryDir is where the tests' binary is built, once, by whoever needs it
// first.
//
//nolint:gochecknoglobals // a build per test binary, as with brokers
var binaryDir string

// binary builds the tally command as it is in the tree and returns its path.
//
//nolint:gochecknoglobals // see above
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaryDir, "tally")
	out, err := exec.Command("go", "build", "-o", path, "tallystick/cmd/tally").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build tally: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if binaryDir, err = os.MkdirTemp("", "tally-integration-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(binaryDir) }()
		return m.Run()
	}())
}

// A stage is one test's part of a broker: topics and a group of its own.
type stage struct {
	t      *testing.T
	broker *kafkatest.Broker
	prefix string // of the event topics
	app    string // of the group, the table and the dead letters
	topics checker.Topics
	client *kgo.Client
	admin  *kadm.Client
}

// each runs a test on every kind of broker, on a stage of its own. The tests of
// a short run, which are on fakes and mostly wait, run side by side.
func each(t *testing.T, test func(*testing.T, *stage), options ...kafkatest.Option) {
	t.Helper()
	if testing.Short() {
		t.Parallel()
	}
	kafkatest.Each(t, func(t *testing.T, b *kafkatest.Broker) { test(t, newStage(t, b)) }, options...)
}

// newStage makes the topics by the command that users make them with.
func newStage(t *testing.T, b *kafkatest.Broker) *stage {
	t.Helper()
	prefix := b.Prefix(t)
	s := &stage{t: t, broker: b, prefix: prefix, app: prefix + "app"}
	s.topics = checker.Topics{
		Orders: prefix + "orders", Payments: prefix + "payments",
		Confirmations: prefix + "confirmations", Exceptions: prefix + "exceptions",
		DeadLetters: s.app + "-dead-letters",
	}
	s.client = b.Client(t, kgo.ProducerBatchMaxBytes(4<<20), kgo.MaxBufferedRecords(50_000))
	s.admin = kadm.NewClient(s.client)
	s.tally("topics", "apply", "--partitions", fmt.Sprint(partitions)).ok(t)
	return s
}

// where are the flags that lead a verb to this stage.
func (s *stage) where() []string {
	return []string{
		"--brokers", strings.Join(s.broker.Addrs(), ","), "--prefix", s.prefix, "--app", s.app,
	}
}

// command returns the command within this process, as nobody's environment
// changes it.
func command(out, err *bytes.Buffer) *app.Main {
	m := app.New(out, err)
	m.LookupEnv = func(string) (string, bool) { return "", false }
	return m
}

// A ran is a verb that has ended.
type ran struct {
	args     []string
	code     int
	out, err string
}

// tally runs a verb to its end.
func (s *stage) tally(args ...string) ran {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var out, err bytes.Buffer
	code := command(&out, &err).Run(ctx, append(args, s.where()...))
	return ran{args, code, out.String(), err.String()}
}

// ok fails the test unless the verb succeeded.
func (r ran) ok(t *testing.T) ran {
	t.Helper()
	if r.code != app.ExitOK {
		t.Fatalf("tally %s: exit code %d\n%s%s", strings.Join(r.args, " "), r.code, r.out, r.err)
	}
	return r
}

// json reads the verb's output.
func (r ran) json(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.ok(t).out), into); err != nil {
		t.Fatalf("tally %s: %v\n%s", strings.Join(r.args, " "), err, r.out)
	}
}

// until polls until f holds.
func (s *stage) until(what string, f func() bool) {
	s.t.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-deadline.C:
			s.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// caughtUp tells whether the group has processed all there is.
func (s *stage) caughtUp() bool { return s.lag() == 0 }

// lag is how many input records the group has not processed, -1 if that cannot
// be told now.
func (s *stage) lag() int64 {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	ends, err := s.admin.ListEndOffsets(ctx, s.topics.Orders, s.topics.Payments)
	if err = errors.Join(err, ends.Error()); err != nil {
		return -1
	}
	at, err := s.admin.FetchOffsets(kadm.RequireStable(ctx), s.app+"-confirm")
	if err = errors.Join(err, at.Error()); err != nil {
		return -1
	}
	var lag int64
	ends.Each(func(end kadm.ListedOffset) {
		done, _ := at.Lookup(end.Topic, end.Partition)
		lag += end.Offset - max(0, done.At)
	})
	return lag
}

// watch follows the confirmations until the test ends.
func (s *stage) watch() *checker.Watch {
	s.t.Helper()
	w, err := checker.Follow(s.t.Context(), s.broker.Addrs(), s.topics.Confirmations)
	if err != nil {
		s.t.Fatal(err)
	}
	return w
}

// check has the independent checker count, and fails the test for whatever is
// wrong.
func (s *stage) check() *checker.Result {
	s.t.Helper()
	result := s.count()
	for _, wrong := range result.Wrong {
		s.t.Error(wrong)
	}
	return result
}

// count has the independent checker count.
func (s *stage) count() *checker.Result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	result, err := checker.Check(ctx, s.broker.Addrs(), s.topics)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// audited is what these tests look at in an audit.
type audited struct {
	Audit       string `json:"audit"`
	Records     int    `json:"records"`
	Orders      int    `json:"orders"`
	Payments    int    `json:"payments"`
	Confirmed   int    `json:"confirmed"`
	Pending     int    `json:"pending"`
	Excess      int    `json:"excess"`
	Duplicates  int    `json:"duplicates"`
	Invalid     int    `json:"invalid"`
	InFlight    int    `json:"in_flight"`
	Unprocessed int    `json:"unprocessed"`
	Money       map[string]struct {
		Received, Confirmed, Pending, Excess int64
	} `json:"money"`
}

// audit runs tally audit, which must find nothing wrong, and holds its counts
// against the checker's. Under the same settings whatif must find no difference.
func (s *stage) audit(counted *checker.Result) audited {
	s.t.Helper()
	var a audited
	s.tally("audit", "-o", "json").json(s.t, &a)
	if a.Audit != "ok" || a.InFlight != 0 || a.Unprocessed != 0 {
		s.t.Errorf("audit: %+v", a)
	}
	s.tally("whatif", "--expect", "none").ok(s.t)
	for _, count := range []struct {
		what       string
		tally, own int
	}{
		{"records", a.Records, counted.Records},
		{"orders", a.Orders, counted.Orders},
		{"payments", a.Payments, counted.Payments},
		{"confirmed", a.Confirmed, counted.Confirmed},
		{"duplicates", a.Duplicates, counted.Repeats},
		{"invalid", a.Invalid, len(counted.Dead)},
	} {
		if count.tally != count.own {
			s.t.Errorf("tally audit says %d %s, the checker %d", count.tally, count.what, count.own)
		}
	}
	return a
}

// verified is what these tests look at in a verification.
type verified struct {
	Verify      string   `json:"verify"`
	Rows        int      `json:"rows"`
	Unchecked   []int32  `json:"unchecked"`
	Differences []string `json:"differences"`
	Partitions  []struct {
		Partition   int32
		Fingerprint string
		Agreed      []string
	} `json:"partitions"`
}

// fingerprints are those of all partitions, each found to be that of the rows and of
// the changelog.
func (v verified) fingerprints(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, p := range v.Partitions {
		if !slices.Contains(p.Agreed, "rows") || !slices.Contains(p.Agreed, "changelog") {
			t.Errorf("partition %d: its fingerprint agrees with %v alone", p.Partition, p.Agreed)
		}
		fmt.Fprintf(&all, "%d %s\n", p.Partition, p.Fingerprint)
	}
	return all.String()
}

// verifyRows waits until the workers have that many rows on disk, where each
// transaction comes a moment after its commit on Kafka. Whatever is there is
// verified each time.
func (s *stage) verifyRows(rows int, workers ...*worker) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d rows on disk", rows), func() bool {
		return s.verify(workers...).Rows == rows
	})
}

// verify runs tally table verify, which asks the workers.
func (s *stage) verify(workers ...*worker) verified {
	s.t.Helper()
	args := []string{"table", "verify", "--all", "-o", "json"}
	for _, w := range workers {
		args = append(args, w.flag())
	}
	var v verified
	s.tally(args...).json(s.t, &v)
	if v.Verify != "ok" || len(v.Unchecked) > 0 || len(v.Differences) > 0 {
		s.t.Errorf("table verify: %+v", v)
	}
	return v
}
