package simulation

import (
	"fmt"
	"slices"
	"strings"
)

// An account is what the rules make of the facts about one order, in one order
// of their arrival. It is written after the rules of the business, with plain
// sums, and shares nothing with the application.
type account struct {
	order    *fact // the first
	ended    string
	done     bool // confirmed
	refused  bool
	payments []*money
	said     []string
}

// money is one payment and where its money is.
type money struct {
	fact      *fact // nil if its reversal came first
	id        string
	where     string
	confirmed int64
	late      bool // reversed after its fate had been stated
}

// The places of money.
const (
	waiting    = "waiting"
	counted    = "counted"
	excess     = "excess"
	mismatched = "mismatched"
	unmatched  = "unmatched"
	wentBack   = "reversed"
)

func (a *account) say(format string, args ...any) {
	a.said = append(a.said, fmt.Sprintf(format, args...))
}

func (a *account) apply(f *fact) {
	switch f.kind {
	case placed:
		a.open(f)
	case cancelled, rejected:
		a.end(f)
	case received:
		a.receive(f)
	case reversed:
		a.reverse(f)
	}
}

func (a *account) open(f *fact) {
	if a.order != nil {
		if a.order.minor != f.minor || a.order.customer != f.customer {
			a.say("order conflicted: %d, then %d", a.order.minor, f.minor)
		}
		return
	}
	a.order = f
	if a.ended == "" {
		a.settle()
	}
}

// settle goes over the payments that are undecided: those up to the one that
// covers the total are for the order, those behind it too much.
func (a *account) settle() {
	if a.order.minor == 0 && !a.done {
		a.confirm(0)
	}
	var sum int64
	for _, m := range a.payments {
		switch {
		case m.where != waiting:
		case m.fact.currency != a.order.currency:
			m.where = mismatched
			a.say("mismatch: %s %d %s", m.id, m.fact.minor, m.fact.currency)
			a.owe(m, m.fact.minor, "wrong_currency")
		case !a.done:
			sum += m.fact.minor
			if sum >= a.order.minor {
				a.confirm(sum - a.order.minor)
			}
		case m.fact.minor == 0:
			m.where = counted
		default:
			m.where = excess
			a.say("excess: %s %d of %d", m.id, m.fact.minor, m.fact.minor)
			a.owe(m, m.fact.minor, excess)
		}
	}
}

// confirm counts what waits in the order's currency, up to the sum that covers
// the total, of which the last payment keeps more back.
func (a *account) confirm(more int64) {
	a.done = true
	var parts []string
	left := a.order.minor
	for _, m := range a.payments {
		if m.where != waiting || m.fact.currency != a.order.currency || a.order.minor == 0 {
			continue
		}
		share := min(m.fact.minor, left)
		m.where, m.confirmed, left = counted, share, left-share
		if share > 0 {
			parts = append(parts, fmt.Sprintf("%s=%d", m.id, share))
		}
		if left == 0 {
			if more > 0 {
				a.say("excess: %s %d of %d", m.id, more, m.fact.minor)
				a.owe(m, more, excess)
			}
			break
		}
	}
	a.say("confirmed: %s %d %s %v", a.order.customer, a.order.minor, a.order.currency, parts)
}

func (a *account) end(f *fact) {
	switch {
	case a.done && !a.refused:
		a.refused = true
		a.say("cancel refused: %v", f.kind == rejected)
	case !a.done && a.ended == "":
		a.ended = f.kind
		a.say("withdrawn: %v", f.kind == rejected)
		for _, m := range a.payments {
			a.release(m)
		}
	}
}

// release gives a payment back whose order has ended.
func (a *account) release(m *money) {
	if m.where == waiting {
		m.where = unmatched
		a.say("unmatched: %s %d %s", m.id, m.fact.minor, a.ended)
		a.owe(m, m.fact.minor, a.ended)
	}
}

// owe says that so much of a payment has to go back.
func (a *account) owe(m *money, minor int64, why string) {
	if minor > 0 {
		a.say("refund: %s %d %s %s", m.id, minor, m.fact.currency, why)
	}
}

func (a *account) find(id string) *money {
	for _, m := range a.payments {
		if m.id == id {
			return m
		}
	}
	return nil
}

func (a *account) receive(f *fact) {
	m := a.find(f.payment)
	switch {
	case m == nil:
		m = &money{fact: f, id: f.payment, where: waiting}
		a.payments = append(a.payments, m)
		if a.ended != "" {
			a.release(m)
		} else if a.order != nil {
			a.settle()
		}
	case m.fact == nil:
		m.fact = f
	case m.fact.minor != f.minor || m.fact.currency != f.currency:
		a.say("payment conflicted: %s %d, then %d", m.id, m.fact.minor, f.minor)
	}
}

func (a *account) reverse(f *fact) {
	m := a.find(f.payment)
	switch {
	case m == nil:
		a.payments = append(a.payments, &money{id: f.payment, where: wentBack})
	case m.where == waiting:
		m.where = wentBack
	case m.where != wentBack && !m.late:
		m.late = true
		a.say("reversed late: %s %d was %s", m.id, m.fact.minor, m.where)
	}
}

// String is all that can be seen of the account from outside.
func (a *account) String() string {
	state := "awaiting"
	switch {
	case a.done:
		state = "confirmed"
	case a.ended != "":
		state = a.ended
	case a.order != nil:
		state = "pending"
	}
	var row []string
	for _, m := range a.payments {
		var minor int64
		if m.fact != nil {
			minor = m.fact.minor
		}
		row = append(row, fmt.Sprintf("%s %d %s %d %v", m.id, minor, m.where, m.confirmed, m.late))
	}
	slices.Sort(a.said)
	return fmt.Sprintf("%s; row: %s; said: %s", state, strings.Join(row, ", "),
		strings.Join(a.said, ", "))
}

// outcomes are all that may become of an order: facts of one topic come in the
// order of their log, and the two topics in any mixture.
func outcomes(orders, payments []*fact) map[string]bool {
	out := map[string]bool{}
	mixed := make([]*fact, 0, len(orders)+len(payments))
	var mix func(o, p []*fact)
	mix = func(o, p []*fact) {
		if len(o) == 0 && len(p) == 0 {
			var a account
			for _, f := range mixed {
				a.apply(f)
			}
			out[a.String()] = true
			return
		}
		if len(o) > 0 {
			mixed = append(mixed, o[0])
			mix(o[1:], p)
			mixed = mixed[:len(mixed)-1]
		}
		if len(p) > 0 {
			mixed = append(mixed, p[0])
			mix(o, p[1:])
			mixed = mixed[:len(mixed)-1]
		}
	}
	mix(orders, payments)
	return out
}
