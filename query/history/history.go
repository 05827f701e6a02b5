// Package history answers from the topics alone what happened to an order, why,
// and what it was at any moment since.
//
// A [Story] is every command and event about the order, in the order of cause and
// effect, with the row of confirm before and after each of its inputs. A [State] is
// the order as it was at a moment. Both stand on the same bounded replay: the
// order's own records are found, by an index or by a scan of its partitions; the
// group's journal, in which they are looked up by bisection, says in which order
// they were merged and which deadlines came between them; and [confirm.Step] is
// applied again.
//
// Nothing is written anywhere, and no consumer group is joined.
package history

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"tallystick/processors/confirm"
	"tallystick/query/reading"
	"tallystick/query/replay"
	"tallystick/topology"
)

// A Place is where a record is.
type Place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// String returns the place as topic/partition@offset.
func (p Place) String() string { return fmt.Sprintf("%s/%d@%d", p.Topic, p.Partition, p.Offset) }

func placeOf(r *kgo.Record) Place { return Place{r.Topic, r.Partition, r.Offset} }

// ErrPlace means that a text is no place.
var ErrPlace = errors.New("history: a place is topic/partition/offset, or topic/partition@offset")

// ParsePlace reads a place as String writes it, or with a slash before the offset.
func ParsePlace(text string) (Place, error) {
	i := strings.LastIndexAny(text, "/@")
	if i < 0 {
		return Place{}, ErrPlace
	}
	k := strings.LastIndexByte(text[:i], '/')
	if k <= 0 {
		return Place{}, ErrPlace
	}
	partition, err := strconv.ParseInt(text[k+1:i], 10, 32)
	offset, err2 := strconv.ParseInt(text[i+1:], 10, 64)
	if err != nil || err2 != nil || partition < 0 || offset < 0 {
		return Place{}, ErrPlace
	}
	return Place{text[:k], int32(partition), offset}, nil
}

// A Finder finds the records about an order.
type Finder interface {
	// Find returns the places of the records, in any order; none if nothing is known
	// of the order.
	Find(ctx context.Context, order string) ([]Place, error)
}

// Options say where the past is and by which rules it came about.
type Options struct {
	Topology topology.Topology
	Names    topology.Names
	Chain    bool
	// Rules are those of the workers.
	Rules confirm.Rules
	// Retried returns the record that a record of a retry topic asks to process
	// again, and false if it asks for something else. It may be nil.
	Retried func(*kgo.Record) (*kgo.Record, bool)
	// Finder finds the records of an order. If it is nil the partitions of the order
	// are scanned.
	Finder Finder
	// Patience is how long to wait for transactions that are open.
	Patience time.Duration
}

// A Cost is what it took to answer.
type Cost struct {
	// Records is how many records were read, Topics from how many topics.
	Records int64 `json:"records"`
	Topics  int   `json:"topics"`
	// By says how the records of the order were found: by an index or by a scan.
	By string `json:"by"`
}

// How the records of an order were found.
const (
	ByIndex = "index"
	ByScan  = "scan"
)

// A Reader reads the past as it is when the reader is opened. It is not safe for
// concurrent use.
type Reader struct {
	o        Options
	inputs   map[string]input
	decoders map[string]reading.Decoder
	log      *replay.Log
	journal  journalReader
	scanned  []string // topics that are keyed by order
}

// Open looks the topics up. The client stays the caller's and must outlive the
// reader.
func Open(ctx context.Context, cl *kgo.Client, o Options) (*Reader, error) {
	if err := replay.Forgo(ctx, cl, &o.Names.Corrections); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	r := &Reader{
		o: o, inputs: inputsOf(o.Names, o.Chain), decoders: reading.Decoders(o.Names, o.Chain),
	}
	var topics []string
	for _, t := range reading.AboutOrders(o.Names, o.Chain) {
		topics = append(topics, t.Name)
	}
	r.scanned = slices.Clone(topics)
	further, err := r.further(ctx, cl)
	if err != nil {
		return nil, err
	}
	if r.log, err = replay.Open(ctx, cl, o.Patience, append(topics, further...)...); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	// The journal is looked at last: what is in the others is in it as well.
	journal := o.Names.Journal(topology.Confirm)
	opened, err := replay.Open(ctx, cl, o.Patience, journal)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	r.journal = journalReader{log: opened, topic: journal}
	if r.o.Finder == nil {
		r.o.Finder = &scan{r, r.scanned}
	}
	return r, nil
}

// further returns the topics that tell more and that need not be there.
func (r *Reader) further(ctx context.Context, cl *kgo.Client) ([]string, error) {
	n := r.o.Names
	keyed := []string{n.Retry(topology.Confirm)}
	var others []string
	if r.o.Chain {
		keyed = append(keyed, n.InventoryReplies, n.NotifyResults)
		others = []string{n.Payments, n.InventoryRequests, n.FraudOrders}
	}
	found, err := kadm.NewClient(cl).ListTopics(ctx, append(others, keyed...)...)
	if err != nil {
		return nil, fmt.Errorf("history: list topics: %w", err)
	}
	var there []string
	for _, name := range keyed {
		if found.Has(name) {
			there, r.scanned = append(there, name), append(r.scanned, name)
		}
	}
	for _, name := range others {
		if found.Has(name) {
			there = append(there, name)
		}
	}
	return there, nil
}

// Partition returns the partition in which confirm has the row of an order.
func (r *Reader) Partition(order string) int32 { return r.partition(r.o.Names.Orders, order) }

// cost returns what was read so far.
func (r *Reader) cost() Cost {
	c := Cost{
		Records: r.log.Given() + r.journal.log.Given(), Topics: len(r.log.Names()) + 1, By: ByIndex,
	}
	if !r.indexed() {
		c.By = ByScan
	}
	return c
}

// horizon returns where the logs begin that do not begin at 0: what was before is
// gone.
func (r *Reader) horizon(order string) []Place {
	var gone []Place
	for _, topic := range r.scanned {
		p := r.partition(topic, order)
		if start := r.log.Span(topic, p).Start; start > 0 {
			gone = append(gone, Place{topic, p, start})
		}
	}
	p := r.partition(r.o.Names.Orders, order)
	if start := r.journal.log.Span(r.journal.topic, p).Start; start > 0 {
		gone = append(gone, Place{r.journal.topic, p, start})
	}
	return gone
}
