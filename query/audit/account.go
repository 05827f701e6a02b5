package audit

import (
	"tallystick/processors/confirm"
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// account adds up, without the rules: each record of a key gets one disposition,
// each coin one fate, and what was said is held against both.
func (s *Shard) account(key string, h *history, row *confirm.Row, forgotten bool) {
	state, fates := confirm.Dispositions(row)
	a := accounting{
		s: s, key: key, h: h, row: row, fates: map[string]confirm.Fate{},
		came: map[string]*tallyv1.PaymentReceived{}, backBy: map[string]string{},
	}
	for _, f := range fates {
		a.fates[f.PaymentID] = f
	}
	a.orders(state)
	a.payments()
	if !forgotten {
		a.spoken(state)
		return
	}
	// The rules said things anew of what they had forgotten: only compare can tell
	// what they should have said.
	s.report.Forgotten++
	for _, f := range fates {
		m := Money{
			Excess: f.Excess, Mismatched: f.Mismatched, Unmatched: f.Unmatched,
			Expired: f.Expired, Late: f.Late,
		}
		s.report.money(f.Currency).Owed += m.returned()
	}
}

// An accounting is the adding up of one key.
type accounting struct {
	s     *Shard
	key   string
	h     *history
	row   *confirm.Row
	fates map[string]confirm.Fate
	// came is what brought each payment in first, backBy what took it back first.
	came   map[string]*tallyv1.PaymentReceived
	backBy map[string]string
}

func (a *accounting) dispose(name string) { a.s.report.Dispositions[name]++ }

// orders gives each record of the topic of orders its disposition.
func (a *accounting) orders(state confirm.Disposition) {
	var placed *tallyv1.OrderPlaced
	ended := false
	r := a.s.report
	for _, in := range a.h.orders {
		switch e := in.(type) {
		case nil:
			a.dispose("passed over")
		case confirm.Placed:
			if e.Validated != a.s.rules.RequireValidation {
				a.dispose("passed over")
				continue
			}
			if placed == nil {
				placed = e.Order
				r.Orders++
				a.dispose("order " + string(state))
				continue
			}
			a.again(sameOrder(placed, e.Order))
		case confirm.Ended:
			if ended {
				r.Duplicates++
				a.dispose("duplicate")
				continue
			}
			ended = true
			if state == confirm.Confirmed || state == confirm.Expired {
				a.dispose("cancel refused")
			} else {
				a.dispose("cancel " + string(state))
			}
		}
	}
	a.state(state, placed, ended)
}

// state counts the order, and holds its state against what came in.
func (a *accounting) state(state confirm.Disposition, placed *tallyv1.OrderPlaced, ended bool) {
	r := a.s.report
	switch state {
	case confirm.Pending:
		r.Pending++
	case confirm.Confirmed:
		r.Confirmed++
	case confirm.Expired:
		r.Expired++
	case confirm.Cancelled, confirm.Rejected:
		if placed != nil {
			r.Cancelled++
		}
	}
	over := state == confirm.Cancelled || state == confirm.Rejected
	switch {
	case a.row.Placed != (placed != nil):
		a.s.differ(kindRow, a.key, "the row has an order: %t, the topic has one: %t",
			a.row.Placed, placed != nil)
	case placed != nil && (a.row.Order.Total != placed.GetTotal().GetMinor() ||
		a.row.Order.Currency != placed.GetTotal().GetCurrency()):
		a.s.differ(kindMoney, a.key, "the order was of %d %s, the row has %d %s",
			placed.GetTotal().GetMinor(), placed.GetTotal().GetCurrency(),
			a.row.Order.Total, a.row.Order.Currency)
	case over && !ended:
		a.s.differ(kindRow, a.key, "the order is %s, and nothing that came in says so", state)
	case ended && state != confirm.Confirmed && state != confirm.Expired && !over:
		a.s.differ(kindRow, a.key, "a cancel came in, the order is %q", state)
	}
}

// again counts a record that came again.
func (a *accounting) again(same bool) {
	if same {
		a.s.report.Duplicates++
		a.dispose("duplicate")
		return
	}
	a.s.report.Conflicted++
	a.dispose("conflicted")
}

// payments gives each record of the topics of payments and of corrections its
// disposition, and the money of each payment its fate.
func (a *accounting) payments() {
	for _, in := range a.h.payments {
		switch e := in.(type) {
		case confirm.Received:
			a.comes("payment ", e.Payment)
		case confirm.Adjusted:
			a.comes(adjustment, &tallyv1.PaymentReceived{
				PaymentId: e.Payment.GetPaymentId(), Amount: e.Payment.GetAmount(),
				Method: confirm.AdjustedMethod,
			})
		case confirm.Reversed:
			a.goes("reversal", e.Payment.GetPaymentId())
		case confirm.Voided:
			a.goes(void, e.Payment.GetPaymentId())
		case confirm.Placed, confirm.Ended, confirm.Lapsed:
		}
	}
	for id, f := range a.fates {
		back, gone := a.backBy[id]
		switch {
		case a.came[id] == nil:
			a.s.differ(kindMoney, a.key, "the row has a payment %q of %d %s that never came in",
				id, f.Amount, f.Currency)
		case f.Reversed > 0 && !gone:
			a.s.differ(kindMoney, a.key, "payment %q counts as reversed, and nothing that came in says so",
				id)
		case gone && f.Reversed == 0 && !f.ReversedLate && f.Pending > 0:
			a.s.differ(kindMoney, a.key, "payment %q is pending, and a %s of it came in", id, back)
		case back == void:
			a.s.report.money(f.Currency).Voided += f.Reversed
		}
	}
}

// The records of corrections, as their dispositions begin.
const (
	adjustment = "adjustment "
	void       = "void"
)

// comes gives a record that brings a payment in its disposition; what begins its
// name.
func (a *accounting) comes(what string, p *tallyv1.PaymentReceived) {
	id := p.GetPaymentId()
	if first := a.came[id]; first != nil {
		a.again(samePayment(first, p))
		return
	}
	a.came[id] = p
	if what == adjustment {
		a.s.report.Adjusted++
		a.s.report.money(p.GetAmount().GetCurrency()).Adjusted += p.GetAmount().GetMinor()
	}
	a.received(what, p)
}

// goes gives a record that takes a payment back its disposition.
func (a *accounting) goes(what, id string) {
	if _, again := a.backBy[id]; again {
		a.s.report.Duplicates++
		a.dispose("duplicate")
		return
	}
	a.backBy[id] = what
	if what == void {
		a.s.report.Voided++
	}
	if a.fates[id].ReversedLate {
		what += " too late"
	}
	a.dispose(what)
}

// received gives the money of one payment its fate, and its record a disposition
// that begins with what it was.
func (a *accounting) received(what string, p *tallyv1.PaymentReceived) {
	r, amount := a.s.report, p.GetAmount().GetMinor()
	f, ok := a.fates[p.GetPaymentId()]
	if !ok { // the row keeps no more payments; it was refused
		f = confirm.Fate{Amount: amount, Currency: p.GetAmount().GetCurrency(), Unmatched: amount}
		if len(a.row.Payments) < confirm.MaxPayments {
			a.s.differ(kindMoney, a.key, "payment %q of %d %s is not in the row",
				p.GetPaymentId(), amount, f.Currency)
			f.Unmatched = 0
		}
	}
	r.Payments++
	r.money(p.GetAmount().GetCurrency()).add(Money{
		Received: amount, Confirmed: f.Confirmed, Pending: f.Pending, Excess: f.Excess,
		Mismatched: f.Mismatched, Unmatched: f.Unmatched, Reversed: f.Reversed,
		Expired: f.Expired, Late: f.Late,
	})
	a.dispose(what + a.fateOf(p.GetPaymentId(), f, ok))
}

// fateOf names the fate of a payment and counts it.
func (a *accounting) fateOf(id string, f confirm.Fate, kept bool) string {
	r := a.s.report
	if f.Excess > 0 {
		r.Excess++
	}
	if !kept {
		r.Unmatched++
		return "unmatched"
	}
	for i := range a.row.Payments {
		if a.row.Payments[i].PaymentID != id {
			continue
		}
		switch a.row.Payments[i].Disposition {
		case tallyv1.ConfirmRow_WAITING:
			r.Waiting++
			return "pending"
		case tallyv1.ConfirmRow_COUNTED:
			return "confirmed"
		case tallyv1.ConfirmRow_EXCESS:
			return "excess"
		case tallyv1.ConfirmRow_MISMATCHED:
			r.Mismatched++
			return "mismatched"
		case tallyv1.ConfirmRow_UNMATCHED, tallyv1.ConfirmRow_UNKNOWN:
			r.Unmatched++
			return "unmatched"
		case tallyv1.ConfirmRow_RETURNED:
			return "expired"
		case tallyv1.ConfirmRow_LATE:
			r.Late++
			return "late"
		case tallyv1.ConfirmRow_REVERSED:
			r.Reversed++
			return "reversed"
		}
	}
	return "unknown"
}

// spoken holds the sums of what was said against those of the row.
func (a *accounting) spoken(state confirm.Disposition) {
	confirmed := map[string]bool{}
	for _, out := range a.h.confirmations {
		m, err := schemas.Confirmations.Unmarshal(out.value)
		if err != nil {
			a.s.differ(kindConfirmation, a.key, "offset %d cannot be read: %v", out.offset, err)
			continue
		}
		confirmed[m.GetMeta().GetId()] = true
		a.shares(m.GetOrderConfirmed())
	}
	want := 0
	if state == confirm.Confirmed {
		want = 1
	}
	if len(confirmed) != want || !a.s.rules.RepeatSpeech && len(a.h.confirmations) != want {
		a.s.differ(kindConfirmation, a.key, "the order is %q and has %d confirmations", state,
			len(a.h.confirmations))
	}
	a.excess()
}

// shares holds a confirmation against the row, share by share.
func (a *accounting) shares(c *tallyv1.OrderConfirmed) {
	var sum int64
	for _, share := range c.GetPayments() {
		sum += share.GetMinor()
		if f := a.fates[share.GetPaymentId()]; f.Confirmed != share.GetMinor() {
			a.s.differ(kindMoney, a.key, "the confirmation counts %d of payment %q, the row %d",
				share.GetMinor(), share.GetPaymentId(), f.Confirmed)
		}
	}
	if sum != c.GetTotal().GetMinor() || sum != a.row.Order.Total {
		a.s.differ(kindMoney, a.key, "the confirmation's shares add up to %d, the order is of %d",
			sum, a.row.Order.Total)
	}
}

// excess holds what was said to be too much against the row, and adds up what was
// said to have to go back.
func (a *accounting) excess() {
	said := map[string]int64{}
	owed := map[string]bool{}
	for _, out := range a.h.exceptions {
		m, err := schemas.Exceptions.Unmarshal(out.value)
		if err != nil {
			a.s.differ(kindException, a.key, "offset %d cannot be read: %v", out.offset, err)
			continue
		}
		if x := m.GetPaymentExcess(); x != nil {
			said[x.GetPaymentId()] = x.GetExcess().GetMinor()
		}
		if x := m.GetRefundOwed(); x != nil && !owed[m.GetMeta().GetId()] {
			owed[m.GetMeta().GetId()] = true
			a.s.report.money(x.GetAmount().GetCurrency()).Owed += x.GetAmount().GetMinor()
		}
	}
	for id, f := range a.fates {
		if f.Excess != said[id] {
			a.s.differ(kindMoney, a.key, "%d of payment %q were too much, %d were said to be",
				f.Excess, id, said[id])
		}
	}
}

func sameOrder(a, b *tallyv1.OrderPlaced) bool {
	return a.GetCustomerId() == b.GetCustomerId() && sameMoney(a.GetTotal(), b.GetTotal()) &&
		a.GetDue().GetSeconds() == b.GetDue().GetSeconds() &&
		a.GetDue().GetNanos()/1000 == b.GetDue().GetNanos()/1000
}

func samePayment(a, b *tallyv1.PaymentReceived) bool {
	return sameMoney(a.GetAmount(), b.GetAmount()) && a.GetMethod() == b.GetMethod()
}

func sameMoney(a, b *tallyv1.Money) bool {
	return a.GetMinor() == b.GetMinor() && a.GetCurrency() == b.GetCurrency()
}
