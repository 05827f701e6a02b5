package inventory_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tallystick/processors/inventory"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A network is both processors with the topics between them, each record for
// itself: those of one topic and key are in order, all others are not.
type network struct {
	t *rapid.T
	// queues are by topic and key.
	queues   map[string][]any
	orders   map[string]*inventory.Row
	products map[string]*inventory.StockRow
	// checks are what was said, by order.
	checks map[string][]*tallyv1.OrderCheckEvent
	// came is what came in of each product, corrected by the counts.
	came map[string]int64
	// counted tells that a count may have found less than was thought.
	counted bool
	// decided are the kinds of decisions sent about each order.
	decided map[string]map[string]bool
	// delivered is how many records were, which is the clock.
	delivered int
}

func (n *network) send(topic, key string, m any) {
	n.queues[topic+" "+key] = append(n.queues[topic+" "+key], m)
}

// run delivers until nothing is left, each time from any queue.
func (n *network) run() {
	for len(n.queues) > 0 {
		at := rapid.SampledFrom(slices.Sorted(maps.Keys(n.queues))).Draw(n.t, "deliver")
		m := n.queues[at][0]
		if n.queues[at] = n.queues[at][1:]; len(n.queues[at]) == 0 {
			delete(n.queues, at)
		}
		n.deliver(m)
	}
}

func (n *network) deliver(m any) {
	n.delivered++
	now := time.Unix(int64(n.delivered), 0)
	switch m := m.(type) {
	case *tallyv1.OrderEvent:
		n.order(m.GetOrderPlaced().GetOrderId(), inventory.OfOrder(m, now))
	case *tallyv1.ConfirmationEvent:
		n.order(m.GetOrderConfirmed().GetOrderId(), inventory.OfConfirmation(m, now))
	case *tallyv1.ExceptionEvent:
		n.order(schemas.ExceptionOrderID(m), inventory.OfException(m, now))
	case *tallyv1.StockReplyEvent:
		m = survive(n.t, schemas.StockReplies, m)
		n.order(schemas.StockReplyOrderID(m), inventory.OfReply(m, now))
	case *tallyv1.StockEvent:
		id := schemas.StockProductID(m)
		n.came[id] += m.GetStockAdded().GetQuantity()
		if c := m.GetStockCounted(); c != nil {
			n.came[id] = c.GetQuantity() + n.products[id].GetShipped()
		}
		n.product(id, inventory.OfStock(m))
	case *tallyv1.StockCommand:
		m = survive(n.t, schemas.StockCommands, m)
		n.product(schemas.StockCommandProductID(m), inventory.OfCommand(m, now))
	}
}

func (n *network) order(id string, e inventory.Event) {
	before := encode(n.t, schemas.InventoryRows, n.orders[id])
	next, out := inventory.Step(n.orders[id], e)
	if !bytes.Equal(before, encode(n.t, schemas.InventoryRows, n.orders[id])) {
		n.t.Fatalf("Step changed the row it was given")
	}
	n.orders[id] = again(n.t, schemas.InventoryRows, next)
	if out.Check != nil {
		n.checks[id] = append(n.checks[id], survive(n.t, schemas.OrderChecks, out.Check))
	}
	for _, c := range out.Commands {
		n.send("requests", schemas.StockCommandProductID(c), c)
	}
}

func (n *network) product(id string, e inventory.StockEvent) {
	before := encode(n.t, schemas.StockRows, n.products[id])
	next, reply, err := inventory.StepStock(n.products[id], e)
	if err != nil {
		n.t.Fatal(err)
	}
	if !bytes.Equal(before, encode(n.t, schemas.StockRows, n.products[id])) {
		n.t.Fatalf("StepStock changed the row it was given")
	}
	n.products[id] = again(n.t, schemas.StockRows, next)
	if reply != nil {
		n.send("replies", schemas.StockReplyOrderID(reply), reply)
	}
	if next.GetOnHand() < 0 || next.GetReserved() < 0 || next.GetOwed() < 0 ||
		next.GetOwed() > next.GetReserved() || next.GetOwed() > 0 && next.GetOnHand() > 0 {
		n.t.Fatalf("the stock of %s is %v", id, next)
	}
	if got := next.GetOnHand() + next.GetShipped(); got != n.came[id] {
		n.t.Fatalf("%s: %d are on hand or shipped, %d came in", id, got, n.came[id])
	}
	if !n.counted && (next.GetReserved() > next.GetOnHand() || next.GetOwed() > 0) {
		n.t.Fatalf("%s: more is reserved than there is: %v", id, next)
	}
}

// again is the row after its codec; nil stays nil.
func again[T interface {
	*inventory.Row | *inventory.StockRow
	proto.Message
}](t *rapid.T, c schemas.RowCodec[T], row T) T {
	if row == nil {
		return nil
	}
	back, err := c.Unmarshal(encode(t, c, row))
	if err != nil {
		t.Fatal(err)
	}
	return back
}

func encode[T proto.Message](t *rapid.T, c schemas.RowCodec[T], row T) []byte {
	b, err := c.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// survive is the message after its codec.
func survive[T proto.Message](t *rapid.T, c schemas.Codec[T], m T) T {
	b, err := c.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	back, err := c.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return back
}

var names = []string{"p1", "p2", "p3"}

// drawNetwork fills the topics from outside. It returns what each order needs.
func drawNetwork(t *rapid.T, counts bool) (*network, map[string]map[string]int64) {
	n := &network{
		t: t, queues: map[string][]any{}, orders: map[string]*inventory.Row{},
		products: map[string]*inventory.StockRow{}, came: map[string]int64{},
		checks: map[string][]*tallyv1.OrderCheckEvent{}, counted: counts,
		decided: map[string]map[string]bool{},
	}
	for range rapid.IntRange(0, 8).Draw(t, "stock") {
		p := rapid.SampledFrom(names).Draw(t, "product")
		e := &tallyv1.StockEvent{Event: &tallyv1.StockEvent_StockAdded{
			StockAdded: &tallyv1.StockAdded{
				ProductId: p, Quantity: rapid.Int64Range(1, 9).Draw(t, "added"),
			},
		}}
		if counts && rapid.Bool().Draw(t, "count") {
			q := rapid.Int64Range(0, 9).Draw(t, "counted")
			e.Event = &tallyv1.StockEvent_StockCounted{
				StockCounted: &tallyv1.StockCounted{ProductId: p, Quantity: &q},
			}
		}
		n.send("stock", p, e)
	}
	needs := map[string]map[string]int64{}
	for i := range rapid.IntRange(1, 6).Draw(t, "orders") {
		id := fmt.Sprintf("o%d", i)
		needs[id], n.decided[id] = map[string]int64{}, map[string]bool{}
		var lines []*tallyv1.Line
		for range rapid.IntRange(0, 4).Draw(t, "lines") {
			l := &tallyv1.Line{
				ProductId: rapid.SampledFrom(names).Draw(t, "product"),
				Quantity:  rapid.Int64Range(1, 4).Draw(t, "quantity"),
				Price:     schemas.Money(1, "EUR"),
			}
			needs[id][l.GetProductId()] += l.GetQuantity()
			lines = append(lines, l)
		}
		for range rapid.IntRange(1, 2).Draw(t, "times placed") {
			n.send("orders", id, order(id, lines...))
		}
		if rapid.Bool().Draw(t, "confirmed") {
			n.send("confirmations", id, confirmed(id))
			n.decided[id]["confirmed"] = true
		}
		for range rapid.IntRange(0, 2).Draw(t, "ends") {
			end := expired(id)
			if rapid.Bool().Draw(t, "withdrawn") {
				end = withdrawn(id)
			}
			n.send("exceptions", id, end)
			n.decided[id]["ended"] = true
		}
	}
	return n, needs
}

// TestStockIsKept: however the topics of both processors interleave, each order
// has one check and all its lines or none; what came in is on hand or shipped;
// what is reserved is reserved for an order; and nothing is ever negative.
func TestStockIsKept(t *testing.T) { rapid.Check(t, stockIsKept) }

func stockIsKept(t *rapid.T) {
	n, needs := drawNetwork(t, rapid.Bool().Draw(t, "counts"))
	n.run()
	reserved, shipped := map[string]int64{}, map[string]int64{}
	for id, need := range needs {
		if len(n.checks[id]) != 1 {
			t.Fatalf("%s has %d checks", id, len(n.checks[id]))
		}
		confirmed, ended := n.decided[id]["confirmed"], n.decided[id]["ended"]
		if can := map[tallyv1.InventoryRow_State]bool{
			tallyv1.InventoryRow_RESERVED: !confirmed && !ended,
			tallyv1.InventoryRow_SHIPPED:  confirmed,
			tallyv1.InventoryRow_RELEASED: ended,
			tallyv1.InventoryRow_REFUSED:  true,
		}; !can[n.orders[id].GetState()] {
			t.Fatalf("%s is %v after %v", id, n.orders[id], n.decided[id])
		}
		wasReserved := n.checks[id][0].GetStockReserved() != nil
		switch state := n.orders[id].GetState(); state {
		case tallyv1.InventoryRow_RESERVED:
			add(reserved, need)
		case tallyv1.InventoryRow_SHIPPED:
			add(shipped, need)
		case tallyv1.InventoryRow_RELEASED:
		case tallyv1.InventoryRow_REFUSED:
			wasReserved = !wasReserved
		default:
			t.Fatalf("%s is still %s", id, state)
		}
		if !wasReserved {
			t.Fatalf("%s is %v, and was said to be %v", id, n.orders[id], n.checks[id][0])
		}
	}
	for _, p := range names {
		row := n.products[p]
		if got := row.GetShipped() + row.GetOwed(); got != shipped[p] {
			t.Fatalf("%s: %d shipped or owed, orders say %d", p, got, shipped[p])
		}
		if got := row.GetReserved() - row.GetOwed(); got != reserved[p] {
			t.Fatalf("%s: %d reserved, orders say %d", p, got, reserved[p])
		}
	}
}

func add(to, need map[string]int64) {
	for p, q := range need {
		to[p] += q
	}
}

// TestEnoughIsEnough: if there is enough for all from the start, no order is short
// unless it ended early.
func TestEnoughIsEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, needs := drawNetwork(t, false)
		for _, p := range names {
			n.deliver(&tallyv1.StockEvent{Event: &tallyv1.StockEvent_StockAdded{
				StockAdded: &tallyv1.StockAdded{ProductId: p, Quantity: 1000},
			}})
		}
		n.run()
		for id := range needs {
			if s := n.checks[id][0].GetStockShort(); len(s.GetProductIds()) > 0 {
				t.Fatalf("%s lacks %v", id, s.GetProductIds())
			}
		}
	})
}

// FuzzSteps lets the fuzzer draw what the property draws.
func FuzzSteps(f *testing.F) { f.Fuzz(rapid.MakeFuzz(stockIsKept)) }
