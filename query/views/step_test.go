package views_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"tallystick/query/views"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// event is a record of a topic about the order o.
func event(topic tallyv1.OrderView_Topic, offset int64, said proto.Message) views.Event {
	at := (1000 + offset) * 1e6
	return views.Event{
		Topic: topic, Offset: offset, Kind: views.NumberOf(said), Recorded: at, At: at, Said: said,
	}
}

func placed(offset, total int64) views.Event {
	return event(tallyv1.OrderView_ORDERS, offset, &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: "o", CustomerId: "ann", Total: schemas.Money(total, "EUR"),
		}},
	})
}

func cancelled(offset int64) views.Event {
	return event(tallyv1.OrderView_ORDERS, offset, &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderCancelled{
			OrderCancelled: &tallyv1.OrderCancelled{OrderId: "o"},
		},
	})
}

func asked(offset int64) views.Event {
	return event(tallyv1.OrderView_ORDER_COMMANDS, offset, &tallyv1.OrderCommand{
		Command: &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: &tallyv1.PlaceOrder{
			OrderId: "o", CustomerId: "ann", Total: schemas.Money(700, "EUR"),
		}},
	})
}

func refused(offset int64) views.Event {
	return event(tallyv1.OrderView_ORDERS, offset, &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderRefused{OrderRefused: &tallyv1.OrderRefused{
			OrderId: "o", Command: "PlaceOrder", Reason: tallyv1.OrderRefused_INCONSISTENT,
		}},
	})
}

func cancelRefused(offset int64) views.Event {
	return event(tallyv1.OrderView_ORDERS, offset, &tallyv1.OrderEvent{
		Event: &tallyv1.OrderEvent_OrderRefused{OrderRefused: &tallyv1.OrderRefused{
			OrderId: "o", Command: "CancelOrder", Reason: tallyv1.OrderRefused_ORDER_UNKNOWN,
		}},
	})
}

func paid(offset, minor int64, id string) views.Event {
	return event(tallyv1.OrderView_PAYMENTS, offset, &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: "o", Amount: schemas.Money(minor, "EUR"),
		}},
	})
}

func confirmed(offset int64) views.Event {
	return event(tallyv1.OrderView_CONFIRMATIONS, offset, &tallyv1.ConfirmationEvent{
		Event: &tallyv1.ConfirmationEvent_OrderConfirmed{
			OrderConfirmed: &tallyv1.OrderConfirmed{OrderId: "o"},
		},
	})
}

// TestState: what an order has come to, by what was said about it.
func TestState(t *testing.T) {
	for _, tc := range []struct {
		want tallyv1.OrderView_State
		log  []views.Event
	}{
		{tallyv1.OrderView_AWAITING_ORDER, []views.Event{paid(0, 700, "p")}},
		{tallyv1.OrderView_REFUSED, []views.Event{cancelRefused(0)}},
		{tallyv1.OrderView_AWAITING_ORDER, []views.Event{cancelRefused(0), paid(0, 700, "p")}},
		{tallyv1.OrderView_ASKED, []views.Event{cancelRefused(0), asked(0)}},
		{tallyv1.OrderView_PLACED, []views.Event{cancelRefused(0), asked(0), placed(1, 700)}},
		{tallyv1.OrderView_ASKED, []views.Event{asked(0)}},
		{tallyv1.OrderView_REFUSED, []views.Event{asked(0), refused(0)}},
		{tallyv1.OrderView_ASKED, []views.Event{asked(0), refused(0), asked(1)}},
		{tallyv1.OrderView_PLACED, []views.Event{asked(0), refused(0), asked(1), placed(1, 700)}},
		{tallyv1.OrderView_CANCELLED, []views.Event{placed(0, 700), cancelled(1)}},
		{tallyv1.OrderView_CONFIRMED, []views.Event{placed(0, 700), cancelled(1), confirmed(0)}},
	} {
		if row := fold(tc.log); row.GetState() != tc.want {
			t.Errorf("%v is %v, want %v", tc.log, row.GetState(), tc.want)
		}
	}
}

// TestNothingIsOwedTwice: of a payment that was taken back after a refund was owed for
// it nothing has to go back any more, whatever was read first. What is held for the
// order is what others paid.
func TestNothingIsOwedTwice(t *testing.T) {
	owed := func(offset, minor int64, id string) views.Event {
		return event(tallyv1.OrderView_EXCEPTIONS, offset, &tallyv1.ExceptionEvent{
			Event: &tallyv1.ExceptionEvent_RefundOwed{RefundOwed: &tallyv1.RefundOwed{
				PaymentId: id, OrderId: "o", Amount: schemas.Money(minor, "EUR"),
				Reason: tallyv1.RefundOwed_ORDER_UNKNOWN,
			}},
		})
	}
	log := []views.Event{
		placed(0, 700), paid(0, 300, "p"), paid(1, 200, "q"), paid(2, 100, "r"),
		owed(0, 300, "p"), owed(1, 200, "q"),
	}
	reversed := event(tallyv1.OrderView_PAYMENTS, 3, &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReversed{PaymentReversed: &tallyv1.PaymentReversed{
			PaymentId: "p", OrderId: "o",
		}},
	})
	voided := event(tallyv1.OrderView_CORRECTIONS, 0, &tallyv1.CorrectionEvent{
		Event: &tallyv1.CorrectionEvent_PaymentVoided{PaymentVoided: &tallyv1.PaymentVoided{
			PaymentId: "q", OrderId: "o",
		}},
	})
	for _, tc := range []struct {
		log        []views.Event
		owed, held int64
	}{
		{log, 500, 100},
		{append(slices.Clone(log), reversed), 200, 100},
		{append(slices.Clone(log), reversed, voided), 0, 100},
		{append([]views.Event{voided, reversed}, log...), 0, 100},
	} {
		row := fold(tc.log)
		got := views.Amounts(row)
		if len(got) != 1 || got[0].Owed != tc.owed || got[0].Held() != tc.held {
			t.Errorf("amounts are %+v, want %d owed and %d held", got, tc.owed, tc.held)
		}
	}
}

// TestLimitsOfARow: what goes beyond them is counted, and known when it comes again.
func TestLimitsOfARow(t *testing.T) {
	var row *views.Row
	const n = views.MaxPlaces + 5
	for i := range int64(n) {
		row, _ = views.Step(row, cancelled(2*i))
	}
	list, left := views.Places(row)
	if len(list) != views.MaxPlaces || left != 5 {
		t.Errorf("%d places and %d left out", len(list), left)
	}
	for _, again := range []int64{0, 2 * (n - 1)} {
		if _, changed := views.Step(row, cancelled(again)); changed {
			t.Errorf("a record at %d was taken in twice", again)
		}
	}
	orders := tallyv1.OrderView_ORDERS
	if !views.Seen(row, orders, 2*n-2) || views.Seen(row, orders, 2*n) {
		t.Errorf("it has not seen what it has: %v", row)
	}
	var many *views.Row
	for i := range int64(views.MaxPayments + 3) {
		many, _ = views.Step(many, paid(i, 1, schemas.EventID("p", string(rune(i)))))
	}
	if len(many.GetPayments()) != views.MaxPayments || many.GetPaymentsLeftOut() != 3 {
		t.Errorf("%d payments, %d left out", len(many.GetPayments()), many.GetPaymentsLeftOut())
	}
}

// TestMendedRecordKeepsItsPlace: a dead letter that was mended comes after those
// behind it.
func TestMendedRecordKeepsItsPlace(t *testing.T) {
	row := fold([]views.Event{paid(4, 1, "a"), paid(9, 1, "c"), paid(6, 1, "b"), paid(2, 1, "z")})
	var got []int64
	list, _ := views.Places(row)
	for _, p := range list {
		got = append(got, p.Offset)
		if p.Time != (1000+p.Offset)*1e6 {
			t.Errorf("the time of %d is %d", p.Offset, p.Time)
		}
	}
	if !slices.Equal(got, []int64{2, 4, 6, 9}) {
		t.Errorf("places are %v", got)
	}
}

// TestEntries: the orders of a customer come newest first, open orders oldest
// first, and money is there until the order has ended.
func TestEntries(t *testing.T) {
	entries := func(log ...views.Event) (list [][]byte) {
		b, err := schemas.OrderViews.Marshal(fold(log))
		if err != nil {
			t.Fatal(err)
		}
		views.Entries("o", b, func(e []byte) { list = append(list, e) })
		return list
	}
	older, newer := entries(placed(1, 700), paid(0, 300, "p")), entries(placed(2, 700))
	if len(older) != 3 || slices.Compare(newer[0], older[0]) >= 0 {
		t.Fatalf("customer: %q before %q", newer, older)
	}
	if slices.Compare(older[1], newer[1]) >= 0 {
		t.Errorf("open: %q before %q", older[1], newer[1])
	}
	a, ok := views.Money(older[2])
	if !ok || a != (views.Amount{Currency: "EUR", Total: 700, Paid: 300}) {
		t.Errorf("money: %+v %v", a, ok)
	}
	if _, ok := views.Money(older[1]); ok {
		t.Error("an entry of another index is money")
	}
	if ended := entries(placed(1, 700), confirmed(0)); len(ended) != 1 {
		t.Errorf("an order that has ended: %q", ended)
	}
	views.Entries("o", []byte("\xff"), func(e []byte) { t.Errorf("an entry of no row: %q", e) })
}
