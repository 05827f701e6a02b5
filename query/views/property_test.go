package views_test

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"tallystick/query/views"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// TestOrderOfTopicsDoesNotMatter merges the records of an order in two ways, of
// which each keeps the order within a topic, with repeats as after a crash, and
// expects the same row, byte for byte.
func TestOrderOfTopicsDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		one, other := fold(merge(t, log, "one")), fold(merge(t, log, "other"))
		if !proto.Equal(one, other) {
			t.Fatalf("the rows differ:\n%v\n%v", one, other)
		}
		a, err := schemas.OrderViews.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		b, err := schemas.OrderViews.Marshal(other)
		if err != nil || string(a) != string(b) {
			t.Fatalf("the bytes differ: %x %x %v", a, b, err)
		}
	})
}

// TestPlacesAreAll: the row knows where each record is, whichever topic came first,
// and what it has seen of each.
func TestPlacesAreAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		row := fold(merge(t, log, "log"))
		got, left := views.Places(row)
		if left != 0 {
			t.Fatalf("%d are left out", left)
		}
		var want []views.Place
		for topic := range topics {
			for _, e := range log[topic] {
				want = append(want, views.Place{
					Topic: e.Topic, Offset: e.Offset, Kind: views.KindOf(e.Topic, e.Kind), Time: e.Recorded,
				})
			}
			last := int64(-1)
			if n := len(log[topic]); n > 0 {
				last = log[topic][n-1].Offset
			}
			at := tallyv1.OrderView_Topic(topic)
			if last >= 0 && !views.Seen(row, at, last) || views.Seen(row, at, last+1) {
				t.Fatalf("of %v it has seen up to %d, or says otherwise: %v", at, last, row)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("places are\n%v, want\n%v", got, want)
		}
		if slices.ContainsFunc(got, func(p views.Place) bool { return p.Kind == "" }) {
			t.Fatalf("a kind has no name: %v", got)
		}
	})
}

// TestMoneyIsThatOfThePayments: what is paid is what came in and did not go back,
// each payment once.
func TestMoneyIsThatOfThePayments(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t)
		row := fold(merge(t, log, "log"))
		first, reversed := map[string]*tallyv1.PaymentReceived{}, map[string]bool{}
		for _, e := range log[tallyv1.OrderView_PAYMENTS] {
			m := e.Said.(*tallyv1.PaymentEvent)
			if p := m.GetPaymentReceived(); p != nil && first[p.GetPaymentId()] == nil {
				first[p.GetPaymentId()] = p
			} else if r := m.GetPaymentReversed(); r != nil {
				reversed[r.GetPaymentId()] = true
			}
		}
		for _, e := range log[tallyv1.OrderView_CORRECTIONS] {
			m := e.Said.(*tallyv1.CorrectionEvent)
			if p := m.GetPaymentAdjusted(); p != nil && first[p.GetPaymentId()] == nil {
				first[p.GetPaymentId()] = &tallyv1.PaymentReceived{Amount: p.GetAmount()}
			} else if v := m.GetPaymentVoided(); v != nil {
				reversed[v.GetPaymentId()] = true
			}
		}
		want := map[string]int64{}
		for id, p := range first {
			if !reversed[id] {
				want[p.GetAmount().GetCurrency()] += p.GetAmount().GetMinor()
			}
		}
		for _, a := range views.Amounts(row) {
			if a.Paid != want[a.Currency] {
				t.Fatalf("paid in %s: %d, want %d", a.Currency, a.Paid, want[a.Currency])
			}
			delete(want, a.Currency)
		}
		for currency, minor := range want {
			if minor != 0 {
				t.Fatalf("%d %s are missing", minor, currency)
			}
		}
	})
}

const topics = int(tallyv1.OrderView_CORRECTIONS) + 1

// drawLog makes up the records about one order, by topic.
func drawLog(t *rapid.T) [topics][]views.Event {
	var log [topics][]views.Event
	for topic := range topics {
		offset := int64(0)
		for i := range rapid.IntRange(0, 6).Draw(t, "records") {
			at := int64(rapid.IntRange(1, 50).Draw(t, "at")) * 1e6
			m := drawSaid(t, tallyv1.OrderView_Topic(topic), i)
			offset += int64(rapid.IntRange(1, 3).Draw(t, "gap"))
			log[topic] = append(log[topic], views.Event{
				Topic: tallyv1.OrderView_Topic(topic), Offset: offset - 1, Kind: views.NumberOf(m),
				Recorded: at, At: at + int64(rapid.IntRange(-1, 1).Draw(t, "skew"))*1e6, Said: m,
			})
		}
	}
	return log
}

// merge mixes the topics, and repeats some of what came before.
func merge(t *rapid.T, log [topics][]views.Event, name string) []views.Event {
	var all []views.Event
	next := [topics]int{}
	for {
		var open []int
		for topic := range topics {
			if next[topic] < len(log[topic]) {
				open = append(open, topic)
			}
		}
		if len(open) == 0 {
			return all
		}
		topic := rapid.SampledFrom(open).Draw(t, name)
		all = append(all, log[topic][next[topic]])
		next[topic]++
		if rapid.IntRange(0, 5).Draw(t, name+" repeats") == 0 {
			all = append(all, rapid.SampledFrom(all).Draw(t, name+" repeated"))
		}
	}
}

func fold(log []views.Event) *views.Row {
	var row *views.Row
	for _, e := range log {
		row, _ = views.Step(row, e)
	}
	return row
}

// drawSaid makes up what a record says.
func drawSaid(t *rapid.T, topic tallyv1.OrderView_Topic, i int) proto.Message {
	total := schemas.Money(rapid.Int64Range(0, 5).Draw(t, "minor"),
		rapid.SampledFrom([]string{"EUR", "USD"}).Draw(t, "currency"))
	reason := rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "reason")
	id := fmt.Sprintf("p%d", rapid.IntRange(1, 3).Draw(t, "payment"))
	pick := func(list ...proto.Message) proto.Message {
		return list[rapid.IntRange(0, len(list)-1).Draw(t, "kind")]
	}
	switch topic {
	case tallyv1.OrderView_ORDER_COMMANDS:
		return pick(
			&tallyv1.OrderCommand{Command: &tallyv1.OrderCommand_PlaceOrder{
				PlaceOrder: &tallyv1.PlaceOrder{
					OrderId: "o", CustomerId: fmt.Sprintf("c%d", i), Total: total,
					Due: &timestamppb.Timestamp{Seconds: 9},
				},
			}},
			&tallyv1.OrderCommand{Command: &tallyv1.OrderCommand_CancelOrder{
				CancelOrder: &tallyv1.CancelOrder{OrderId: "o"},
			}})
	case tallyv1.OrderView_ORDERS:
		refused := &tallyv1.OrderRefused{OrderId: "o", Note: reason, Reason: 1, Command: "PlaceOrder"}
		if rapid.Bool().Draw(t, "of a cancel") {
			refused.Command = "CancelOrder"
		}
		return pick(
			&tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
				OrderId: "o", CustomerId: fmt.Sprintf("c%d", i), Total: total,
			}}},
			&tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderRefused{OrderRefused: refused}},
			&tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderCancelled{
				OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o", Reason: reason},
			}},
			&tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderRejected{
				OrderRejected: &tallyv1.OrderRejected{OrderId: "o", Reason: reason},
			}},
			&tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderValidated{
				OrderValidated: &tallyv1.OrderValidated{},
			}})
	case tallyv1.OrderView_ORDER_CHECKS:
		return pick(
			&tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_StockShort{
				StockShort: &tallyv1.StockShort{},
			}},
			&tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_StockReserved{
				StockReserved: &tallyv1.StockReserved{},
			}},
			&tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_FraudCleared{
				FraudCleared: &tallyv1.FraudCleared{},
			}},
			&tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_DetailsRefused{
				DetailsRefused: &tallyv1.DetailsRefused{},
			}})
	case tallyv1.OrderView_PAYMENTS:
		return pick(
			&tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReceived{
				PaymentReceived: &tallyv1.PaymentReceived{
					PaymentId: id, OrderId: "o", Amount: total, Method: reason,
				},
			}},
			&tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReversed{
				PaymentReversed: &tallyv1.PaymentReversed{PaymentId: id, OrderId: "o"},
			}})
	case tallyv1.OrderView_CORRECTIONS:
		return pick(
			&tallyv1.CorrectionEvent{Event: &tallyv1.CorrectionEvent_PaymentVoided{
				PaymentVoided: &tallyv1.PaymentVoided{PaymentId: id, OrderId: "o"},
			}},
			&tallyv1.CorrectionEvent{Event: &tallyv1.CorrectionEvent_PaymentAdjusted{
				PaymentAdjusted: &tallyv1.PaymentAdjusted{
					PaymentId: "a" + id, OrderId: "o", Amount: total, Replaces: id,
				},
			}},
			&tallyv1.CorrectionEvent{Event: &tallyv1.CorrectionEvent_PaymentVoided{
				PaymentVoided: &tallyv1.PaymentVoided{PaymentId: "a" + id, OrderId: "o"},
			}})
	case tallyv1.OrderView_CONFIRMATIONS:
		return &tallyv1.ConfirmationEvent{Event: &tallyv1.ConfirmationEvent_OrderConfirmed{
			OrderConfirmed: &tallyv1.OrderConfirmed{OrderId: "o"},
		}}
	case tallyv1.OrderView_EXCEPTIONS:
		return pick(
			&tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_OrderExpired{
				OrderExpired: &tallyv1.OrderExpired{},
			}},
			&tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_OrderWithdrawn{
				OrderWithdrawn: &tallyv1.OrderWithdrawn{Reason: reason, Rejection: reason == "a"},
			}},
			&tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_OrderCancelRefused{
				OrderCancelRefused: &tallyv1.OrderCancelRefused{Reason: reason},
			}},
			&tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_PaymentUnmatched{
				PaymentUnmatched: &tallyv1.PaymentUnmatched{
					Reason: tallyv1.PaymentUnmatched_ORDER_UNKNOWN,
				},
			}},
			&tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_RefundOwed{
				RefundOwed: &tallyv1.RefundOwed{PaymentId: id, Amount: total, Reason: 1},
			}})
	default:
		return pick(
			&tallyv1.NoticeEvent{Event: &tallyv1.NoticeEvent_ConfirmationSent{
				ConfirmationSent: &tallyv1.ConfirmationSent{Channel: 1, Attempts: 1},
			}},
			&tallyv1.NoticeEvent{Event: &tallyv1.NoticeEvent_ConfirmationBounced{
				ConfirmationBounced: &tallyv1.ConfirmationBounced{Channel: 1, Attempts: 2},
			}},
			&tallyv1.NoticeEvent{Event: &tallyv1.NoticeEvent_ConfirmationUnresolved{
				ConfirmationUnresolved: &tallyv1.ConfirmationUnresolved{Channel: 2, Attempts: 2},
			}})
	}
}
