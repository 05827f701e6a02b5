package fraud_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"
	"google.golang.org/protobuf/proto"

	"tallystick/processors/fraud"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

const inner = "tally-fraud-orders"

var (
	rekeyTopics = fraud.RekeyTopics{
		Group: "tally-fraud-rekey", Orders: "orders", CustomerOrders: inner,
	}
	topics = fraud.Topics{
		Group: "tally-fraud", CustomerOrders: inner, OrderChecks: "order-checks",
	}
)

// bare wraps callbacks in nothing.
func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

func order(id, customer string, total int64) *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{
		OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: id, CustomerId: customer, Total: schemas.Money(total, "EUR"),
			Lines: []*tallyv1.Line{{
				ProductId: "shirt", Quantity: 1, Price: schemas.Money(total, "EUR"),
			}},
		},
	}}
}

// TestGraphs sends orders through both processors: they are judged by customer,
// at the times of their records, and the verdicts are under the order's key.
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

func sendThrough(t *testing.T, names fraud.Topics) {
	gkt := tester.New(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 2)
	for _, graph := range []*goka.GroupGraph{
		fraud.DefineRekey(rekeyTopics, bare), fraud.Rules{Limit: 1000}.Define(names, bare),
	} {
		proc, err := goka.NewProcessor(nil, graph, goka.WithTester(gkt))
		if err != nil {
			t.Error(err)
			return
		}
		go func() { ended <- proc.Run(ctx) }()
	}
	orders, checks := gkt.NewQueueTracker(inner), gkt.NewQueueTracker("order-checks")
	gkt.Consume("orders", "o0", &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderCancelled{
		OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o0"},
	}})
	for _, o := range []struct {
		id, customer, key string
		clears            bool
	}{
		{"o1", "c1", "c1", true},
		{"o2", "c1", "c1", false},
		{"o3", "c2", "c2", true},
		{"o4", "", "o4", true},
	} {
		gkt.Consume("orders", o.id, order(o.id, o.customer, 600))
		if key, m, _ := orders.Next(); key != o.key || schemas.CheckKey(key, m) != nil {
			t.Errorf("%s is handed on under %q: %v", o.id, key, m)
		}
		key, m, ok := checks.Next()
		check, _ := m.(*tallyv1.OrderCheckEvent)
		if !ok || key != o.id || schemas.CheckKey(key, m) != nil ||
			(check.GetFraudCleared() != nil) != o.clears {
			t.Errorf("verdict of %s under %q: %v", o.id, key, m)
		}
		if want := schemas.PlacedID(nil, order(o.id, o.customer, 600).GetOrderPlaced()); !ok ||
			len(check.GetMeta().GetCauses()) != 1 || check.GetMeta().GetCauses()[0] != want {
			t.Errorf("%s: the verdict follows from %v, not from %s", o.id, check.GetMeta(), want)
		}
	}
	row, _ := gkt.TableValue("tally-fraud-table", "c1").(*fraud.Row)
	if len(row.GetEntries()) != 2 || row.GetEntries()[1].GetReason() == "" {
		t.Errorf("row: %v", row)
	}
	stop()
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestRecordTime: what counts is the time of the record, and not the time that the
// event says.
func TestRecordTime(t *testing.T) {
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, fraud.Rules{}.Define(topics, bare), goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	m := order("o1", "c1", 600)
	m.Meta = schemas.MetaOf("e1", 5_000_000)
	key, e := fraud.Rekey(m, time.Unix(6, 0))
	gkt.Consume(inner, key, e, tester.WithTime(time.Unix(7, 0)))
	row, _ := gkt.TableValue("tally-fraud-table", "c1").(*fraud.Row)
	if len(row.GetEntries()) != 1 || row.GetEntries()[0].GetAtUs() != 7_000_000 {
		t.Errorf("row: %v", row)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestRekey: what is handed on are the bytes of an order event without its lines,
// with the id and the time that others derive.
func TestRekey(t *testing.T) {
	m := order("o1", "c1", 600)
	m.Meta = &tallyv1.Meta{Causes: []string{"e0"}}
	key, e := fraud.Rekey(m, time.Unix(7, 0))
	b, err := schemas.CustomerOrders.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	again, err := schemas.Orders.Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	want := proto.CloneOf(m)
	want.GetOrderPlaced().Lines = nil
	want.Meta = schemas.MetaOf(schemas.PlacedID(nil, m.GetOrderPlaced()), 7_000_000, "e0")
	if key != "c1" || !proto.Equal(again, want) {
		t.Errorf("%q: %v, want %v", key, again, want)
	}
	if len(m.GetOrderPlaced().GetLines()) != 1 {
		t.Error("the order that was given was changed")
	}
}

// TestGraphsRefuseMalformed: what wrap lets through and is no message makes the
// processor fail; it is not taken for an event.
func TestGraphsRefuseMalformed(t *testing.T) {
	letThrough := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, _ any) { cb(ctx, schemas.Malformed{Reason: "nonsense"}) }
	}
	_, e := fraud.Rekey(order("o1", "c1", 1), time.Unix(1, 0))
	for _, c := range []struct {
		topic string
		msg   any
		graph *goka.GroupGraph
	}{
		{"orders", order("o1", "c1", 1), fraud.DefineRekey(rekeyTopics, letThrough)},
		{inner, e, fraud.Rules{}.Define(topics, letThrough)},
	} {
		gkt := tester.New(t)
		proc, err := goka.NewProcessor(nil, c.graph, goka.WithTester(gkt))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- proc.Run(t.Context()) }()
		gkt.Consume(c.topic, "c1", c.msg)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "is not an") {
			t.Errorf("%s: the processor ended with %v", c.topic, err)
		}
	}
}
