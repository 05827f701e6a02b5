package validate_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"tallystick/processors/validate"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

var topics = validate.Topics{
	Group: "tally-validate", Orders: "orders", OrderChecks: "order-checks",
}

// TestGraph sends an order and its checks through the graph, which reads what it
// says itself, and makes nothing of it.
func TestGraph(t *testing.T) {
	gkt := tester.New(t)
	names := topics
	names.CloudEvents = true
	proc, err := goka.NewProcessor(nil, validate.Rules{}.Define(names, bare), goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	said := gkt.NewQueueTracker("orders")
	gkt.Consume("order-checks", "o1", checkEvent("reserved", "", nil))
	gkt.Consume("order-checks", "o1", checkEvent("cleared", "", nil))
	gkt.Consume("orders", "o1", orderEvent("placed", 1000))
	gkt.Consume("order-checks", "o1", checkEvent("accepted", "", nil),
		tester.WithTime(time.Unix(7, 0)))
	var all []*tallyv1.OrderEvent
	for {
		headers, key, m, more := said.NextWithHeaders()
		if !more {
			break
		}
		e, _ := m.(*tallyv1.OrderEvent)
		if e.GetOrderPlaced() != nil { // what came in
			continue
		}
		if all = append(all, e); key != "o1" || string(headers["ce_source"]) != "tally-validate" {
			t.Errorf("at %q with %v", key, headers)
		}
	}
	if len(all) != 1 || all[0].GetOrderValidated() == nil ||
		all[0].GetMeta().GetAt().GetSeconds() != 7 {
		t.Errorf("it said %v", all)
	}
	row, _ := gkt.TableValue("tally-validate-table", "o1").(*validate.Row)
	if row.GetState() != tallyv1.ValidateRow_VALIDATED {
		t.Errorf("row %v", row)
	}
	gkt.Consume("orders", "o2", orderEvent("refused", 0))
	if row := gkt.TableValue("tally-validate-table", "o2"); row != nil {
		t.Errorf("a refused command left %v", row)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestGraphRefusesMalformed: what wrap lets through and is no message makes the
// processor fail.
func TestGraphRefusesMalformed(t *testing.T) {
	letThrough := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, _ any) { cb(ctx, schemas.Malformed{Reason: "nonsense"}) }
	}
	for topic, msg := range map[string]any{
		"orders": orderEvent("placed", 1), "order-checks": checkEvent("cleared", "", nil),
	} {
		gkt := tester.New(t)
		proc, err := goka.NewProcessor(nil, validate.Rules{}.Define(topics, letThrough),
			goka.WithTester(gkt))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- proc.Run(t.Context()) }()
		gkt.Consume(topic, "o1", msg)
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "is not an order") {
			t.Errorf("%s: the processor ended with %v", topic, err)
		}
	}
}
