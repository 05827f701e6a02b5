package inventory_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"tallystick/processors/inventory"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

var topics = inventory.Topics{
	Group: "tally-inventory", Orders: "orders", Exceptions: "exceptions",
	Confirmations: "confirmations", Replies: "tally-inventory-replies",
	Requests: "tally-inventory-requests", OrderChecks: "order-checks",
}

var stockTopics = inventory.StockTopics{
	Group: "tally-inventory-stock", Stock: "stock",
	Requests: "tally-inventory-requests", Replies: "tally-inventory-replies",
}

// bare wraps callbacks in nothing.
func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

// TestGraphs sends orders through both processors at once: the inner topics carry
// what one asks and the other answers, each under its key.
func TestGraphs(t *testing.T) {
	for _, json := range []bool{false, true} {
		names := topics
		names.JSON = json
		done := make(chan struct{})
		go func() {
			defer close(done)
			sendThrough(t, names)
		}()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatal("a processor has stopped, and Goka's tester waits for it")
		}
	}
}

func sendThrough(t *testing.T, names inventory.Topics) {
	gkt := tester.New(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 2)
	for _, graph := range []*goka.GroupGraph{
		inventory.Define(names, bare), inventory.DefineStock(stockTopics, bare),
	} {
		proc, err := goka.NewProcessor(nil, graph, goka.WithTester(gkt))
		if err != nil {
			t.Error(err)
			return
		}
		go func() { ended <- proc.Run(ctx) }()
	}
	requests := gkt.NewQueueTracker(topics.Requests)
	checks := gkt.NewQueueTracker("order-checks")

	gkt.Consume("stock", "shirt", added("shirt", 3))
	gkt.Consume("orders", "o1", order("o1", want("shirt", 2), want("sock", 1)))
	if key, m, _ := checks.Next(); key != "o1" ||
		strings.Join(m.(*tallyv1.OrderCheckEvent).GetStockShort().GetProductIds(), " ") != "sock" {
		t.Errorf("check of %q: %v", key, m)
	}
	for _, want := range []string{"shirt", "sock", "shirt"} { // the last is the release
		if key, m, _ := requests.Next(); key != want {
			t.Errorf("%v was asked of %q, not of %q", m, key, want)
		}
	}
	gkt.Consume("orders", "o2", order("o2", want("shirt", 3)), tester.WithTime(time.Unix(7, 0)))
	_, m, _ := checks.Next()
	check, _ := m.(*tallyv1.OrderCheckEvent)
	if check.GetStockReserved().GetOrderId() != "o2" {
		t.Errorf("check of o2: %v", m)
	}
	if at := check.GetMeta().GetAt().GetSeconds(); at != 7 {
		t.Errorf("reserved at %d, the order is of 7", at)
	}
	gkt.Consume("exceptions", "o2", expired("o2"))
	gkt.Consume("orders", "o3", order("o3", want("shirt", 2)))
	gkt.Consume("confirmations", "o3", confirmed("o3"))
	for id, want := range map[string]tallyv1.InventoryRow_State{
		"o1": tallyv1.InventoryRow_REFUSED, "o2": tallyv1.InventoryRow_RELEASED,
		"o3": tallyv1.InventoryRow_SHIPPED,
	} {
		row, _ := gkt.TableValue("tally-inventory-table", id).(*inventory.Row)
		if row.GetState() != want {
			t.Errorf("%s is %v", id, row)
		}
	}
	row, _ := gkt.TableValue("tally-inventory-stock-table", "shirt").(*inventory.StockRow)
	if row.GetOnHand() != 1 || row.GetReserved() != 0 || row.GetShipped() != 2 {
		t.Errorf("stock: %v", row)
	}
	stop()
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func want(product string, quantity int64) *tallyv1.Line {
	return &tallyv1.Line{ProductId: product, Quantity: quantity, Price: schemas.Money(1, "EUR")}
}

func added(product string, quantity int64) *tallyv1.StockEvent {
	return &tallyv1.StockEvent{Event: &tallyv1.StockEvent_StockAdded{
		StockAdded: &tallyv1.StockAdded{ProductId: product, Quantity: quantity},
	}}
}

// TestGraphsRefuseMalformed: what wrap lets through and is no message makes the
// processor fail; it is not taken for an event.
func TestGraphsRefuseMalformed(t *testing.T) {
	letThrough := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, _ any) { cb(ctx, schemas.Malformed{Reason: "nonsense"}) }
	}
	release := &tallyv1.StockCommand{Command: &tallyv1.StockCommand_ReleaseStock{
		ReleaseStock: &tallyv1.ReleaseStock{ProductId: "p1", OrderId: "o1", Quantity: 1},
	}}
	for _, c := range []struct {
		topic string
		msg   any
		graph *goka.GroupGraph
		want  string
	}{
		{"orders", order("o1"), inventory.Define(topics, letThrough), "is not a"},
		{"exceptions", expired("o1"), inventory.Define(topics, letThrough), "is not a"},
		{"confirmations", confirmed("o1"), inventory.Define(topics, letThrough), "is not a"},
		{
			topics.Replies, reply("o1", want("p1", 1), true),
			inventory.Define(topics, letThrough), "is not a",
		},
		{"stock", added("p1", 1), inventory.DefineStock(stockTopics, letThrough), "is not a"},
		{topics.Requests, release, inventory.DefineStock(stockTopics, letThrough), "is not a"},
		// Nothing is reserved that could be released.
		{
			topics.Requests, release, inventory.DefineStock(stockTopics, bare),
			inventory.ErrNotReserved.Error(),
		},
	} {
		gkt := tester.New(t)
		proc, err := goka.NewProcessor(nil, c.graph, goka.WithTester(gkt))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- proc.Run(t.Context()) }()
		gkt.Consume(c.topic, "k", c.msg)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the processor ended with %v", c.topic, err)
		}
	}
}
