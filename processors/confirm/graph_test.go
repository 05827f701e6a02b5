package confirm_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"

	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

var topics = confirm.Topics{
	Group: "tally-confirm", Orders: "orders", Payments: "payments",
	Corrections: "corrections", Confirmations: "confirmations", Exceptions: "exceptions",
}

// bare wraps callbacks in nothing.
func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

// TestGraph sends an order and payments through the graph: the right topics, the
// right table, the key of the order, the record's time.
func TestGraph(t *testing.T) {
	for _, set := range []struct{ named, json bool }{{}, {named: true}, {named: true, json: true}} {
		names := topics
		names.CloudEvents, names.JSON = set.named, set.json
		done := make(chan struct{})
		go func() {
			defer close(done)
			sendThrough(t, names)
		}()
		select {
		case <-done:
		case <-time.After(30 * time.Second):
			t.Fatal("the processor has stopped, and Goka's tester waits for it")
		}
	}
}

func sendThrough(t *testing.T, names confirm.Topics) {
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, confirm.Rules{}.Define(names, bare), goka.WithTester(gkt))
	if err != nil {
		t.Error(err)
		return
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()

	confirmed := gkt.NewQueueTracker("confirmations")
	excess := gkt.NewQueueTracker("exceptions")
	gkt.Consume("payments", "o1", payment("p1", 700))
	gkt.Consume("orders", "o1", order(1000))
	if _, m, more := confirmed.Next(); more {
		t.Errorf("confirmed too early: %v", m)
	}
	gkt.Consume("payments", "o1", payment("p2", 700), tester.WithTime(time.Unix(7, 0)))

	headers, key, m, ok := confirmed.NextWithHeaders()
	event, _ := m.(*tallyv1.ConfirmationEvent)
	if !ok || key != "o1" || event.GetOrderConfirmed().GetTotal().GetMinor() != 1000 {
		t.Errorf("confirmation at %q: %v", key, m)
	}
	if at := event.GetMeta().GetAt().GetSeconds(); at != 7 {
		t.Errorf("confirmed at %d, the last record is of 7", at)
	}
	checkHeaders(t, names, headers, event.GetMeta().GetId(), "tally.v1.OrderConfirmed")
	headers, key, m, ok = excess.NextWithHeaders()
	rest, _ := m.(*tallyv1.ExceptionEvent)
	if !ok || key != "o1" || rest.GetPaymentExcess().GetExcess().GetMinor() != 400 {
		t.Errorf("excess at %q: %v", key, m)
	}
	checkHeaders(t, names, headers, rest.GetMeta().GetId(), "tally.v1.PaymentExcess")
	row, _ := gkt.TableValue("tally-confirm-table", "o1").(*confirm.Row)
	if row == nil || row.State != tallyv1.ConfirmRow_CONFIRMED || len(row.Payments) != 2 {
		t.Errorf("row: %+v", row)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func checkHeaders(t *testing.T, names confirm.Topics, got goka.Headers, id, kind string) {
	t.Helper()
	if !names.CloudEvents {
		if len(got) != 0 {
			t.Errorf("headers nobody asked for: %v", got)
		}
		return
	}
	want := map[string]string{
		"ce_id": id, "ce_type": kind, "ce_source": "tally-confirm", "ce_specversion": "1.0",
		"content-type": "application/protobuf",
	}
	if names.JSON {
		want["content-type"] = "application/json"
	}
	if len(got) != len(want) {
		t.Errorf("headers %v, want %v", got, want)
	}
	for name, value := range want {
		if string(got[name]) != value {
			t.Errorf("header %s is %q, want %q", name, got[name], value)
		}
	}
}

// TestGraphRefusesMalformed: what wrap lets through and is no message makes the
// processor fail; it is not taken for an event.
func TestGraphRefusesMalformed(t *testing.T) {
	letThrough := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, _ any) { cb(ctx, schemas.Malformed{Reason: "nonsense"}) }
	}
	for topic, msg := range map[string]any{
		"orders": order(1), "payments": payment("p1", 1), "corrections": adjustment("p1", 1),
	} {
		gkt := tester.New(t)
		proc, err := goka.NewProcessor(nil, confirm.Rules{}.Define(topics, letThrough),
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

// TestGraphCorrects: corrections are an input like the others, and without a topic
// of them the graph has none.
func TestGraphCorrects(t *testing.T) {
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, confirm.Rules{}.Define(topics, bare), goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	confirmed := gkt.NewQueueTracker("confirmations")
	gkt.Consume("orders", "o1", order(1000))
	gkt.Consume("corrections", "o1", adjustment("p1", 1000))
	_, m, ok := confirmed.Next()
	event, _ := m.(*tallyv1.ConfirmationEvent)
	if causes := event.GetMeta().GetCauses(); !ok || len(causes) != 2 || causes[1] != "c-p1" {
		t.Errorf("confirmed because of %q", causes)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	none := topics
	none.Corrections = ""
	for _, in := range (confirm.Rules{}).Define(none, bare).InputStreams() {
		if in.Topic() != "orders" && in.Topic() != "payments" {
			t.Errorf("it reads %q", in.Topic())
		}
	}
}

// inner is a context by a name that is not one of its methods.
type inner = goka.Context

// streamContext is a context of an engine that has a stream time.
type streamContext struct {
	inner
	stream time.Time
}

func (c streamContext) StreamTime() time.Time { return c.stream }

// TestGraphLapses: a row lapses by the timers, and by the stream time of a record
// whose own time is before the deadline; when its time is over it is deleted.
func TestGraphLapses(t *testing.T) {
	names := topics
	names.Timers = "tally-confirm-timers"
	stream := time.Unix(0, 0)
	wrap := func(cb goka.ProcessCallback) goka.ProcessCallback {
		return func(ctx goka.Context, m any) { cb(streamContext{ctx, stream}, m) }
	}
	rules := confirm.Rules{
		PayWithin: time.Minute, KeepSettled: time.Minute, KeepDigest: time.Minute,
		RequireValidation: true,
	}
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, rules.Define(names, wrap), goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	state := func() string {
		row, _ := gkt.TableValue("tally-confirm-table", "o1").(*confirm.Row)
		if row == nil {
			return "none"
		}
		return fmt.Sprintf("%s until %d", row.State, row.Deadline/1e6)
	}
	validated := &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderValidated{
		OrderValidated: &tallyv1.OrderValidated{Order: order(1000).GetOrderPlaced()},
	}}
	refused := &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderRefused{
		OrderRefused: &tallyv1.OrderRefused{
			OrderId: "o1", Reason: tallyv1.OrderRefused_ID_TAKEN, Command: "PlaceOrder",
		},
	}}
	second := func(n int64) tester.EmitOption { return tester.WithTime(time.Unix(n, 0)) }
	for _, step := range []struct {
		stream int64
		send   func()
		want   string
	}{
		{10, func() { gkt.Consume("orders", "o1", order(1000), second(10)) }, "none"},
		{10, func() { gkt.Consume("orders", "o1", refused, second(10)) }, "none"},
		{10, func() { gkt.Consume("orders", "o1", validated, second(10)) }, "PENDING until 70"},
		{
			70, func() { gkt.Consume("payments", "o1", payment("p1", 1), second(70)) },
			"PENDING until 70",
		},
		{
			71, func() { gkt.Consume("payments", "o1", payment("p2", 1), second(69)) },
			"EXPIRED until 130",
		},
		{71, func() { gkt.Consume(names.Timers, "o1", "stream", second(70)) }, "EXPIRED until 130"},
		{131, func() { gkt.Consume(names.Timers, "o1", "wall", second(130)) }, "EXPIRED until 190"},
		{191, func() { gkt.Consume(names.Timers, "o1", "stream", second(190)) }, "none"},
		{191, func() { gkt.Consume(names.Timers, "o1", "stream", second(190)) }, "none"},
	} {
		stream = time.Unix(step.stream, 0)
		if step.send(); state() != step.want {
			t.Errorf("at %d the row is %s, want %s", step.stream, state(), step.want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func order(total int64) *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: "o1", Total: schemas.Money(total, "EUR"),
		}},
	}
}

func payment(id string, amount int64) *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: "o1", Amount: schemas.Money(amount, "EUR"),
		}},
	}
}

func adjustment(id string, amount int64) *tallyv1.CorrectionEvent {
	return &tallyv1.CorrectionEvent{
		Meta: &tallyv1.Meta{Id: "c-" + id},
		Event: &tallyv1.CorrectionEvent_PaymentAdjusted{PaymentAdjusted: &tallyv1.PaymentAdjusted{
			PaymentId: id, OrderId: "o1", Amount: schemas.Money(amount, "EUR"),
			Reason: "a digit was lost", By: "ann",
		}},
	}
}
