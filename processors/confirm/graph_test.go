package confirm_test

import (
	"context"
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
	Confirmations: "confirmations", Exceptions: "exceptions",
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
	for topic, msg := range map[string]any{"orders": order(1), "payments": payment("p1", 1)} {
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
