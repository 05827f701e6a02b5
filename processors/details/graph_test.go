package details_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"tallystick/processors/details"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

var topics = details.Topics{
	Group: "tally-details", Orders: "orders", OrderChecks: "order-checks",
	Customers: "customers", Products: "products",
}

// TestGraph looks customers and products up.
func TestGraph(t *testing.T) {
	gkt := tester.New(t)
	var mu sync.Mutex
	var named []string
	names := topics
	names.CloudEvents = true
	names.Unreadable = func(topic, key string, err error) {
		mu.Lock()
		defer mu.Unlock()
		named = append(named, topic+" "+key+" "+err.Error())
	}
	proc, err := goka.NewProcessor(nil, details.Rules{}.Define(names, bare), goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	said := gkt.NewQueueTracker("order-checks")
	gkt.SetTableValue("customers", "c1", &tallyv1.CustomerEvent{
		Event: &tallyv1.CustomerEvent_CustomerUpdated{CustomerUpdated: &tallyv1.CustomerUpdated{
			CustomerId: "c1", Name: "Ann",
		}},
	})
	gkt.SetTableValue("products", "b", &tallyv1.ProductEvent{
		Event: &tallyv1.ProductEvent_ProductUpdated{ProductUpdated: &tallyv1.ProductUpdated{
			ProductId: "b", Discontinued: true,
		}},
	})
	next := func() *tallyv1.OrderCheckEvent {
		t.Helper()
		headers, key, m, ok := said.NextWithHeaders()
		e, _ := m.(*tallyv1.OrderCheckEvent)
		if !ok || key != "o1" || string(headers["ce_id"]) != e.GetMeta().GetId() {
			t.Errorf("at %q with %v: %v", key, headers, m)
		}
		return e
	}
	gkt.Consume("orders", "o1", order("c1", "a"), tester.WithTime(time.Unix(7, 0)))
	if e := next(); e.GetDetailsAccepted().GetContact().GetName() != "Ann" ||
		e.GetMeta().GetAt().GetSeconds() != 7 {
		t.Errorf("it said %v", e)
	}
	gkt.Consume("orders", "o1", order("", "b", "b"))
	if e := next(); e.GetDetailsRefused() == nil {
		t.Errorf("it said %v", e)
	}
	gkt.Consume("orders", "o1", &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderCancelled{
		OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o1"},
	}})
	if _, m, more := said.Next(); more {
		t.Errorf("about a cancel it said %v", m)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(named) != 0 {
		t.Errorf("named %q", named)
	}
}

// TestGraphRefusesMalformed: what wrap lets through and is no message makes the
// processor fail.
func TestGraphRefusesMalformed(t *testing.T) {
	letThrough := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, _ any) { cb(ctx, schemas.Malformed{Reason: "nonsense"}) }
	}
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, details.Rules{}.Define(topics, letThrough),
		goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(t.Context()) }()
	gkt.Consume("orders", "o1", order("c1"))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "is not an order") {
		t.Errorf("the processor ended with %v", err)
	}
}
