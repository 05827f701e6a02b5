package services_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"tallystick/engine"
	"tallystick/processors/inventory"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

const (
	stockOrders   = 20 // in each round
	stockProducts = 5
	stockAdded    = 12 // of each product in each round
)

// A store is a world of orders that want stock.
type store struct {
	*world
	topics inventory.Topics
	stock  inventory.StockTopics
}

func newStore(w *world) store {
	s := store{world: w}
	s.stock = inventory.StockTopics{
		Group: w.prefix + "inventory-stock", Stock: w.topic("stock", orderPartitions),
		Requests: w.topic("requests", orderPartitions), Replies: w.topic("replies", orderPartitions),
	}
	s.topics = inventory.Topics{
		Group: w.prefix + "inventory", Orders: w.topic("orders", orderPartitions),
		Exceptions:    w.topic("exceptions", orderPartitions),
		Confirmations: w.topic("confirmations", orderPartitions),
		Replies:       s.stock.Replies, Requests: s.stock.Requests,
		OrderChecks: w.topic("order-checks", orderPartitions),
	}
	w.topic("inventory-table", orderPartitions, "cleanup.policy", "compact")
	w.topic("inventory-stock-table", orderPartitions, "cleanup.policy", "compact")
	w.topic("dead-letters", 1)
	return s
}

func (s store) byOrder(e *engine.Engine) *goka.GroupGraph {
	return inventory.Define(s.topics, checked(e))
}

func (s store) byProduct(e *engine.Engine) *goka.GroupGraph {
	return inventory.DefineStock(s.stock, checked(e))
}

func checked(e *engine.Engine) func(goka.ProcessCallback) goka.ProcessCallback {
	return func(cb goka.ProcessCallback) goka.ProcessCallback {
		return e.Wrap(cb, schemas.CheckKey)
	}
}

// lines are what an order wants: one to three products, one of them in two lines.
func lines(i int) []*tallyv1.Line {
	var all []*tallyv1.Line
	for k := range 1 + i%4 {
		all = append(all, &tallyv1.Line{
			ProductId: fmt.Sprintf("product-%d", (i+k%3)%stockProducts),
			Quantity:  int64(1 + i%2), Price: schemas.Money(1, "EUR"),
		})
	}
	return all
}

// ships tells whether an order is confirmed; the others expire.
func ships(i int) bool { return i%3 != 0 }

// round sends orders, what became of them, and new stock.
func (s store) round(n int) {
	s.t.Helper()
	var all []*kgo.Record
	add := func(topic, key string, m proto.Message) {
		value, err := proto.Marshal(m)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, &kgo.Record{
			Topic: topic, Key: []byte(key), Value: value,
			Timestamp: time.UnixMilli(int64(1000*n + len(all))),
		})
	}
	for i := range stockProducts {
		id := fmt.Sprintf("product-%d", i)
		add(s.stock.Stock, id, &tallyv1.StockEvent{Event: &tallyv1.StockEvent_StockAdded{
			StockAdded: &tallyv1.StockAdded{ProductId: id, Quantity: stockAdded},
		}})
	}
	for i := n * stockOrders; i < (n+1)*stockOrders; i++ {
		id := fmt.Sprintf("order-%d", i)
		placed := &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{
			OrderPlaced: &tallyv1.OrderPlaced{
				OrderId: id, Total: schemas.Money(1, "EUR"), Lines: lines(i),
			},
		}}
		add(s.topics.Orders, id, placed)
		if i%5 == 0 {
			add(s.topics.Orders, id, placed) // twice
		}
		if ships(i) {
			add(s.topics.Confirmations, id, &tallyv1.ConfirmationEvent{
				Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: &tallyv1.OrderConfirmed{
					OrderId: id, Total: schemas.Money(0, "EUR"),
				}},
			})
			continue
		}
		add(s.topics.Exceptions, id, &tallyv1.ExceptionEvent{
			Event: &tallyv1.ExceptionEvent_OrderWithdrawn{
				OrderWithdrawn: &tallyv1.OrderWithdrawn{OrderId: id},
			},
		})
	}
	s.send(orderPartitions, all...)
}

// rows are the last values of a table's keys.
func rows[T proto.Message](s store, table string, c schemas.RowCodec[T]) map[string]T {
	s.t.Helper()
	all := map[string]T{}
	for _, r := range s.committed(table) {
		row, err := c.Unmarshal(r.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		all[string(r.Key)] = row
	}
	return all
}

// settled tells whether every order has its check and the stock has shipped or
// released all that was reserved.
func (s store) settled() bool {
	s.t.Helper()
	if len(s.committed(s.topics.OrderChecks)) < rounds*stockOrders {
		return false
	}
	want := s.shipped()
	stock := rows(s, s.stock.Group+"-table", schemas.StockRows)
	for i := range stockProducts {
		id := fmt.Sprintf("product-%d", i)
		if row := stock[id]; row.GetReserved() != 0 || row.GetShipped() != want[id] ||
			row.GetOnHand()+row.GetShipped() != rounds*stockAdded {
			return false
		}
	}
	return true
}

// shipped is what the orders that were confirmed and had all that they wanted come
// to.
func (s store) shipped() map[string]int64 {
	s.t.Helper()
	all := map[string]int64{}
	for _, r := range s.committed(s.topics.OrderChecks) {
		m, err := schemas.OrderChecks.Unmarshal(r.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		var i int
		if _, err := fmt.Sscanf(string(r.Key), "order-%d", &i); err != nil {
			s.t.Fatal(err)
		}
		if m.GetStockReserved() != nil && ships(i) {
			for _, l := range lines(i) {
				all[l.GetProductId()] += l.GetQuantity()
			}
		}
	}
	return all
}

// TestStockOutlivesItsWorkers: all stock that came in is on hand or shipped to
// orders that had all their lines, and each order has one check, though the
// workers of either half of the service die before and after their commits.
func TestStockOutlivesItsWorkers(t *testing.T) {
	for _, dies := range []string{"inventory", "inventory-stock"} {
		t.Run(dies, func(t *testing.T) {
			each(t, func(w *world) {
				s := newStore(w)
				group, mortal, lasting, immortal := s.topics.Group, s.byOrder, s.stock.Group, s.byProduct
				if dies == "inventory-stock" {
					group, mortal, lasting, immortal = lasting, immortal, group, mortal
				}
				other := w.start(lasting, immortal, fault{})
				w.dying(group, mortal, s.round, func() bool { return other.lives() && s.settled() })
				other.stop()
				if err := other.end(); err != nil {
					w.t.Errorf("the other half ended with %v", err)
				}
				s.judge()
			})
		})
	}
}

// judge holds the checks and the tables against what was sent.
func (s store) judge() {
	s.t.Helper()
	checks, reserved := map[string]int{}, 0
	for _, r := range s.committed(s.topics.OrderChecks) {
		m, err := schemas.OrderChecks.Unmarshal(r.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		checks[string(r.Key)]++
		if m.GetStockReserved() != nil {
			reserved++
		}
	}
	table := rows(s, s.topics.Group+"-table", schemas.InventoryRows)
	for i := range rounds * stockOrders {
		id := fmt.Sprintf("order-%d", i)
		if checks[id] != 1 {
			s.t.Errorf("%s has %d checks", id, checks[id])
		}
		switch state := table[id].GetState(); {
		case state == tallyv1.InventoryRow_REFUSED:
		case state == tallyv1.InventoryRow_SHIPPED && ships(i):
		case state == tallyv1.InventoryRow_RELEASED && !ships(i):
		default:
			s.t.Errorf("%s is %s, it ships: %t", id, state, ships(i))
		}
	}
	if reserved == 0 || reserved == rounds*stockOrders {
		s.t.Errorf("of %d orders %d were reserved: that proves little", rounds*stockOrders, reserved)
	}
	if n := len(s.committed(s.prefix + "dead-letters")); n != 0 {
		s.t.Errorf("%d dead letters", n)
	}
}
