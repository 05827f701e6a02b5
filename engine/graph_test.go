package engine_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/engine"
)

// run runs a processor whose graph define makes. It returns how to stop it.
func (w *world) run(
	define func(*engine.Engine) *goka.GroupGraph, settings ...setting,
) (stop func() error) {
	w.t.Helper()
	db := w.open(vfs.NewMem())
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
	return func() error {
		w.t.Helper()
		cancel()
		err := <-ended
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
		return err
	}
}

// TestLoopback sends records to the processor itself under other keys.
func TestLoopback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	stop := w.run(func(e *engine.Engine) *goka.GroupGraph {
		return goka.DefineGroup(testGroup,
			goka.Input(leftTopic, new(codec.String), e.Wrap(func(ctx goka.Context, msg any) {
				ctx.Loopback("again-"+ctx.Key(), msg)
			})),
			goka.Loop(new(codec.String), e.Wrap(func(ctx goka.Context, msg any) {
				ctx.SetValue(msg)
				ctx.Emit(joinedTopic, ctx.Key(), msg)
			})),
			goka.Output(joinedTopic, new(codec.String)),
			goka.Persist(new(codec.String)))
	})
	w.send(leftTopic, "a=1", "b=2", "c=3")
	w.eventually("looped", func() bool { return len(w.committed(joinedTopic)) == 3 })
	if err := stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if rows := w.rows(); rows["again-b"] != "2" {
		t.Errorf("rows are %v", rows)
	}
}

// TestMorePartitionsStopTheWorker adds partitions to an input while it is read.
func TestMorePartitionsStopTheWorker(t *testing.T) {
	t.Parallel()
	for name, grow := range map[string][]string{
		"all inputs": {leftTopic, rightTopic}, "one input": {leftTopic},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			wk := w.start(vfs.NewMem(), nil, func(c *engine.Config) {
				c.Client = []kgo.Opt{
					kgo.MetadataMaxAge(500 * time.Millisecond), kgo.MetadataMinAge(50 * time.Millisecond),
				}
			})
			w.sendMany(0, 20)
			w.joined(20)
			if _, err := w.admin.CreatePartitions(t.Context(), 4, grow...); err != nil {
				t.Fatal(err)
			}
			err := wk.wait(false)
			if !errors.Is(err, engine.ErrTopic) || !strings.Contains(err.Error(), "has partition") {
				t.Errorf("ended with %v, want %v about a new partition", err, engine.ErrTopic)
			}
		})
	}
}

// TestTransactionTimeoutAboveTheBrokers is refused by the broker, which a new
// client does not change.
func TestTransactionTimeoutAboveTheBrokers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), nil, func(c *engine.Config) { c.TransactionTimeout = time.Hour })
	if err := wk.wait(false); !errors.Is(err, kerr.InvalidTransactionTimeout) {
		t.Errorf("ended with %v, want %v", err, kerr.InvalidTransactionTimeout)
	}
}

// TestStopWhileLookingUp stops a worker whose callbacks look up another table:
// what is in flight is finished with the table still there.
func TestStopWhileLookingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	compact := "compact"
	_, err := w.admin.CreateTopics(t.Context(), testParts, 1,
		map[string]*string{"cleanup.policy": &compact}, lookedTable)
	if err != nil {
		t.Fatal(err)
	}
	w.send(lookedTable, "shop=Tally")
	begun := make(chan struct{}, 1)
	proceed := make(chan struct{})
	stop := w.run(func(e *engine.Engine) *goka.GroupGraph {
		return goka.DefineGroup(testGroup,
			goka.Input(leftTopic, new(codec.String), e.Wrap(func(ctx goka.Context, _ any) {
				begun <- struct{}{}
				<-proceed
				ctx.Emit(joinedTopic, ctx.Key(), ctx.Lookup(lookedTable, "shop"))
			})),
			goka.Lookup(lookedTable, new(codec.String)),
			goka.Output(joinedTopic, new(codec.String)))
	})
	w.send(leftTopic, "a=1")
	<-begun
	time.AfterFunc(300*time.Millisecond, func() { close(proceed) }) // after the stop has got around
	if err := stop(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if n := len(w.committed(joinedTopic)); n != 1 {
		t.Errorf("%d outputs, want 1", n)
	}
}

// TestTopicsThatAreMadeMeanwhile: a broker may not know a topic for a moment that it
// has just made; a worker that starts then waits a little.
func TestTopicsThatAreMadeMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const late = "late"
	stop := w.run(func(e *engine.Engine) *goka.GroupGraph {
		return goka.DefineGroup(testGroup,
			goka.Input(leftTopic, new(codec.String), e.Wrap(func(ctx goka.Context, msg any) {
				ctx.Emit(late, ctx.Key(), msg)
			})),
			goka.Output(late, new(codec.String)))
	})
	time.AfterFunc(500*time.Millisecond, func() {
		if _, err := w.admin.CreateTopics(t.Context(), testParts, 1, nil, late); err != nil {
			t.Error(err)
		}
	})
	w.send(leftTopic, "k=v")
	w.eventually("an output", func() bool {
		listed, err := w.admin.ListTopics(t.Context(), late)
		return err == nil && listed.Has(late) && len(w.committed(late)) == 1
	})
	if err := stop(); err != nil {
		t.Error(err)
	}
}
