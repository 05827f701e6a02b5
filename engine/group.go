package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
)

// A group is the consumer group as Goka sees it: it implements
// sarama.ConsumerGroup.
type group struct {
	e      *Engine
	errs   chan error
	closed sync.Once
}

func (e *Engine) consumerGroup([]string, string, string) (sarama.ConsumerGroup, error) {
	return &group{e: e, errs: make(chan error)}, nil
}

// Consume follows assignments until ctx is done. It returns only then, or with
// an error that ends the processor: after a plain return Goka would sleep.
func (g *group) Consume(ctx context.Context, topics []string, h sarama.ConsumerGroupHandler) error {
	defer g.e.quit()
	if g.e.taken.Swap(true) {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.e.running, cancel)()
	return g.e.consume(ctx, slices.DeleteFunc(slices.Clone(topics), g.e.virtual), h)
}

// Errors never delivers anything: errors end Consume.
func (g *group) Errors() <-chan error { return g.errs }

// Close ends Errors.
func (g *group) Close() error {
	g.closed.Do(func() { close(g.errs) })
	return nil
}

// Pause does nothing: Goka never calls it.
func (g *group) Pause(map[string][]int32) {}

// Resume does nothing: Goka never calls it.
func (g *group) Resume(map[string][]int32) {}

// PauseAll does nothing: Goka never calls it.
func (g *group) PauseAll() {}

// ResumeAll does nothing: Goka never calls it.
func (g *group) ResumeAll() {}

// topics is Goka's topic manager.
type topics struct{ e *Engine }

func (e *Engine) topicManager([]string) (goka.TopicManager, error) { return topics{e}, nil }

// EnsureTableExists makes a compacted topic if it is not there.
func (t topics) EnsureTableExists(topic string, npar int) error {
	compact := "compact"
	ctx := t.e.running
	err := t.e.tableThere(ctx, topic)
	if err != nil {
		return t.e.stop(err)
	}
	err = t.e.admin.ensure(ctx, topic, npar, map[string]*string{"cleanup.policy": &compact})
	if err == nil {
		err = t.e.admin.compacted(ctx, topic)
	}
	if err != nil {
		return t.e.stop(err)
	}
	return nil
}

// EnsureStreamExists makes a topic if it is not there.
func (t topics) EnsureStreamExists(topic string, npar int) error {
	return t.e.admin.ensure(t.e.running, topic, npar, nil)
}

// EnsureTopicExists makes a topic if it is not there.
func (t topics) EnsureTopicExists(topic string, npar, _ int, config map[string]string) error {
	c := map[string]*string{}
	for k, v := range config {
		c[k] = &v
	}
	return t.e.admin.ensure(t.e.running, topic, npar, c)
}

// Partitions returns the partitions of a topic.
func (t topics) Partitions(topic string) ([]int32, error) {
	if t.e.virtual(topic) {
		topic = t.e.firstInput()
	}
	d, err := t.e.admin.topic(t.e.running, topic)
	if err != nil {
		return nil, err
	}
	return d.Partitions.Numbers(), nil
}

// GetOffset returns the ends of a table's log. The newest is where the restore
// ended, so that Goka sees nothing left to recover.
func (t topics) GetOffset(topic string, partition int32, at int64) (int64, error) {
	where := place{topic, partition}
	switch at {
	case sarama.OffsetOldest:
		return 0, nil // only asked to know where to load from, and nothing is left to load
	case sarama.OffsetNewest:
		t.e.mu.Lock()
		defer t.e.mu.Unlock()
		end, ok := t.e.ends[where]
		if !ok {
			return 0, fmt.Errorf("engine: %s/%d was not opened", topic, partition)
		}
		return end, nil
	}
	return 0, fmt.Errorf("%w: offset by time", ErrRefused)
}

// Close does nothing: the client belongs to the engine.
func (t topics) Close() error { return nil }
