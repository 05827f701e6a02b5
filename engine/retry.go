package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/topology/keyhash"
)

// RetryTopic is an input of every group beside those of its graph: what is to be
// done about its dead letters, one [Retry] a record, under the key of the record
// that it is about. The engine makes it.
func RetryTopic(group string) string { return group + "-retry" }

// RetryHeader is a header of records that are processed again. Its value is the
// place in [RetryTopic] that asked for it, as topic/partition@offset.
const RetryHeader = headerPrefix + "retry"

// retryBytes is how large the records of the retry topic may be: a record that an
// input took with its limit raised must fit.
const retryBytes = 16 << 20

// A retrial is a record that is processed again.
type retrial struct {
	Retry
	at spot // in the retry topic
}

// attempts is how often the record was tried before, as its dead letter says.
func (r *retrial) attempts() int {
	if r == nil {
		return 0
	}
	return r.Attempt
}

// prepareRetries makes the topics of retries and of parked keys. Keys that are
// parked stay so when parking is turned off, until all that waits is resolved.
func (e *Engine) prepareRetries(ctx context.Context) error {
	var n int32
	for topic := range e.inputs {
		n = max(n, e.counts[topic])
	}
	forever, policy, size := "-1", "delete", strconv.Itoa(retryBytes)
	err := e.admin.ensure(ctx, e.retries, int(n), map[string]*string{
		"cleanup.policy": &policy, "retention.ms": &forever, "max.message.bytes": &size,
	})
	if err != nil {
		return err
	}
	e.counts[e.retries] = n
	parked := ParkedTopic(e.cfg.Group)
	topics, err := e.admin.kadm.ListTopics(ctx, parked)
	if err != nil {
		return fmt.Errorf("engine: ask for topic %s: %w", parked, err)
	}
	if e.parking = e.cfg.Park || topics.Has(parked); !e.parking {
		return nil
	}
	compact := "compact"
	err = e.admin.ensure(ctx, parked, int(n), map[string]*string{"cleanup.policy": &compact})
	if err != nil {
		return err
	}
	return e.admin.compacted(ctx, parked)
}

// claimed is an assignment without the retries, of which Goka knows nothing.
func (e *Engine) claimed(assigned map[string][]int32) map[string][]int32 {
	claims := maps.Clone(assigned)
	delete(claims, e.retries)
	return claims
}

// readable is an assignment without retries of partitions that another worker
// has. A worker that does not know of retries yet makes for that.
func (e *Engine) readable(assigned map[string][]int32) map[string][]int32 {
	ours := map[int32]bool{}
	for topic, partitions := range assigned {
		for _, p := range partitions {
			ours[p] = ours[p] || topic != e.retries
		}
	}
	all := maps.Clone(assigned)
	all[e.retries] = slices.DeleteFunc(slices.Clone(assigned[e.retries]),
		func(p int32) bool { return !ours[p] })
	return all
}

// judgeRetry tells whether r does not ask for anything that can be done.
func (e *Engine) judgeRetry(r *kgo.Record, n int32) (verdict, bool) {
	_, err := e.parseRetry(r)
	if err == nil && keyhash.Partition(r.Key, n) != r.Partition {
		err = fmt.Errorf("key belongs to partition %d of %d", keyhash.Partition(r.Key, n), n)
	}
	if err != nil {
		return verdict{classRetry, "it can't be retried: " + err.Error()}, true
	}
	return verdict{}, false
}

// parseRetry reads a record of the retry topic.
func (e *Engine) parseRetry(r *kgo.Record) (*retrial, error) {
	asked, err := ReadRetry(r)
	if err != nil {
		return nil, err
	}
	if r.Key == nil {
		return nil, errors.New("it has no key")
	}
	if _, ok := e.inputs[asked.Topic]; !ok {
		if !asked.Drop {
			return nil, fmt.Errorf("%s is not an input of %s", asked.Topic, e.cfg.Group)
		}
		// What it was of does not matter any more.
		asked.Topic = slices.Sorted(maps.Keys(e.inputs))[0]
	}
	return &retrial{asked, spot{place{r.Topic, r.Partition}, r.Offset}}, nil
}

// again returns the record that a record of the retry topic is about, as it is to
// be delivered.
func (s *session) again(r *kgo.Record) *kgo.Record {
	asked, err := s.ep.e.parseRetry(r)
	if err != nil {
		s.fail(fmt.Errorf("%w: %w", ErrRefused, err)) // judgeRetry has taken it out
		return r
	}
	s.retries.Add(1)
	original := asked.Origin()
	if asked.Drop {
		original.Value = nil
	}
	original.Headers = append(original.Headers,
		kgo.RecordHeader{Key: RetryHeader, Value: []byte(asked.at.String())})
	return original
}

// retried returns what asked for the record that Goka delivers, nil if it comes
// from its own topic.
func (s *session) retried(ctx goka.Context) *retrial {
	if s == nil || s.retries.Load() == 0 {
		return nil
	}
	at, ok := parseSpot(string(ctx.Headers()[RetryHeader]))
	if !ok {
		return nil
	}
	r := s.find(at)
	if r == nil {
		return nil
	}
	asked, err := s.ep.e.parseRetry(r)
	if err != nil {
		return nil
	}
	return asked
}

// parseSpot is the inverse of spot.String.
func parseSpot(s string) (spot, bool) {
	slash, at := strings.LastIndexByte(s, '/'), strings.LastIndexByte(s, '@')
	if slash < 0 || at < slash {
		return spot{}, false
	}
	partition, err := strconv.ParseInt(s[slash+1:at], 10, 32)
	offset, err2 := strconv.ParseInt(s[at+1:], 10, 64)
	return spot{place{s[:slash], int32(partition)}, offset}, err == nil && err2 == nil
}
