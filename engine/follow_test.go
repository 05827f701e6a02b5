package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	"tallystick/topology/keyhash"
)

const (
	joinedTable = "prices"
	lookedTable = "names"
)

// TestJoinsAndLooksUpTablesOfOthers reads two tables that somebody else writes,
// in transactions: one joined by partition, one looked up by any key. What is
// not committed is never seen; what comes later is followed.
func TestJoinsAndLooksUpTablesOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	compact := "compact"
	_, err := w.admin.CreateTopics(t.Context(), testParts, 1,
		map[string]*string{"cleanup.policy": &compact}, joinedTable, lookedTable)
	if err != nil {
		t.Fatal(err)
	}
	owner := w.newClient(kgo.TransactionalID("owner"))
	put := func(end kgo.TransactionEndTry, topic, key, value string) {
		t.Helper()
		if err := owner.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r := &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}
		if err := owner.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := owner.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	put(kgo.TryCommit, joinedTable, "k1", "10")
	put(kgo.TryCommit, lookedTable, "shop", "Tally")
	put(kgo.TryAbort, joinedTable, "k1", "dirty")
	put(kgo.TryAbort, lookedTable, "shop", "dirty")

	fs := vfs.NewMem()
	for life, want := range []string{"10 Tally", "20 Stick"} {
		if life == 1 { // while the worker is away
			put(kgo.TryCommit, joinedTable, "k1", "20")
			put(kgo.TryCommit, lookedTable, "shop", "Stick")
		}
		began := time.Now().Add(-testWithin)
		e, stop := w.follow(fs)
		w.said(want, "")
		w.fresh(e, began)
		if life == 1 { // while it runs
			put(kgo.TryCommit, joinedTable, "k1", "30")
			put(kgo.TryCommit, lookedTable, "shop", "Both")
			w.said("30 Both", "dirty")
		}
		stop()
	}
}

// fresh checks that the worker can tell how new its copies are.
func (w *world) fresh(e *engine.Engine, since time.Time) {
	w.t.Helper()
	newest := map[string]time.Time{}
	for _, r := range e.Replicas() {
		if r.Newest.After(newest[r.Topic]) {
			newest[r.Topic] = r.Newest
		}
	}
	for _, topic := range []string{string(joinedTable), string(lookedTable)} {
		if newest[topic].Before(since) || newest[topic].After(time.Now()) {
			w.t.Errorf("the copy of %s is from %v", topic, newest[topic])
		}
	}
}

// follow runs a processor that emits, for each record on the left, what the two
// tables hold. It returns how to stop it.
func (w *world) follow(fs vfs.FS) (e *engine.Engine, stop func()) {
	w.t.Helper()
	db := w.open(fs)
	var err error
	e, err = engine.New(engine.Config{
		Brokers: w.cluster.ListenAddrs(), Group: testGroup, Instance: "one", State: db,
		Interval: 20 * time.Millisecond, SessionTimeout: 6 * time.Second,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	g := goka.DefineGroup(testGroup,
		goka.Input(leftTopic, new(codec.String), e.Wrap(func(ctx goka.Context, _ any) {
			ctx.Emit(joinedTopic, ctx.Key(),
				fmt.Sprint(ctx.Join(joinedTable), " ", ctx.Lookup(lookedTable, "shop")))
		})),
		goka.Join(joinedTable, new(codec.String)),
		goka.Lookup(lookedTable, new(codec.String)),
		goka.Output(joinedTopic, new(codec.String)))
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, g) }()
	return e, func() {
		w.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("worker ended with %v", err)
		}
		if err := db.Close(); err != nil {
			w.t.Error(err)
		}
	}
}

// said sends records until one makes the processor say want; it must never say
// what contains never.
func (w *world) said(want, never string) {
	w.t.Helper()
	w.eventually("said "+want, func() bool {
		w.send(leftTopic, "k1=go")
		found := false
		for _, r := range w.committed(joinedTopic) {
			if never != "" && contains(string(r.Value), never) {
				w.t.Fatalf("said %s", r.Value)
			}
			found = found || string(r.Value) == want
		}
		return found
	})
}

// TestOpenTransactionsOfOthersDoNotHoldUp joins a table whose owner has a
// transaction open for longer than ours may take.
func TestOpenTransactionsOfOthersDoNotHoldUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	compact := "compact"
	_, err := w.admin.CreateTopics(t.Context(), testParts, 1,
		map[string]*string{"cleanup.policy": &compact}, joinedTable, lookedTable)
	if err != nil {
		t.Fatal(err)
	}
	w.send(joinedTable, "k1=10")
	w.send(lookedTable, "shop=Tally")
	owner := w.newClient(kgo.TransactionalID("owner"), kgo.TransactionTimeout(time.Minute))
	if err := owner.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	err = owner.ProduceSync(t.Context(),
		&kgo.Record{Topic: joinedTable, Key: []byte("k1"), Value: []byte("open")},
		&kgo.Record{Topic: lookedTable, Key: []byte("shop"), Value: []byte("open")}).FirstErr()
	if err != nil {
		t.Fatal(err)
	}
	_, stop := w.follow(vfs.NewMem())
	w.said("10 Tally", "open")
	if err := owner.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	w.said("open open", "")
	stop()
}

func TestJoinAndLookupOfOneTableIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := w.run(func(e *engine.Engine) *goka.GroupGraph {
		return goka.DefineGroup(testGroup,
			goka.Input(leftTopic, new(codec.String), e.Wrap(func(goka.Context, any) {})),
			goka.Join(joinedTable, new(codec.String)), goka.Lookup(joinedTable, new(codec.String)))
	})
	if err := err(); !errors.Is(err, engine.ErrRefused) {
		t.Errorf("ended with %v, want %v", err, engine.ErrRefused)
	}
}

// TestFollowingGoesOnAfterAnError lets a follower fail once, behind records that
// it has followed already.
func TestFollowingGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	compact := "compact"
	made, err := w.admin.CreateTopics(t.Context(), testParts, 1,
		map[string]*string{"cleanup.policy": &compact}, joinedTable, lookedTable)
	if err != nil {
		t.Fatal(err)
	}
	_, stop := w.follow(vfs.NewMem())
	w.send(joinedTable, "k1=1", "k1=2")
	w.said("2 <nil>", "")
	var failed atomic.Bool
	w.cluster.ControlKey(keyFetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := r.(*kmsg.FetchRequest)
		for _, topic := range req.Topics {
			if topic.TopicID == made[joinedTable].ID && len(topic.Partitions) == 1 &&
				topic.Partitions[0].Partition == keyhash.Partition([]byte("k1"), testParts) &&
				!failed.Swap(true) {
				return refuseFetch(req, kerr.TopicAuthorizationFailed), nil, true
			}
		}
		return nil, nil, false
	})
	w.eventually("one failed", failed.Load)
	w.send(joinedTable, "k1=3")
	w.said("3 <nil>", "")
	stop()
}

// refuseFetch answers every partition with why.
func refuseFetch(req *kmsg.FetchRequest, why *kerr.Error) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	for _, topic := range req.Topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, why.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}
