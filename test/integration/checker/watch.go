package checker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A Watch counts confirmations while they appear, faults or no faults.
type Watch struct {
	mu         sync.Mutex
	seen       map[string]int
	partitions map[int32]int
	doubled    []string
}

// Follow watches a topic of confirmations until ctx is done.
func Follow(ctx context.Context, brokers []string, topic string) (*Watch, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics(),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("checker: %w", err)
	}
	w := &Watch{seen: map[string]int{}, partitions: map[int32]int{}}
	go func() {
		defer client.Close()
		for ctx.Err() == nil {
			w.note(client.PollFetches(ctx)) // errors pass: a broker may be down
		}
	}()
	return w, nil
}

func (w *Watch) note(fetches kgo.Fetches) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		key := string(r.Key)
		if w.seen[key]++; w.seen[key] == 2 {
			w.doubled = append(w.doubled, key)
		}
		w.partitions[r.Partition]++
	})
}

// Orders returns how many different orders were confirmed.
func (w *Watch) Orders() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.seen)
}

// In returns how many confirmations there are in the given partitions.
func (w *Watch) In(partitions ...int32) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, p := range partitions {
		n += w.partitions[p]
	}
	return n
}

// Doubled returns the orders that were confirmed more than once.
func (w *Watch) Doubled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.doubled...)
}
