package oracle_test

import (
	"slices"
	"strings"
	"testing"

	"tallystick/schemas/tallyv1"
	"tallystick/test/integration/oracle"
)

// TestJudge holds that a run in which all is well is found so.
func TestJudge(t *testing.T) {
	s, v := good(t).judge(t)
	if v.WrongCount != 0 {
		t.Errorf("wrong is %s", strings.Join(s.Wrong, "\n"))
	}
	want := oracle.Verdict{
		Orders: 3, Confirmed: 1, Expired: 1, Withdrawn: 1, Rejected: 1, Payments: 6, Sent: 1,
		Received: 3070, ConfirmedMinor: 900, Owed: 1200, TakenBack: 900, Waiting: 70,
		ReversedLate: 2, Products: 2, Shipped: 2,
	}
	if v != want {
		t.Errorf("the verdict is %+v, want %+v", v, want)
	}
}

// A tampering is a way to make a good run a bad one, and what is to be said of it.
type tampering struct {
	tamper func(*testing.T, *run)
	want   string
}

// names holds that the oracle names each.
func names(t *testing.T, all map[string]tampering) {
	t.Helper()
	for name, tc := range all {
		t.Run(name, func(t *testing.T) {
			r := good(t)
			tc.tamper(t, r)
			s, v := r.judge(t)
			if all := strings.Join(s.Wrong, "\n"); v.WrongCount == 0 || !strings.Contains(all, tc.want) {
				t.Errorf("%q is not in\n%s", tc.want, all)
			}
		})
	}
}

// TestJudgeNames tampers with a run in each way that the oracle is there for, and
// sees it named.
func TestJudgeNames(t *testing.T) {
	row := func(r *tallyv1.StockRow) func(*testing.T, *run) {
		return func(t *testing.T, in *run) { in.rows = append(in.rows, bytes(t, r)) }
	}
	names(t, map[string]tampering{
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
			func(_ *testing.T, r *run) { r.orders = slices.Delete(r.orders, 3, 4) },
			"order unpaid was validated 0 times",
		},
		"an order comes from nowhere": {
			func(t *testing.T, r *run) { r.confirm(t, "ghost") }, "order ghost was never asked for",
		},
		"an order expires that was paid": {
			func(t *testing.T, r *run) { r.pay(t, "p-more", "unpaid", 500, "", "") },
			"order unpaid was paid in time and expired",
		},
		"an order is withdrawn as what it was not": {
			func(t *testing.T, r *run) {
				r.exceptions[len(r.exceptions)-1] = bytes(t, withdrawn("wrong", "no salt", false))
			}, "order wrong was withdrawn as",
		},
		"a cancel is lost": {
			func(t *testing.T, r *run) {
				r.order(t, &tallyv1.OrderEvent{Event: &tallyv1.OrderEvent_OrderCancelled{
					OrderCancelled: &tallyv1.OrderCancelled{OrderId: "paid"},
				}})
			}, "order paid: its cancel was refused 0 times, want 1",
		},
		"stock is lost":     {row(&tallyv1.StockRow{OnHand: 6, Shipped: 2}), "product tea: 9 were added"},
		"stock is kept":     {row(&tallyv1.StockRow{OnHand: 7, Reserved: 1, Shipped: 2}), "1 reserved"},
		"stock is negative": {row(&tallyv1.StockRow{OnHand: -1}), "product tea: -1 are there"},
	})
}
