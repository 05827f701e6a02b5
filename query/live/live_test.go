package live_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/query/live"
	"tallystick/topology"
)

// patience bounds every wait of these tests.
const patience = time.Minute

// job is a map of one processor.
func job() topology.Topology {
	return topology.Topology{
		Topics: []topology.Topic{{Name: "orders"}, {Name: "payments"}, {Name: "confirmations"}},
		Processors: []topology.Processor{{
			Name: "confirm", Service: "confirm", Group: "tally-confirm",
			Inputs: []string{"orders", "payments"}, Outputs: []string{"confirmations"},
		}},
	}
}

// A world is a cluster with the topics of the main job, and a collector at work.
type world struct {
	cl   *kgo.Client
	adm  *kadm.Client
	c    *live.Collector
	end  context.CancelFunc
	done chan struct{}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2),
		kfake.SeedTopics(2, "orders", "payments", "confirmations"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("worker"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	w := &world{cl: cl, adm: kadm.NewClient(cl), done: make(chan struct{})}
	w.c = live.New(live.Config{
		Client: cl, Topology: job(), Now: time.Now,
		Every: 5 * time.Millisecond,
		StreamTime: func(metadata string) (time.Time, bool) {
			at, err := time.Parse(time.RFC3339, metadata)
			return at, err == nil
		},
	})
	ctx, end := context.WithCancel(t.Context())
	w.end = end
	go func() { defer close(w.done); w.c.Run(ctx) }()
	t.Cleanup(func() { end(); <-w.done })
	return w
}

// write writes records to partition 1 of a topic, in one transaction.
func (w *world) write(t *testing.T, topic string, n int, end kgo.TransactionEndTry) {
	t.Helper()
	if err := w.cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for range n {
		r := &kgo.Record{Topic: topic, Partition: 1, Value: []byte("x")}
		if err := w.cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.cl.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

// commit says that the group is done up to an offset of partition 1.
func (w *world) commit(t *testing.T, topic string, at int64, metadata string) {
	t.Helper()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: at, LeaderEpoch: -1, Metadata: metadata})
	if err := w.adm.CommitAllOffsets(t.Context(), "tally-confirm", offsets); err != nil {
		t.Fatal(err)
	}
}

// sees waits for a state of which something is true.
func sees(t *testing.T, states <-chan *live.State, what string, is func(live.Processor) bool) {
	t.Helper()
	deadline := time.After(patience)
	var last *live.State
	for {
		select {
		case s := <-states:
			if last = s; len(s.Processors) == 1 && is(s.Processors[0]) {
				return
			}
		case <-deadline:
			t.Fatalf("not within %v: %s; last seen %+v", patience, what, last)
		}
	}
}

// TestLagCountsRecords holds that markers of transactions, and what was aborted, are
// not taken for records that nobody has read.
func TestLagCountsRecords(t *testing.T) {
	w := newWorld(t)
	states, stop, err := w.c.Watch()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	w.write(t, "orders", 3, kgo.TryCommit) // offsets 0 to 2, and a marker
	sees(t, states, "3 unread, of which nothing is committed", func(p live.Processor) bool {
		return p.Lag == 3 && p.Exact && p.Partitions[1].Inputs[0].Committed == -1
	})
	w.commit(t, "orders", 1, "2026-02-03T04:05:06Z")
	sees(t, states, "2 unread", func(p live.Processor) bool {
		part := p.Partitions[1]
		return p.Lag == 2 && p.Exact && part.Lag == 2 && part.Stream != nil && part.Stream.Year() == 2026
	})
	w.commit(t, "orders", 3, "")
	sees(t, states, "only a marker is left", func(p live.Processor) bool {
		return p.Lag == 0 && p.Exact
	})
	w.write(t, "orders", 5, kgo.TryAbort)
	sees(t, states, "nothing but an abort is left", func(p live.Processor) bool {
		return p.Lag == 0 && p.Exact && p.Partitions[1].Inputs[0].End == 10
	})
}

// TestRates holds that what flows is seen, and that it stops.
func TestRates(t *testing.T) {
	w := newWorld(t)
	states, stop, err := w.c.Watch()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	sees(t, states, "nothing flows", func(p live.Processor) bool { return p.Rate == 0 })
	w.write(t, "orders", 100, kgo.TryCommit)
	w.commit(t, "orders", 9, "")
	sees(t, states, "what is known for the first time is not taken for what flows",
		func(p live.Processor) bool {
			return p.Partitions[1].Inputs[0].Committed == 9 && p.Rate == 0
		})
	at := int64(9) // it goes on until it is seen: who is slow misses what is between
	sees(t, states, "something flows", func(p live.Processor) bool {
		at = min(at+1, 100)
		w.commit(t, "orders", at, "")
		return p.Rate > 0
	})
	sees(t, states, "it flows no more", func(p live.Processor) bool { return p.Rate == 0 })
}

// TestNobodyWatches holds that Kafka is asked only while somebody watches, once for all,
// that there is a limit to them, and that all are told of the end.
func TestNobodyWatches(t *testing.T) {
	w := newWorld(t)
	one, stop, err := w.c.Watch()
	if err != nil {
		t.Fatal(err)
	}
	first := <-one
	var stops []func()
	for range live.MaxWatchers - 1 {
		_, stop, err := w.c.Watch()
		if err != nil {
			t.Fatal(err)
		}
		stops = append(stops, stop)
	}
	if _, _, err := w.c.Watch(); !errors.Is(err, live.ErrCrowded) {
		t.Errorf("one too many: %v", err)
	}
	for _, stop := range append(stops, stop) {
		stop()
	}
	select {
	case s, ok := <-one: // one that was under way
		if ok && s.At.Before(first.At) {
			t.Errorf("%v after %v", s.At, first.At)
		}
	default:
	}
	two, stop, err := w.c.Watch()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	<-two
	w.end()
	<-w.done
	deadline := time.After(patience)
	for open := true; open; {
		select {
		case _, open = <-two:
		case <-deadline:
			t.Fatal("a watcher was not told of the end")
		}
	}
}

// TestKafkaAway holds that who watches is told when Kafka does not answer, and keeps
// what was known.
func TestKafkaAway(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.RetryTimeout(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	c := live.New(live.Config{
		Client: cl, Topology: job(), Now: time.Now,
		Every: 5 * time.Millisecond,
	})
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	defer func() { end(); <-done }()
	states, stop, err := c.Watch()
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if s := <-states; s.Error != "" || s.Topics[0].Partitions != 1 || s.Topics[1].Partitions != 0 {
		t.Fatalf("at first: %+v", s)
	}
	cluster.Close()
	deadline := time.After(patience)
	for {
		select {
		case s := <-states:
			if s.Error == "" {
				continue
			}
			if !strings.Contains(s.Error, "live: ") || len(s.Topics) == 0 {
				t.Errorf("%+v", s)
			}
			return
		case <-deadline:
			t.Fatal("nobody says that Kafka is away")
		}
	}
}
