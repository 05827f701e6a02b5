package lookup

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

func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

// TestGraph sends notices through the graph: of a record nothing but the order's
// id counts, each makes one look-up, and one that gets no answer is given up.
func TestGraph(t *testing.T) {
	s, asked := server(t, body(unpaidAnswer), body(paidAnswer), body(paidAnswer), status(403))
	c := client(t, asking(s, &clock{}))
	var lost []string
	topics := Topics{
		Group: "tally-lookup", Orders: "orders", Payments: "payments",
		Confirmations: "confirmations",
		GivenUp:       func(id string, _ error) { lost = append(lost, id) },
	}
	graph := Define(topics, c, bare)
	if graph.GroupTable() != nil {
		t.Error("it has a table")
	}
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, graph, goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	confirmed := gkt.NewQueueTracker("confirmations")
	gkt.Consume("orders", "o1", order(999_999))
	if _, m, more := confirmed.Next(); more {
		t.Errorf("confirmed what is not paid: %v", m)
	}
	gkt.Consume("payments", "o1", payment("p1", 1), tester.WithTime(time.Unix(7, 0)))
	key, m, _ := confirmed.Next()
	event, _ := m.(*tallyv1.ConfirmationEvent)
	if key != "o1" || event.GetOrderConfirmed().GetTotal().GetMinor() != 10 {
		t.Errorf("got %q %v", key, m)
	}
	gkt.Consume("payments", "o1", payment("p2", 1))
	gkt.Consume("payments", "o1", payment("p3", 1))
	if _, m, more := confirmed.Next(); more {
		t.Errorf("confirmed twice: %v", m)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if asked.Load() != 4 || len(lost) != 1 || lost[0] != "o1" {
		t.Errorf("asked %d times, given up %q", asked.Load(), lost)
	}
}

// TestGraphRefusesMalformed: what wrap lets through and is no message makes the
// processor fail, and nobody is asked about it.
func TestGraphRefusesMalformed(t *testing.T) {
	s, asked := server(t, status(404))
	letThrough := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, _ any) { cb(ctx, schemas.Malformed{Reason: "nonsense"}) }
	}
	for topic, msg := range map[string]any{"orders": order(1), "payments": payment("p1", 1)} {
		gkt := tester.New(t)
		graph := Define(Topics{
			Group: "tally-lookup", Orders: "orders", Payments: "payments",
			Confirmations: "confirmations",
		}, client(t, asking(s, &clock{})), letThrough)
		proc, err := goka.NewProcessor(nil, graph, goka.WithTester(gkt))
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
	if asked.Load() != 0 {
		t.Errorf("asked %d times", asked.Load())
	}
}
