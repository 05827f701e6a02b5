package history

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"tallystick/query/reading"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
	"tallystick/topology/keyhash"
)

// huntRecords is how many records are looked at for one that is not keyed by order.
// It is at, or soon behind, the first with its timestamp, since what is said has the
// timestamp of what it was said at.
const huntRecords = 20_000

// indexPlaces is how many records of one topic an index knows of an order at least.
// From so many on, it may leave some out.
const indexPlaces = 1000

// A hunt looks for a record of which the key, the time and the meaning are known.
type hunt struct {
	topic, key string
	from       int64 // its timestamp, in milliseconds since 1970
	is         func(reading.Event) bool
	pass       int // how many that fit come before it: a record may come more than once
}

// records finds and reads the records about an order.
func (r *Reader) records(ctx context.Context, order string) ([]*kgo.Record, error) {
	places, err := r.o.Finder.Find(ctx, order)
	if err != nil {
		return nil, err
	}
	if r.indexed() && len(places) >= indexPlaces {
		r.o.Finder = &scan{r, r.scanned}
		if places, err = r.o.Finder.Find(ctx, order); err != nil {
			return nil, err
		}
	}
	if err := bearable(len(places), 0); err != nil {
		return nil, err
	}
	records, err := r.fetch(ctx, places)
	if err != nil {
		return nil, err
	}
	if r.indexed() {
		if records, err = r.unindexed(ctx, order, records); err != nil {
			return nil, err
		}
	}
	if !r.o.Chain {
		return records, nil
	}
	return r.trace(ctx, records, r.hunts(order, records))
}

// indexed tells that an index finds the records of an order.
func (r *Reader) indexed() bool { _, scans := r.o.Finder.(*scan); return !scans }

// unindexed adds the records that are keyed by order and that no index has: what
// was processed again, which are few, and the inner topics of the chain.
func (r *Reader) unindexed(
	ctx context.Context, order string, records []*kgo.Record,
) ([]*kgo.Record, error) {
	n := r.o.Names
	if retry := n.Retry(topology.Confirm); r.log.Partitions(retry) > 0 {
		s := scan{r, []string{retry}}
		places, err := s.Find(ctx, order)
		if err != nil {
			return nil, err
		}
		again, err := r.fetch(ctx, places)
		if err != nil {
			return nil, err
		}
		records = append(records, again...)
	}
	if !r.o.Chain {
		return records, nil
	}
	var all []hunt
	var placed int64
	for _, k := range records {
		if e, ok := r.decode(k); ok && e.Kind == "OrderPlaced" {
			placed = k.Timestamp.UnixMilli() // answers about its stock have this timestamp
		}
	}
	for _, k := range records {
		e, _ := r.decode(k)
		topic, from := n.NotifyResults, k.Timestamp.UnixMilli()
		switch e.Kind {
		case "StockReserved", "StockShort":
			topic, from = n.InventoryReplies, placed
		case "ConfirmationSent", "ConfirmationBounced", "ConfirmationUnresolved":
		default:
			continue
		}
		for _, id := range e.Meta.GetCauses() {
			all = append(all, hunt{
				topic: topic, key: order, from: from,
				is: func(o reading.Event) bool { return o.ID() == id },
			})
		}
	}
	return r.trace(ctx, records, all)
}

// trace adds the records that are hunted for, as far as they are found.
func (r *Reader) trace(
	ctx context.Context, records []*kgo.Record, hunts []hunt,
) ([]*kgo.Record, error) {
	known := map[Place]bool{}
	size := 0
	for _, k := range records {
		known[placeOf(k)] = true
		size += len(k.Value)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	var mu sync.Mutex
	for _, h := range hunts {
		if r.log.Partitions(h.topic) == 0 {
			continue
		}
		g.Go(func() error {
			found, err := r.hunt(ctx, h)
			if err != nil || found == nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if !known[placeOf(found)] {
				known[placeOf(found)] = true
				records = append(records, alone(found))
				size += len(found.Value)
			}
			return bearable(len(records), size)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return records, nil
}

// hunts says which records must be where that are not keyed by order: payments
// under their own id, what inventory asked of products, what fraud counts by
// customer.
func (r *Reader) hunts(order string, records []*kgo.Record) []hunt {
	n := r.o.Names
	var all []hunt
	var products []string
	var ends []*kgo.Record
	granted := map[string]bool{}
	type copied struct {
		id string
		at int64
	}
	copies := map[copied]int{}
	for _, k := range records {
		e, ok := r.decode(k)
		if !ok {
			continue
		}
		at, id := k.Timestamp.UnixMilli(), e.ID()
		same := func(o reading.Event) bool { return o.ID() == id }
		switch m := e.Envelope.(type) {
		case *tallyv1.PaymentEvent:
			c := copied{id, at}
			all = append(all, hunt{n.Payments, schemas.PaymentID(m), at, same, copies[c]})
			copies[c]++
		case *tallyv1.OrderEvent:
			o := m.GetOrderPlaced()
			if o == nil {
				continue
			}
			all = append(all, hunt{n.FraudOrders, schemas.CustomerOrderKey(o), at, same, 0})
			for _, l := range o.GetLines() {
				product := l.GetProductId()
				if !slices.Contains(products, product) {
					products = append(products, product)
					all = append(all, hunt{n.InventoryRequests, product, at, asks(order, "Reserve"), 0})
				}
			}
		case *tallyv1.StockReplyEvent:
			granted[m.GetStockLineReserved().GetProductId()] = true
		}
		switch e.Kind {
		case "OrderConfirmed", "OrderExpired", "OrderWithdrawn", "StockShort":
			ends = append(ends, k)
		}
	}
	for _, product := range products {
		for _, k := range ends {
			if granted[product] {
				all = append(all, hunt{
					n.InventoryRequests, product, k.Timestamp.UnixMilli(), asks(order, "Release", "Ship"), 0,
				})
			}
		}
	}
	return all
}

// asks returns what recognizes a command about the stock for an order.
func asks(order string, verbs ...string) func(reading.Event) bool {
	return func(e reading.Event) bool {
		return e.Order() == order && slices.ContainsFunc(verbs, func(verb string) bool {
			return strings.HasPrefix(e.Kind, verb)
		})
	}
}

// hunt returns the first record from a time on that is what is looked for, nil if
// it is not near.
func (r *Reader) hunt(ctx context.Context, h hunt) (*kgo.Record, error) {
	p := keyhash.Partition([]byte(h.key), r.log.Partitions(h.topic))
	at, err := r.log.Since(ctx, h.topic, p, h.from)
	if err != nil {
		return nil, err
	}
	for end, seen := r.log.Span(h.topic, p).End, 0; at < end && seen < huntRecords; {
		records, next, err := r.log.Peek(ctx, h.topic, p, at)
		if err != nil {
			return nil, err
		}
		for _, k := range records {
			if string(k.Key) != h.key {
				continue
			}
			if e, ok := r.decode(k); !ok || !h.is(e) {
				continue
			}
			if h.pass == 0 {
				return k, nil
			}
			h.pass--
		}
		at, seen = next, seen+len(records)
	}
	return nil, nil
}
