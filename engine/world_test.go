package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/state"
)

const (
	testGroup   = "pairs"
	testTable   = "pairs-table"
	testDead    = "pairs-dead-letters"
	testWithin  = time.Minute
	testParts   = 4
	leftTopic   = "left"
	rightTopic  = "right"
	joinedTopic = "joined"
)

// A world is a fake cluster with the topics of a small join: what comes on left
// and right under one key goes to joined once both are there.
type world struct {
	t       *testing.T
	cluster *kfake.Cluster
	client  *kgo.Client
	admin   *kadm.Client
	boot    string // of the machine
	tables  lines  // what databases say
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1),
		kfake.SeedTopics(testParts, leftTopic, rightTopic, joinedTopic, testDead))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	w := &world{t: t, cluster: c, boot: "first"}
	w.client = w.newClient(kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.MetadataMinAge(20*time.Millisecond)) // topics come while it looks at them
	w.admin = kadm.NewClient(w.client)
	return w
}

func (w *world) newClient(opts ...kgo.Opt) *kgo.Client {
	w.t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.cluster.ListenAddrs()...))...)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return cl
}

// send produces records key=value to a topic and waits for them.
func (w *world) send(topic string, pairs ...string) {
	w.t.Helper()
	var rs []*kgo.Record
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		rs = append(rs, &kgo.Record{Topic: topic, Key: []byte(k), Value: []byte(v)})
	}
	if err := w.client.ProduceSync(w.t.Context(), rs...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// sendMany produces n records to both sides, keys k0 to k(n-1).
func (w *world) sendMany(from, to int) {
	w.t.Helper()
	var left, right []string
	for i := from; i < to; i++ {
		left = append(left, fmt.Sprintf("k%d=l", i))
		right = append(right, fmt.Sprintf("k%d=r", i))
	}
	w.send(leftTopic, left...)
	w.send(rightTopic, right...)
}

// committed reads a topic read_committed up to its end.
func (w *world) committed(topic string) []*kgo.Record {
	w.t.Helper()
	ends, err := w.admin.ListCommittedOffsets(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	from := map[int32]kgo.Offset{}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			from[o.Partition] = kgo.NewOffset().AtStart()
			left[o.Partition] = o.Offset
		}
	})
	if len(left) == 0 {
		return nil
	}
	cl := w.newClient(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.FetchMaxWait(50*time.Millisecond))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), testWithin)
	defer cancel()
	var out []*kgo.Record
	for len(left) > 0 {
		fs := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Fatalf("reading %s did not end; left %v", topic, left)
		}
		for _, r := range fs.Records() {
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		}
	}
	return out
}

// A worker is one engine under test.
type worker struct {
	w    *world
	e    *engine.Engine
	db   *state.DB
	stop context.CancelFunc
	done chan error
	logs *lines
}

type setting func(*engine.Config)

func (w *world) open(fs vfs.FS) *state.DB {
	w.t.Helper()
	db, err := state.Open(state.Options{
		BootID: func() string { return w.boot },
		Dir:    "db", FS: fs, CacheBytes: 8 << 20, RowCacheBytes: 1 << 20, MemTableBytes: 1 << 20,
		Logger: slog.New(slog.NewTextHandler(&w.tables, nil)), Now: time.Now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return db
}

// start runs a worker on fs. cb is its callback on both inputs; nil means join.
func (w *world) start(fs vfs.FS, cb goka.ProcessCallback, settings ...setting) *worker {
	w.t.Helper()
	wk := &worker{w: w, db: w.open(fs), done: make(chan error, 1), logs: &lines{}}
	cfg := engine.Config{
		Brokers: w.cluster.ListenAddrs(), Group: testGroup, Instance: "one", State: wk.db,
		Interval: 20 * time.Millisecond, SessionTimeout: 6 * time.Second,
		Logger: slog.New(slog.NewTextHandler(wk.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, s := range settings {
		s(&cfg)
	}
	var err error
	if wk.e, err = engine.New(cfg); err != nil {
		w.t.Fatal(err)
	}
	if cb == nil {
		cb = joinSides
	}
	wrapped := wk.e.Wrap(cb, func(key string, msg any) error {
		if key == "forbidden" {
			return errors.New("key is forbidden")
		}
		return nil
	})
	g := goka.DefineGroup(testGroup,
		goka.Input(leftTopic, engine.Total(&picky{}), wrapped),
		goka.Input(rightTopic, engine.Total(&picky{}), wrapped),
		goka.Output(joinedTopic, new(codec.String)),
		goka.Persist(new(codec.String)))
	ctx, cancel := context.WithCancel(w.t.Context())
	wk.stop = cancel
	go func() { wk.done <- wk.e.Run(ctx, g) }()
	w.t.Cleanup(func() {
		defer cancel()
		if w.t.Failed() {
			select {
			case err := <-wk.done:
				w.t.Logf("%s ended with %v", cfg.Instance, err)
			default:
			}
			w.t.Logf("log of %s:\n%s", cfg.Instance, wk.logs)
		}
	})
	return wk
}

// wait stops the worker, or waits for it to stop by itself, and closes its tables.
func (wk *worker) wait(stop bool) error {
	wk.w.t.Helper()
	if stop {
		wk.stop()
	}
	select {
	case err := <-wk.done:
		if e := wk.db.Close(); e != nil {
			wk.w.t.Errorf("close tables: %v", e)
		}
		return err
	case <-time.After(testWithin):
		wk.w.t.Fatalf("worker did not stop; log:\n%s", wk.logs)
		return nil
	}
}

func (wk *worker) end() {
	wk.w.t.Helper()
	if err := wk.wait(true); err != nil {
		wk.w.t.Fatalf("worker ended with %v", err)
	}
}

// picky is a codec that refuses what begins with "bad".
type picky struct{ codec.String }

func (p *picky) Decode(b []byte) (any, error) {
	if strings.HasPrefix(string(b), "bad") {
		return nil, fmt.Errorf("%q is bad", b)
	}
	return p.String.Decode(b)
}

// joinSides keeps, per key, which sides came and how often, as "l1r2", and emits
// when the second side comes first.
func joinSides(ctx goka.Context, msg any) {
	left, right := parseRow(ctx.Value())
	was := left > 0 && right > 0
	if ctx.Topic() == leftTopic {
		left++
	} else {
		right++
	}
	ctx.SetValue(fmt.Sprintf("l%dr%d", left, right))
	if !was && left > 0 && right > 0 {
		ctx.Emit(joinedTopic, ctx.Key(), ctx.Key())
	}
}

func parseRow(v any) (left, right int) {
	if s, ok := v.(string); ok {
		l, r, _ := strings.Cut(s[1:], "r")
		left, _ = strconv.Atoi(l)
		right, _ = strconv.Atoi(r)
	}
	return left, right
}

// eventually polls until f holds.
func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(testWithin)
	for !f() {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %v: %s", testWithin, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// joined waits until n keys are joined, and checks that each is so once and
// that each row holds each side once.
func (w *world) joined(n int) {
	w.t.Helper()
	w.eventually(fmt.Sprintf("%d keys joined", n), func() bool {
		return len(w.committed(joinedTopic)) >= n
	})
	seen := map[string]int{}
	for _, r := range w.committed(joinedTopic) {
		seen[string(r.Key)]++
	}
	for k, c := range seen {
		if c != 1 {
			w.t.Errorf("%s was joined %d times", k, c)
		}
	}
	if len(seen) != n {
		w.t.Errorf("%d keys were joined, want %d", len(seen), n)
	}
	for k, v := range w.rows() {
		if v != "l1r1" {
			w.t.Errorf("row %s is %s, want l1r1", k, v)
		}
	}
}

// rows folds the committed changelog.
func (w *world) rows() map[string]string {
	w.t.Helper()
	rows := map[string]string{}
	for _, r := range w.committed(testTable) {
		if r.Value == nil {
			delete(rows, string(r.Key))
		} else {
			rows[string(r.Key)] = string(r.Value)
		}
	}
	return rows
}

// local reads all committed rows that the worker has on disk.
func (wk *worker) local() map[string]string {
	wk.w.t.Helper()
	rows := map[string]string{}
	for p := range int32(testParts) {
		v, ok := wk.e.Table(p)
		if !ok {
			continue
		}
		for row, err := range v.All("") {
			if err != nil {
				wk.w.t.Fatal(err)
			}
			rows[string(row.Key)] = string(row.Value)
		}
	}
	return rows
}

// onDisk waits until the worker has on disk what the changelog says, where each
// transaction comes a moment after its commit on Kafka, and returns its rows.
func (wk *worker) onDisk() map[string]string {
	wk.w.t.Helper()
	var rows map[string]string
	wk.w.eventually("the changelog's rows on disk", func() bool {
		rows = wk.local()
		return maps.Equal(rows, wk.w.rows())
	})
	return rows
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
