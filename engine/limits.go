package engine

import (
	"context"
	"strconv"
	"time"
)

const (
	batchBytes = 1_000_012 // of a batch where the topic doesn't say less, as Kafka's clients have it
	leastBatch = 1 << 10   // below this the client refuses the setting
	largeBytes = 64 << 10  // from here on an output is taken for large
)

// batchLimits returns how large a batch each topic takes. A topic with less than
// the client's default would refuse batches of records that it takes one by one,
// and each of them would look too large. Whoever may not ask gets the default.
func (ep *epoch) batchLimits(ctx context.Context) func(topic string) int32 {
	e := ep.e
	ep.large = largeBytes
	topics := []string{e.cfg.DeadLetters, e.tableTopic(), ParkedTopic(e.cfg.Group)}
	for out := range e.outputs {
		topics = append(topics, string(out))
	}
	limits := map[string]int32{}
	configs, err := e.admin.kadm.DescribeTopicConfigs(ctx, topics...)
	if err != nil {
		e.log.Debug("ask for the topics' max.message.bytes", "error", err)
	}
	for _, c := range configs {
		for _, kv := range c.Configs {
			n, err := strconv.Atoi(kv.MaybeValue())
			if kv.Key == "max.message.bytes" && err == nil && n < batchBytes {
				limits[c.Name] = int32(max(n, leastBatch))
				ep.large = min(ep.large, n/2)
			}
		}
	}
	return func(topic string) int32 {
		if n, ok := limits[topic]; ok {
			return n
		}
		return batchBytes
	}
}

// pace fits how many records are in flight to how fast callbacks are. All of
// them must be finished well before the transaction times out: the broker would
// abort it, and the next one with as many as well.
func (t *transaction) pace() {
	c := &t.ep.e.cfg
	n := t.s.low.Load()
	switch late := time.Since(t.ep.began) - c.Interval; {
	case late > c.TransactionTimeout/4:
		n = max(min(n, int64(t.records))/4, 1)
	case late < c.TransactionTimeout/16:
		n = min(2*n, lowMark)
	}
	t.s.low.Store(n)
	t.ep.e.inFlight.Store(n)
}
