package oracle_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas/tallyv1"
	"tallystick/test/integration/oracle"
)

// A run is what the topics of a small run hold; each part can be tampered with.
type run struct {
	commands, payments, stock, orders, checks [][]byte
	confirmations, exceptions, notices, rows  [][]byte
	taken                                     map[string]int
}

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

func bytes(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func euros(minor int64) *tallyv1.Money { return &tallyv1.Money{Minor: &minor, Currency: "EUR"} }

// place asks for an order of two pieces of tea and pays so much for it.
func (r *run) place(t *testing.T, id string, paid int64) {
	t.Helper()
	due := timestamppb.New(noon.Add(time.Minute))
	lines := []*tallyv1.Line{{ProductId: "tea", Quantity: 2, Price: euros(450)}}
	r.commands = append(r.commands, bytes(t, &tallyv1.OrderCommand{
		Command: &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: &tallyv1.PlaceOrder{
			OrderId: id, CustomerId: "ann", Total: euros(900), Due: due, Lines: lines,
		}},
	}))
	r.payments = append(r.payments, bytes(t, &tallyv1.PaymentEvent{
		Event: &tallyv1.PaymentEvent_PaymentReceived{PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: "p-" + id, OrderId: id, Amount: euros(paid),
		}},
	}))
	order := &tallyv1.OrderPlaced{
		OrderId: id, CustomerId: "ann", Total: euros(900), Due: due, Lines: lines,
	}
	r.orders = append(r.orders,
		bytes(t, &tallyv1.OrderEvent{
			Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: order},
		}),
		bytes(t, &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderValidated{
			OrderValidated: &tallyv1.OrderValidated{Order: order},
		}}))
	r.checks = append(r.checks,
		bytes(t, &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_StockReserved{
			StockReserved: &tallyv1.StockReserved{OrderId: id},
		}}),
		bytes(t, &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_FraudCleared{
			FraudCleared: &tallyv1.FraudCleared{OrderId: id},
		}}),
		bytes(t, &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_DetailsAccepted{
			DetailsAccepted: &tallyv1.DetailsAccepted{OrderId: id},
		}}))
}

// good is a run of an order that is paid and one that is paid in part.
func good(t *testing.T) *run {
	t.Helper()
	r := &run{taken: map[string]int{"paid": 1}}
	r.place(t, "paid", 900)
	r.place(t, "unpaid", 400)
	r.stock = [][]byte{bytes(t, &tallyv1.StockEvent{Event: &tallyv1.StockEvent_StockAdded{
		StockAdded: &tallyv1.StockAdded{ProductId: "tea", Quantity: 9},
	}})}
	r.confirmations = [][]byte{bytes(t, &tallyv1.ConfirmationEvent{
		Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: &tallyv1.OrderConfirmed{
			OrderId: "paid", CustomerId: "ann", Total: euros(900),
			Payments: []*tallyv1.OrderConfirmed_Share{{PaymentId: "p-paid", Minor: 900}},
		}},
	})}
	r.exceptions = [][]byte{
		bytes(t, &tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_OrderExpired{
			OrderExpired: &tallyv1.OrderExpired{OrderId: "unpaid", CustomerId: "ann", Total: euros(900)},
		}}),
		bytes(t, &tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_RefundOwed{
			RefundOwed: &tallyv1.RefundOwed{
				PaymentId: "p-unpaid", OrderId: "unpaid", Amount: euros(400),
			},
		}}),
	}
	r.notices = [][]byte{bytes(t, &tallyv1.NoticeEvent{
		Event: &tallyv1.NoticeEvent_ConfirmationSent{ConfirmationSent: &tallyv1.ConfirmationSent{
			OrderId: "paid", Channel: tallyv1.Channel_WEBHOOK, Attempts: 1,
		}},
	})}
	r.rows = [][]byte{
		bytes(t, &tallyv1.StockRow{OnHand: 9, Reserved: 4}),
		bytes(t, &tallyv1.StockRow{OnHand: 7, Shipped: 2}),
	}
	return r
}

func (r *run) judge() (*oracle.Shop, oracle.Verdict) {
	s := oracle.New()
	for _, part := range []struct {
		records [][]byte
		take    func([]byte)
	}{
		{r.commands, s.Command},
		{r.payments, func(b []byte) { s.Payment(b, noon) }},
		{r.stock, s.Stock},
		{r.orders, s.OrderEvent},
		{r.checks, s.Check},
		{r.confirmations, s.Confirmation},
		{r.exceptions, s.Exception},
		{r.notices, s.Notice},
		{r.rows, func(b []byte) { s.StockRow("tea", b) }},
	} {
		for _, b := range part.records {
			part.take(b)
		}
	}
	for id, n := range r.taken {
		s.Taken(id, n)
	}
	return s, s.Judge()
}

// TestJudge holds that a run in which all is well is found so.
func TestJudge(t *testing.T) {
	s, v := good(t).judge()
	if v.WrongCount != 0 {
		t.Errorf("wrong is %v", s.Wrong)
	}
	want := oracle.Verdict{
		Orders: 2, Confirmed: 1, Expired: 1, Payments: 2, Sent: 1, Received: 1300,
		ConfirmedMinor: 900, Owed: 400, Products: 1, Shipped: 2,
	}
	if v != want {
		t.Errorf("the verdict is %+v, want %+v", v, want)
	}
}

// TestJudgeNames tampers with a run in each way that the oracle is there for, and
// sees it named.
func TestJudgeNames(t *testing.T) {
	row := func(r *tallyv1.StockRow) func(*testing.T, *run) {
		return func(t *testing.T, in *run) { in.rows = append(in.rows, bytes(t, r)) }
	}
	for name, tc := range map[string]struct {
		tamper func(*testing.T, *run)
		want   string
	}{
		"a confirmation is lost": {
			func(_ *testing.T, r *run) { r.confirmations = nil }, "order paid was confirmed 0 times",
		},
		"a confirmation comes twice": {
			func(_ *testing.T, r *run) {
				r.confirmations = append(r.confirmations, r.confirmations...)
			}, "order paid was confirmed 2 times",
		},
		"a notification is taken twice": {
			func(_ *testing.T, r *run) { r.taken["paid"] = 2 }, "order paid was taken 2 times",
		},
		"a notification is said to be sent": {
			func(_ *testing.T, r *run) { r.taken = nil }, "the receiver took it 0 times",
		},
		"a notice is lost": {
			func(_ *testing.T, r *run) { r.notices = nil }, "order paid: sent 0 times",
		},
		"somebody else is told": {
			func(_ *testing.T, r *run) { r.taken["unpaid"] = 1 }, "order unpaid is not confirmed",
		},
		"a check is lost": {
			func(_ *testing.T, r *run) { r.checks = r.checks[1:] }, "stock said 0 times yes",
		},
		"an order is placed twice": {
			func(_ *testing.T, r *run) { r.orders = append(r.orders, r.orders[0]) }, "was placed 2 times",
		},
		"an order is not decided": {
			func(_ *testing.T, r *run) { r.orders = r.orders[:3] }, "order unpaid was validated 0 times",
		},
		"a refund is lost": {
			func(_ *testing.T, r *run) { r.exceptions = r.exceptions[:1] }, "payment p-unpaid of 400",
		},
		"an order expires that was paid": {
			func(_ *testing.T, r *run) {
				r.payments[1] = r.payments[0]
				r.confirmations, r.notices, r.taken = nil, nil, nil
				r.exceptions[0] = bytes(t, &tallyv1.ExceptionEvent{
					Event: &tallyv1.ExceptionEvent_OrderExpired{
						OrderExpired: &tallyv1.OrderExpired{OrderId: "paid"},
					},
				})
			}, "order paid was paid in time and expired",
		},
		"stock is lost":     {row(&tallyv1.StockRow{OnHand: 6, Shipped: 2}), "product tea: 9 were added"},
		"stock is kept":     {row(&tallyv1.StockRow{OnHand: 7, Reserved: 1, Shipped: 2}), "1 reserved"},
		"stock is negative": {row(&tallyv1.StockRow{OnHand: -1}), "product tea: -1 are there"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good(t)
			tc.tamper(t, r)
			s, v := r.judge()
			if all := strings.Join(s.Wrong, "\n"); v.WrongCount == 0 || !strings.Contains(all, tc.want) {
				t.Errorf("%q is not in\n%s", tc.want, all)
			}
		})
	}
}
