package oracle

// A Verdict is what a run came to.
type Verdict struct {
	Orders, Confirmed, Expired, Withdrawn int
	// Rejected are the withdrawn ones that a check had found wrong.
	Rejected                            int
	Payments, Sent, Bounced, Unresolved int
	// Received is the money that came in; it was confirmed, or is owed.
	Received, ConfirmedMinor, Owed int64
	Products                       int
	Shipped                        int64
	// WrongCount counts what is wrong, of which Shop.Wrong has the first.
	WrongCount int
}

// services are those that check an order.
func services() [3]string { return [3]string{"stock", "fraud", "details"} }

// Judge holds what came out against what went in.
func (s *Shop) Judge() Verdict {
	var v Verdict
	for id, o := range s.orders {
		if o.asked == nil {
			s.fault("order %s was never asked for", id)
			continue
		}
		v.Orders++
		v.Confirmed += o.confirmed
		v.Expired += o.expired
		v.Withdrawn += o.withdrawn
		v.Rejected += o.rejected
		s.checks(id, o)
		s.end(id, o)
		s.told(id, o, &v)
		if o.confirmed > 0 {
			for _, line := range o.asked.GetLines() {
				s.product(line.GetProductId()).shipped += line.GetQuantity()
			}
		}
	}
	for id, p := range s.payments {
		v.Payments++
		v.Received += p.amount
		v.ConfirmedMinor += p.confirmed
		v.Owed += p.owed
		if p.confirmed+p.owed != p.amount {
			s.fault("payment %s of %d for order %s: %d are confirmed and %d have to go back", id,
				p.amount, p.order, p.confirmed, p.owed)
		}
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

// end holds that an order has one end, which fits its payments and their times.
func (s *Shop) end(id string, o *order) {
	if o.confirmed+o.expired+o.withdrawn != 1 {
		s.fault("order %s was confirmed %d times, expired %d times, was withdrawn %d times", id,
			o.confirmed, o.expired, o.withdrawn)
		return
	}
	total := o.asked.GetTotal().GetMinor()
	var inTime, all int64
	for _, p := range o.payments {
		if p.currency != o.asked.GetTotal().GetCurrency() {
			continue
		}
		all += p.amount
		if o.asked.GetDue() == nil || !p.at.After(o.asked.GetDue().AsTime()) {
			inTime += p.amount
		}
	}
	switch {
	// A payment that came late, but before its order was validated, counts.
	case o.confirmed == 1 && (o.shares != total || all < total || o.validated != 1):
		s.fault("order %s of %d is confirmed with shares of %d; %d came in time, validated %d", id,
			total, o.shares, inTime, o.validated)
	case o.withdrawn == 1 && o.rejected+o.cancelled == 0:
		s.fault("order %s was withdrawn without a reason", id)
	case o.withdrawn == 0 && o.rejected == 1:
		s.fault("order %s was rejected and not withdrawn", id)
	case o.expired == 1 && inTime >= total:
		s.fault("order %s was paid in time and expired", id)
	}
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
