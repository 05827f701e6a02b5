package oracle

import (
	"slices"
	"strings"

	"tallystick/schemas/tallyv1"
)

// reasons holds that what the services found is so: details by what was known of
// customers and products before the first order, stock by what all orders want, and
// fraud, in [Shop.fraud], by what the customer's orders come to.
func (s *Shop) reasons(id string, o *order) {
	s.details(id, o)
	for _, product := range o.checks.short {
		p := s.products[product]
		ordered := slices.ContainsFunc(o.asked.GetLines(), func(l *tallyv1.Line) bool {
			return l.GetProductId() == product
		})
		if !ordered || p == nil || p.wanted <= p.added {
			s.fault("order %s is short of %s, which it ordered: %v, and of which there was enough for all",
				id, product, ordered)
		}
	}
	if o.bad[0] > 0 && len(o.checks.short) == 0 && o.cancelled == 0 {
		s.fault("order %s is short of nothing, and nobody has cancelled it", id)
	}
	for i, found := range [][]string{o.checks.short, {o.checks.suspected}, {o.checks.refused}} {
		for _, why := range found {
			if o.rejected > 0 && o.bad[i] > 0 && !strings.Contains(o.checks.rejected, why) {
				s.fault("order %s is rejected because of %q, and not of %q, which %s found", id,
					o.checks.rejected, why, services()[i])
			}
		}
	}
}

// details holds that an order is refused for a customer whose account is closed or a
// product that is not sold, names it, and that others have their customer's contact.
func (s *Shop) details(id string, o *order) {
	var wrong []string
	who := s.customers[o.asked.GetCustomerId()]
	if who.GetClosed() {
		wrong = append(wrong, o.asked.GetCustomerId())
	}
	for _, line := range o.asked.GetLines() {
		if p := s.products[line.GetProductId()]; p != nil && p.over {
			wrong = append(wrong, line.GetProductId())
		}
	}
	named := func(what string) bool { return strings.Contains(o.checks.refused, what) }
	switch contact := o.checks.contact; {
	case (len(wrong) > 0) != (o.bad[2] > 0):
		s.fault("order %s: %d times details found something wrong, which is so of %q", id, o.bad[2],
			wrong)
	case len(wrong) > 0 && !slices.ContainsFunc(wrong, named):
		s.fault("order %s: details says %q and not what is wrong with %q", id, o.checks.refused, wrong)
	case o.good[2] > 0 && (contact.GetEmail() != who.GetEmail() || contact.GetName() != who.GetName()):
		s.fault("order %s has the contact %v, and its customer is %v", id, contact, who)
	}
}

// manyOrders is how many orders of one customer are judged by their sum. One that has
// so many others beside it within the hour is suspected for that alone.
const manyOrders = 500

// fraud holds that the orders of a customer that were cleared stay within the limit,
// and that one is suspected only if it would have gone beyond, or if there are too many.
func (s *Shop) fraud() {
	cleared, judged := map[string]int64{}, map[string]int{}
	for _, o := range s.orders {
		if o.good[1]+o.bad[1] > 0 {
			judged[o.asked.GetCustomerId()]++
		}
		if o.good[1] > 0 {
			cleared[o.asked.GetCustomerId()] += o.asked.GetTotal().GetMinor()
		}
	}
	for customer, sum := range cleared {
		if sum > s.FraudLimit {
			s.fault("customer %s: orders of %d were cleared, beyond the limit of %d", customer, sum,
				s.FraudLimit)
		}
	}
	for id, o := range s.orders {
		if strings.HasPrefix(o.checks.suspected, "too many orders") {
			if others := judged[o.asked.GetCustomerId()] - 1; others < manyOrders {
				s.fault("order %s is one too many, beside %d others of its customer", id, others)
			}
			continue
		}
		sum := cleared[o.asked.GetCustomerId()] + o.asked.GetTotal().GetMinor()
		if o.bad[1] > 0 && sum <= s.FraudLimit {
			s.fault("order %s is suspected, and with it its customer comes to %d, within the limit of %d",
				id, sum, s.FraudLimit)
		}
	}
}
