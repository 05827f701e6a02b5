package engine

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// A Replica is a partition of a table that others write and this worker keeps a
// copy of, because its graph joins it or looks it up.
type Replica struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	// Newest is the timestamp of the newest record that the copy has: how long ago
	// that is, is how stale the copy may be, or how long its owner has had nothing to
	// say. It is zero if the topic has none.
	Newest time.Time `json:"newest"`
}

// Replicas returns the copies that this worker keeps, in order. It may be called
// at any time.
func (e *Engine) Replicas() []Replica {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]Replica, 0, len(e.newest))
	for at, newest := range e.newest {
		all = append(all, Replica{at.topic, at.partition, newest})
	}
	slices.SortFunc(all, func(a, b Replica) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return all
}

// heard notes that a copy has a record.
func (e *Engine) heard(at place, timestamp time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if newest, known := e.newest[at]; known && timestamp.After(newest) {
		e.newest[at] = timestamp
	}
}

// Close forgets how new the copy was: it is not kept up any more.
func (r *replica) Close() error {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	delete(r.e.newest, r.at)
	return nil
}

// restoredReplica notes how new a copy is that was brought up to its topic. It is
// for people to look at: that it cannot be told stops nobody.
func (e *Engine) restoredReplica(ctx context.Context, at place) {
	e.mu.Lock()
	e.newest[at] = time.Time{}
	e.mu.Unlock()
	listed, err := e.admin.kadm.ListMaxTimestampOffsets(ctx, at.topic)
	if err != nil {
		e.log.Warn("how new a table of others is cannot be told", "topic", at.topic, "error", err)
		return
	}
	if o, ok := listed.Lookup(at.topic, at.partition); ok && o.Err == nil && o.Timestamp > 0 {
		e.heard(at, time.UnixMilli(o.Timestamp))
	}
}
