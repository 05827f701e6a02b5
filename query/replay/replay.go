// Package replay reads topics from their first to their last committed record,
// one partition at a time, as they were at one moment. It is what everything
// that recomputes from the log stands on.
package replay

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A MissingError names the topics that are not in the cluster.
type MissingError struct{ Topics []string }

// Error names the topics.
func (e *MissingError) Error() string {
	return "topics are not in the cluster: " + strings.Join(e.Topics, ", ")
}

// Hint says where to look, and what creates them.
func (e *MissingError) Hint() string {
	return "check --app, --prefix and --chain; tally topics apply creates them"
}

// ErrUndecided means that a transaction stayed open for longer than the patience
// of the reader: what is behind its beginning is neither committed nor not.
var ErrUndecided = errors.New("replay: a transaction stays open")

// fetchBytes is how much of a partition one request asks for.
const fetchBytes = 4 << 20

// A Log is a set of topics as they were when it was opened.
type Log struct {
	cl     *kgo.Client
	adm    *kadm.Client
	topics map[string]kadm.TopicDetail
	spans  map[place]Span
	given  atomic.Int64
}

// A Span is the part of a partition that can be read: from the first offset to
// the one behind the last that is committed.
type Span struct{ Start, End int64 }

type place struct {
	topic     string
	partition int32
}

// Open looks the topics up and notes where their partitions begin and end. It
// waits, for no longer than patience, until every transaction that was open is
// decided, so that what is committed everywhere is seen everywhere. The client
// stays the caller's and must outlive the log.
func Open(
	ctx context.Context, cl *kgo.Client, patience time.Duration, topics ...string,
) (*Log, error) {
	l := &Log{cl: cl, adm: kadm.NewClient(cl), spans: map[place]Span{}}
	found, err := l.adm.ListTopics(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("replay: list topics: %w", err)
	}
	if err := complete(found, topics); err != nil {
		return nil, err
	}
	l.topics = found
	starts, err := l.adm.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("replay: list start offsets: %w", err)
	}
	ends, err := l.adm.ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("replay: list end offsets: %w", err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		first, _ := starts.Lookup(o.Topic, o.Partition)
		l.spans[place{o.Topic, o.Partition}] = Span{first.Offset, o.Offset}
	})
	return l, l.settle(ctx, patience, topics)
}

func complete(found kadm.TopicDetails, topics []string) error {
	var missing []string
	for _, name := range topics {
		t, ok := found[name]
		switch {
		case !ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition):
			missing = append(missing, name)
		case t.Err != nil:
			return fmt.Errorf("replay: topic %s: %w", name, t.Err)
		}
	}
	if missing != nil {
		return &MissingError{Topics: missing}
	}
	return nil
}

// settle waits until everything below the ends is decided. Patience bounds how often
// it asks, not the asking: what it gives up with is what the brokers said.
func (l *Log) settle(ctx context.Context, patience time.Duration, topics []string) error {
	enough := time.NewTimer(patience)
	defer enough.Stop()
	for {
		stable, err := l.adm.ListCommittedOffsets(ctx, topics...)
		if err == nil {
			err = stable.Error()
		}
		if err != nil {
			err = fmt.Errorf("replay: list stable offsets: %w", err)
		}
		open := ""
		if err == nil {
			stable.Each(func(o kadm.ListedOffset) {
				if o.Offset < l.spans[place{o.Topic, o.Partition}].End {
					open = fmt.Sprintf("%s/%d at offset %d", o.Topic, o.Partition, o.Offset)
				}
			})
			if open == "" {
				return nil
			}
		}
		select {
		case <-enough.C:
			if err == nil {
				err = fmt.Errorf("%w: %s", ErrUndecided, open)
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Partitions returns how many partitions a topic of the log has.
func (l *Log) Partitions(topic string) int32 { return int32(len(l.topics[topic].Partitions)) }

// TopicID returns the id that the cluster gave to the topic when it was made.
func (l *Log) TopicID(topic string) [16]byte { return l.topics[topic].ID }

// Span returns the part of a partition that can be read.
func (l *Log) Span(topic string, partition int32) Span { return l.spans[place{topic, partition}] }

// Records reads a partition from its beginning to its end. The records belong
// to the caller. An error ends the sequence, and is its last element.
func (l *Log) Records(
	ctx context.Context, topic string, partition int32,
) iter.Seq2[*kgo.Record, error] {
	span := l.Span(topic, partition)
	return l.Range(ctx, topic, partition, span.Start, span.End)
}

// Range reads a partition from one offset up to, without, another.
func (l *Log) Range(ctx context.Context, topic string, partition int32, from, to int64,
) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		f := l.fetcher(place{topic, partition}, from, bytesFor(to-from))
		for f.next < to {
			records, err := f.fetch(ctx, to)
			if err != nil {
				yield(nil, fmt.Errorf("replay: read %s/%d at offset %d: %w", topic, partition, f.next, err))
				return
			}
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

// bytesFor is how much to ask for at a time when so many records are wanted.
func bytesFor(records int64) int32 {
	const each = 256 // about what one takes
	return int32(max(min(records, fetchBytes/each)*each, littleBytes))
}

// Names returns the topics of the log, sorted.
func (l *Log) Names() []string {
	names := make([]string, 0, len(l.topics))
	for name := range l.topics {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// A fetcher asks for one partition by plain fetch requests, whose answers show
// the position behind what no consumer is given: commit markers, records of
// aborted transactions, batches that compaction has emptied.
type fetcher struct {
	log *Log
	place
	next   int64
	bytes  int32 // how much one request asks for
	leader int32
	known  bool
}

// fetcher returns one that begins at an offset, and asks the leader of the time
// at which the log was opened first.
func (l *Log) fetcher(at place, next int64, bytes int32) *fetcher {
	p, ok := l.topics[at.topic].Partitions[at.partition]
	return &fetcher{
		log: l, place: at, next: next, bytes: bytes, leader: p.Leader, known: ok && p.Err == nil,
	}
}

// fetch returns the next committed records below limit, perhaps none, and moves
// on behind them. It tries again for a while when the leader moves.
func (f *fetcher) fetch(ctx context.Context, limit int64) ([]*kgo.Record, error) {
	const attempts = 10
	wait := 50 * time.Millisecond
	var err error
	for range attempts {
		if err = f.find(ctx); err == nil {
			var part *kmsg.FetchResponseTopicPartition
			if part, err = f.ask(ctx); err == nil {
				return f.take(part, limit)
			}
		}
		if ctx.Err() != nil || permanent(err) {
			return nil, err
		}
		f.known = false
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 2*time.Second)
	}
	return nil, err
}

// permanent tells whether the broker said something that asking again does not
// change. An error of the network is not permanent.
func permanent(err error) bool {
	var said *kerr.Error
	return errors.As(err, &said) && !said.Retriable
}

func (f *fetcher) find(ctx context.Context) error {
	if f.known {
		return nil
	}
	found, err := f.log.adm.ListTopics(ctx, f.topic)
	if err != nil {
		return err
	}
	p, ok := found[f.topic].Partitions[f.partition]
	if !ok {
		return kerr.UnknownTopicOrPartition
	}
	f.leader, f.known = p.Leader, p.Err == nil
	return p.Err
}

func (f *fetcher) ask(ctx context.Context) (*kmsg.FetchResponseTopicPartition, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, f.bytes
	req.IsolationLevel, req.SessionEpoch = 1, -1
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = f.topic, f.log.TopicID(f.topic)
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = f.partition, f.next, f.bytes
	topic.Partitions = append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	got, err := f.log.cl.Broker(int(f.leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	resp, ok := got.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("the broker answered a fetch by %T", got)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("the broker answered for another partition")
	}
	part := &resp.Topics[0].Partitions[0]
	return part, kerr.ErrorForCode(part.ErrorCode)
}

func (f *fetcher) take(part *kmsg.FetchResponseTopicPartition, limit int64) ([]*kgo.Record, error) {
	fetched, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: f.next, IsolationLevel: kgo.ReadCommitted(),
		Topic: f.topic, Partition: f.partition,
	}, part, kgo.DefaultDecompressor(), nil)
	if fetched.Err != nil {
		return nil, fetched.Err
	}
	switch {
	case next > f.next:
		f.next = next
	case len(part.RecordBatches) == 0 && part.LastStableOffset >= limit:
		f.next = limit // nothing is left below it: compaction took it
	}
	records := fetched.Records
	for len(records) > 0 && records[len(records)-1].Offset >= limit {
		records = records[:len(records)-1]
	}
	f.log.given.Add(int64(len(records)))
	return records, nil
}
