package replay

import (
	"context"
	"fmt"
	"iter"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Reading a little of a large log: some records of a partition, or what one
// transaction did.

const (
	// littleBytes is how much a request asks for that is after a few records.
	littleBytes = 16 << 10
	// littleGap is how many records between two that are wanted are rather read than
	// asked past.
	littleGap = 200
)

// Given returns how many records the log has given out so far.
func (l *Log) Given() int64 { return l.given.Load() }

// Peek returns some records from an offset on, and the offset behind them: as many
// as a small request gives, at least one if there is any before the end of the
// partition. The records belong to the caller.
func (l *Log) Peek(
	ctx context.Context, topic string, partition int32, from int64,
) ([]*kgo.Record, int64, error) {
	f := l.fetcher(place{topic, partition}, from, littleBytes)
	end := l.Span(topic, partition).End
	for f.next < end {
		records, err := f.fetch(ctx, end)
		if err != nil {
			return nil, 0, fmt.Errorf("replay: read %s/%d at offset %d: %w", topic, partition, f.next, err)
		}
		if len(records) > 0 {
			return records, f.next, nil
		}
	}
	return nil, end, nil
}

// Pick reads the committed records at some offsets, which are sorted. Those that are
// not there any more are left out. The records belong to the caller. An error ends the
// sequence, and is its last element.
func (l *Log) Pick(
	ctx context.Context, topic string, partition int32, offsets []int64,
) iter.Seq2[*kgo.Record, error] {
	return func(yield func(*kgo.Record, error) bool) {
		l.pick(ctx, topic, partition, offsets, yield)
	}
}

func (l *Log) pick(
	ctx context.Context, topic string, partition int32, offsets []int64,
	yield func(*kgo.Record, error) bool,
) {
	start, end := l.Span(topic, partition).Start, l.Span(topic, partition).End
	for len(offsets) > 0 && offsets[0] < start {
		offsets = offsets[1:]
	}
	f := l.fetcher(place{topic, partition}, start, littleBytes)
	for len(offsets) > 0 && offsets[0] < end {
		if f.next < offsets[0]-littleGap || f.next > offsets[0] {
			f.next = offsets[0]
		}
		records, err := f.fetch(ctx, end)
		if err != nil {
			yield(nil, fmt.Errorf("replay: read %s/%d at offset %d: %w", topic, partition, f.next, err))
			return
		}
		for _, r := range records {
			for len(offsets) > 0 && offsets[0] < r.Offset {
				offsets = offsets[1:]
			}
			if len(offsets) > 0 && offsets[0] == r.Offset {
				if offsets = offsets[1:]; !yield(r, nil) {
					return
				}
			}
		}
		for len(offsets) > 0 && offsets[0] < f.next {
			offsets = offsets[1:]
		}
	}
}

// Transaction repeats what one transaction did in a partition, in its order. The
// pages are all segments that it has in the journal of the partition. Of the inputs
// it reads what the pages speak of, as far as it is still there and the caller goes
// on. An error ends the sequence, and is its last element.
func (l *Log) Transaction(
	ctx context.Context, partition int32, pages []Page,
) iter.Seq2[Done, error] {
	return func(yield func(Done, error) bool) {
		m := merger{
			ctx: ctx, log: l, partition: partition, yield: yield, inputs: map[string]*cursor{},
			spans: map[string]Span{},
		}
		defer m.close()
		for _, p := range pages {
			for i := 0; i < len(p.Runs); i += 3 {
				m.widen(p.Topics[p.Runs[i]], p.Runs[i+1], p.Runs[i+2])
			}
			for i := 0; i < len(p.Skipped); i += 2 {
				m.widen(p.Topics[p.Skipped[i]], p.Skipped[i+1], p.Skipped[i+1])
			}
		}
		if err := m.transaction(pages); err != nil && !m.stopped {
			yield(Done{}, err)
		}
	}
}

// widen takes some records into what is read of an input.
func (m *merger) widen(topic string, first, last int64) {
	first = max(first, m.log.Span(topic, m.partition).Start)
	span, ok := m.spans[topic]
	if !ok {
		span = Span{first, last + 1}
	}
	m.spans[topic] = Span{min(span.Start, first), max(span.End, last+1)}
}

// Since returns the offset of the first record of a partition whose timestamp is at
// a time or behind it, in milliseconds since 1970; the end if there is none.
func (l *Log) Since(
	ctx context.Context, topic string, partition int32, milliseconds int64,
) (int64, error) {
	listed, err := l.adm.ListOffsetsAfterMilli(ctx, milliseconds, topic)
	if err != nil {
		return 0, fmt.Errorf("replay: offset of %s/%d by time: %w", topic, partition, err)
	}
	o, ok := listed.Lookup(topic, partition)
	if !ok {
		o.Err = kerr.UnknownTopicOrPartition
	}
	if o.Err != nil {
		return 0, fmt.Errorf("replay: offset of %s/%d by time: %w", topic, partition, o.Err)
	}
	return max(o.Offset, l.Span(topic, partition).Start), nil
}
