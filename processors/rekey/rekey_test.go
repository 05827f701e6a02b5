package rekey_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"tallystick/processors/rekey"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

func bare(cb goka.ProcessCallback) goka.ProcessCallback { return cb }

var topics = rekey.Topics{
	Group: "tally-rekey", Payments: "payments", PaymentsByOrder: "payments-by-order",
}

func received(id, order string) *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{
		Meta: &tallyv1.Meta{Id: "e-" + id},
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: order, Amount: schemas.Money(1, "EUR"),
		}},
	}
}

func reversed(id, order string) *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReversed{PaymentReversed: &tallyv1.PaymentReversed{
			PaymentId: id, OrderId: order,
		}},
	}
}

// TestGraph sends payments through the graph: the same events under another key,
// with their headers.
func TestGraph(t *testing.T) {
	gkt := tester.New(t)
	proc, err := goka.NewProcessor(nil, rekey.Define(topics, bare), goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	said := gkt.NewQueueTracker("payments-by-order")
	given := goka.Headers{"traceparent": []byte("x"), "content-type": []byte("application/json")}
	gkt.Consume("payments", "p1", received("p1", "o1"), tester.WithHeaders(given))
	gkt.Consume("payments", "p1", reversed("p1", "o1"))
	want := goka.Headers{"traceparent": []byte("x"), "content-type": []byte("application/protobuf")}
	for i, m := range []*tallyv1.PaymentEvent{received("p1", "o1"), reversed("p1", "o1")} {
		headers, key, got, ok := said.NextWithHeaders()
		if e, _ := got.(*tallyv1.PaymentEvent); !ok || key != "o1" || !proto.Equal(e, m) {
			t.Errorf("at %q: %v", key, got)
		}
		if i == 0 && fmt.Sprint(headers) != fmt.Sprint(want) || i == 1 && len(headers) != 0 {
			t.Errorf("headers %v", headers)
		}
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
	proc, err := goka.NewProcessor(nil, rekey.Define(topics, letThrough), goka.WithTester(gkt))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(t.Context()) }()
	gkt.Consume("payments", "p1", received("p1", "o1"))
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "is not a payment") {
		t.Errorf("the processor ended with %v", err)
	}
}

// TestHeaders: all headers go on as they came, but that which names a form names
// the one that is written. What came is left alone.
func TestHeaders(t *testing.T) { rapid.Check(t, headers) }

func headers(t *rapid.T) {
	names := rapid.SampledFrom([]string{"content-type", "ce_id", "x", ""})
	came := map[string][]byte{}
	for _, name := range rapid.SliceOfN(names, 0, 4).Draw(t, "names") {
		came[name] = []byte("as it came")
	}
	before := maps.Clone(came)
	got := rekey.Headers(came, "application/json")
	if fmt.Sprint(came) != fmt.Sprint(before) || len(got) != len(came) {
		t.Fatalf("%v became %v", before, got)
	}
	for name, value := range got {
		want := "as it came"
		if name == "content-type" {
			want = "application/json"
		}
		if string(value) != want {
			t.Fatalf("%s is %s", name, value)
		}
	}
}

// ExampleHeaders shows what goes on with a payment that came as JSON.
func ExampleHeaders() {
	came := map[string][]byte{"content-type": []byte("application/json"), "x": []byte("1")}
	goesOn := rekey.Headers(came, "application/protobuf")
	fmt.Printf("%s %s\n", goesOn["content-type"], goesOn["x"])
	// Output: application/protobuf 1
}
