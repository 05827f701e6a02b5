package generate

import (
	"container/heap"
	"fmt"
	"iter"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"tallystick/cmd/tally/app/source"
	"tallystick/schemas/tallyv1"
)

// ChainOptions say how much is made for the whole chain of services, and of what.
type ChainOptions struct {
	// Orders is the number of different orders that are asked for.
	Orders int
	// Seed fixes every choice that is made. It is part of each id.
	Seed uint64
	// Start is when the first order is asked for; the others follow Every.
	Start time.Time
	Every time.Duration
	// Due is how long an order may take to be paid. All that happens to an order in
	// time happens in its first minutes, so that Due is best long: what the services
	// say of an order comes later than what is asked of them, and must not come so
	// late that by the time of the records the order has expired.
	Due time.Duration
	// Tail makes the last orders come when all others are over, so that time
	// passes for everybody.
	Tail bool
	Mix  ChainMix
}

// ChainMix is how often things go another way than one order with one payment.
// The shares down to Suspicious exclude each other and add up to 1 at most.
type ChainMix struct {
	Unpaid       float64 // no payment comes
	Partial      float64 // what comes does not cover the total
	Late         float64 // the payment comes when the order has expired
	Cancelled    float64 // it is cancelled, before or after it is paid
	Refused      float64 // what is asked for contradicts itself
	Closed       float64 // its customer's account is closed
	Discontinued float64 // it asks for a product that is no longer sold
	Short        float64 // it asks for more than there is
	Suspicious   float64 // it is far too much for one customer

	Split       float64 // several payments cover it together
	Excess      float64 // more than the total comes
	Duplicates  float64 // one of its records comes twice
	Orphans     float64 // beside it comes a payment for an order that never was
	Mismatched  float64 // beside it comes a payment in another currency
	Reversed    float64 // one of its payments is taken back
	Unreachable float64 // share of the customers whom no mail reaches
	Invalid     float64 // beside it comes a record that cannot be read
}

// DefaultChainMix has something of everything.
func DefaultChainMix() ChainMix {
	return ChainMix{
		Unpaid: 0.03, Partial: 0.02, Late: 0.03, Cancelled: 0.04, Refused: 0.01, Closed: 0.01,
		Discontinued: 0.01, Short: 0.02, Suspicious: 0.01, Split: 0.10, Excess: 0.02,
		Duplicates: 0.02, Orphans: 0.01, Mismatched: 0.01, Reversed: 0.02, Unreachable: 0.05,
		Invalid: 0.01,
	}
}

// A fate is what happens to an order, as it is meant.
type fate int

const (
	fatePaid fate = iota
	fateUnpaid
	fatePartial
	fateLate
	fateCancelled
	fateRefused
	fateClosed
	fateDiscontinued
	fateShort
	fateSuspicious
	fatePending
)

// fates are the shares that exclude each other, by fate.
func (m ChainMix) fates() []struct {
	fate  fate
	share float64
} {
	return []struct {
		fate  fate
		share float64
	}{
		{fateUnpaid, m.Unpaid},
		{fatePartial, m.Partial},
		{fateLate, m.Late},
		{fateCancelled, m.Cancelled},
		{fateRefused, m.Refused},
		{fateClosed, m.Closed},
		{fateDiscontinued, m.Discontinued},
		{fateShort, m.Short},
		{fateSuspicious, m.Suspicious},
	}
}

// Validate names what is wrong with the options.
func (o ChainOptions) Validate() error {
	if o.Orders < 0 || o.Orders > MaxOrders {
		return fmt.Errorf("generate: orders must lie between 0 and %d, not %d", MaxOrders, o.Orders)
	}
	sum := 0.0
	m := o.Mix
	for _, f := range m.fates() {
		sum += f.share
		if f.share < 0 {
			return fmt.Errorf("generate: a share must not be below 0, one is %v", f.share)
		}
	}
	if sum > 1.000001 {
		return fmt.Errorf("generate: the shares of what ends otherwise than paid add up to %.2f", sum)
	}
	for _, share := range []float64{
		m.Split, m.Excess, m.Duplicates, m.Orphans, m.Mismatched, m.Reversed, m.Unreachable, m.Invalid,
	} {
		if share < 0 || share > 1 {
			return fmt.Errorf("generate: a share must lie between 0 and 1, one is %v", share)
		}
	}
	if o.Due != 0 && o.Due < MinDue {
		return fmt.Errorf("generate: due must be at least %v, not %v", MinDue, o.Due)
	}
	return nil
}

// MinDue is the shortest time in which all can happen that happens in time.
const MinDue = 2 * meanwhile

// silence is how long nothing happens before the tail: longer than the services
// wait for anything, unless they are told otherwise.
const silence = 14 * 24 * time.Hour

// meanwhile is the time in which what happens to an order in time has happened.
const meanwhile = 5 * time.Minute

// ChainCounts is what a [Chain] made, as its records were meant.
type ChainCounts struct {
	Records    int // all of them
	Commands   int // records that ask for something, repeated ones included
	Payments   int // different payments
	Customers  int
	Products   int
	Duplicates int // records that came a second time
	Invalid    int // records that cannot be read
	// How the orders are meant to end.
	Paid, Unpaid, Partial, Late, Cancelled, Refused, Closed, Discontinued, Short, Suspicious int
	// Pending are orders that wait for their payment when all is over.
	Pending int

	Minor map[string]int64 // received, by currency
}

// A Chain makes the records that come from outside into the chain of services:
// customers, products, stock, commands and payments. It is for one goroutine.
type Chain struct {
	*Generator
	co        ChainOptions
	counts    ChainCounts
	customers []customer
	products  []product
}

// NewChain returns a generator of the records that o describes.
func NewChain(o ChainOptions) (*Chain, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	g, err := New(Options{Orders: o.Orders, Seed: o.Seed, Start: o.Start, Every: o.Every})
	if err != nil {
		return nil, err
	}
	o.Start, o.Every = g.o.Start, g.o.Every
	if o.Due == 0 {
		o.Due = max(24*time.Hour, 2*time.Duration(o.Orders)*o.Every)
	}
	c := &Chain{Generator: g, co: o}
	c.makeCustomers()
	c.makeProducts()
	return c, nil
}

// Made is what the records that were taken so far amount to.
func (c *Chain) Made() ChainCounts {
	made := c.counts
	made.Records, made.Payments = c.made.Records, c.made.Payments
	made.Duplicates, made.Invalid, made.Minor = c.made.Duplicates, c.made.Invalid, c.made.Minor
	return made
}

// Records makes the records in the order in which they arrive: what is known
// before the first order, then the orders and what happens to them. It can be
// ranged over once.
func (c *Chain) Records() iter.Seq[source.Record] {
	return func(yield func(source.Record) bool) {
		for _, r := range c.Known() {
			if !yield(r) {
				return
			}
		}
		for _, some := range []iter.Seq[source.Record]{c.Events(), c.Late()} {
			for r := range some {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// Events makes the orders and what happens to them, without what is known before
// and without the tail.
func (c *Chain) Events() iter.Seq[source.Record] { return c.between(0, c.co.Orders-c.tail()) }

// Late makes the orders of the tail. It is called when Events has ended.
func (c *Chain) Late() iter.Seq[source.Record] {
	return c.between(c.co.Orders-c.tail(), c.co.Orders)
}

// between makes some of the orders.
func (c *Chain) between(from, to int) iter.Seq[source.Record] {
	return func(yield func(source.Record) bool) {
		for n := from; n < to; n++ {
			placed := c.placed(n)
			for len(c.waiting) > 0 && !c.waiting[0].arrives.After(placed) {
				if !yield(heap.Pop(&c.waiting).(delivery).Record) {
					return
				}
			}
			c.chainOrder(n, placed)
		}
		for len(c.waiting) > 0 {
			if !yield(heap.Pop(&c.waiting).(delivery).Record) {
				return
			}
		}
	}
}

// Span is how long it is from the first order until all has happened that does.
func (c *Chain) Span() time.Duration {
	last := c.placed(max(0, c.co.Orders-1)).Sub(c.co.Start)
	return max(last, time.Duration(c.co.Orders)*c.co.Every+c.co.Due+meanwhile) + spreadUsual
}

// Due is how long an order may take to be paid.
func (c *Chain) Due() time.Duration { return c.co.Due }

// placed is when the nth order is asked for. The last ones come when all that
// can happen to the others has happened: they let time pass for everybody.
func (c *Chain) placed(n int) time.Time {
	at := c.co.Start.Add(time.Duration(n) * c.co.Every)
	if n >= c.co.Orders-c.tail() {
		at = at.Add(max(c.co.Due, silence) + 2*meanwhile)
	}
	return at
}

// tail is how many orders come at the end, when all others are over. Each
// partition should get a few of them.
func (c *Chain) tail() int {
	if !c.co.Tail {
		return 0
	}
	return min(c.co.Orders/10, 120)
}

// pending is how many orders are not due for long when all is over.
func (c *Chain) pending() int { return min(c.tail()/5, 3) }

// sendMessage lets a record of one of the chain's own topics arrive.
func (c *Chain) sendMessage(kind source.Kind, key string, at time.Time, m proto.Message,
	spread time.Duration,
) source.Record {
	r := source.Record{Kind: kind, Key: []byte(key), At: at, Message: m}
	c.send(r, spread)
	return r
}

// draw picks the fate of an order.
func (c *Chain) draw(n int) fate {
	dice := c.random.Float64()
	switch left := c.co.Orders - n; {
	case left <= c.pending():
		return fatePending
	case left <= c.tail():
		return fatePaid
	}
	for _, f := range c.co.Mix.fates() {
		if dice < f.share {
			return f.fate
		}
		dice -= f.share
	}
	return fatePaid
}

// tally counts a fate.
func (c *ChainCounts) tally(f fate) {
	counts := []*int{
		&c.Paid, &c.Unpaid, &c.Partial, &c.Late, &c.Cancelled, &c.Refused, &c.Closed,
		&c.Discontinued, &c.Short, &c.Suspicious, &c.Pending,
	}
	*counts[f]++
}

// A product is one that can be ordered.
type product struct {
	id    string
	price int64
}

// A customer is one who can order.
type customer struct {
	id     string
	closed bool
}

// Products of which orders ask for in vain.
const (
	rareProducts         = 3 // there is one of each
	discontinuedProducts = 2
)

// makeCustomers makes the customers; the last ones have closed accounts.
func (c *Chain) makeCustomers() {
	n := min(max(c.co.Orders/4, 20), 20_000)
	closed := max(2, n/50)
	for i := range n {
		c.customers = append(c.customers, customer{
			id: fmt.Sprintf("c%d-%05d", c.co.Seed, i+1), closed: i >= n-closed,
		})
	}
}

// makeProducts makes the products, those that are had in vain first.
func (c *Chain) makeProducts() {
	n := min(max(c.co.Orders/20, 20), 1000) + rareProducts + discontinuedProducts
	for i := range n {
		c.products = append(c.products, product{
			id: fmt.Sprintf("s%d-%04d", c.co.Seed, i+1), price: 100 + c.random.Int64N(5000),
		})
	}
}

// Known makes what is said before the first order: customers, products and stock.
// It is called once.
func (c *Chain) Known() []source.Record {
	at := c.co.Start.Add(-time.Hour)
	var records []source.Record
	add := func(kind source.Kind, key string, m proto.Message) {
		records = append(records, source.Record{Kind: kind, Key: []byte(key), At: at, Message: m})
		c.made.Records++
		at = at.Add(time.Millisecond)
	}
	for _, who := range c.customers {
		mail := who.id + "@customers.example"
		if c.chance(c.co.Mix.Unreachable) {
			mail = who.id + "@" + UnreachableDomain
		}
		add(source.Customer, who.id, &tallyv1.CustomerEvent{
			Meta: &tallyv1.Meta{At: stamp(at)},
			Event: &tallyv1.CustomerEvent_CustomerUpdated{CustomerUpdated: &tallyv1.CustomerUpdated{
				CustomerId: who.id, Name: "Customer " + who.id, Email: mail, Closed: who.closed,
			}},
		})
	}
	for i, p := range c.products {
		gone := i >= rareProducts && i < rareProducts+discontinuedProducts
		add(source.Product, p.id, &tallyv1.ProductEvent{
			Meta: &tallyv1.Meta{At: stamp(at)},
			Event: &tallyv1.ProductEvent_ProductUpdated{ProductUpdated: &tallyv1.ProductUpdated{
				ProductId: p.id, Name: "Product " + p.id, Discontinued: gone,
			}},
		})
		quantity := int64(1)
		if i >= rareProducts {
			quantity = 1000 + int64(c.co.Orders)
		}
		add(source.Stock, p.id, &tallyv1.StockEvent{
			Meta: &tallyv1.Meta{At: stamp(at)},
			Event: &tallyv1.StockEvent_StockCounted{StockCounted: &tallyv1.StockCounted{
				ProductId: p.id, Quantity: proto.Int64(quantity),
			}},
		})
	}
	c.counts.Customers, c.counts.Products = len(c.customers), len(c.products)
	return slices.Clip(records)
}

// UnreachableDomain is where the customers are whom no mail reaches.
const UnreachableDomain = "unreachable.example"
