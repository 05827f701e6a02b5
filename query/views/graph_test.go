package views_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"tallystick/query/views"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

var graphTopics = views.Topics{
	Group: "tally-views", Orders: "orders", Payments: "payments-by-order",
	Confirmations: "confirmations", Exceptions: "exceptions", Commands: "order-commands",
	OrderChecks: "order-checks", Notices: "notices", Corrections: "corrections",
}

// TestGraph sends a command and its answer through the graph: one row, and a change
// for each record.
func TestGraph(t *testing.T) {
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, views.Define(graphTopics, bare), goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	changes := gkt.NewQueueTracker("tally-views-effects")
	at := tester.WithTime(time.Unix(7, 0))
	gkt.Consume("order-commands", "o", asked(0).Said, at)
	gkt.Consume("orders", "o", placed(0, 700).Said, at)
	for _, want := range []struct {
		kind       string
		was, state tallyv1.OrderView_State
	}{
		{"PlaceOrder", tallyv1.OrderView_AWAITING_ORDER, tallyv1.OrderView_ASKED},
		{"OrderPlaced", tallyv1.OrderView_ASKED, tallyv1.OrderView_PLACED},
	} {
		key, m, ok := changes.Next()
		c, _ := m.(*tallyv1.OrderViewed)
		if !ok || key != "o" || views.KindOf(c.GetTopic(), c.GetKind()) != want.kind ||
			c.GetWas() != want.was || c.GetState() != want.state || c.GetTimeUs() != 7e6 {
			t.Errorf("%s: %v, want %+v", key, m, want)
		}
	}
	row, _ := gkt.TableValue("tally-views-table", "o").(*views.Row)
	if row.GetPlaced().GetAtUs() != 7e6 || row.GetState() != tallyv1.OrderView_PLACED {
		t.Errorf("the row is %v", row)
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
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, views.Define(graphTopics, letThrough),
		goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(t.Context()) }()
	gkt.Consume("orders", "o", placed(0, 700).Said)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "is not a record of orders") {
		t.Errorf("the processor ended with %v", err)
	}
}

// TestGraphPassesOver: what is not valid, or under another order's key, is neither an
// error, which would bury it a second time, nor in a row.
func TestGraphPassesOver(t *testing.T) {
	graph := views.Define(graphTopics, bare)
	for _, in := range graph.InputStreams() {
		v, err := in.Codec().Decode([]byte("nonsense"))
		if bad, ok := v.(error); ok || err != nil {
			t.Errorf("nonsense on %s is %v, %v: it would be buried", in.Topic(), bad, err)
		}
	}
	unreadable, _ := graph.InputStreams()[0].Codec().Decode([]byte("nonsense"))
	nonsense := false
	sometimes := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, msg any) {
			if nonsense = ctx.Key() == "o"; nonsense {
				msg = unreadable
			}
			cb(ctx, msg)
		}
	}
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, views.Define(graphTopics, sometimes),
		goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	gkt.Consume("orders", "another", placed(0, 700).Said)
	gkt.Consume("orders", "o", placed(1, 700).Said)
	for _, key := range []string{"o", "another"} {
		if row := gkt.TableValue("tally-views-table", key); row != nil {
			t.Errorf("%s has the row %v", key, row)
		}
	}
	stop()
	if err := <-ended; err != nil || !nonsense {
		t.Errorf("the processor ended with %v; it got nonsense: %t", err, nonsense)
	}
}

// TestKindsAreNamed: a kind is named by its field in the envelope of its topic.
func TestKindsAreNamed(t *testing.T) {
	if got := views.KindOf(tallyv1.OrderView_ORDERS, 3); got != "OrderPlaced" {
		t.Errorf("field 3 of orders is %q", got)
	}
	if got := views.KindOf(tallyv1.OrderView_ORDERS, 2); got != "Meta" {
		t.Errorf("field 2 of orders is %q", got)
	}
	if got := views.KindOf(tallyv1.OrderView_ORDERS, 99); got != "" {
		t.Errorf("field 99 of orders is %q", got)
	}
	b, err := schemas.OrderViews.Marshal(&views.Row{})
	if err != nil || len(b) != 0 {
		t.Errorf("an empty row is %x, %v", b, err)
	}
}
