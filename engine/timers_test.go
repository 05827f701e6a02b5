package engine_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
	"tallystick/engine/journal"
	"tallystick/topology/keyhash"
)

// life is how long after its record a row of these tests is due.
const life = 10 * time.Second

// rowDeadline reads the deadline that begins a row.
func rowDeadline(row []byte) int64 { return int64(binary.BigEndian.Uint64(row)) }

type dueCodec struct{}

func (dueCodec) Encode(v any) ([]byte, error) {
	at, ok := v.(time.Time)
	if !ok {
		return nil, fmt.Errorf("%T", v)
	}
	return binary.BigEndian.AppendUint64(nil, uint64(at.UnixMicro())), nil
}

func (dueCodec) Decode(b []byte) (any, error) { return time.UnixMicro(rowDeadline(b)), nil }

// A guard gives each key of the left input a deadline, which a record of the right
// one takes away; a deadline that comes is emitted. It judges by the times of the
// records, as [engine.Timers] asks for, and notes what it sees.
type guard struct {
	mu   sync.Mutex
	seen []string
}

func (g *guard) note(ctx goka.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.seen = append(g.seen, fmt.Sprintf("%d %s %s %s", ctx.Partition(), ctx.Topic(), ctx.Key(),
		ctx.Timestamp().UTC().Format(time.RFC3339Nano)))
}

func (g *guard) define(e *engine.Engine) *goka.GroupGraph {
	return goka.DefineGroup(testGroup,
		goka.Input(leftTopic, engine.Total(&picky{}), e.Wrap(func(ctx goka.Context, _ any) {
			g.note(ctx)
			ctx.SetValue(ctx.Timestamp().Add(life))
		})),
		goka.Input(rightTopic, engine.Total(&picky{}), e.Wrap(func(ctx goka.Context, _ any) {
			g.note(ctx)
			due, ok := ctx.Value().(time.Time)
			if !ok {
				return
			}
			if ctx.Timestamp().After(due) { // its timer comes behind this record
				ctx.Emit(joinedTopic, ctx.Key(), "stream")
			}
			ctx.Delete()
		})),
		goka.Input(goka.Stream(engine.TimersTopic(testGroup)), new(codec.String),
			e.Wrap(func(ctx goka.Context, msg any) {
				g.note(ctx)
				ctx.Emit(joinedTopic, ctx.Key(), fmt.Sprint(msg))
				ctx.Delete()
			})),
		goka.Output(joinedTopic, new(codec.String)),
		goka.Persist(dueCodec{}))
}

func timed(idle time.Duration) setting {
	return func(c *engine.Config) {
		c.Timers = &engine.Timers{Deadline: rowDeadline, Grace: 100 * time.Millisecond}
		c.IdleAfter = idle
	}
}

// sendAt produces one record with a timestamp.
func (w *world) sendAt(topic, key string, at time.Time) {
	w.t.Helper()
	r := &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte("x"), Timestamp: at}
	if err := w.client.ProduceSync(w.t.Context(), r).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// keysOf returns keys of partition p.
func keysOf(p int32, n int) []string {
	var keys []string
	for i := 0; len(keys) < n; i++ {
		k := fmt.Sprintf("k%d", i)
		if keyhash.Partition([]byte(k), testParts) == p {
			keys = append(keys, k)
		}
	}
	return keys
}

// expired are the keys that were emitted, with the clock that did it, in order.
func (w *world) expired() []string {
	var got []string
	for _, r := range w.committed(joinedTopic) {
		got = append(got, fmt.Sprintf("%s %s", r.Key, r.Value))
	}
	return got
}

// TestTimerStreamTime: a deadline comes when all inputs of its partition are past
// it, in the order of deadlines, and not before.
func TestTimerStreamTime(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	stop := w.run(g.define, timed(time.Hour))
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	k := keysOf(1, 5)
	w.sendAt(leftTopic, k[1], base.Add(time.Second))
	w.sendAt(leftTopic, k[0], base)
	w.sendAt(leftTopic, k[2], base.Add(life)) // at the deadline of k[0], which is not past it
	w.sendAt(rightTopic, k[3], base.Add(life))
	w.sendAt(leftTopic, k[3], base.Add(10*life)) // the other input is behind
	w.eventually("records", func() bool { return len(g.noted()) == 5 })
	w.sendAt(rightTopic, k[4], base.Add(life+time.Second+time.Millisecond))
	w.eventually("deadlines", func() bool { return len(w.committed(joinedTopic)) == 2 })
	if got := w.expired(); !slices.Equal(got, []string{k[0] + " stream", k[1] + " stream"}) {
		t.Errorf("got %v", got)
	}
	if at := w.committed(joinedTopic)[0].Timestamp; !at.Equal(base.Add(life)) {
		t.Errorf("the output has timestamp %v, want the deadline %v", at, base.Add(life))
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	w.checkJournal(g)
}

func (g *guard) noted() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.seen)
}

// checkJournal follows the journal of partition 1, and compares what it says with
// what the callbacks saw.
func (w *world) checkJournal(g *guard) {
	w.t.Helper()
	logs := map[string][]*kgo.Record{}
	for _, topic := range []string{leftTopic, rightTopic} {
		for _, r := range w.committed(topic) {
			if r.Partition == 1 {
				logs[topic] = append(logs[topic], r)
			}
		}
	}
	var want []string
	line := func(topic, key string, at time.Time) {
		want = append(want, fmt.Sprintf("1 %s %s %s", topic, key, at.UTC().Format(time.RFC3339Nano)))
	}
	for _, r := range w.committed(engine.JournalTopic(testGroup)) {
		s, err := journal.Parse(r.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		for i := 0; i < len(s.Runs); i += 3 {
			topic := s.Topics[s.Runs[i]]
			at := slices.IndexFunc(logs[topic], func(r *kgo.Record) bool { return r.Offset == s.Runs[i+1] })
			for _, r := range logs[topic][at:] {
				if r.Offset <= s.Runs[i+2] {
					line(topic, string(r.Key), r.Timestamp)
				}
			}
		}
		for _, f := range s.Fired {
			line(engine.TimersTopic(testGroup), f.RowKey(), time.UnixMicro(f.At))
		}
	}
	if got := g.noted(); !slices.Equal(got, want) {
		w.t.Errorf("callbacks saw\n%s\nthe journal says\n%s", strings.Join(got, "\n"),
			strings.Join(want, "\n"))
	}
}

// TestTimerIdle: with nothing more to read, the time of day lets a deadline come,
// within 5 s of it.
func TestTimerIdle(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	stop := w.run(g.define, timed(200*time.Millisecond))
	due := time.Now().Add(time.Second)
	w.sendAt(leftTopic, "alone", due.Add(-life))
	w.eventually("the deadline", func() bool { return len(w.committed(joinedTopic)) == 1 })
	if early := time.Until(due); early > 0 {
		t.Errorf("it came %v early", early)
	}
	if late := time.Since(due); late > 5*time.Second {
		t.Errorf("it came %v late", late)
	}
	if got := w.expired(); !slices.Equal(got, []string{"alone wall"}) {
		t.Errorf("got %v", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestTimerOneIdleInput: an input that gives nothing, with a commit marker at its
// end, does not hold the clock back.
func TestTimerOneIdleInput(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	k := keysOf(1, 3)
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	tx := w.newClient(kgo.TransactionalID("other"),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)))
	if err := tx.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	tx.Produce(t.Context(), &kgo.Record{
		Topic: rightTopic, Key: []byte(k[2]), Timestamp: base, Value: []byte("x"),
	}, nil)
	if err := tx.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tx.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	stop := w.run(g.define, func(c *engine.Config) {
		timed(300 * time.Millisecond)(c)
		c.Timers.Grace = 24 * time.Hour // the time of day is out of it
	})
	w.sendAt(leftTopic, k[0], base)
	n := 0
	w.eventually("the deadline", func() bool {
		n++ // so that the left input is never idle
		w.sendAt(leftTopic, k[1], base.Add(life+time.Duration(n)*time.Millisecond))
		return len(w.committed(joinedTopic)) > 0
	})
	if got := w.expired(); got[0] != k[0]+" stream" {
		t.Errorf("got %v", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestTimerSurvives: deadlines and clocks outlive crashes between the commit on
// Kafka and the one on disk, restarts and the loss of the disk; each comes once.
func TestTimerSurvives(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	k := keysOf(1, 12)
	stop := w.run(g.define, timed(time.Hour))
	for i := range 10 {
		w.sendAt(leftTopic, k[i], base.Add(time.Duration(i)*time.Second))
	}
	w.sendAt(rightTopic, k[10], base.Add(life+500*time.Millisecond))
	w.eventually("records", func() bool { return len(g.noted()) == 11 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// run makes a new disk each time: this is a wiped one. One input alone now moves
	// the clock: where the other one was, the offsets remember.
	stop = w.run(g.define, timed(time.Hour))
	w.sendAt(leftTopic, k[11], base.Add(life+4500*time.Millisecond))
	w.eventually("the first deadline", func() bool { return len(w.committed(joinedTopic)) == 1 })
	w.sendAt(rightTopic, k[11], base.Add(life+4500*time.Millisecond))
	w.eventually("five deadlines", func() bool { return len(w.committed(joinedTopic)) == 5 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 5 {
		want = append(want, k[i]+" stream")
	}
	if got := w.expired(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestTimerExactlyOnce: epochs that end between the commit on Kafka and the one on
// disk neither lose nor repeat a deadline.
func TestTimerExactlyOnce(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	var client *kgo.Client
	var commits atomic.Int64
	settings := func(c *engine.Config) {
		timed(time.Hour)(c)
		c.Probe = &engine.Probe{
			Client: func(cl *kgo.Client) { client = cl },
			Committing: func() {
				if commits.Add(1)%3 == 0 {
					client.CloseAllowingRebalance() // the outcome is not known
				}
			},
		}
	}
	stop := w.run(g.define, settings)
	const n, part = 60, 6
	for first := 0; first < n; first += part {
		was := commits.Load()
		for i := first; i < first+part; i++ {
			w.sendAt(leftTopic, fmt.Sprintf("k%d", i), base.Add(time.Duration(i)*time.Second))
		}
		w.eventually("a transaction", func() bool { return commits.Load() > was })
	}
	for p := range int32(testParts) {
		for _, topic := range []string{leftTopic, rightTopic} {
			w.sendAt(topic, "end-"+keysOf(p, 1)[0], base.Add(life+(n+100)*time.Second))
			w.sendAt(topic, keysOf(p, 200)[199], base.Add(life+(n+100)*time.Second))
		}
	}
	w.eventually("all deadlines", func() bool { return len(w.committed(joinedTopic)) >= n })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, r := range w.committed(joinedTopic) {
		times[string(r.Key)]++
	}
	for i := range n {
		if k := fmt.Sprintf("k%d", i); times[k] != 1 {
			t.Errorf("the deadline of %s came %d times", k, times[k])
		}
	}
	if n := commits.Load(); n < 10 {
		t.Errorf("%d transactions, of which every third has no known outcome: too few", n)
	}
}

// TestTimerFarFuture: a record from the far future moves no clock and is counted.
func TestTimerFarFuture(t *testing.T) {
	t.Parallel()
	w, g := newWorld(t), &guard{}
	var e *engine.Engine
	stop := w.run(func(made *engine.Engine) *goka.GroupGraph {
		e = made
		return g.define(made)
	}, timed(time.Hour))
	k := keysOf(1, 3)
	base := time.Now().Add(-time.Hour).Truncate(time.Second)
	w.sendAt(leftTopic, k[0], base)
	w.sendAt(rightTopic, k[1], time.Now().Add(50*time.Minute))
	w.sendAt(leftTopic, k[1], time.Now().Add(50*time.Minute))
	w.sendAt(rightTopic, k[2], base.Add(time.Second))
	w.eventually("records", func() bool { return e.Stats().Records == 4 })
	w.sendAt(leftTopic, k[2], base.Add(time.Second))
	w.eventually("far ones", func() bool { return e.Stats().Ahead == 2 })
	if got := w.expired(); len(got) != 0 {
		t.Errorf("%v expired", got)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

// TestTimerNotHandled: a callback that leaves a row due, and one that panics, stop
// the worker by name instead of running for ever.
func TestTimerNotHandled(t *testing.T) {
	t.Parallel()
	for name, cb := range map[string]goka.ProcessCallback{
		"still due": func(goka.Context, any) {},
		"panic":     func(goka.Context, any) { panic("on purpose") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ended := make(chan struct{})
			stop := w.run(func(e *engine.Engine) *goka.GroupGraph {
				return goka.DefineGroup(testGroup,
					goka.Input(leftTopic, new(codec.String), e.Wrap(func(ctx goka.Context, _ any) {
						ctx.SetValue(ctx.Timestamp())
					})),
					goka.Input(goka.Stream(engine.TimersTopic(testGroup)), new(codec.String),
						e.Wrap(func(ctx goka.Context, msg any) {
							defer func() {
								select {
								case <-ended:
								default:
									close(ended)
								}
							}()
							cb(ctx, msg)
						})),
					goka.Persist(dueCodec{}))
			}, timed(time.Hour))
			k := keysOf(1, 2)
			w.sendAt(leftTopic, k[0], time.Now().Add(-time.Hour))
			w.sendAt(leftTopic, k[1], time.Now().Add(-time.Minute))
			<-ended
			w.eventually("the stop", func() bool {
				_, err := w.admin.DescribeGroups(t.Context(), testGroup)
				return err == nil
			})
			if err := stop(); !errors.Is(err, engine.ErrTimer) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestTimerReplay: a run that gets everything at once expires what one that gets
// record by record expired.
func TestTimerReplay(t *testing.T) {
	t.Parallel()
	type input struct {
		topic, key string
		at         time.Time
	}
	base := time.Now().Add(-7 * 24 * time.Hour).Truncate(time.Second)
	var week []input
	for i := range 400 { // every third pair is never completed, every fourth too late
		at := base.Add(time.Duration(i) * 3 * time.Second)
		key := fmt.Sprintf("k%d", i)
		week = append(week, input{leftTopic, key, at})
		switch {
		case i%3 == 0:
		case i%4 == 0:
			week = append(week, input{rightTopic, key, at.Add(life + 4*time.Second)})
		default:
			week = append(week, input{rightTopic, key, at.Add(life / 2)})
		}
	}
	slices.SortStableFunc(week, func(a, b input) int { return a.at.Compare(b.at) })
	run := func(slow bool) []string {
		w, g := newWorld(t), &guard{}
		var stop func() error
		if slow {
			stop = w.run(g.define, timed(time.Hour))
		}
		for i, in := range week {
			w.sendAt(in.topic, in.key, in.at)
			if slow && i%20 == 0 {
				w.eventually("record", func() bool { return g.records() == i+1 })
			}
		}
		if !slow {
			stop = w.run(g.define, timed(time.Hour))
		}
		w.eventually("all", func() bool { return g.records() == len(week) })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		got := w.expired()
		slices.Sort(got)
		return got
	}
	slow, fast := run(true), run(false)
	if len(slow) < 100 {
		t.Errorf("only %d expired", len(slow))
	}
	for _, line := range slow {
		var i int
		if _, err := fmt.Sscanf(line, "k%d stream", &i); err != nil || i%3 != 0 && i%4 != 0 {
			t.Errorf("%s expired, which was in time", line)
		}
	}
	if !slices.Equal(slow, fast) {
		t.Errorf("slow: %d expired\n%v\nfast: %d expired\n%v", len(slow), slow, len(fast), fast)
	}
}

// records counts what was noted without timers.
func (g *guard) records() int {
	n := 0
	for _, line := range g.noted() {
		if !strings.Contains(line, "-timers ") {
			n++
		}
	}
	return n
}
