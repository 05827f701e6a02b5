package engine

import (
	"context"
	"log/slog"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tables is the consumer with which Goka follows tables of other groups, joined
// or looked up. It reads what is committed, and nothing else.
type tables struct{ e *Engine }

func (e *Engine) tableConsumer([]string, string) (sarama.Consumer, error) { return tables{e}, nil }

// ConsumePartition follows a partition from offset on.
func (t tables) ConsumePartition(
	topic string, partition int32, offset int64,
) (sarama.PartitionConsumer, error) {
	client, err := kgo.NewClient(append(t.e.clientOptions(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
			topic: {partition: kgo.NewOffset().At(offset)},
		}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
	)...)
	if err != nil {
		return nil, err
	}
	f := &follower{
		client: client, topic: topic, partition: partition, log: t.e.log, heard: t.e.heard,
		messages: make(chan *sarama.ConsumerMessage, laneDepth),
		errs:     make(chan *sarama.ConsumerError, 1),
	}
	// Not of Run: a join must go on while the last transaction is finished.
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(t.e.running))
	go f.run()
	return f, nil
}

// Topics is not asked for.
func (t tables) Topics() ([]string, error) { return nil, ErrRefused }

// Partitions returns the partitions of a topic.
func (t tables) Partitions(topic string) ([]int32, error) { return topics(t).Partitions(topic) }

// HighWaterMarks are for Goka's statistics only.
func (t tables) HighWaterMarks() map[string]map[int32]int64 { return nil }

// Close does nothing: followers are closed one by one.
func (t tables) Close() error { return nil }

// Pause does nothing: Goka never calls it.
func (t tables) Pause(map[string][]int32) {}

// Resume does nothing: Goka never calls it.
func (t tables) Resume(map[string][]int32) {}

// PauseAll does nothing: Goka never calls it.
func (t tables) PauseAll() {}

// ResumeAll does nothing: Goka never calls it.
func (t tables) ResumeAll() {}

// A follower reads one partition: it implements sarama.PartitionConsumer.
type follower struct {
	client    *kgo.Client
	log       *slog.Logger
	topic     string
	partition int32
	heard     func(place, time.Time)
	messages  chan *sarama.ConsumerMessage
	errs      chan *sarama.ConsumerError
	ctx       context.Context
	cancel    context.CancelFunc
}

func (f *follower) run() {
	defer f.client.Close()
	defer close(f.errs)
	defer close(f.messages)
	for f.ctx.Err() == nil {
		fetches := f.client.PollFetches(f.ctx)
		for _, r := range fetches.Records() {
			m := &sarama.ConsumerMessage{
				Topic: r.Topic, Partition: r.Partition, Offset: r.Offset,
				Key: r.Key, Value: r.Value, Timestamp: r.Timestamp,
			}
			f.heard(place{r.Topic, r.Partition}, r.Timestamp)
			select {
			case f.messages <- m:
			case <-f.ctx.Done():
				return
			}
		}
		err := fetchError(fetches)
		if err != nil && f.ctx.Err() == nil {
			f.log.Error("a table of another group is no longer followed; Goka tries again",
				"topic", f.topic, "partition", f.partition, "error", err)
			f.errs <- &sarama.ConsumerError{Topic: f.topic, Partition: f.partition, Err: err}
			return
		}
	}
}

// AsyncClose ends the follower; its channels are closed soon after.
func (f *follower) AsyncClose() { f.cancel() }

// Close ends the follower and waits for it.
func (f *follower) Close() error {
	f.cancel()
	for range f.messages {
	}
	return nil
}

// Messages returns the follower's records.
func (f *follower) Messages() <-chan *sarama.ConsumerMessage { return f.messages }

// Errors returns what ended the follower.
func (f *follower) Errors() <-chan *sarama.ConsumerError { return f.errs }

// HighWaterMarkOffset is for Goka's statistics only.
func (f *follower) HighWaterMarkOffset() int64 { return 0 }

// Pause does nothing: Goka never calls it.
func (f *follower) Pause() {}

// Resume does nothing: Goka never calls it.
func (f *follower) Resume() {}

// IsPaused is always false.
func (f *follower) IsPaused() bool { return false }
