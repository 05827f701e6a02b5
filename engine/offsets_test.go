package engine_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallystick/engine"
)

const (
	keyFetch        = 1
	keyOffsetCommit = 8
	keyOffsetFetch  = 9
)

// TestOffsetsThatAreGoneForAMoment begins with a coordinator that, once, knows
// of no offsets. Reading from the start would count everything twice.
func TestOffsetsThatAreGoneForAMoment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 50)
	w.joined(50)
	wk.end()
	var asked atomic.Int64
	w.cluster.ControlKey(keyOffsetFetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := r.(*kmsg.OffsetFetchRequest)
		if req.Groups[0].MemberID == nil || asked.Add(1) > 1 { // others than the member may know
			return nil, nil, false
		}
		return noOffsets(req), nil, true
	})
	wk = w.start(fs, nil)
	w.sendMany(50, 60)
	w.joined(60)
	if n := wk.e.Stats().Restarts; n != 1 {
		t.Errorf("%d new clients, want 1", n)
	}
	wk.end()
}

// noOffsets answers that the group has none.
func noOffsets(req *kmsg.OffsetFetchRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	for _, g := range req.Groups {
		rg := kmsg.NewOffsetFetchResponseGroup()
		rg.Group = g.Group
		for _, topic := range g.Topics {
			rt := kmsg.NewOffsetFetchResponseGroupTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				rp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
				rp.Partition, rp.Offset, rp.LeaderEpoch = p, -1, -1
				rt.Partitions = append(rt.Partitions, rp)
			}
			rg.Topics = append(rg.Topics, rt)
		}
		resp.Groups = append(resp.Groups, rg)
	}
	return resp
}

// TestAtLeastOnceGetsOverItsFirstCommit loses the first offset commit of a
// group. Its rows are in the changelog then, which must not stop the worker.
func TestAtLeastOnceGetsOverItsFirstCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int64
	w.cluster.ControlKey(keyOffsetCommit, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if asked.Add(1) > 1 {
			return nil, nil, false
		}
		return refuseCommit(r.(*kmsg.OffsetCommitRequest), kerr.UnknownServerError), nil, true
	})
	wk := w.start(vfs.NewMem(), nil, func(c *engine.Config) { c.Guarantee = engine.AtLeastOnce })
	w.sendMany(0, 20)
	w.eventually("all read", func() bool { return wk.e.Stats().Records >= 40 })
	if n := wk.e.Stats().Restarts; n != 1 {
		t.Errorf("%d new clients, want 1", n)
	}
	wk.end()
}

// refuseCommit answers every partition with why.
func refuseCommit(req *kmsg.OffsetCommitRequest, why *kerr.Error) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, topic := range req.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
		for _, p := range topic.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, why.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// TestTableThatIsGone deletes the table's topic, and makes it again, while the
// group keeps its offsets. Going on with an empty table would be silent loss.
func TestTableThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 20)
	w.joined(20)
	wk.end()
	if _, err := w.admin.DeleteTopics(t.Context(), testTable); err != nil {
		t.Fatal(err)
	}
	for _, disk := range []vfs.FS{fs, vfs.NewMem()} {
		if err := w.start(disk, nil).wait(false); !errors.Is(err, engine.ErrTopic) {
			t.Errorf("without the topic it ended with %v, want %v", err, engine.ErrTopic)
		}
	}
	compact := "compact"
	_, err := w.admin.CreateTopics(t.Context(), testParts, 1,
		map[string]*string{"cleanup.policy": &compact}, testTable)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.start(fs, nil).wait(false); !errors.Is(err, engine.ErrTopic) {
			t.Errorf("with another topic it ended with %v, want %v", err, engine.ErrTopic)
		}
	}
	wk = w.start(vfs.NewMem(), nil) // as the hint says
	w.sendMany(100, 120)
	w.eventually("goes on", func() bool { return len(w.rows()) == 20 })
	wk.end()
}

// TestRestoreUnderAQuota gets answers without content, as brokers give them to
// whoever reads faster than a quota allows.
func TestRestoreUnderAQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wk := w.start(vfs.NewMem(), nil)
	w.sendMany(0, 40)
	w.joined(40)
	wk.end()
	var asked atomic.Int64
	w.cluster.ControlKey(keyFetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := r.(*kmsg.FetchRequest)
		if req.SessionEpoch != -1 || asked.Add(1) > 3 { // only the restore asks outside of sessions
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		resp.ThrottleMillis = 5
		return resp, nil, true
	})
	wk = w.start(vfs.NewMem(), nil)
	w.eventually("restored", func() bool { return wk.e.Stats().Ready })
	if n := wk.e.Stats().Restarts; n != 0 || len(wk.local()) != 40 {
		t.Errorf("%d new clients, %d rows", n, len(wk.local()))
	}
	wk.end()
}

// TestOffsetsThatCannotBeTold begins with a coordinator that, once, answers the
// engine's own question with an error for each partition. That is not to say
// that the offsets are lost.
func TestOffsetsThatCannotBeTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 50)
	w.joined(50)
	wk.end()
	topics, err := w.admin.ListTopics(t.Context(), leftTopic, rightTopic)
	if err != nil {
		t.Fatal(err)
	}
	var asked atomic.Int64
	w.cluster.ControlKey(keyOffsetFetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := r.(*kmsg.OffsetFetchRequest)
		if req.Groups[0].MemberID != nil || asked.Add(1) > 1 { // the member itself is answered
			return nil, nil, false
		}
		return untold(req, topics), nil, true
	})
	wk = w.start(fs, nil)
	w.sendMany(50, 60)
	w.joined(60)
	if asked.Load() < 2 {
		t.Errorf("the offsets were asked for %d times, want again after the error", asked.Load())
	}
	wk.end()
}

// untold answers each partition of topics with an error.
func untold(req *kmsg.OffsetFetchRequest, topics kadm.TopicDetails) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	rg := kmsg.NewOffsetFetchResponseGroup()
	rg.Group = req.Groups[0].Group
	for _, topic := range topics.Sorted() {
		rt := kmsg.NewOffsetFetchResponseGroupTopic()
		rt.Topic, rt.TopicID = topic.Topic, topic.ID
		for p := range int32(testParts) {
			rp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			rp.Partition, rp.Offset, rp.LeaderEpoch = p, -1, -1
			rp.ErrorCode = kerr.UnknownServerError.Code
			rt.Partitions = append(rt.Partitions, rp)
		}
		rg.Topics = append(rg.Topics, rt)
	}
	resp.Groups = append(resp.Groups, rg)
	return resp
}

// TestFirstTransactionAborted refuses the first commit of a group. Its rows are
// in the changelog, aborted, and there are no offsets: nothing is lost by that.
func TestFirstTransactionAborted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked atomic.Int64
	w.cluster.ControlKey(keyTxnOffsetCommit, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if asked.Add(1) > 1 {
			return nil, nil, false
		}
		return refuseOffsets(r.(*kmsg.TxnOffsetCommitRequest), kerr.IllegalGeneration), nil, true
	})
	w.sendMany(0, 20)
	wk := w.start(vfs.NewMem(), nil)
	w.joined(20)
	if n := wk.e.Stats().Restarts; n != 1 {
		t.Errorf("%d new clients, want 1", n)
	}
	wk.end()
}
