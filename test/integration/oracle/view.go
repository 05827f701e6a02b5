package oracle

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A View is how an order is shown to who asks for it, as far as it is judged.
type View struct {
	Order, State, Customer string
	Total                  *Money
	Paid, Owed             []Money
	Due                    *time.Time
	Checks                 map[string]string
	Payments               []struct {
		Payment string
		Amount  *Money
		Counts  bool
	}
	Corrections []struct{ Payment string }
	Refunds     []struct {
		Payment string
		Amount  Money
	}
	Notices []struct{ Outcome string }
	Records int
	// Places are where its records are, nil if that was not asked.
	Places []struct {
		Topic  string
		Offset int64
	} `json:"-"`
}

// Money is an amount as views show it.
type Money struct {
	Minor    int64
	Currency string
}

// Orders returns the orders of which anything is known, each with how many records
// there are about it.
func (s *Shop) Orders() map[string]int {
	orders := map[string]int{}
	for id, o := range s.orders {
		orders[id] = len(o.places)
	}
	return orders
}

// View takes in how an order is shown when all is over.
func (s *Shop) View(v *View) {
	o := s.order(v.Order)
	o.view = v
	o.viewed++
}

// outcome is what became of an order, as its view says it.
func (o *order) outcome() string {
	switch {
	case o.asked == nil:
		return "awaiting_order"
	case o.confirmed > 0:
		return "confirmed"
	case o.expired > 0:
		return "expired"
	case o.ended.GetRejection():
		return "rejected"
	case o.withdrawn > 0:
		return "cancelled"
	}
	return "open"
}

// shown holds that the view of an order is what its topics come to.
func (s *Shop) shown(id string, o *order) {
	v := o.view
	if v == nil || o.viewed != 1 {
		s.fault("order %s has %d views", id, o.viewed)
		return
	}
	differ := func(what string, got, want any) {
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			s.fault("the view of order %s has %s %s, want %s", id, what, g, w)
		}
	}
	differ("state", v.State, o.outcome())
	differ("records", v.Records, len(o.places))
	differ("customer", v.Customer, o.asked.GetCustomerId())
	if o.asked != nil {
		total := o.asked.GetTotal()
		differ("total", *cmpOr(v.Total), Money{total.GetMinor(), total.GetCurrency()})
		if due := o.asked.GetDue(); due != nil || v.Due != nil {
			differ("due", v.Due, due.AsTime().Truncate(time.Microsecond))
		}
		differ("checks", v.Checks, o.found())
	}
	notices := []string{}
	if o.checks.notice != "" {
		notices = append(notices, o.checks.notice)
	}
	got := []string{}
	for _, n := range v.Notices {
		got = append(got, n.Outcome)
	}
	differ("notices", got, notices)
	s.shownMoney(o, differ)
	if v.Places != nil {
		places := map[string]bool{}
		for _, p := range v.Places {
			places[place(p.Topic, p.Offset)] = true
		}
		differ("places", slices.Sorted(maps.Keys(places)), slices.Sorted(maps.Keys(o.places)))
	}
}

func cmpOr(m *Money) *Money {
	if m == nil {
		return &Money{}
	}
	return m
}

// found is what the checks came to.
func (o *order) found() map[string]string {
	found := map[string]string{}
	for i, service := range services() {
		switch {
		case o.good[i] > 0:
			found[service] = "good"
		case o.bad[i] > 0:
			found[service] = "bad"
		}
	}
	return found
}

// shownMoney holds the money of a view: what has come in and was not taken back, and
// what has to go back, which is nothing of a payment that went back already.
func (s *Shop) shownMoney(o *order, differ func(what string, got, want any)) {
	sum := func(amounts []Money) map[string]int64 {
		by := map[string]int64{}
		for _, m := range amounts {
			by[m.Currency] += m.Minor
		}
		return by
	}
	paid, owed, refunds := map[string]int64{}, map[string]int64{}, map[string]int64{}
	counts := map[string]bool{}
	for _, p := range o.payments {
		if p.owed > 0 {
			refunds[p.id] += p.owed
		}
		if !p.booked && p.come {
			counts[p.id] = len(p.taken) == 0
		}
		if !p.come || len(p.taken) > 0 {
			continue
		}
		paid[p.currency] += p.amount
		if p.owed > 0 {
			owed[p.currency] += p.owed
		}
	}
	v := o.view
	differ("paid", sum(v.Paid), paid)
	differ("owed", sum(v.Owed), owed)
	gotCounts, gotRefunds := map[string]bool{}, map[string]int64{}
	for _, p := range v.Payments {
		if p.Amount != nil {
			gotCounts[p.Payment] = p.Counts
		}
	}
	for _, r := range v.Refunds {
		gotRefunds[r.Payment] += r.Amount.Minor
	}
	differ("payments", gotCounts, counts)
	differ("refunds", gotRefunds, refunds)
}
