package oracle_test

import (
	"strings"
	"testing"
	"time"

	"tallystick/schemas/tallyv1"
	"tallystick/test/integration/oracle"
)

// without takes those records out that hold a text.
func without(records [][]byte, text string) [][]byte {
	var kept [][]byte
	for _, b := range records {
		if !strings.Contains(string(b), text) {
			kept = append(kept, b)
		}
	}
	return kept
}

// TestJudgeNamesMoney tampers with what becomes of payments, taken back or not.
func TestJudgeNamesMoney(t *testing.T) {
	late := func(was tallyv1.ConfirmedPaymentReversed_Was, why string) *tallyv1.ExceptionEvent {
		return reversedLate(&tallyv1.ConfirmedPaymentReversed{
			PaymentId: "p-void", OrderId: "unpaid", Amount: euros(500), Was: was, Reason: why,
		})
	}
	expired := tallyv1.ConfirmedPaymentReversed_EXPIRED
	names(t, map[string]tampering{
		"a refund is lost": {
			func(_ *testing.T, r *run) { r.exceptions = without(r.exceptions, "p-unpaid") },
			"payment p-unpaid of 400",
		},
		"a refund has another reason": {
			func(t *testing.T, r *run) {
				r.exceptions = without(r.exceptions, "p-unpaid")
				r.say(t, refund("p-unpaid", "unpaid", 400, tallyv1.RefundOwed_ORDER_CANCELLED))
			}, "payment p-unpaid has to go back by reason of ORDER_CANCELLED, and order unpaid expired",
		},
		"a payment is not repeated": {
			func(_ *testing.T, r *run) { r.byOrder = without(r.byOrder, "p-unpaid") },
			"payment p-unpaid: its records are 1 more",
		},
		"money counts that was taken back before it came": {
			func(t *testing.T, r *run) {
				r.confirmations = nil
				r.confirm(t, "paid", share("p-before", 900))
			}, "payment p-before was taken back before it came",
		},
		"money goes back twice": {
			func(t *testing.T, r *run) {
				r.say(t, refund("p-before", "paid", 900, tallyv1.RefundOwed_EXCESS))
			}, "payment p-before was taken back before it came",
		},
		"nobody says that confirmed money went back": {
			func(_ *testing.T, r *run) { r.exceptions = without(r.exceptions, "stolen") },
			"payment p-paid: 900 are confirmed and 0 have to go back; it was taken back by 1 records, and 0",
		},
		"it is said twice": {
			func(t *testing.T, r *run) { r.say(t, late(expired, "a mistake")) },
			"payment p-void: 0 are confirmed and 500 have to go back; it was taken back by 1 records, and 2",
		},
		"a void acts after the end as before it": {
			func(_ *testing.T, r *run) {
				r.exceptions = without(r.exceptions, "p-void")
				r.after = append(r.after, "p-void")
			}, "payment p-void of 500 for order unpaid: 0 are confirmed",
		},
		"a void does half of what it should": {
			func(t *testing.T, r *run) {
				r.exceptions = without(r.exceptions, "p-void")
				r.say(t, late(expired, "a mistake"))
			}, "payment p-void of 500 for order unpaid: 0 are confirmed",
		},
		"it is said with another reason": {
			func(t *testing.T, r *run) {
				r.exceptions = without(r.exceptions, "a mistake")
				r.say(t, late(expired, "a whim"))
			}, `because of ["a mistake"]`,
		},
		"it is said with another fate": {
			func(t *testing.T, r *run) {
				r.exceptions = without(r.exceptions, "a mistake")
				r.say(t, late(tallyv1.ConfirmedPaymentReversed_LATE, "a mistake"))
			}, "payment p-void of 500, EXPIRED",
		},
		"it is said of what nobody took back": {
			func(_ *testing.T, r *run) { r.corrections = without(r.corrections, "p-void") },
			"payment p-void: 0 are confirmed and 500 have to go back; it was taken back by 0 records, and 1",
		},
		"it is said of what never came": {
			func(t *testing.T, r *run) {
				r.payments, r.byOrder = without(r.payments, "p-void"), without(r.byOrder, "p-void")
			}, "payment p-void never came",
		},
		"cash is lost": {
			func(_ *testing.T, r *run) { r.exceptions = without(r.exceptions, "p-cash") },
			"payment p-cash of 300",
		},
		"cash is confirmed that nobody booked": {
			func(_ *testing.T, r *run) { r.corrections = without(r.corrections, "p-cash") },
			"payment p-cash never came",
		},
		"a part counts that is not the last": {
			func(t *testing.T, r *run) {
				r.pay(t, "p-second", "paid", 900, "", "")
				r.confirmations = nil
				r.confirm(t, "paid", share("p-paid", 400), share("p-second", 500))
			}, "order paid is confirmed by 400 of the 900 of payment p-paid",
		},
		"money is given to nobody": {
			func(t *testing.T, r *run) {
				r.say(t, refund("p-ghost", "ghost", 70, tallyv1.RefundOwed_ORDER_EXPIRED))
			}, "payment p-ghost has to go back by reason of ORDER_EXPIRED",
		},
	})
}

// TestJudgeNamesReasons tampers with why orders were rejected.
func TestJudgeNamesReasons(t *testing.T) {
	names(t, map[string]tampering{
		"an order is suspected within the limit": {
			func(t *testing.T, r *run) {
				r.checks = without(r.checks, "unpaid")
				r.reserved(t, "unpaid")
				r.accepted(t, "unpaid")
				r.suspected(t, "unpaid", "a whim")
			}, "order unpaid is suspected, and with it its customer comes to 1800",
		},
		"an order is one too many among few": {
			func(t *testing.T, r *run) {
				r.checks = without(r.checks, "unpaid")
				r.reserved(t, "unpaid")
				r.accepted(t, "unpaid")
				r.suspected(t, "unpaid", "too many orders: 500 others within 1h0m0s")
			}, "order unpaid is one too many, beside ",
		},
		"an order is cleared beyond the limit": {
			func(t *testing.T, r *run) {
				r.checks = without(r.checks, "too much")
				r.cleared(t, "wrong")
			}, "customer eve: orders of 5000 were cleared",
		},
		"an order of a closed account is accepted": {
			func(t *testing.T, r *run) {
				r.checks = without(r.checks, "closed")
				r.accepted(t, "wrong")
			}, "order wrong: 0 times details found something wrong",
		},
		"an order is refused for nothing": {
			func(_ *testing.T, r *run) { r.customers = r.customers[:1] },
			"order wrong: 1 times details found something wrong, which is so of []",
		},
		"an order is refused for something else": {
			func(t *testing.T, r *run) {
				r.checks = without(r.checks, "closed")
				r.refused(t, "wrong", "a whim")
			}, `order wrong: details says "a whim"`,
		},
		"a contact is another's": {
			func(_ *testing.T, r *run) { r.customers = r.customers[1:] }, "order paid has the contact",
		},
		"an order is short of what there is": {
			func(t *testing.T, r *run) {
				r.checks = without(r.checks, "salt")
				r.short(t, "wrong", "tea")
			}, "order wrong is short of tea",
		},
		"an order is short of nothing": {
			func(t *testing.T, r *run) {
				r.checks = without(r.checks, "salt")
				r.short(t, "wrong")
			}, "order wrong is short of nothing",
		},
		"a rejection leaves a reason out": {
			func(t *testing.T, r *run) {
				r.orders = without(r.orders, "no salt")
				r.exceptions = without(r.exceptions, "no salt")
				r.reject(t, "wrong", "no salt; eve has closed her account")
			}, `and not of "too much", which fraud found`,
		},
	})
}

// TestJudgeNamesViews tampers with how orders are shown.
func TestJudgeNamesViews(t *testing.T) {
	at := func(change func(v *oracle.View)) func(*testing.T, *run) {
		return func(_ *testing.T, r *run) { change(r.views["unpaid"]) }
	}
	names(t, map[string]tampering{
		"a view is lost": {
			func(_ *testing.T, r *run) { delete(r.views, "paid") }, "order paid has 0 views",
		},
		"its state": {
			at(func(v *oracle.View) { v.State = "validated" }), "has state validated, want expired",
		},
		"its records": {
			at(func(v *oracle.View) { v.Records-- }), "has records 14, want 15",
		},
		"its customer": {
			at(func(v *oracle.View) { v.Customer = "bob" }), "has customer bob, want ann",
		},
		"its total": {at(func(v *oracle.View) { v.Total = nil }), "has total {0 }, want {900 EUR}"},
		"its due time": {
			at(func(v *oracle.View) { later := v.Due.Add(time.Second); v.Due = &later }), "has due",
		},
		"its checks": {at(func(v *oracle.View) { delete(v.Checks, "stock") }), "has checks"},
		"what was paid": {
			at(func(v *oracle.View) { v.Paid[0].Minor = 1200 }),
			"has paid map[EUR:1200], want map[EUR:700]",
		},
		"what is owed": {
			at(func(v *oracle.View) { v.Owed[0].Minor = 1200 }),
			"has owed map[EUR:1200], want map[EUR:700]",
		},
		"which payments count": {
			at(func(v *oracle.View) { v.Payments[1].Counts = true }), "has payments",
		},
		"its refunds": {at(func(v *oracle.View) { v.Refunds = v.Refunds[1:] }), "has refunds"},
		"its notices": {
			func(_ *testing.T, r *run) { r.views["paid"].Notices = nil }, "has notices [], want [sent]",
		},
		"its places": {
			func(_ *testing.T, r *run) {
				r.views["ghost"].Places = append(r.views["ghost"].Places, struct {
					Topic  string
					Offset int64
				}{"corrections", 7})
			}, "has places [corrections@7], want [corrections@2]",
		},
	})
}
