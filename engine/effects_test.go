package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/engine"
	"tallystick/test/kafkatest"
)

const effectsTopic = testGroup + "-effects"

// ledger counts the effects that were handed over.
type ledger struct {
	mu   sync.Mutex
	seen map[string]int
	keys []string
}

func (l *ledger) take(_ context.Context, list []engine.Effect) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[string]int{}
	}
	for _, one := range list {
		l.seen[one.Key+"="+string(one.Value)]++
		l.keys = append(l.keys, one.Key+"="+string(one.Value))
	}
}

func (l *ledger) count(one string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[one]
}

func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen)
}

// twice returns what was handed over more than once.
func (l *ledger) twice() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []string
	for one, n := range l.seen {
		if n > 1 {
			list = append(list, fmt.Sprintf("%s: %d times", one, n))
		}
	}
	return list
}

// acting is a graph that counts the records of a key in its row, emits that, and
// wants each of them to be done.
func acting(cb goka.ProcessCallback) func(*engine.Engine) *goka.GroupGraph {
	return func(e *engine.Engine) *goka.GroupGraph {
		return goka.DefineGroup(testGroup,
			goka.Input(leftTopic, new(codec.String), e.Wrap(cb)),
			goka.Output(joinedTopic, new(codec.String)),
			goka.Output(effectsTopic, new(codec.String)),
			goka.Persist(new(codec.String)))
	}
}

// act wants the record's value to be done, if the row doesn't say that it was
// wanted before.
func act(ctx goka.Context, msg any) {
	row, _ := ctx.Value().(string)
	word := msg.(string)
	if slices.Contains(strings.Fields(row), word) {
		return
	}
	ctx.Emit(effectsTopic, ctx.Key(), word)
	ctx.SetValue(strings.TrimSpace(row + " " + word))
	ctx.Emit(joinedTopic, ctx.Key(), word)
}

func handsTo(f func(context.Context, []engine.Effect)) setting {
	return func(c *engine.Config) {
		c.Effects = map[string]func(context.Context, []engine.Effect){effectsTopic: f}
	}
}

// runOn is run on a disk that outlives the worker. end waits for the worker,
// which it stops first if told to.
func (w *world) runOn(
	fs vfs.FS, define func(*engine.Engine) *goka.GroupGraph, settings ...setting,
) (end func(stop bool) error) {
	w.t.Helper()
	db := w.open(fs)
	cfg := engine.Config{
		Brokers: w.cluster.ListenAddrs(), Group: testGroup, Instance: "one", State: db,
		Interval: 20 * time.Millisecond, SessionTimeout: 6 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	}
	for _, s := range settings {
		s(&cfg)
	}
	e, err := engine.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	g := define(e)
	go func() { ended <- e.Run(ctx, g) }()
	return func(stop bool) error {
		w.t.Helper()
		defer cancel()
		if stop {
			cancel()
		}
		select {
		case err := <-ended:
			if e := db.Close(); e != nil {
				w.t.Log(e)
			}
			return err
		case <-time.After(testWithin):
			w.t.Fatal("the worker did not end")
			return nil
		}
	}
}

// TestMaxRecords holds that no transaction has more records than it may, whatever its
// polls bring.
func TestMaxRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const most, first, rest = 7, 5, 20
	var l ledger
	var came, beyond atomic.Int32
	stop := w.run(acting(func(ctx goka.Context, msg any) {
		act(ctx, msg)
		came.Add(1)
	}), func(c *engine.Config) { c.MaxRecords, c.Interval = most, time.Second },
		handsTo(func(ctx context.Context, list []engine.Effect) {
			if len(list) > most {
				beyond.Store(int32(len(list)))
			}
			l.take(ctx, list)
		}))
	send := func(from, n int) {
		records := make([]string, n)
		for i := range records {
			records[i] = fmt.Sprintf("k=%d", from+i)
		}
		w.send(leftTopic, records...)
	}
	send(0, first) // they open a transaction, which has room for fewer than will come
	w.eventually("the first have come", func() bool { return came.Load() == first })
	send(first, rest)
	w.eventually("all effects", func() bool { return l.size() == first+rest })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := beyond.Load(); n > 0 {
		t.Errorf("a transaction had %d records, it may have %d", n, most)
	}
}

// TestEffectsComeAfterBothCommits looks, whenever effects are handed over, for
// their outputs on Kafka and their rows on disk.
func TestEffectsComeAfterBothCommits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var l ledger
	var e *engine.Engine
	var problems []string
	stop := w.run(func(made *engine.Engine) *goka.GroupGraph {
		e = made
		return acting(act)(made)
	}, handsTo(func(ctx context.Context, list []engine.Effect) {
		onKafka, onDisk := map[string]bool{}, map[string]string{}
		for _, r := range w.committed(joinedTopic) {
			onKafka[string(r.Key)+"="+string(r.Value)] = true
		}
		for p := range int32(testParts) {
			if v, ok := e.Table(p); ok {
				for row, err := range v.All("") {
					if err == nil {
						onDisk[string(row.Key)] = string(row.Value)
					}
				}
			}
		}
		for _, one := range list {
			if !onKafka[one.Key+"="+string(one.Value)] {
				problems = append(problems, one.Key+" is not committed on Kafka")
			}
			if !strings.Contains(onDisk[one.Key], string(one.Value)) {
				problems = append(problems, one.Key+" is not committed on disk")
			}
		}
		if ctx.Err() != nil {
			problems = append(problems, "the context has ended")
		}
		l.take(ctx, list)
	}))
	want := 0
	for _, round := range []string{"abc", "de", "f"} { // each in transactions of its own
		for i := range 20 {
			for _, word := range strings.Split(round, "") {
				w.send(leftTopic, fmt.Sprintf("k%d=%s", i, word))
				want++
			}
		}
		w.eventually("all effects", func() bool { return l.size() == want })
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	for _, p := range slices.Concat(problems, l.twice()) {
		t.Error(p)
	}
	for i := range 20 { // in the order of the key's records
		var order []string
		for _, one := range l.keys {
			if key, word, _ := strings.Cut(one, "="); key == fmt.Sprintf("k%d", i) {
				order = append(order, word)
			}
		}
		if !slices.Equal(order, strings.Split("abcdef", "")) {
			t.Errorf("k%d was done in the order %v", i, order)
		}
	}
	if n := e.Stats().Effects; n != int64(want) {
		t.Errorf("%d effects are counted, %d were handed over", n, want)
	}
}

// TestEffectsOfAnAbortAreDropped aborts transactions in two ways, by the broker
// and by a callback that panics after it has emitted: what was emitted is handed
// over by the transaction that comes through, once, and never for the record that
// is buried.
func TestEffectsOfAnAbortAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	refusals := 3
	w.cluster.ControlKey(keyTxnOffsetCommit, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if refusals == 0 {
			return nil, nil, false
		}
		refusals--
		return refuseOffsets(r.(*kmsg.TxnOffsetCommitRequest), kerr.IllegalGeneration), nil, true
	})
	var l ledger
	var e *engine.Engine
	stop := w.run(func(made *engine.Engine) *goka.GroupGraph {
		e = made
		return acting(func(ctx goka.Context, msg any) {
			act(ctx, msg)
			if ctx.Key() == "poison" {
				panic("after the effect")
			}
		})(made)
	}, handsTo(l.take))
	want := 0
	for i := range 40 {
		w.send(leftTopic, fmt.Sprintf("k%d=x", i))
		if want++; i%10 == 5 {
			w.send(leftTopic, "poison=x")
		}
	}
	w.eventually("all effects", func() bool { return l.size() >= want })
	w.eventually("poison buried", func() bool { return len(w.committed(testDead)) == 4 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if n := l.count("poison=x"); n != 0 {
		t.Errorf("what panicked was done %d times", n)
	}
	if twice := l.twice(); len(twice) > 0 || l.size() != want {
		t.Errorf("%d were done, want %d; more than once: %v", l.size(), want, twice)
	}
	if e.Stats().Aborts < 3 {
		t.Errorf("only %d transactions were aborted", e.Stats().Aborts)
	}
}

// TestEffectsOfUnknownOutcomeAreNeverHandedOver loses the answers to commits that
// the broker has carried out: the rows are there, and nothing is done for them.
func TestEffectsOfUnknownOutcomeAreNeverHandedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cutter := &kafkatest.Cutter{}
	var l ledger
	stop := w.run(acting(act), handsTo(l.take), func(c *engine.Config) {
		c.Client = []kgo.Opt{
			kgo.Dialer(cutter.Dial), kgo.RequestRetries(2), kgo.RetryTimeout(2 * time.Second),
		}
	})
	w.send(leftTopic, "before=x")
	w.eventually("the first", func() bool { return l.count("before=x") == 1 })
	cutter.Lose(kafkatest.Loss{Keys: []int16{keyEndTxn}, Count: 3})
	w.send(leftTopic, "unknown=x")
	w.eventually("answers lost", func() bool { return cutter.Lost() == 3 })
	w.send(leftTopic, "after=x")
	w.eventually("the next", func() bool { return l.count("after=x") == 1 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	rows := w.rows()
	if rows["unknown"] != "x" {
		t.Errorf("rows are %v: the commit was not carried out", rows)
	}
	if n := l.count("unknown=x"); n != 0 {
		t.Errorf("handed over %d times, and nobody knew whether it was committed", n)
	}
}

// TestCrashBeforeEffects stops the world between the commit and the hand-over.
// The worker that goes on from the disk finds the row and does nothing for it.
func TestCrashBeforeEffects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewCrashableMem()
	var first, second ledger
	frozen := make(chan *vfs.MemFS, 1)
	release := make(chan struct{})
	var once sync.Once
	end := w.runOn(fs, acting(act), handsTo(first.take), func(c *engine.Config) {
		c.Probe = &engine.Probe{Committed: func() {
			once.Do(func() {
				frozen <- fs.CrashClone(vfs.CrashCloneCfg{})
				<-release
			})
		}}
	})
	w.send(leftTopic, "a=x")
	disk := <-frozen
	again := w.runOn(disk, acting(act), handsTo(second.take))
	w.send(leftTopic, "a=x", "b=y")
	w.eventually("the next comes through", func() bool { return second.count("b=y") == 1 })
	if err := again(true); err != nil {
		t.Error(err)
	}
	again = w.runOn(disk, acting(act), handsTo(second.take)) // a restart repeats nothing
	w.send(leftTopic, "b=y", "c=z")
	w.eventually("and the one after", func() bool { return second.count("c=z") == 1 })
	if err := again(true); err != nil {
		t.Error(err)
	}
	if first.size() != 0 || second.count("a=x") != 0 || len(second.twice()) > 0 {
		t.Errorf("done by the dead: %v; by the living: %v", first.keys, second.keys)
	}
	// Had it only been asleep: the transaction is committed, and its to do.
	close(release)
	w.eventually("the sleeper wakes", func() bool { return first.count("a=x") == 1 })
	if err := end(true); err != nil && !errors.Is(err, engine.ErrFenced) {
		t.Errorf("the sleeper ended with %v", err)
	}
}

// TestEffectsNobodyTakesAreNamed starts workers whose graph and functions don't fit.
func TestEffectsNobodyTakesAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	missing := w.run(acting(act))
	err := missing()
	if err == nil || !strings.Contains(err.Error(), effectsTopic+" has no function") {
		t.Errorf("an output without a function ended with %v", err)
	}
	var l ledger
	surplus := w.run(acting(act), handsTo(l.take), func(c *engine.Config) {
		c.Effects["elsewhere"] = l.take
	})
	if err := surplus(); err == nil || !strings.Contains(err.Error(), "elsewhere is not an output") {
		t.Errorf("a function without an output ended with %v", err)
	}
}

// TestEffectsHaveNoHeaders: there is nobody to read them.
func TestEffectsHaveNoHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var l ledger
	end := w.runOn(vfs.NewMem(), acting(func(ctx goka.Context, msg any) {
		ctx.Emit(effectsTopic, ctx.Key(), msg, goka.WithCtxEmitHeaders(goka.Headers{"h": nil}))
	}), handsTo(l.take))
	w.send(leftTopic, "a=x")
	if err := end(false); !errors.Is(err, engine.ErrRefused) {
		t.Errorf("ended with %v, want %v", err, engine.ErrRefused)
	}
	if l.size() != 0 {
		t.Errorf("done: %v", l.keys)
	}
}
