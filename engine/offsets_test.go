package engine_test

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const keyOffsetFetch = 9

// TestOffsetsThatAreGoneForAMoment begins with a coordinator that, once, knows
// of no offsets. Reading from the start would count everything twice.
func TestOffsetsThatAreGoneForAMoment(t *testing.T) {
	w := newWorld(t)
	fs := vfs.NewMem()
	wk := w.start(fs, nil)
	w.sendMany(0, 50)
	w.joined(50)
	wk.end()
	var asked atomic.Int64
	w.cluster.ControlKey(keyOffsetFetch, func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if asked.Add(1) > 1 {
			return nil, nil, false
		}
		return noOffsets(r.(*kmsg.OffsetFetchRequest)), nil, true
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
