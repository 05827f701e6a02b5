// Package generate makes orders and payments as they come in real life: out of
// order, twice, in parts, too much, not at all, and now and then unreadable.
// The same options give the same records, byte for byte, on every machine.
package generate

import (
	"cmp"
	"container/heap"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/cmd/tally/app/source"
)

// Options say how much is made, and of what.
type Options struct {
	// Orders is the number of different orders.
	Orders int
	// Seed fixes every choice that is made. It is part of each id, so that two
	// seeds never make the same order.
	Seed uint64
	// Start is when the first order is placed; the others follow Every.
	Start time.Time
	Every time.Duration
	Mix   Mix
}

// Mix is how often things go another way than one order with one payment. Each
// is the share of orders it happens to, between 0 and 1.
type Mix struct {
	Unpaid     float64 // no payment comes
	Partial    float64 // what comes does not cover the total
	Split      float64 // several payments cover it together
	Excess     float64 // more than the total comes
	Duplicates float64 // one of its records comes twice
	Orphans    float64 // beside it comes a payment for an order that never was
	Mismatched float64 // beside it comes a payment in another currency
	Cancelled  float64 // it is cancelled, before or after it is paid
	Reversed   float64 // one of its payments is taken back
	Invalid    float64 // beside it comes a record that cannot be read
}

// DefaultMix is the everyday life of a shop.
func DefaultMix() Mix {
	return Mix{
		Unpaid: 0.03, Partial: 0.01, Split: 0.10, Excess: 0.02, Duplicates: 0.01, Invalid: 0.003,
	}
}

// Validate names what is wrong with the options.
func (o Options) Validate() error {
	if o.Orders < 0 || o.Orders > MaxOrders {
		return fmt.Errorf("generate: orders must lie between 0 and %d, not %d", MaxOrders, o.Orders)
	}
	m := o.Mix
	for _, share := range []struct {
		name  string
		value float64
	}{
		{"unpaid", m.Unpaid},
		{"partial", m.Partial},
		{"split", m.Split},
		{"excess", m.Excess},
		{"duplicates", m.Duplicates},
		{"orphans", m.Orphans},
		{"mismatched", m.Mismatched},
		{"cancelled", m.Cancelled},
		{"reversed", m.Reversed},
		{"invalid", m.Invalid},
	} {
		if share.value < 0 || share.value > 1 {
			return fmt.Errorf("generate: %s must lie between 0 and 1, not %v", share.name, share.value)
		}
	}
	return nil
}

// MaxOrders bounds one run of the generator.
const MaxOrders = 100_000_000

// Counts is what a generator made, as its records were meant: it knows nothing
// of how they are processed.
type Counts struct {
	Records    int // all of them, the sum of what follows down to Reversed
	Orders     int // different orders
	Payments   int // different payments
	Duplicates int // records that came a second time
	Invalid    int // records that cannot be read
	Cancelled  int // orders that were cancelled
	Reversed   int // payments that were taken back

	Covered int // orders whose payments cover the total
	Excess  int // orders with more money than their total
	Minor   map[string]int64
}

// A Generator makes the records of one set of options. It is for one goroutine.
type Generator struct {
	o       Options
	random  *rand.Rand
	waiting deliveries
	made    Counts
	serial  int
}

// New returns a generator of the records that o describes.
func New(o Options) (*Generator, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Every = cmp.Or(o.Every, 250*time.Millisecond)
	if o.Start.IsZero() {
		o.Start = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	}
	return &Generator{
		o:      o,
		random: rand.New(rand.NewPCG(o.Seed, 0x7a11)),
		made:   Counts{Minor: make(map[string]int64)},
	}, nil
}

// Made is what the records that were taken so far amount to.
func (g *Generator) Made() Counts { return g.made }

// Records makes the records in the order in which they arrive. It can be ranged
// over once. It holds only those that are still on their way, however many
// there are in all.
func (g *Generator) Records() iter.Seq[source.Record] {
	return func(yield func(source.Record) bool) {
		for n := range g.o.Orders {
			placed := g.o.Start.Add(time.Duration(n) * g.o.Every)
			for len(g.waiting) > 0 && !g.waiting[0].arrives.After(placed) {
				if !yield(heap.Pop(&g.waiting).(delivery).Record) {
					return
				}
			}
			g.order(n, placed)
		}
		for len(g.waiting) > 0 {
			if !yield(heap.Pop(&g.waiting).(delivery).Record) {
				return
			}
		}
	}
}

// send lets r arrive at some moment within the spread after its time.
func (g *Generator) send(r source.Record, spread time.Duration) {
	g.serial++
	late := time.Duration(g.random.Int64N(int64(spread)))
	heap.Push(&g.waiting, delivery{Record: r, arrives: r.At.Add(late), serial: g.serial})
	g.made.Records++
}

// chance is true in the given share of cases.
func (g *Generator) chance(share float64) bool { return g.random.Float64() < share }

func (g *Generator) currency() string {
	switch n := g.random.IntN(20); {
	case n == 0:
		return "JPY"
	case n < 4:
		return "USD"
	default:
		return "EUR"
	}
}

func (g *Generator) method() string {
	return [...]string{"card", "card", "transfer", "voucher"}[g.random.IntN(4)]
}

func stamp(t time.Time) *timestamppb.Timestamp { return timestamppb.New(t) }

// A delivery is a record on its way.
type delivery struct {
	source.Record
	arrives time.Time
	serial  int
}

// deliveries is a heap of records on their way, the next to arrive first.
type deliveries []delivery

func (d deliveries) Len() int      { return len(d) }
func (d deliveries) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d deliveries) Less(i, j int) bool {
	return cmp.Or(d[i].arrives.Compare(d[j].arrives), cmp.Compare(d[i].serial, d[j].serial)) < 0
}

// Push adds a delivery, for package heap.
func (d *deliveries) Push(x any) { *d = append(*d, x.(delivery)) }

// Pop removes the last delivery, for package heap.
func (d *deliveries) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
