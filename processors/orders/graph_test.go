package orders_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"tallystick/processors/orders"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

func order(total int64) *tallyv1.OrderCommand {
	return &tallyv1.OrderCommand{Command: &tallyv1.OrderCommand_PlaceOrder{
		PlaceOrder: &tallyv1.PlaceOrder{
			OrderId: "o1", CustomerId: "c1", Total: schemas.Money(total, "EUR"),
		},
	}}
}

var topics = orders.Topics{Group: "tally-orders", Commands: "order-commands", Orders: "orders"}

// TestGraph sends commands through the graph: the right topics, the right table,
// the record's time, the headers that are asked for.
func TestGraph(t *testing.T) {
	for _, headers := range []bool{false, true} {
		names := topics
		names.CloudEvents, names.JSON = headers, headers
		gkt := tester.New(t)
		proc, err := goka.NewProcessor(nil, orders.Rules{}.Define(names, bare), goka.WithTester(gkt))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- proc.Run(ctx) }()
		said := gkt.NewQueueTracker("orders")
		gkt.Consume("order-commands", "o1", order(1000), tester.WithTime(time.Unix(7, 0)))
		gkt.Consume("order-commands", "o1", order(1000))
		gkt.Consume("order-commands", "o1", order(1001))

		got, key, m, ok := said.NextWithHeaders()
		event, _ := m.(*tallyv1.OrderEvent)
		if !ok || key != "o1" || event.GetOrderPlaced().GetTotal().GetMinor() != 1000 ||
			event.GetMeta().GetAt().GetSeconds() != 7 {
			t.Errorf("placed at %q: %v", key, m)
		}
		if headers != (string(got["ce_type"]) == "tally.v1.OrderPlaced") ||
			headers != (string(got["ce_id"]) == event.GetMeta().GetId()) ||
			headers != (string(got["content-type"]) == "application/json") {
			t.Errorf("headers %v", got)
		}
		_, m, _ = said.Next()
		if e, _ := m.(*tallyv1.OrderEvent); e.GetOrderRefused() == nil {
			t.Errorf("then it said %v", m)
		}
		if row, _ := gkt.TableValue("tally-orders-table", "o1").(*orders.Row); row == nil {
			t.Error("no row")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestGraphRefusesMalformed: what wrap lets through and is no message makes the
// processor fail.
func TestGraphRefusesMalformed(t *testing.T) {
	letThrough := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, _ any) { cb(ctx, schemas.Malformed{Reason: "nonsense"}) }
	}
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, orders.Rules{}.Define(topics, letThrough),
		goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(t.Context()) }()
	gkt.Consume("order-commands", "o1", order(1))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "is not an order command") {
		t.Errorf("the processor ended with %v", err)
	}
}
