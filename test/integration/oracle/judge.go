package oracle

// A Verdict is what a run came to.
type Verdict struct {
	Orders, Confirmed, Expired, Withdrawn int
	// Rejected are the withdrawn ones that a check had found wrong.
	Rejected                            int
	Payments, Sent, Bounced, Unresolved int
	// Received is the money that came in: confirmed, owed, taken back before either,
	// or waiting for an order that did not come.
	Received, ConfirmedMinor, Owed, TakenBack, Waiting int64
	// ReversedLate are payments that were taken back when their fate was stated.
	ReversedLate int
	Products     int
	Shipped      int64
	// WrongCount counts what is wrong, of which Shop.Wrong has the first.
	WrongCount int
}

// services are those that check an order.
func services() [3]string { return [3]string{"stock", "fraud", "details"} }

// Judge holds what came out against what went in.
func (s *Shop) Judge() Verdict {
	var v Verdict
	for _, o := range s.orders {
		for _, line := range o.asked.GetLines() {
			s.product(line.GetProductId()).wanted += line.GetQuantity()
		}
	}
	for id, o := range s.orders {
		s.shown(id, o)
		if o.asked == nil {
			s.unasked(id, o)
			continue
		}
		v.Orders++
		v.Confirmed += o.confirmed
		v.Expired += o.expired
		v.Withdrawn += o.withdrawn
		v.Rejected += o.rejected
		s.checks(id, o)
		s.reasons(id, o)
		s.end(id, o)
		s.told(id, o, &v)
		if o.confirmed > 0 {
			for _, line := range o.asked.GetLines() {
				s.product(line.GetProductId()).shipped += line.GetQuantity()
			}
		}
	}
	s.fraud()
	for _, p := range s.payments {
		s.money(p, &v)
	}
	for id, p := range s.products {
		v.Products++
		v.Shipped += p.shipped
		if p.row.GetOnHand()+p.shipped != p.added || p.row.GetShipped() != p.shipped ||
			p.row.GetReserved() != 0 || p.row.GetOwed() != 0 {
			s.fault("product %s: %d were added and %d are in confirmed orders; the table has %d there, "+
				"%d reserved, %d shipped", id, p.added, p.shipped, p.row.GetOnHand(),
				p.row.GetReserved(), p.row.GetShipped())
		}
	}
	v.WrongCount = s.wrong
	return v
}

// checks holds that an order was placed, checked by each service and decided once.
// One that was cancelled may have been so before the decision.
func (s *Shop) checks(id string, o *order) {
	if o.placed != 1 {
		s.fault("order %s was placed %d times", id, o.placed)
	}
	good := true
	for i, service := range services() {
		if o.good[i]+o.bad[i] != 1 {
			s.fault("order %s: %s said %d times yes and %d times no", id, service, o.good[i], o.bad[i])
		}
		good = good && o.good[i] == 1
	}
	decided := o.validated + o.rejected
	if decided > 1 || decided == 0 && o.cancelled == 0 {
		s.fault("order %s was validated %d times and rejected %d times", id, o.validated, o.rejected)
	}
	if decided == 1 && (o.validated == 1) != good {
		s.fault("order %s: the decision does not fit the checks: validated %d, yes %v, no %v", id,
			o.validated, o.good, o.bad)
	}
}

// unasked holds that nothing is said of an order that was never asked for: its
// payments wait.
func (s *Shop) unasked(id string, o *order) {
	if o.placed+o.validated+o.rejected+o.cancelled+o.confirmed+o.expired+o.withdrawn > 0 ||
		len(o.payments) == 0 {
		s.fault("order %s was never asked for", id)
	}
}

// end holds that an order has one end, which fits its payments and their times.
func (s *Shop) end(id string, o *order) {
	if o.confirmed+o.expired+o.withdrawn != 1 {
		s.fault("order %s was confirmed %d times, expired %d times, was withdrawn %d times", id,
			o.confirmed, o.expired, o.withdrawn)
		return
	}
	total := o.asked.GetTotal().GetMinor()
	sure, most := o.covered()
	refused := 0
	if o.confirmed == 1 && o.cancelled > 0 {
		refused = 1
	}
	switch {
	// A payment that came late, but before its order was validated, counts.
	case o.confirmed == 1 && (o.shares != total || most < total || o.validated != 1):
		s.fault("order %s of %d is confirmed with shares of %d; %d to %d came, validated %d", id,
			total, o.shares, sure, most, o.validated)
	case o.withdrawn == 1 && o.rejected+o.cancelled == 0:
		s.fault("order %s was withdrawn without a reason", id)
	case o.withdrawn == 1 && (o.ended.GetRejection() != o.checks.rejection ||
		o.ended.GetReason() != o.checks.stop):
		s.fault("order %s was withdrawn as %v; what came first is %q, a rejection: %v", id, o.ended,
			o.checks.stop, o.checks.rejection)
	case o.withdrawn == 0 && o.rejected == 1:
		s.fault("order %s was rejected and not withdrawn", id)
	case o.expired == 1 && sure >= total:
		s.fault("order %s was paid in time and expired", id)
	case o.expired == 1 && o.asked.GetDue() == nil:
		s.fault("order %s has expired and was never due", id)
	case o.cancelRefused != refused:
		s.fault("order %s: its cancel was refused %d times, want %d", id, o.cancelRefused, refused)
	}
}

// covered is what the payments of an order come to in its currency: those that count
// whatever was read first, and those that may. One that was taken back counts only if
// it was too late for that, and one that is booked by hand for an order that was due
// only if it was read before: corrections hold no time up.
func (o *order) covered() (sure, most int64) {
	due := o.asked.GetDue()
	for _, p := range o.payments {
		if p.currency != o.asked.GetTotal().GetCurrency() || p.before {
			continue
		}
		most += p.amount
		inTime := due == nil || !p.booked && !p.at.After(due.AsTime())
		if inTime && len(p.taken) == 0 {
			sure += p.amount
		}
	}
	return sure, most
}

// told holds that who is confirmed was told once, and nobody else.
func (s *Shop) told(id string, o *order, v *Verdict) {
	taken := s.taken[id]
	if taken > 1 {
		s.fault("the confirmation of order %s was taken %d times", id, taken)
	}
	if o.confirmed == 0 {
		if taken+o.sent+o.bounced+o.unresolved > 0 {
			s.fault("order %s is not confirmed, and its customer was told so", id)
		}
		return
	}
	if o.sent+o.bounced > 1 || o.unresolved > 1 || o.sent+o.bounced+o.unresolved == 0 {
		s.fault("order %s: sent %d times, bounced %d times, unresolved %d times", id, o.sent, o.bounced,
			o.unresolved)
	}
	if o.sent > 0 && taken != 1 || o.bounced > 0 && taken != 0 {
		s.fault("order %s: sent %d, bounced %d, and the receiver took it %d times", id, o.sent,
			o.bounced, taken)
	}
	v.Sent += o.sent
	v.Bounced += o.bounced
	if o.sent+o.bounced == 0 {
		v.Unresolved += o.unresolved
	}
}
