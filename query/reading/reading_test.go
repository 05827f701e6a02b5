package reading_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/processors/confirm"
	"tallystick/processors/orders"
	"tallystick/query/reading"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

var at = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func placed() *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{
		OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: "o1", CustomerId: "ann", Total: schemas.Money(1200, "EUR"),
			Due: timestamppb.New(at.Add(time.Hour)),
		},
	}}
}

func paid() *tallyv1.PaymentEvent {
	return &tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReceived{
		PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: "p1", OrderId: "o1", Amount: schemas.Money(1500, "EUR"), Method: "card",
		},
	}}
}

func read[T proto.Message](t *testing.T, codec schemas.Codec[T], m T) reading.Event {
	t.Helper()
	b, err := codec.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	e, err := reading.Of(codec)(b)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEvent(t *testing.T) {
	e := read(t, schemas.Payments, paid())
	if e.Kind != "PaymentReceived" || e.Order() != "o1" {
		t.Errorf("got %s of %q", e.Kind, e.Order())
	}
	if got, want := e.Words(), "amount EUR 1,500, payment p1"; got != want {
		t.Errorf("words %q, want %q", got, want)
	}
	short := read(t, schemas.OrderChecks, &tallyv1.OrderCheckEvent{
		Event: &tallyv1.OrderCheckEvent_StockShort{StockShort: &tallyv1.StockShort{
			OrderId: "o1", ProductIds: []string{"tea", "cup"},
		}},
	})
	if got, want := short.Words(), "2 products"; got != want {
		t.Errorf("words %q, want %q", got, want)
	}
	validated := &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderValidated{
		OrderValidated: &tallyv1.OrderValidated{Order: placed().GetOrderPlaced()},
	}}
	if e := read(t, schemas.Orders, validated); e.Order() != "o1" {
		t.Errorf("OrderValidated is about %q", e.Order())
	}
	if _, err := reading.Of(schemas.Orders)([]byte("{")); err == nil {
		t.Error("half an object was read")
	}
}

// TestIDsAreThoseOfCauses holds that an event without an id is found under the id
// by which the processors name it as their cause.
func TestIDsAreThoseOfCauses(t *testing.T) {
	clock := confirm.ClockOf(at, time.Time{})
	cancelled := &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderCancelled{
		OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o1", Reason: "no"},
	}}
	rejected := &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderRejected{
		OrderRejected: &tallyv1.OrderRejected{OrderId: "o1", Reason: "no"},
	}}
	reversed := &tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReversed{
		PaymentReversed: &tallyv1.PaymentReversed{PaymentId: "p1", OrderId: "o1", Reason: "chargeback"},
	}}
	row, _ := confirm.Step(confirm.Rules{}, nil, confirm.OfOrder(placed(), clock))
	_, withdrawn := confirm.Step(confirm.Rules{}, row, confirm.OfOrder(rejected, clock))
	named := withdrawn.Exceptions[0].GetMeta().GetCauses()
	row, out := confirm.Step(confirm.Rules{}, row, confirm.OfPayment(paid(), clock))
	named = append(named, out.Confirmed.GetMeta().GetCauses()...)
	row, out = confirm.Step(confirm.Rules{}, row, confirm.OfOrder(cancelled, clock))
	named = append(named, out.Exceptions[0].GetMeta().GetCauses()...)
	_, out = confirm.Step(confirm.Rules{}, row, confirm.OfPayment(reversed, clock))
	named = append(named, out.Exceptions[0].GetMeta().GetCauses()...)
	place := &tallyv1.OrderCommand{Command: &tallyv1.OrderCommand_PlaceOrder{
		PlaceOrder: &tallyv1.PlaceOrder{
			OrderId: "o1", CustomerId: "ann", Total: schemas.Money(1200, "EUR"),
		},
	}}
	_, said := orders.Step(orders.Rules{}, nil, orders.OfCommand(place, at))
	named = append(named, said.GetMeta().GetCauses()...)
	for _, e := range []reading.Event{
		read(t, schemas.Orders, placed()), read(t, schemas.Payments, paid()),
		read(t, schemas.Orders, cancelled), read(t, schemas.Orders, rejected),
		read(t, schemas.Payments, reversed), read(t, schemas.OrderCommands, place),
	} {
		if e.ID() == "" || !slices.Contains(named, e.ID()) {
			t.Errorf("nobody names %s %q as a cause: %v", e.Kind, e.ID(), named)
		}
	}
}

// TestDecoders holds that every topic of events of the map can be read.
func TestDecoders(t *testing.T) {
	for _, chain := range []bool{false, true} {
		o := topology.Options{Chain: chain}
		decoders := reading.Decoders(o.Names(), chain)
		for _, topic := range topology.Default(o).Topics {
			if len(topic.Holds) == 0 || topic.Holds[0].Writer == topology.Engine ||
				topic.Cleanup == topology.Compact && topic.Holds[0].Writer != topology.Outside {
				continue
			}
			if decoders[topic.Name] == nil {
				t.Errorf("nobody reads %s", topic.Name)
			}
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := reading.Thousands(n); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
