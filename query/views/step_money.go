package views

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

type timestamp = timestamppb.Timestamp

// micros is a time in microseconds since 1970, 0 if there is none.
func micros(at *timestamp) int64 {
	if at == nil {
		return 0
	}
	return schemas.Micros(at.AsTime())
}

// payment takes a payment in, or that it was reversed, whichever comes first.
func payment(row *Row, m *tallyv1.PaymentEvent, at int64) {
	id := schemas.PaymentID(m)
	i := paymentOf(row, id)
	if i < 0 {
		if len(row.GetPayments()) >= MaxPayments {
			row.PaymentsLeftOut++
			return
		}
		row.Payments = append(row.Payments, &tallyv1.OrderView_Payment{PaymentId: id})
		i = len(row.Payments) - 1
	}
	p := row.Payments[i]
	switch v := m.GetEvent().(type) {
	case *tallyv1.PaymentEvent_PaymentReceived:
		if p.GetCurrency() == "" {
			p.Amount = v.PaymentReceived.GetAmount().GetMinor()
			p.Currency = v.PaymentReceived.GetAmount().GetCurrency()
			p.Method, p.AtUs = v.PaymentReceived.GetMethod(), at
		}
	case *tallyv1.PaymentEvent_PaymentReversed:
		p.Reversed = true
	}
}

// paymentOf returns the index of a payment, or -1.
func paymentOf(row *Row, id string) int {
	return slices.IndexFunc(row.GetPayments(), func(p *tallyv1.OrderView_Payment) bool {
		return p.GetPaymentId() == id
	})
}

// correction takes in what the operator said, of each payment the first that makes
// it void and the first that brings it.
func correction(row *Row, m *tallyv1.CorrectionEvent, at int64) {
	c := &tallyv1.OrderView_Correction{PaymentId: schemas.CorrectionPaymentID(m), AtUs: at}
	if a := m.GetPaymentAdjusted(); a != nil {
		c.Amount, c.Currency = a.GetAmount().GetMinor(), a.GetAmount().GetCurrency()
		c.Replaces = a.GetReplaces()
	}
	known := slices.ContainsFunc(row.GetCorrections(), func(o *tallyv1.OrderView_Correction) bool {
		return o.GetPaymentId() == c.GetPaymentId() && (o.GetCurrency() == "") == (c.GetCurrency() == "")
	})
	switch {
	case known:
	case len(row.GetCorrections()) >= MaxCorrections:
		row.CorrectionsLeftOut++
	default:
		row.Corrections = append(row.Corrections, c)
	}
}

// refund takes in that money has to go back. It is said once for each part of a
// payment.
func refund(row *Row, o *tallyv1.RefundOwed, at int64) {
	known := slices.ContainsFunc(row.GetRefunds(), func(r *tallyv1.OrderView_Refund) bool {
		return r.GetPaymentId() == o.GetPaymentId() && r.GetReason() == o.GetReason()
	})
	if known {
		return
	}
	if len(row.GetRefunds()) >= MaxRefunds {
		row.RefundsLeftOut++
		return
	}
	row.Refunds = append(row.Refunds, &tallyv1.OrderView_Refund{
		PaymentId: o.GetPaymentId(), Amount: o.GetAmount().GetMinor(),
		Currency: o.GetAmount().GetCurrency(), Reason: o.GetReason(), AtUs: at,
	})
}

// An Amount is what a row comes to in one currency, in minor units.
type Amount struct {
	Currency string
	// Total is what the order costs.
	Total int64
	// Paid is what came in and was neither reversed nor made void.
	Paid int64
	// Owed is what has to go back, and has not gone back otherwise.
	Owed int64
}

// Held is what has come in and is not to go back.
func (a Amount) Held() int64 { return max(0, a.Paid-a.Owed) }

// Amounts returns what row comes to, by currency.
func Amounts(row *Row) []Amount {
	var list []Amount
	in := func(currency string) *Amount {
		i := slices.IndexFunc(list, func(a Amount) bool { return a.Currency == currency })
		if i < 0 {
			list = append(list, Amount{Currency: currency})
			i = len(list) - 1
		}
		return &list[i]
	}
	if o := Order(row); o != nil {
		in(o.GetCurrency()).Total = o.GetTotal()
	}
	for _, p := range row.GetPayments() {
		if Counts(row, p) {
			in(p.GetCurrency()).Paid += p.GetAmount()
		}
	}
	for _, c := range row.GetCorrections() {
		if adds(row, c) {
			in(c.GetCurrency()).Paid += c.GetAmount()
		}
	}
	for _, r := range row.GetRefunds() {
		if !takenBack(row, r.GetPaymentId()) {
			in(r.GetCurrency()).Owed += r.GetAmount()
		}
	}
	slices.SortFunc(list, func(a, b Amount) int { return cmp.Compare(a.Currency, b.Currency) })
	return list
}

// Counts tells whether a payment of row has come and was neither reversed nor made
// void.
func Counts(row *Row, p *tallyv1.OrderView_Payment) bool {
	return p.GetCurrency() != "" && !p.GetReversed() && !void(row, p.GetPaymentId())
}

// takenBack tells whether a payment was reversed or made void. If a refund was owed
// for it, it must not be paid out any more.
func takenBack(row *Row, payment string) bool {
	i := paymentOf(row, payment)
	return i >= 0 && row.GetPayments()[i].GetReversed() || void(row, payment)
}

// adds tells whether a correction of row brings money that is there: it was not taken
// back, and no payment has the same id.
func adds(row *Row, c *tallyv1.OrderView_Correction) bool {
	return c.GetCurrency() != "" && !void(row, c.GetPaymentId()) &&
		paymentOf(row, c.GetPaymentId()) < 0
}

// void tells whether the operator said that a payment does not count. Which payment
// another one stands for is for the reader alone.
func void(row *Row, payment string) bool {
	return slices.ContainsFunc(row.GetCorrections(), func(c *tallyv1.OrderView_Correction) bool {
		return c.GetCurrency() == "" && c.GetPaymentId() == payment
	})
}

// Order returns what the order says, as it was placed or else asked for, or nil if
// it has not come.
func Order(row *Row) *tallyv1.OrderView_Order {
	if o := row.GetPlaced(); o != nil {
		return o
	}
	return row.GetAsked()
}

// Ended tells whether nothing more is to come of an order.
func Ended(row *Row) bool { return row.GetState() >= tallyv1.OrderView_CONFIRMED }
