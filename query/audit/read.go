package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/processors/confirm"
	"tallystick/query/audit/causes"
	"tallystick/query/replay"
	"tallystick/topology/keyhash"
)

// Options say how a cluster is audited.
type Options struct {
	Topics Topics
	// Rules are those of the workers. RepeatSpeech allows that things were said
	// more than once, as at-least-once delivery does after a crash.
	Rules confirm.Rules
	// Retried returns the record that a record of a retry topic asks to process
	// again, and false if it asks for something else. It may be nil.
	Retried func(*kgo.Record) (*kgo.Record, bool)
	// Retries is that topic; empty if there is none.
	Retries string
	// Causes say how causes and effects are looked at; nil leaves it out. What both
	// have is taken from here.
	Causes *causes.Options
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
	if err := replay.Forgo(ctx, cl, &o.Topics.Corrections, &o.Retries); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	t := o.Topics
	before, err := replay.Open(ctx, cl, o.Patience, t.Journal)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	said, err := replay.Open(ctx, cl, o.Patience, t.Confirmations, t.Exceptions, t.Table,
		t.DeadLetters)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	// The journal is looked at last: what is in the others is in it as well.
	inputs := append(t.inputs(), t.Journal)
	if o.Retries != "" {
		inputs = append(inputs, o.Retries)
	}
	came, err := replay.Open(ctx, cl, o.Patience, inputs...)
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	r := reader{Options: o, before: before, said: said, came: came, letters: DeadLetters{}}
	for p := range said.Partitions(t.DeadLetters) {
		for record, err := range r.counted(said.Records(ctx, t.DeadLetters, p)) {
			if err == nil {
				err = r.letters.Add(record, t.Group)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	report, err := r.all(ctx)
	if err != nil {
		return nil, err
	}
	return report, r.because(ctx, cl, report)
}

// A reader feeds shards from the log.
type reader struct {
	Options
	before  *replay.Log // the journal, before anything else was looked at
	said    *replay.Log // outputs and table
	came    *replay.Log // inputs and journal
	letters DeadLetters
}

// ErrUneven means that topics which are joined by partition have different numbers
// of them.
var ErrUneven = errors.New("audit: topics have different numbers of partitions")

// all audits every partition.
func (r *reader) all(ctx context.Context) (*Report, error) {
	t := r.Topics
	n := r.came.Partitions(t.Orders)
	counts := map[string]int32{
		t.Journal: r.came.Partitions(t.Journal), t.Table: r.said.Partitions(t.Table),
	}
	for _, topic := range t.inputs() {
		counts[topic] = r.came.Partitions(topic)
	}
	for topic, m := range counts {
		if m != n {
			return nil, fmt.Errorf("%w: %s has %d, %s has %d", ErrUneven, t.Orders, n, topic, m)
		}
	}
	outputs := r.outputs(int(n))
	reports := make([]*Report, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	for p := range n {
		g.Go(func() error {
			var err error
			reports[p], err = r.shard(ctx, p, outputs[p])
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

// outputs tells which partitions of the outputs belong to which shard. Where they
// are as many as the inputs', it is the one of the same number; else all of them
// are read for each shard, which takes the keys that are its own.
func (r *reader) outputs(n int) [][]said {
	shards := make([][]said, n)
	for _, topic := range []string{r.Topics.Confirmations, r.Topics.Exceptions, r.Topics.Table} {
		m := r.said.Partitions(topic)
		for p := range n {
			if int(m) == n {
				shards[p] = append(shards[p], said{topic, int32(p), false})
				continue
			}
			for q := range m {
				shards[p] = append(shards[p], said{topic, q, true})
			}
		}
	}
	return shards
}

// said is a partition of an output; mixed if it has keys of several shards.
type said struct {
	topic     string
	partition int32
	mixed     bool
}

// shard audits one partition.
func (r *reader) shard(ctx context.Context, p int32, outputs []said) (*Report, error) {
	s := NewShard(r.Topics, r.letters, r.Rules)
	if err := r.inputs(ctx, s, p); err != nil {
		return nil, err
	}
	n := r.came.Partitions(r.Topics.Orders)
	for _, out := range outputs {
		for record, err := range r.counted(r.said.Records(ctx, out.topic, out.partition)) {
			if err != nil {
				return nil, err
			}
			if out.mixed && keyhash.Partition(record.Key, n) != p {
				continue
			}
			switch out.topic {
			case r.Topics.Confirmations:
				s.Confirmation(record)
			case r.Topics.Exceptions:
				s.Exception(record)
			default:
				s.Row(record)
			}
		}
	}
	journal := r.Topics.Journal
	last, err := r.before.LastTable(ctx, journal, p)
	if err != nil {
		return nil, err
	}
	report := s.Close()
	s.fingerprints(p, last, r.came.Span(journal, p).End > r.before.Span(journal, p).End)
	return report, nil
}

// inputs feeds what the journal of one partition says was done, and counts what
// was not done yet.
func (r *reader) inputs(ctx context.Context, s *Shard, p int32) error {
	settled := r.before.Span(r.Topics.Journal, p).End
	next := map[string]int64{}
	for d, err := range r.came.Merged(ctx, r.Topics.Journal, p) {
		if err != nil {
			return err
		}
		if d.Record != nil {
			next[d.Record.Topic] = d.Record.Offset + 1
			if r.Progress != nil {
				r.Progress(1)
			}
		}
		switch {
		case d.Segment >= settled && d.Record != nil:
			s.InFlight(d.Record.Key)
		case d.Segment >= settled:
			s.InFlight([]byte(d.Fired.RowKey()))
		case d.Record == nil:
			s.Timer(d.Fired.RowKey(), d.Fired.At, d.Stream)
		case r.Retries != "" && d.Record.Topic == r.Retries:
			if again, ok := r.Retried(d.Record); ok && !d.Refused {
				s.Retried(again, d.Stream)
			}
		case d.Refused:
			s.Refused(d.Record)
		default:
			s.Input(d.Record, d.Stream)
		}
	}
	for _, topic := range r.Topics.inputs() {
		span := r.came.Span(topic, p)
		from := max(next[topic], span.Start)
		for _, err := range r.came.Range(ctx, topic, p, from, span.End) {
			if err != nil {
				return err
			}
			s.report.Unprocessed++
		}
	}
	return nil
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
