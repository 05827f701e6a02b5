package window

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

var topics = Topics{
	Group: "tally-window", Orders: "orders", Payments: "payments",
	Confirmations: "confirmations",
}

func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

// TestGraph sends an order and a payment through the graph, and loses one.
func TestGraph(t *testing.T) {
	gkt := tester.New(t)
	names := topics
	var lost []string
	names.Lost = func(id string, why Loss) { lost = append(lost, id+": "+string(why)) }
	graph := DefaultRules().Define(names, bare)
	if graph.GroupTable() != nil {
		t.Error("it has a table")
	}
	proc, err := goka.NewProcessor(nil, graph, goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	confirmed := gkt.NewQueueTracker("confirmations")
	at := func(minutes int) tester.EmitOption {
		return tester.WithTime(time.Unix(1_750_000_000, 0).Add(time.Duration(minutes) * time.Minute))
	}
	gkt.Consume("payments", "o1", payment("p1", "o1", 10), at(0))
	gkt.Consume("orders", "o1", order("o1", 10), at(1))
	key, m, _ := confirmed.Next()
	event, _ := m.(*tallyv1.ConfirmationEvent)
	if key != "o1" || event.GetOrderConfirmed().GetTotal().GetMinor() != 10 {
		t.Errorf("got %q %v", key, m)
	}
	gkt.Consume("orders", "o2", order("o2", 10), at(2))
	gkt.Consume("payments", "o2", payment("p2", "o2", 10), at(14))
	if _, m, more := confirmed.Next(); more {
		t.Errorf("confirmed beyond the window: %v", m)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if len(lost) != 1 || lost[0] != "o2: the window ended" {
		t.Errorf("lost %q", lost)
	}
}

// TestGraphRefusesMalformed: what wrap lets through and is no message makes the
// processor fail.
func TestGraphRefusesMalformed(t *testing.T) {
	letThrough := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, _ any) { cb(ctx, schemas.Malformed{Reason: "nonsense"}) }
	}
	for topic, msg := range map[string]any{
		"orders": order("o1", 1), "payments": payment("p1", "o1", 1),
	} {
		gkt := tester.New(t)
		proc, err := goka.NewProcessor(nil, DefaultRules().Define(topics, letThrough),
			goka.WithTester(gkt))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- proc.Run(t.Context()) }()
		gkt.Consume(topic, "o1", msg)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "is not a") {
			t.Errorf("%s: the processor ended with %v", topic, err)
		}
	}
}
