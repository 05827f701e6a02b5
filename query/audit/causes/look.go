package causes

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/query/reading"
	"tallystick/query/replay"
	"tallystick/schemas"
	"tallystick/topology"
	"tallystick/topology/keyhash"
)

// Options say what is looked at.
type Options struct {
	// Map is the topology, Names the names of its topics, Chain whether it is the
	// chain's.
	Map   topology.Topology
	Names topology.Names
	Chain bool
	// Repeats allows that things were said more than once, as at-least-once delivery
	// does after a crash.
	Repeats bool
	// Retried returns the record that a record of a retry topic asks to process
	// again, and false if it asks for something else. It may be nil.
	Retried func(*kgo.Record) (*kgo.Record, bool)
	// Patience is how long to wait for transactions that are open.
	Patience time.Duration
	// Progress is told how many records were read, from several goroutines.
	// It may be nil.
	Progress func(records int64)
}

// A topic is one of events.
type topic struct {
	name    string
	decode  reading.Decoder
	writers map[string]string // by kind
	byOrder bool
	copy    bool // of another topic, under another key
	once    role
}

// A spot is a partition.
type spot struct {
	topic     string
	partition int32
}

// A look is one look at a cluster.
type look struct {
	Options
	names topology.Names
	chain bool
	seeds seeds
	// topics are those of events, without what is copied for others.
	topics []*topic
	// done is, by processor, what its group had committed when the look began.
	done map[string]map[spot]int64
	// letters are, by processor, the records in the dead letters.
	letters map[string]map[spot]map[int64]bool
	said    *replay.Log // everything, soon after that
	came    *replay.Log // and later
	// elsewhere are, by shelf, the events that are in topics with another key.
	elsewhere [][]fact
	// retried are events that were processed again, perhaps mended by hand.
	retried []again
}

// again is an event that was processed again.
type again struct {
	id      digest
	order   string
	payment bool // rekey may have copied it, once more
}

// Cluster looks at the events of a cluster as they are now. It takes some hundred
// bytes for each order of the partitions that it looks at at once, and for each
// event that is in a topic with another key than the order's.
func Cluster(ctx context.Context, cl *kgo.Client, o Options) (*Report, error) {
	l := &look{
		Options: o, names: o.Names, chain: o.Chain, seeds: newSeeds(),
		letters: map[string]map[spot]map[int64]bool{},
	}
	if err := l.list(ctx, cl); err != nil {
		return nil, err
	}
	if err := l.open(ctx, cl); err != nil {
		return nil, err
	}
	n := l.came.Partitions(l.names.Orders)
	l.elsewhere = make([][]fact, n)
	for _, t := range l.topics {
		if !l.aligned(t, n) {
			if err := l.spread(ctx, t, n); err != nil {
				return nil, err
			}
		}
	}
	reports := make([]*Report, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	for p := range n {
		g.Go(func() error {
			var err error
			reports[p], err = l.partition(ctx, p, n)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	whole := &Report{}
	for _, r := range reports {
		whole.merge(r)
	}
	if l.shortened() {
		whole.beyond()
	}
	return whole, nil
}

// list lists the topics of events. What nobody names as a cause is left out.
func (l *look) list(ctx context.Context, cl *kgo.Client) error {
	if err := replay.Forgo(ctx, cl, &l.names.Corrections); err != nil {
		return fmt.Errorf("causes: %w", err)
	}
	decoders := reading.Decoders(l.names, l.chain)
	for i, t := range l.Map.Topics {
		switch decode := decoders[t.Name]; {
		case decode == nil, t.Cleanup != topology.Delete, t.Name == l.names.Stock:
		case t.Name == l.Options.Names.Corrections && l.names.Corrections == "":
		default:
			own := &topic{
				name: t.Name, decode: decode, writers: map[string]string{}, byOrder: t.Key == "order",
				copy: t.Copies != "", once: firstTopic + role(i),
			}
			for _, k := range t.Holds {
				own.writers[k.Name] = k.Writer
			}
			l.topics = append(l.topics, own)
		}
	}
	return nil
}

// open asks how far the groups are, and then looks the topics up: twice, so that
// the causes of all that is there the first time are there the second time.
func (l *look) open(ctx context.Context, cl *kgo.Client) error {
	var names []string
	for _, t := range l.topics {
		names = append(names, t.name)
	}
	adm := kadm.NewClient(cl)
	l.done = map[string]map[spot]int64{}
	for _, p := range l.Map.Processors {
		offsets, err := adm.FetchOffsets(ctx, p.Group)
		if errors.Is(err, kerr.GroupIDNotFound) {
			continue // it has taken in nothing yet
		} else if err != nil {
			return fmt.Errorf("causes: offsets of %s: %w", p.Group, err)
		}
		l.done[p.Name] = map[spot]int64{}
		offsets.Each(func(o kadm.OffsetResponse) {
			l.done[p.Name][spot{o.Topic, o.Partition}] = o.At
		})
	}
	before := slices.Clone(names)
	before = append(before, l.names.DeadLetters)
	if l.chain {
		before = append(before, l.names.Table(topology.Notify))
	}
	var err error
	if l.said, err = replay.Open(ctx, cl, l.Patience, before...); err != nil {
		return fmt.Errorf("causes: %w", err)
	}
	if l.came, err = replay.Open(ctx, cl, l.Patience, names...); err != nil {
		return fmt.Errorf("causes: %w", err)
	}
	if err := l.dead(ctx); err != nil {
		return err
	}
	return l.retries(ctx, cl)
}

// dead reads which records are in the dead letters, and whose.
func (l *look) dead(ctx context.Context) error {
	processors := map[string]string{}
	for _, p := range l.Map.Processors {
		processors[p.Group] = p.Name
	}
	for p := range l.said.Partitions(l.names.DeadLetters) {
		for r, err := range l.said.Records(ctx, l.names.DeadLetters, p) {
			if err != nil {
				return err
			}
			h := map[string]string{}
			for _, header := range r.Headers {
				h[header.Key] = string(header.Value)
			}
			partition, err := strconv.ParseInt(h["tally.partition"], 10, 32)
			offset, errOffset := strconv.ParseInt(h["tally.offset"], 10, 64)
			if err != nil || errOffset != nil {
				continue // the audit names it
			}
			name, at := processors[h["tally.group"]], spot{h["tally.topic"], int32(partition)}
			if l.letters[name] == nil {
				l.letters[name] = map[spot]map[int64]bool{}
			}
			if l.letters[name][at] == nil {
				l.letters[name][at] = map[int64]bool{}
			}
			l.letters[name][at][offset] = true
		}
	}
	return nil
}

// retries reads what was processed again, perhaps mended by hand: what follows from it
// names it, and of a payment there is a copy more.
func (l *look) retries(ctx context.Context, cl *kgo.Client) error {
	if l.Retried == nil {
		return nil
	}
	var names []string
	for _, p := range l.Map.Processors {
		if err := replay.Forgo(ctx, cl, &p.Retry); err != nil {
			return fmt.Errorf("causes: %w", err)
		}
		if p.Retry != "" {
			names = append(names, p.Retry)
		}
	}
	if len(names) == 0 {
		return nil
	}
	log, err := replay.Open(ctx, cl, l.Patience, names...)
	if err != nil {
		return fmt.Errorf("causes: %w", err)
	}
	decoders := reading.Decoders(l.names, l.chain)
	for _, name := range names {
		for p := range log.Partitions(name) {
			for r, err := range log.Records(ctx, name, p) {
				if err != nil {
					return err
				}
				k, ok := l.Retried(r)
				if !ok || decoders[k.Topic] == nil {
					continue
				}
				if e, err := decoders[k.Topic](k.Value); err == nil {
					l.retried = append(l.retried, again{
						l.seeds.of(0, e.ID()), e.Order(), l.chain && k.Topic == l.names.Payments,
					})
				}
			}
		}
	}
	return nil
}

// How far a processor is with an event.
type progress int

const (
	waiting progress = iota // nobody has come to it
	taken                   // it was taken in
	dead                    // it was refused
)

func (l *look) taken(processor string, f *fact) progress {
	at := spot{f.topic.name, f.partition}
	switch {
	case f.offset >= l.done[processor][at]:
		return waiting
	case l.letters[processor][at][f.offset]:
		return dead
	}
	return taken
}

// shortened tells whether a topic does not begin with its first record.
func (l *look) shortened() bool {
	for _, t := range l.topics {
		for p := range l.came.Partitions(t.name) {
			if l.came.Span(t.name, p).Start > 0 {
				return true
			}
		}
	}
	return false
}

// aligned tells whether the events of an order are in the partition of the same
// number as those of the topic of orders.
func (l *look) aligned(t *topic, n int32) bool {
	return t.byOrder && l.came.Partitions(t.name) == n
}

// spread reads a topic with another key, and notes its events by the shelf of
// their order.
func (l *look) spread(ctx context.Context, t *topic, n int32) error {
	for p := range l.came.Partitions(t.name) {
		for r, err := range l.came.Records(ctx, t.name, p) {
			if err != nil {
				return err
			}
			if f, ok := l.read(t, r); ok {
				i := keyhash.Partition([]byte(f.order), n)
				l.elsewhere[i] = append(l.elsewhere[i], f)
			}
		}
	}
	return nil
}

// read makes a fact of a record. One that cannot be read is in the dead letters of
// whoever reads it.
func (l *look) read(t *topic, r *kgo.Record) (fact, bool) {
	e, err := t.decode(r.Value)
	if err != nil {
		return fact{}, false
	}
	f := fact{
		topic: t, kind: e.Kind, id: l.seeds.of(0, e.ID()), partition: r.Partition, offset: r.Offset,
		late: r.Offset >= l.said.Span(t.name, r.Partition).End,
		// A refusal is said as often as what it refuses. What confirm says is compared
		// with its rules, by which it can forget what it has said.
		often: e.Kind == "OrderRefused" || t.writers[e.Kind] == topology.Confirm,
	}
	if f.order = string(r.Key); !t.byOrder {
		f.order = e.Order()
	}
	for _, c := range e.Meta.GetCauses() {
		f.causes = append(f.causes, l.seeds.of(0, c))
	}
	l.describe(&f, e.Envelope)
	return f, true
}

// partition looks at the orders of one partition.
func (l *look) partition(ctx context.Context, p, n int32) (*Report, error) {
	s := newShelf(l.Repeats)
	for _, a := range l.retried {
		s.known[a.id] = struct{}{}
		if a.payment && keyhash.Partition([]byte(a.order), n) == p {
			s.copiesOf(a.id, a.order).came++
		}
	}
	count := int64(0)
	for _, t := range l.topics {
		if !l.aligned(t, n) {
			continue
		}
		for r, err := range l.came.Records(ctx, t.name, p) {
			if err != nil {
				return nil, err
			}
			if f, ok := l.read(t, r); ok {
				l.take(s, &f)
			}
			if count++; count%1000 == 0 && l.Progress != nil {
				l.Progress(1000)
			}
		}
	}
	for i := range l.elsewhere[p] {
		l.take(s, &l.elsewhere[p][i])
	}
	if l.Progress != nil {
		l.Progress(count%1000 + int64(len(l.elsewhere[p])))
	}
	l.elsewhere[p] = nil
	if err := l.notified(ctx, s, p, n); err != nil {
		return nil, err
	}
	return s.close(), nil
}

// notified reads the rows of notify.
func (l *look) notified(ctx context.Context, s *shelf, p, n int32) error {
	name := l.names.Table(topology.Notify)
	if !l.chain || l.said.Partitions(name) != n {
		return nil
	}
	table := &topic{name: name}
	last := map[string]*kgo.Record{}
	for r, err := range l.said.Records(ctx, name, p) {
		if err != nil {
			return err
		}
		last[string(r.Key)] = r
	}
	for key, r := range last {
		row, err := schemas.NotifyRows.Unmarshal(r.Value)
		if r.Value == nil || err != nil {
			continue
		}
		f := fact{topic: table, kind: "NotifyRow", order: key, partition: p, offset: r.Offset}
		l.row(s, key, row, &f)
	}
	return nil
}
