package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/engine"
	"tallystick/test/kafkatest"
)

const (
	keyHeartbeat       = 12
	keyEndTxn          = 26
	keyTxnOffsetCommit = 28
)

// trickle sends n keys in small portions, so that there are many transactions.
func (w *world) trickle(n int) {
	w.t.Helper()
	for i := 0; i < n; i += 10 {
		w.sendMany(i, i+10)
		time.Sleep(10 * time.Millisecond) // paces the load; nothing waits for it
	}
}

// TestUnknownOutcome loses the answers to EndTxn for longer than the client
// asks again. The transactions were executed. A client that goes on from the
// offsets it remembers processes their records twice.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cutter := &kafkatest.Cutter{}
	wk := w.start(vfs.NewMem(), nil, func(c *engine.Config) {
		c.Client = []kgo.Opt{
			kgo.Dialer(cutter.Dial), kgo.RequestRetries(2), kgo.RetryTimeout(2 * time.Second),
		}
	})
	w.sendMany(0, 10)
	w.joined(10)
	for round := range 3 {
		cutter.Lose(kafkatest.Loss{Keys: []int16{keyEndTxn}, Count: 3})
		w.sendMany(10+round*10, 20+round*10)
		w.eventually("answers lost", func() bool { return cutter.Lost() == 3 })
		w.sendMany(100+round, 101+round) // comes through after whatever is done about it
		w.eventually("the next comes through", func() bool {
			return w.rows()[fmt.Sprintf("k%d", 100+round)] == "l1r1"
		})
	}
	w.joined(43)
	if n := wk.e.Stats().Restarts; n < 3 {
		t.Errorf("%d new clients after 3 unknown outcomes", n)
	}
	wk.end()
}

// TestFaultsOfTheBroker has the broker refuse, fail and drop what a commit is
// made of.
func TestFaultsOfTheBroker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(7, 7))
	var hits atomic.Int64
	one := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		if rng.IntN(n) != 0 {
			return false
		}
		hits.Add(1)
		return true
	}
	on := func(key int16, f func(kmsg.Request) (kmsg.Response, error, bool)) {
		w.cluster.ControlKey(key, func(r kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			return f(r)
		})
	}
	on(keyTxnOffsetCommit, func(r kmsg.Request) (kmsg.Response, error, bool) {
		if !one(8) {
			return nil, nil, false
		}
		return refuseOffsets(r.(*kmsg.TxnOffsetCommitRequest), kerr.IllegalGeneration), nil, true
	})
	on(keyEndTxn, func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.EndTxnRequest)
		switch {
		case req.Commit && one(12):
			resp := req.ResponseKind().(*kmsg.EndTxnResponse)
			resp.ErrorCode = kerr.UnknownServerError.Code
			return resp, nil, true
		case one(12):
			return nil, errors.New("dropped"), true
		}
		return nil, nil, false
	})
	on(keyHeartbeat, func(r kmsg.Request) (kmsg.Response, error, bool) {
		if !one(4) {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.RebalanceInProgress.Code
		return resp, nil, true
	})
	wk := w.start(vfs.NewMem(), nil)
	w.trickle(600)
	n := 600
	w.eventually("faults enough", func() bool { // it takes as many transactions as it takes
		if hits.Load() < 5 {
			w.sendMany(n, n+10)
			n += 10
		}
		return hits.Load() >= 5
	})
	w.joined(n)
	wk.end()
	if hits.Load() < 5 {
		t.Errorf("only %d faults were injected", hits.Load())
	}
}

func refuseOffsets(req *kmsg.TxnOffsetCommitRequest, why *kerr.Error) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewTxnOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, why.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// TestOffsetRefusedForOnePartition answers the question for the offset of one
// partition with an error, after which the client would leave it out for ever.
func TestOffsetRefusedForOnePartition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.sendMany(0, 40)
	h := w.cluster.Fault(kfake.Fault{
		Keys: []kmsg.Key{kmsg.OffsetFetch}, Group: testGroup, Topic: leftTopic, Partitions: []int32{2},
		Err: kerr.NotCoordinator,
	})
	wk := w.start(vfs.NewMem(), nil)
	w.joined(40)
	wk.end()
	if h.Hits() != 1 {
		t.Errorf("%d answers were refused, want 1", h.Hits())
	}
}

func TestBrokersWithoutSafeTransactionsAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := kmsg.NewPtrUpdateFeaturesRequest()
	f := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	f.Feature, f.MaxVersionLevel, f.UpgradeType = "transaction.version", 0, 2
	req.FeatureUpdates = append(req.FeatureUpdates, f)
	resp, err := req.RequestWith(t.Context(), w.client)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(resp.ErrorCode))
	}
	wk := w.start(vfs.NewMem(), nil)
	if err := wk.wait(false); !errors.Is(err, engine.ErrTransactionVersion) {
		t.Errorf("ended with %v, want %v", err, engine.ErrTransactionVersion)
	}
	wk = w.start(vfs.NewMem(), nil, func(c *engine.Config) { c.AllowTransactionV1 = true })
	w.sendMany(0, 20)
	w.joined(20)
	wk.end()
}

func TestMissingTopicIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.admin.DeleteTopics(t.Context(), rightTopic); err != nil {
		t.Fatal(err)
	}
	wk := w.start(vfs.NewMem(), nil)
	if err := wk.wait(false); !errors.Is(err, engine.ErrTopic) {
		t.Errorf("ended with %v, want %v", err, engine.ErrTopic)
	}
}

func TestUnevenInputsAreNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.admin.DeleteTopics(t.Context(), rightTopic); err != nil {
		t.Fatal(err)
	}
	if _, err := w.admin.CreateTopic(t.Context(), 3, 1, nil, rightTopic); err != nil {
		t.Fatal(err)
	}
	wk := w.start(vfs.NewMem(), nil)
	if err := wk.wait(false); !errors.Is(err, engine.ErrTopic) {
		t.Errorf("ended with %v, want %v", err, engine.ErrTopic)
	}
}

func TestTableThatIsNotCompactedIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.admin.CreateTopic(t.Context(), testParts, 1, nil, testTable); err != nil {
		t.Fatal(err)
	}
	wk := w.start(vfs.NewMem(), nil)
	if err := wk.wait(false); !errors.Is(err, engine.ErrTopic) {
		t.Errorf("ended with %v, want %v", err, engine.ErrTopic)
	}
}

// TestInputDeletedBeforeItWasRead loses records to retention while the worker
// is away: it must say so, not skip them.
func TestInputDeletedBeforeItWasRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 50)
	w.joined(50)
	wk.end()
	w.sendMany(50, 100)
	for p := range int32(testParts) {
		ends, err := w.admin.ListEndOffsets(t.Context(), leftTopic)
		if err != nil {
			t.Fatal(err)
		}
		end, _ := ends.Lookup(leftTopic, p)
		offsets := ends.Offsets()
		offsets.KeepFunc(func(o kadmOffset) bool { return o.Topic == leftTopic && o.Partition == p })
		if _, err := w.admin.DeleteRecords(t.Context(), offsets); err != nil {
			t.Fatalf("delete up to %d: %v", end.Offset, err)
		}
	}
	wk = w.start(fs, nil)
	if err := wk.wait(false); !errors.Is(err, engine.ErrInputTruncated) {
		t.Errorf("ended with %v, want %v", err, engine.ErrInputTruncated)
	}
}

func TestConfigNamesEachProblem(t *testing.T) {
	t.Parallel()
	_, err := engine.New(engine.Config{Interval: time.Hour, MaxRecords: -1})
	for _, want := range []string{"brokers", "group", "instance", "state", "interval", "max-records"} {
		if err == nil || !contains(err.Error(), want+":") {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
	if _, err := engine.ParseGuarantee("twice"); err == nil {
		t.Error("guarantee twice was accepted")
	}
	for _, g := range []engine.Guarantee{engine.ExactlyOnce, engine.AtLeastOnce} {
		if got, err := engine.ParseGuarantee(fmt.Sprint(g)); got != g || err != nil {
			t.Errorf("%v was read as %v, %v", g, got, err)
		}
	}
}
