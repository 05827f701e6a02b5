package live

import (
	"context"
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// peekOffsets is how far behind a group may be for its records to be counted.
	peekOffsets = 200
	// peekMost bounds how many partitions are looked into at once.
	peekMost = 96
	// peekBytes is how much of each of them is fetched.
	peekBytes = 32 << 10
)

// A spot is what is between two offsets of a partition.
type spot struct {
	topic     string
	partition int32
	from, to  int64
}

// A peek is how many records are there, and whether these are all.
type peek struct {
	records int64
	all     bool
}

// peekAt counts the committed records in some spots, by one request to each broker. A
// spot that could not be looked into is missing in the answer.
func (c *Collector) peekAt(ctx context.Context, spots []spot) map[spot]peek {
	if len(spots) == 0 {
		return nil
	}
	var topics []string
	for _, s := range spots {
		if !slices.Contains(topics, s.topic) {
			topics = append(topics, s.topic)
		}
	}
	meta, err := c.adm.ListTopics(ctx, topics...)
	if err != nil {
		return nil
	}
	brokers := map[int32][]spot{}
	for _, s := range spots {
		if p, ok := meta[s.topic].Partitions[s.partition]; ok && p.Err == nil {
			brokers[p.Leader] = append(brokers[p.Leader], s)
		}
	}
	ids := map[string][16]byte{}
	for _, name := range topics {
		ids[name] = meta[name].ID
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	seen := map[spot]peek{}
	for leader, theirs := range brokers {
		all.Go(func() {
			counted := c.peekBroker(ctx, leader, theirs, ids)
			mu.Lock()
			defer mu.Unlock()
			for at, p := range counted {
				seen[at] = p
			}
		})
	}
	all.Wait()
	return seen
}

// peekBroker counts in the spots that one broker has.
func (c *Collector) peekBroker(
	ctx context.Context, leader int32, spots []spot, ids map[string][16]byte,
) map[spot]peek {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 0, 0, peekBytes*peekMost
	req.IsolationLevel, req.SessionEpoch = 1, -1
	req.Topics = wanted(spots, ids)
	got, err := c.cfg.Client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil
	}
	resp, ok := got.(*kmsg.FetchResponse)
	if !ok || resp.ErrorCode != 0 {
		return nil
	}
	counted := map[spot]peek{}
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for _, s := range spots {
			if s.topic != t.Topic && ids[s.topic] != t.TopicID {
				continue
			}
			for k := range t.Partitions {
				if p, ok := s.count(&t.Partitions[k]); ok {
					counted[s] = p
				}
			}
		}
	}
	return counted
}

// wanted asks for each partition once, from where the first of its spots begins.
func wanted(spots []spot, ids map[string][16]byte) []kmsg.FetchRequestTopic {
	var topics []kmsg.FetchRequestTopic
	for _, s := range spots {
		i := slices.IndexFunc(topics, func(t kmsg.FetchRequestTopic) bool { return t.Topic == s.topic })
		if i < 0 {
			t := kmsg.NewFetchRequestTopic()
			t.Topic, t.TopicID = s.topic, ids[s.topic]
			i, topics = len(topics), append(topics, t)
		}
		t := &topics[i]
		k := slices.IndexFunc(t.Partitions, func(p kmsg.FetchRequestTopicPartition) bool {
			return p.Partition == s.partition
		})
		if k < 0 {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.FetchOffset, p.PartitionMaxBytes = s.partition, s.from, peekBytes
			t.Partitions = append(t.Partitions, p)
			continue
		}
		t.Partitions[k].FetchOffset = min(t.Partitions[k].FetchOffset, s.from)
	}
	return topics
}

// count counts the records of an answer that are in the spot.
func (s spot) count(part *kmsg.FetchResponseTopicPartition) (peek, bool) {
	if part.Partition != s.partition || part.ErrorCode != 0 || len(part.RecordBatches) == 0 {
		return peek{}, false // also where the answer was full before
	}
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: s.from, IsolationLevel: kgo.ReadCommitted(), Topic: s.topic, Partition: s.partition,
	}, part, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil {
		return peek{}, false
	}
	p := peek{all: next >= s.to}
	for _, r := range fetched.Records {
		if r.Offset < s.to {
			p.records++
		}
	}
	if !p.all { // what was not fetched counts as records
		p.records += s.to - max(next, s.from)
	}
	return p, true
}
