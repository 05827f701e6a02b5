package api

import (
	"strings"
	"time"

	"tallystick/query/views"
	"tallystick/schemas/tallyv1"
)

// moneyJSON is an amount in minor units.
type moneyJSON struct {
	Minor    int64  `json:"minor"`
	Currency string `json:"currency"`
}

// summaryJSON is an order as lists show it.
type summaryJSON struct {
	Order    string     `json:"order"`
	State    string     `json:"state"`
	Customer string     `json:"customer,omitempty"`
	Total    *moneyJSON `json:"total,omitempty"`
	// Paid is what has come in and was not taken back, Owed what has to go back.
	Paid []moneyJSON `json:"paid"`
	Owed []moneyJSON `json:"owed"`
	Due  *time.Time  `json:"due,omitempty"`
	At   *time.Time  `json:"at,omitempty"`
	// First and Last are the times of the first and the last record about it.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Waits says what an order that has not ended waits for.
	Waits string `json:"waits_for,omitempty"`
}

// orderJSON is an order as it is shown by itself.
type orderJSON struct {
	summaryJSON
	Marks    map[string]markJSON `json:"marks"`
	Checks   map[string]string   `json:"checks"`
	Payments []paymentJSON       `json:"payments"`
	// Corrections are what the operator said about payments: those without an amount
	// take a payment back.
	Corrections []correctionJSON `json:"corrections"`
	Refunds     []refundJSON     `json:"refunds"`
	Notices     []noticeJSON     `json:"notices"`
	// Records is how many records about it have been taken in.
	Records int64 `json:"records"`
}

type markJSON struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

type paymentJSON struct {
	Payment string     `json:"payment"`
	Amount  *moneyJSON `json:"amount,omitempty"`
	Method  string     `json:"method,omitempty"`
	At      *time.Time `json:"at,omitempty"`
	// Counts tells whether it was neither reversed nor made void.
	Counts bool `json:"counts"`
}

type correctionJSON struct {
	Payment  string     `json:"payment"`
	Amount   *moneyJSON `json:"amount,omitempty"`
	Replaces string     `json:"replaces,omitempty"`
	At       time.Time  `json:"at"`
}

type refundJSON struct {
	Payment string    `json:"payment"`
	Amount  moneyJSON `json:"amount"`
	Reason  string    `json:"reason"`
	At      time.Time `json:"at"`
}

type noticeJSON struct {
	Channel  string    `json:"channel"`
	Outcome  string    `json:"outcome"`
	Attempts int32     `json:"attempts"`
	At       time.Time `json:"at"`
}

// word is the name of a value of an enum, as people write it.
func word(e interface{ String() string }) string { return strings.ToLower(e.String()) }

func timeOf(us int64) time.Time { return time.UnixMicro(us).UTC() }

// maybe is a time, or nil if there is none.
func maybe(us int64) *time.Time {
	if us == 0 {
		return nil
	}
	at := timeOf(us)
	return &at
}

// summary is a row as lists show it.
func summary(order string, row *views.Row) summaryJSON {
	s := summaryJSON{
		Order: order, State: word(row.GetState()), Paid: []moneyJSON{}, Owed: []moneyJSON{},
		First: timeOf(row.GetFirstUs()), Last: timeOf(row.GetLastUs()), Waits: waits(row),
	}
	if o := views.Order(row); o != nil {
		s.Customer, s.Total = o.GetCustomerId(), &moneyJSON{o.GetTotal(), o.GetCurrency()}
		s.Due, s.At = maybe(o.GetDueUs()), maybe(o.GetAtUs())
	}
	for _, a := range views.Amounts(row) {
		if a.Paid != 0 {
			s.Paid = append(s.Paid, moneyJSON{a.Paid, a.Currency})
		}
		if a.Owed != 0 {
			s.Owed = append(s.Owed, moneyJSON{a.Owed, a.Currency})
		}
	}
	return s
}

// waits says what has to come next for an order that has not ended.
func waits(row *views.Row) string {
	switch row.GetState() {
	case tallyv1.OrderView_AWAITING_ORDER:
		return "its order"
	case tallyv1.OrderView_ASKED:
		return "the answer of orders"
	case tallyv1.OrderView_PLACED:
		return waitsPlaced(row)
	case tallyv1.OrderView_VALIDATED:
		return "its payment"
	default:
		return ""
	}
}

// waitsPlaced names the checks that are not there, in the chain.
func waitsPlaced(row *views.Row) string {
	var missing []string
	for name, v := range verdicts(row) {
		if v == tallyv1.OrderView_NONE {
			missing = append(missing, name)
		}
	}
	if row.GetAsks() == 0 && len(missing) == len(verdicts(row)) {
		return "its payment" // the main job has no checks
	}
	if len(missing) == 0 {
		return "the decision of validate"
	}
	return "the check of " + strings.Join(sorted(missing), ", ")
}

func verdicts(row *views.Row) map[string]tallyv1.OrderView_Verdict {
	return map[string]tallyv1.OrderView_Verdict{
		"stock": row.GetStock(), "fraud": row.GetFraud(), "details": row.GetDetails(),
	}
}

// detailed is a row as it is shown by itself.
func detailed(order string, row *views.Row) orderJSON {
	o := orderJSON{
		summaryJSON: summary(order, row), Marks: map[string]markJSON{}, Checks: map[string]string{},
		Payments: []paymentJSON{}, Corrections: []correctionJSON{}, Refunds: []refundJSON{},
		Notices: []noticeJSON{},
	}
	for name, m := range map[string]*tallyv1.OrderView_Mark{
		"refused": row.GetRefused(), "validated": row.GetValidated(), "cancelled": row.GetCancelled(),
		"rejected": row.GetRejected(), "confirmed": row.GetConfirmed(), "expired": row.GetExpired(),
		"withdrawn": row.GetWithdrawn(), "abandoned": row.GetAbandoned(),
		"cancel_refused": row.GetCancelRefused(),
	} {
		if m != nil {
			o.Marks[name] = markJSON{timeOf(m.GetAtUs()), m.GetReason()}
		}
	}
	for name, v := range verdicts(row) {
		if v != tallyv1.OrderView_NONE {
			o.Checks[name] = word(v)
		}
	}
	o.money(row)
	for _, n := range row.GetNotices() {
		o.Notices = append(o.Notices, noticeJSON{
			word(n.GetChannel()), word(n.GetOutcome()), n.GetAttempts(), timeOf(n.GetAtUs()),
		})
	}
	list, more := views.Places(row)
	o.Records = int64(len(list)) + more
	return o
}

// money adds what came in and what has to go back.
func (o *orderJSON) money(row *views.Row) {
	for _, p := range row.GetPayments() {
		shown := paymentJSON{
			Payment: p.GetPaymentId(), Method: p.GetMethod(), At: maybe(p.GetAtUs()),
			Counts: views.Counts(row, p),
		}
		if p.GetCurrency() != "" {
			shown.Amount = &moneyJSON{p.GetAmount(), p.GetCurrency()}
		}
		o.Payments = append(o.Payments, shown)
	}
	for _, c := range row.GetCorrections() {
		shown := correctionJSON{
			Payment: c.GetPaymentId(), Replaces: c.GetReplaces(), At: timeOf(c.GetAtUs()),
		}
		if c.GetCurrency() != "" {
			shown.Amount = &moneyJSON{c.GetAmount(), c.GetCurrency()}
		}
		o.Corrections = append(o.Corrections, shown)
	}
	for _, r := range row.GetRefunds() {
		o.Refunds = append(o.Refunds, refundJSON{
			r.GetPaymentId(),
			moneyJSON{r.GetAmount(), r.GetCurrency()},
			word(r.GetReason()),
			timeOf(r.GetAtUs()),
		})
	}
}
