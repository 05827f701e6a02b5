// Package whatif replays what a group did under other rules, or with another
// decision, into rows of its own, and tells in what that differs from what came
// out. It reads topics and writes nothing: it joins no group, commits no offset
// and makes no topic.
//
// The journal of the group says in which order the records of a partition came,
// and how far time had come with each of them. Deadlines follow from the rules
// and are therefore not those of the journal: a row that the new rules make lets
// its deadline come as soon as the recorded clocks are past it. Under the rules
// of the group and with its decision, the difference is empty.
package whatif

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/processors/confirm"
	"tallystick/query/replay"
	"tallystick/topology/keyhash"
)

// Topics names what is replayed, and what came out of it.
type Topics struct {
	Orders, Payments, Confirmations, Exceptions, Table, Journal string
	// Corrections has what an operator corrected, Retries what was done about dead
	// letters. They may be empty, or not in the cluster.
	Corrections, Retries string
}

// A Step is a decision, as [confirm.Step] is one.
type Step func(confirm.Rules, *confirm.Row, confirm.Event) (*confirm.Row, confirm.Outcomes)

// Options say what is asked.
type Options struct {
	Topics Topics
	// Rules are those to try.
	Rules confirm.Rules
	// DueWithin makes orders due so long after their record if they name a later time
	// or none; 0 leaves them what they name.
	DueWithin time.Duration
	// Step is the decision to try; nil is [confirm.Step].
	Step Step
	// From and To choose the orders whose first record is at From or later, and
	// before To. The zero time is no limit.
	From, To time.Time
	// Until lets time go on after the last record, for deadlines that no record and
	// no timer has passed yet. The zero time leaves it where it was recorded.
	Until time.Time
	// Partitions are those to replay; nil is all of them.
	Partitions []int32
	// Limit is how many of the orders that differ are spelled out.
	Limit int
	// Parking tells that what comes after a dead letter waits for it, and so do the
	// deadlines of its row.
	Parking bool
	// Retried returns the record that a record of Topics.Retries asks to process
	// again, and false if it asks for something else. It may be nil.
	Retried func(*kgo.Record) (*kgo.Record, bool)
	// Patience is how long to wait for transactions that are open.
	Patience time.Duration
	// Progress is told how many records were read, from several goroutines.
	// It may be nil.
	Progress func(records int64)
}

// ErrUneven means that topics which are joined by partition have different numbers
// of them; ErrPartition that there is none of that number.
var (
	ErrUneven    = errors.New("whatif: topics have different numbers of partitions")
	ErrPartition = errors.New("whatif: no such partition")
)

// Cluster replays the topics of a cluster as they are now. Beside running workers
// it looks at what they had finished when it began, and leaves the orders out that
// they are at. It takes the memory of the rows of a few partitions, and of the
// differences.
func Cluster(ctx context.Context, cl *kgo.Client, o Options) (*Report, error) {
	if err := replay.Forgo(ctx, cl, &o.Topics.Corrections, &o.Topics.Retries); err != nil {
		return nil, fmt.Errorf("whatif: %w", err)
	}
	t := o.Topics
	before, err := replay.Open(ctx, cl, o.Patience, t.Journal)
	if err != nil {
		return nil, fmt.Errorf("whatif: %w", err)
	}
	said, err := replay.Open(ctx, cl, o.Patience, t.Confirmations, t.Exceptions, t.Table)
	if err != nil {
		return nil, fmt.Errorf("whatif: %w", err)
	}
	// The journal is looked at last: what is in the others is in it as well.
	came, err := replay.Open(ctx, cl, o.Patience, t.inputs()...)
	if err != nil {
		return nil, fmt.Errorf("whatif: %w", err)
	}
	return (&reader{Options: o, before: before, said: said, came: came}).all(ctx)
}

func (t Topics) inputs() []string {
	inputs := append([]string{t.Journal, t.Orders}, t.joined()...)
	if t.Retries != "" {
		inputs = append(inputs, t.Retries)
	}
	return inputs
}

// joined are the topics that meet orders in a row.
func (t Topics) joined() []string {
	if t.Corrections == "" {
		return []string{t.Payments}
	}
	return []string{t.Payments, t.Corrections}
}

// A reader feeds partitions from the log.
type reader struct {
	Options
	before *replay.Log // the journal, before anything else was looked at
	said   *replay.Log // outputs and table
	came   *replay.Log // inputs and journal
}

// all replays every partition that is asked for.
func (r *reader) all(ctx context.Context) (*Report, error) {
	n := r.came.Partitions(r.Topics.Orders)
	for _, topic := range append(r.Topics.joined(), r.Topics.Journal) {
		if m := r.came.Partitions(topic); m != n {
			return nil, fmt.Errorf("%w: %s has %d, %s has %d", ErrUneven, r.Topics.Orders, n, topic, m)
		}
	}
	if m := r.said.Partitions(r.Topics.Table); m != n {
		return nil, fmt.Errorf("%w: %s has %d, %s has %d", ErrUneven, r.Topics.Orders, n,
			r.Topics.Table, m)
	}
	asked := r.Options.Partitions
	if asked == nil {
		for p := range n {
			asked = append(asked, p)
		}
	}
	asked = slices.Compact(slices.Sorted(slices.Values(asked)))
	for _, p := range asked {
		if p < 0 || p >= n {
			return nil, fmt.Errorf("%w: %d, there are 0 to %d", ErrPartition, p, n-1)
		}
	}
	reports := make([]*Report, len(asked))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0)+1, 4))
	for i, p := range asked {
		g.Go(func() error {
			var err error
			reports[i], err = r.partition(ctx, p, n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	whole := NewReport()
	for _, report := range reports {
		whole.merge(report, r.Limit)
	}
	return whole, nil
}

// partition replays one partition of n. What came out is read beside it, as fast
// as the replay says something, so that only what differs has to be kept.
func (r *reader) partition(ctx context.Context, number, n int32) (*Report, error) {
	p := NewPartition(r.Options)
	outputs := r.outputs(ctx, number, n)
	defer func() {
		for _, o := range outputs {
			o.stop()
		}
	}()
	next, err := r.replay(ctx, p, number, outputs)
	if err != nil {
		return nil, err
	}
	for i := range outputs {
		for outputs[i].open {
			if err := outputs[i].read(p); err != nil {
				return nil, err
			}
		}
	}
	if p.Differs() {
		for record, err := range r.said.Records(ctx, r.Topics.Table, number) {
			if err == nil {
				err = p.Row(record)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	if p.Missing() {
		for _, o := range outputs {
			for record, err := range o.all {
				if err != nil {
					return nil, err
				}
				p.Again(o.kind, record)
			}
		}
	}
	report := p.Close()
	return report, r.unprocessed(ctx, report, number, next)
}

// replay repeats what the journal has, and returns the offsets behind it.
func (r *reader) replay(
	ctx context.Context, p *Partition, number int32, outputs []output,
) (map[string]int64, error) {
	settled := r.before.Span(r.Topics.Journal, number).End
	next, untold := map[string]int64{}, int64(0)
	for d, err := range r.came.Merged(ctx, r.Topics.Journal, number) {
		if err != nil {
			return nil, err
		}
		if d.Record != nil {
			next[d.Record.Topic] = d.Record.Offset + 1
			untold = r.tell(untold)
		}
		if d.Segment >= settled {
			p.InFlight(d)
			continue
		}
		if err := p.Take(d); err != nil {
			return nil, fmt.Errorf("whatif: partition %d: %w", number, err)
		}
		for i := range outputs {
			for p.Behind(outputs[i].kind) && outputs[i].open {
				if err := outputs[i].read(p); err != nil {
					return nil, err
				}
			}
		}
	}
	if r.Progress != nil {
		r.Progress(untold)
	}
	if err := p.End(); err != nil {
		return nil, fmt.Errorf("whatif: partition %d: %w", number, err)
	}
	return next, nil
}

// tell tells the progress now and then, and returns what has not been told.
func (r *reader) tell(n int64) int64 {
	const step = 1000
	if n++; r.Progress == nil || n < step {
		return n
	}
	r.Progress(n)
	return 0
}

// unprocessed counts what no worker has come to yet.
func (r *reader) unprocessed(
	ctx context.Context, report *Report, p int32, next map[string]int64,
) error {
	for _, topic := range append(r.Topics.joined(), r.Topics.Orders) {
		span := r.came.Span(topic, p)
		for _, err := range r.came.Range(ctx, topic, p, max(next[topic], span.Start), span.End) {
			if err != nil {
				return err
			}
			report.Unprocessed++
		}
	}
	return nil
}

// An output is what came out on one topic for one partition of the inputs.
type output struct {
	kind Output
	all  iter.Seq2[*kgo.Record, error]
	next func() (*kgo.Record, error, bool)
	stop func()
	open bool
}

// outputs opens the outputs of a partition. Where a topic has as many partitions
// as the inputs it is the one of the same number; else all of them are read, and
// the keys taken that belong here.
func (r *reader) outputs(ctx context.Context, number, n int32) []output {
	var out []output
	for _, t := range []struct {
		kind  Output
		topic string
	}{{Confirmations, r.Topics.Confirmations}, {Exceptions, r.Topics.Exceptions}} {
		m := r.said.Partitions(t.topic)
		all := []int32{number}
		if m != n {
			all = all[:0]
			for p := range m {
				all = append(all, p)
			}
		}
		seq := r.own(ctx, t.topic, all, number, n)
		next, stop := iter.Pull2(seq)
		out = append(out, output{t.kind, seq, next, stop, true})
	}
	return out
}

// own reads partitions of an output one after the other, without what belongs to
// another partition of the n of the inputs.
func (r *reader) own(ctx context.Context, topic string, partitions []int32, number, n int32,
) iter.Seq2[*kgo.Record, error] {
	mixed := r.said.Partitions(topic) != n
	return func(yield func(*kgo.Record, error) bool) {
		for _, p := range partitions {
			for record, err := range r.said.Records(ctx, topic, p) {
				if err == nil && mixed && keyhash.Partition(record.Key, n) != number {
					continue
				}
				if !yield(record, err) {
					return
				}
			}
		}
	}
}

// read takes one record of the output.
func (o *output) read(p *Partition) error {
	record, err, ok := o.next()
	if o.open = ok; !ok || err != nil {
		return err
	}
	p.Came(o.kind, record)
	return nil
}
