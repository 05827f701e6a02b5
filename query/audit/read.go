package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/query/replay"
)

// Options say how a cluster is audited.
type Options struct {
	Topics Topics
	// Repeats allows that things were said more than once, as at-least-once
	// delivery does after a crash.
	Repeats bool
	// Patience is how long to wait for transactions that are open.
	Patience time.Duration
	// Progress is told how many records were read, from several goroutines.
	// It may be nil.
	Progress func(records int64)
}

// Cluster audits the topics of a cluster as they are now. Beside running workers
// it looks at what they had finished when it began, and leaves the keys out that
// they are at.
//
// Partitions are audited one after the other, a few at a time: it takes the
// memory of the records of these.
func Cluster(ctx context.Context, cl *kgo.Client, o Options) (*Report, error) {
	before, err := finished(ctx, cl, o.Topics)
	if err != nil {
		return nil, err
	}
	t := o.Topics
	log, err := replay.Open(ctx, cl, o.Patience, t.Orders, t.Payments, t.Confirmations,
		t.Exceptions, t.Table, t.DeadLetters)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	after, err := finished(ctx, cl, o.Topics)
	if err != nil {
		return nil, err
	}
	r := reader{Options: o, log: log, before: before, after: after, letters: DeadLetters{}}
	for p := range log.Partitions(t.DeadLetters) {
		for record, err := range r.records(ctx, t.DeadLetters, p) {
			if err == nil {
				err = r.letters.Add(record, t.Group)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return r.all(ctx)
}

// finished is how far the group has come in its inputs.
func finished(ctx context.Context, cl *kgo.Client, t Topics) (kadm.OffsetResponses, error) {
	at, err := kadm.NewClient(cl).FetchOffsets(kadm.RequireStable(ctx), t.Group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil // no worker has ever run
	}
	if err == nil {
		err = at.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("audit: offsets of group %s: %w", t.Group, err)
	}
	return at, nil
}

// A reader feeds shards from the log.
type reader struct {
	Options
	log           *replay.Log
	before, after kadm.OffsetResponses
	letters       DeadLetters
}

// all audits every partition. Where the topics have different numbers of
// partitions, all of them make one shard.
func (r *reader) all(ctx context.Context) (*Report, error) {
	n := r.log.Partitions(r.Topics.Orders)
	shards := make([][]int32, 0, n)
	for p := range n {
		shards = append(shards, []int32{p})
	}
	for _, topic := range []string{
		r.Topics.Payments, r.Topics.Confirmations, r.Topics.Exceptions, r.Topics.Table,
	} {
		if r.log.Partitions(topic) != n {
			shards = [][]int32{nil}
		}
	}
	reports := make([]*Report, len(shards))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	for i, partitions := range shards {
		g.Go(func() error {
			var err error
			reports[i], err = r.shard(ctx, partitions)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	whole := NewReport()
	for _, report := range reports {
		whole.merge(report)
	}
	whole.balance()
	return whole, nil
}

// shard audits the partitions, all of them if none is named.
func (r *reader) shard(ctx context.Context, partitions []int32) (*Report, error) {
	s := NewShard(r.Topics, r.letters, r.Repeats)
	for _, topic := range []string{r.Topics.Orders, r.Topics.Payments} {
		err := r.each(ctx, topic, partitions, func(p int32) error { return r.inputs(ctx, s, topic, p) })
		if err != nil {
			return nil, err
		}
	}
	for _, out := range []struct {
		topic string
		take  func(*kgo.Record)
	}{
		{r.Topics.Confirmations, s.Confirmation},
		{r.Topics.Exceptions, s.Exception},
		{r.Topics.Table, s.Row},
	} {
		err := r.each(ctx, out.topic, partitions, func(p int32) error {
			for record, err := range r.records(ctx, out.topic, p) {
				if err != nil {
					return err
				}
				out.take(record)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return s.Close(), nil
}

func (r *reader) each(
	ctx context.Context, topic string, partitions []int32, do func(int32) error,
) error {
	if partitions == nil {
		for p := range r.log.Partitions(topic) {
			partitions = append(partitions, p)
		}
	}
	for _, p := range partitions {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := do(p); err != nil {
			return err
		}
	}
	return nil
}

// inputs feeds one partition of an input: what was finished before the outputs
// were looked at, and what may have been finished since.
func (r *reader) inputs(ctx context.Context, s *Shard, topic string, p int32) error {
	span := r.log.Span(topic, p)
	done, seen := r.offset(r.before, topic, p), r.offset(r.after, topic, p)
	for record, err := range r.counted(r.log.Range(ctx, topic, p, span.Start, span.End)) {
		switch {
		case err != nil:
			return err
		case record.Offset >= seen:
			s.report.Unprocessed++
		default:
			s.Input(record, record.Offset >= done)
		}
	}
	return nil
}

func (r *reader) offset(at kadm.OffsetResponses, topic string, p int32) int64 {
	o, _ := at.Lookup(topic, p)
	return max(0, o.At)
}

func (r *reader) records(ctx context.Context, topic string, p int32) iter.Seq2[*kgo.Record, error] {
	return r.counted(r.log.Records(ctx, topic, p))
}

// counted tells the progress of a sequence.
func (r *reader) counted(seq iter.Seq2[*kgo.Record, error]) iter.Seq2[*kgo.Record, error] {
	if r.Progress == nil {
		return seq
	}
	return func(yield func(*kgo.Record, error) bool) {
		const step = 1000
		n := int64(0)
		defer func() { r.Progress(n % step) }()
		for record, err := range seq {
			if n++; n%step == 0 {
				r.Progress(step)
			}
			if !yield(record, err) {
				return
			}
		}
	}
}
