package oracle_test

import (
	"encoding/json"
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
	commands, payments, byOrder, corrections [][]byte
	customers, products, stock               [][]byte
	orders, checks                           [][]byte
	confirmations, exceptions, notices, rows [][]byte
	taken                                    map[string]int
	after                                    []string
	views                                    map[string]*oracle.View
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

func (r *run) command(t *testing.T, m *tallyv1.OrderCommand) {
	r.commands = append(r.commands, bytes(t, m))
}

func (r *run) order(t *testing.T, m *tallyv1.OrderEvent) {
	r.orders = append(r.orders, bytes(t, m))
}

// pay adds a payment, and takes it back if it says why, before it comes or after it.
func (r *run) pay(t *testing.T, id, order string, minor int64, before, after string) {
	add := func(m *tallyv1.PaymentEvent) {
		r.payments = append(r.payments, bytes(t, m))
		r.byOrder = append(r.byOrder, bytes(t, m))
	}
	reverse := func(why string) {
		if why != "" {
			add(&tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReversed{
				PaymentReversed: &tallyv1.PaymentReversed{PaymentId: id, OrderId: order, Reason: why},
			}})
		}
	}
	reverse(before)
	add(&tallyv1.PaymentEvent{Event: &tallyv1.PaymentEvent_PaymentReceived{
		PaymentReceived: &tallyv1.PaymentReceived{
			PaymentId: id, OrderId: order, Amount: euros(minor),
		},
	}})
	reverse(after)
}

func (r *run) void(t *testing.T, id, order, why string) {
	r.corrections = append(r.corrections, bytes(t, &tallyv1.CorrectionEvent{
		Event: &tallyv1.CorrectionEvent_PaymentVoided{PaymentVoided: &tallyv1.PaymentVoided{
			PaymentId: id, OrderId: order, Reason: why,
		}},
	}))
}

func (r *run) adjust(t *testing.T, id, order string, minor int64) {
	r.corrections = append(r.corrections, bytes(t, &tallyv1.CorrectionEvent{
		Event: &tallyv1.CorrectionEvent_PaymentAdjusted{PaymentAdjusted: &tallyv1.PaymentAdjusted{
			PaymentId: id, OrderId: order, Amount: euros(minor), Reason: "cash",
		}},
	}))
}

func (r *run) confirm(t *testing.T, id string, shares ...*tallyv1.OrderConfirmed_Share) {
	r.confirmations = append(r.confirmations, bytes(t, &tallyv1.ConfirmationEvent{
		Event: &tallyv1.ConfirmationEvent_OrderConfirmed{OrderConfirmed: &tallyv1.OrderConfirmed{
			OrderId: id, CustomerId: "ann", Total: euros(900), Payments: shares,
		}},
	}))
}

func share(payment string, minor int64) *tallyv1.OrderConfirmed_Share {
	return &tallyv1.OrderConfirmed_Share{PaymentId: payment, Minor: minor}
}

func refund(payment, order string, minor int64, why tallyv1.RefundOwed_Reason,
) *tallyv1.ExceptionEvent {
	return &tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_RefundOwed{
		RefundOwed: &tallyv1.RefundOwed{
			PaymentId: payment, OrderId: order, Amount: euros(minor), Reason: why,
		},
	}}
}

func reversedLate(r *tallyv1.ConfirmedPaymentReversed) *tallyv1.ExceptionEvent {
	return &tallyv1.ExceptionEvent{
		Event: &tallyv1.ExceptionEvent_ConfirmedPaymentReversed{ConfirmedPaymentReversed: r},
	}
}

func expired(id string) *tallyv1.ExceptionEvent {
	return &tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_OrderExpired{
		OrderExpired: &tallyv1.OrderExpired{OrderId: id, CustomerId: "ann", Total: euros(900)},
	}}
}

func withdrawn(id, why string, rejection bool) *tallyv1.ExceptionEvent {
	return &tallyv1.ExceptionEvent{Event: &tallyv1.ExceptionEvent_OrderWithdrawn{
		OrderWithdrawn: &tallyv1.OrderWithdrawn{OrderId: id, Reason: why, Rejection: rejection},
	}}
}

func (r *run) say(t *testing.T, events ...*tallyv1.ExceptionEvent) {
	for _, e := range events {
		r.exceptions = append(r.exceptions, bytes(t, e))
	}
}

func (r *run) check(t *testing.T, m *tallyv1.OrderCheckEvent) {
	r.checks = append(r.checks, bytes(t, m))
}

// place asks for an order of two pieces of a product.
func (r *run) place(t *testing.T, id, customer, product string, minor int64) *tallyv1.OrderPlaced {
	due := timestamppb.New(noon.Add(time.Minute))
	lines := []*tallyv1.Line{{ProductId: product, Quantity: 2, Price: euros(minor / 2)}}
	r.command(t, &tallyv1.OrderCommand{
		Command: &tallyv1.OrderCommand_PlaceOrder{PlaceOrder: &tallyv1.PlaceOrder{
			OrderId: id, CustomerId: customer, Total: euros(minor), Due: due, Lines: lines,
		}},
	})
	order := &tallyv1.OrderPlaced{
		OrderId: id, CustomerId: customer, Total: euros(minor), Due: due, Lines: lines,
	}
	r.order(t, &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: order}})
	return order
}

// good is an order of tea that all checks found to be in order.
func (r *run) good(t *testing.T, id string) {
	order := r.place(t, id, "ann", "tea", 900)
	r.order(t, &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderValidated{
		OrderValidated: &tallyv1.OrderValidated{Order: order},
	}})
	r.reserved(t, id)
	r.cleared(t, id)
	r.accepted(t, id)
}

func (r *run) reserved(t *testing.T, id string) {
	r.check(t, &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_StockReserved{
		StockReserved: &tallyv1.StockReserved{OrderId: id},
	}})
}

func (r *run) cleared(t *testing.T, id string) {
	r.check(t, &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_FraudCleared{
		FraudCleared: &tallyv1.FraudCleared{OrderId: id},
	}})
}

func (r *run) accepted(t *testing.T, id string) {
	r.check(t, &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_DetailsAccepted{
		DetailsAccepted: &tallyv1.DetailsAccepted{
			OrderId: id, Contact: &tallyv1.Contact{Name: "Ann", Email: "ann@shop.example"},
		},
	}})
}

func (r *run) short(t *testing.T, id string, products ...string) {
	r.check(t, &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_StockShort{
		StockShort: &tallyv1.StockShort{OrderId: id, ProductIds: products},
	}})
}

func (r *run) suspected(t *testing.T, id, why string) {
	r.check(t, &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_FraudSuspected{
		FraudSuspected: &tallyv1.FraudSuspected{OrderId: id, Reason: why},
	}})
}

func (r *run) refused(t *testing.T, id, why string) {
	r.check(t, &tallyv1.OrderCheckEvent{Event: &tallyv1.OrderCheckEvent_DetailsRefused{
		DetailsRefused: &tallyv1.DetailsRefused{OrderId: id, Reason: why},
	}})
}

// reject ends an order, and says so.
func (r *run) reject(t *testing.T, id, why string) {
	r.order(t, &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderRejected{
		OrderRejected: &tallyv1.OrderRejected{OrderId: id, Reason: why},
	}})
	r.say(t, withdrawn(id, why, true))
}

// good is a run of an order that is paid, one that is paid in part and one that is
// rejected by all services; with money that was taken back: before it came, after it
// was confirmed, and after it was to go back.
func good(t *testing.T) *run {
	t.Helper()
	r := &run{taken: map[string]int{"paid": 1}, after: []string{"p-paid"}}
	r.customers = [][]byte{
		bytes(t, &tallyv1.CustomerEvent{Event: &tallyv1.CustomerEvent_CustomerUpdated{
			CustomerUpdated: &tallyv1.CustomerUpdated{
				CustomerId: "ann", Name: "Ann", Email: "ann@shop.example",
			},
		}}),
		bytes(t, &tallyv1.CustomerEvent{Event: &tallyv1.CustomerEvent_CustomerUpdated{
			CustomerUpdated: &tallyv1.CustomerUpdated{CustomerId: "eve", Closed: true},
		}}),
	}
	r.products = [][]byte{bytes(t, &tallyv1.ProductEvent{
		Event: &tallyv1.ProductEvent_ProductUpdated{ProductUpdated: &tallyv1.ProductUpdated{
			ProductId: "tea",
		}},
	})}
	r.stock = [][]byte{bytes(t, &tallyv1.StockEvent{Event: &tallyv1.StockEvent_StockAdded{
		StockAdded: &tallyv1.StockAdded{ProductId: "tea", Quantity: 9},
	}})}
	r.good(t, "paid")
	r.pay(t, "p-before", "paid", 900, "lost", "")
	r.pay(t, "p-paid", "paid", 900, "", "stolen")
	r.confirm(t, "paid", share("p-paid", 900))
	r.say(t, reversedLate(&tallyv1.ConfirmedPaymentReversed{
		PaymentId: "p-paid", OrderId: "paid", Amount: euros(900), ConfirmedMinor: 900,
		Was: tallyv1.ConfirmedPaymentReversed_CONFIRMED, Reason: "stolen",
	}))
	r.good(t, "unpaid")
	r.pay(t, "p-unpaid", "unpaid", 400, "", "")
	r.pay(t, "p-void", "unpaid", 500, "", "")
	r.void(t, "p-void", "unpaid", "a mistake")
	r.adjust(t, "p-cash", "unpaid", 300)
	r.say(t, expired("unpaid"),
		refund("p-unpaid", "unpaid", 400, tallyv1.RefundOwed_ORDER_EXPIRED),
		refund("p-void", "unpaid", 500, tallyv1.RefundOwed_ORDER_EXPIRED),
		refund("p-cash", "unpaid", 300, tallyv1.RefundOwed_CAME_LATE),
		reversedLate(&tallyv1.ConfirmedPaymentReversed{
			PaymentId: "p-void", OrderId: "unpaid", Amount: euros(500),
			Was: tallyv1.ConfirmedPaymentReversed_EXPIRED, Reason: "a mistake",
		}))
	r.place(t, "wrong", "eve", "salt", 5000)
	r.short(t, "wrong", "salt")
	r.suspected(t, "wrong", "too much")
	r.refused(t, "wrong", "eve has closed her account")
	r.reject(t, "wrong", "no salt; too much; eve has closed her account")
	r.adjust(t, "p-ghost", "ghost", 70)
	r.notices = [][]byte{bytes(t, &tallyv1.NoticeEvent{
		Event: &tallyv1.NoticeEvent_ConfirmationSent{ConfirmationSent: &tallyv1.ConfirmationSent{
			OrderId: "paid", Channel: tallyv1.Channel_WEBHOOK, Attempts: 1,
		}},
	})}
	r.rows = [][]byte{
		bytes(t, &tallyv1.StockRow{OnHand: 9, Reserved: 4}),
		bytes(t, &tallyv1.StockRow{OnHand: 7, Shipped: 2}),
	}
	r.views = map[string]*oracle.View{}
	for _, text := range views() {
		v := &oracle.View{}
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Fatal(err)
		}
		r.views[v.Order] = v
	}
	return r
}

// views are how the orders of the good run are shown.
func views() []string {
	const checks = `"checks":{"stock":"good","fraud":"good","details":"good"}`
	const due = `"due":"2026-05-04T12:01:00Z"`
	return []string{
		`{"order":"paid","state":"confirmed","customer":"ann","total":{"minor":900,"currency":"EUR"},
		"paid":[],"owed":[],` + due + `,` + checks + `,"notices":[{"outcome":"sent"}],"records":13,
		"payments":[{"payment":"p-paid","amount":{"minor":900,"currency":"EUR"},"counts":false},
		{"payment":"p-before","amount":{"minor":900,"currency":"EUR"},"counts":false}]}`,
		`{"order":"unpaid","state":"expired","customer":"ann","total":{"minor":900,"currency":"EUR"},
		"paid":[{"minor":700,"currency":"EUR"}],"owed":[{"minor":700,"currency":"EUR"}],` + due + `,` +
			checks + `,"records":15,
		"payments":[{"payment":"p-unpaid","amount":{"minor":400,"currency":"EUR"},"counts":true},
		{"payment":"p-void","amount":{"minor":500,"currency":"EUR"},"counts":false}],
		"refunds":[{"payment":"p-unpaid","amount":{"minor":400,"currency":"EUR"}},
		{"payment":"p-void","amount":{"minor":500,"currency":"EUR"}},
		{"payment":"p-cash","amount":{"minor":300,"currency":"EUR"}}]}`,
		`{"order":"wrong","state":"rejected","customer":"eve","total":{"minor":5000,"currency":"EUR"},` +
			due + `,"checks":{"stock":"bad","fraud":"bad","details":"bad"},"records":7}`,
		`{"order":"ghost","state":"awaiting_order","paid":[{"minor":70,"currency":"EUR"}],"records":1}`,
	}
}

// key is the order that a record is about.
func key(t *testing.T, b []byte) string {
	t.Helper()
	for _, id := range []string{"unpaid", "wrong", "ghost", "paid"} {
		if strings.Contains(string(b), id) {
			return id
		}
	}
	t.Fatalf("%q is about no order", b)
	return ""
}

func (r *run) judge(t *testing.T) (*oracle.Shop, oracle.Verdict) {
	t.Helper()
	s := oracle.New()
	s.FraudLimit = 4000
	for _, part := range []struct {
		topic   string // of those about orders
		records [][]byte
		take    func([]byte)
	}{
		{"", r.payments, func(b []byte) { s.Payment(b, noon) }},
		{"payments-by-order", r.byOrder, func(b []byte) { s.PaymentByOrder(key(t, b), b) }},
		{"corrections", r.corrections, func(b []byte) { s.Correction(b, noon) }},
		{"order-commands", r.commands, s.Command},
		{"", r.customers, s.Customer},
		{"", r.products, s.Product},
		{"", r.stock, s.Stock},
		{"orders", r.orders, s.OrderEvent},
		{"order-checks", r.checks, s.Check},
		{"confirmations", r.confirmations, s.Confirmation},
		{"exceptions", r.exceptions, s.Exception},
		{"notices", r.notices, s.Notice},
		{"", r.rows, func(b []byte) { s.StockRow("tea", b) }},
	} {
		for i, b := range part.records {
			part.take(b)
			if part.topic != "" {
				s.Place(part.topic, key(t, b), int64(i))
			}
		}
	}
	for id, n := range r.taken {
		s.Taken(id, n)
	}
	for _, id := range r.after {
		s.After(id)
	}
	for _, v := range r.views {
		s.View(v)
	}
	return s, s.Judge()
}
