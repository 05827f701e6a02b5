package confirm

import (
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

func (s *step) sayExcess(i int) {
	p := &s.row.Payments[i]
	m := s.orderAndPayment("PaymentExcess", p)
	s.say(&tallyv1.ExceptionEvent{
		Meta: m,
		Event: &tallyv1.ExceptionEvent_PaymentExcess{PaymentExcess: &tallyv1.PaymentExcess{
			PaymentId: p.PaymentID,
			OrderId:   s.orderID,
			Amount:    schemas.Money(p.Amount, p.Currency),
			Excess:    schemas.Money(p.Amount-p.Confirmed, p.Currency),
		}},
	})
	s.sayRefund(m, p, p.Amount-p.Confirmed, tallyv1.RefundOwed_EXCESS)
}

func (s *step) sayMismatch(i int) {
	p := &s.row.Payments[i]
	m := s.orderAndPayment("PaymentMismatch", p)
	s.say(&tallyv1.ExceptionEvent{
		Meta: m,
		Event: &tallyv1.ExceptionEvent_PaymentMismatch{PaymentMismatch: &tallyv1.PaymentMismatch{
			PaymentId:     p.PaymentID,
			OrderId:       s.orderID,
			Amount:        schemas.Money(p.Amount, p.Currency),
			OrderCurrency: s.currency(),
		}},
	})
	s.sayRefund(m, p, p.Amount, tallyv1.RefundOwed_WRONG_CURRENCY)
}

// sayUnmatched says that the payment at index i found no order that it could
// count for. Why follows from the payment and the row.
func (s *step) sayUnmatched(i int) {
	p := &s.row.Payments[i]
	u := &tallyv1.PaymentUnmatched{
		PaymentId: p.PaymentID,
		OrderId:   s.orderID,
		Amount:    schemas.Money(p.Amount, p.Currency),
	}
	var refund tallyv1.RefundOwed_Reason
	cause, at := "", p.Lapsed
	switch {
	case p.Disposition == tallyv1.ConfirmRow_UNKNOWN:
		u.Reason = tallyv1.PaymentUnmatched_ORDER_UNKNOWN
		refund = tallyv1.RefundOwed_ORDER_UNKNOWN
	case p.Disposition == tallyv1.ConfirmRow_LATE:
		u.Reason = tallyv1.PaymentUnmatched_ORDER_EXPIRED
		refund = tallyv1.RefundOwed_CAME_LATE
		cause, at = s.id(orderExpired), s.row.End.At
	default:
		u.Reason = tallyv1.PaymentUnmatched_ORDER_CANCELLED
		refund = tallyv1.RefundOwed_ORDER_CANCELLED
		rejection := s.row.State == tallyv1.ConfirmRow_REJECTED
		if rejection {
			u.Reason = tallyv1.PaymentUnmatched_ORDER_REJECTED
			refund = tallyv1.RefundOwed_ORDER_REJECTED
		}
		cause, at = s.id(orderWithdrawn), s.row.End.At
		if s.endIsWhole() {
			cause = endEventID(s.orderID, rejection, &s.row.End)
		}
		u.Note = s.row.End.Reason
	}
	causes := []string{paymentEventID(s.orderID, p)}
	if cause != "" {
		causes = []string{cause, causes[0]}
	}
	m := meta(s.id("PaymentUnmatched", p.PaymentID), max(at, p.At), causes...)
	s.sayUnmatchedFor(m, u)
	s.sayRefund(m, p, p.Amount, refund)
}

// sayTooMany refuses a payment that the row has no room for. The row does not
// remember it: it is refused as often as it comes, under one id.
func (s *step) sayTooMany(p *schemas.RowPayment) {
	content := paymentContentID(s.orderID, p)
	m := meta(s.id("PaymentUnmatched", p.PaymentID, content), p.At,
		paymentEventID(s.orderID, p))
	s.sayUnmatchedFor(m, &tallyv1.PaymentUnmatched{
		PaymentId: p.PaymentID,
		OrderId:   s.orderID,
		Amount:    schemas.Money(p.Amount, p.Currency),
		Reason:    tallyv1.PaymentUnmatched_TOO_MANY_PAYMENTS,
	})
	s.sayRefund(m, p, p.Amount, tallyv1.RefundOwed_TOO_MANY_PAYMENTS, content)
}

// sayReversalTooMany is the same for the reversal of a payment that is not in
// the row.
func (s *step) sayReversalTooMany(e Reversed) {
	id := e.Payment.GetPaymentId()
	s.sayUnmatchedFor(
		meta(s.id("PaymentUnmatched", id, "reversal"), e.At, reversalEventID(e)),
		&tallyv1.PaymentUnmatched{
			PaymentId: id,
			OrderId:   s.orderID,
			Reason:    tallyv1.PaymentUnmatched_TOO_MANY_PAYMENTS,
			Note:      e.Payment.GetReason(),
		})
}

func (s *step) sayUnmatchedFor(m *tallyv1.Meta, p *tallyv1.PaymentUnmatched) {
	s.say(&tallyv1.ExceptionEvent{
		Meta:  m,
		Event: &tallyv1.ExceptionEvent_PaymentUnmatched{PaymentUnmatched: p},
	})
}

// sayRefund says that so much of a payment has to go back, which follows from the
// event with the meta of. A payment has one part at most that does; parts tell
// apart those that the row does not remember.
func (s *step) sayRefund(of *tallyv1.Meta, p *schemas.RowPayment, minor int64,
	reason tallyv1.RefundOwed_Reason, parts ...string,
) {
	if minor == 0 {
		return
	}
	s.say(&tallyv1.ExceptionEvent{
		Meta: &tallyv1.Meta{
			Id:     s.id("RefundOwed", append([]string{p.PaymentID}, parts...)...),
			Causes: []string{of.GetId()},
			At:     of.GetAt(),
		},
		Event: &tallyv1.ExceptionEvent_RefundOwed{RefundOwed: &tallyv1.RefundOwed{
			PaymentId: p.PaymentID,
			OrderId:   s.orderID,
			Amount:    schemas.Money(minor, p.Currency),
			Reason:    reason,
		}},
	})
}

// sayReversed says that the money of a payment went back after its fate had been
// stated. Of a payment that is not whole, which event it was is not known any
// more.
func (s *step) sayReversed(p *schemas.RowPayment, e Reversed, whole bool) {
	var was tallyv1.ConfirmedPaymentReversed_Was
	switch p.Disposition {
	case tallyv1.ConfirmRow_COUNTED:
		was = tallyv1.ConfirmedPaymentReversed_CONFIRMED
	case tallyv1.ConfirmRow_EXCESS:
		was = tallyv1.ConfirmedPaymentReversed_EXCESS
	case tallyv1.ConfirmRow_MISMATCHED:
		was = tallyv1.ConfirmedPaymentReversed_MISMATCHED
	case tallyv1.ConfirmRow_UNMATCHED, tallyv1.ConfirmRow_UNKNOWN:
		was = tallyv1.ConfirmedPaymentReversed_UNMATCHED
	case tallyv1.ConfirmRow_RETURNED:
		was = tallyv1.ConfirmedPaymentReversed_EXPIRED
	case tallyv1.ConfirmRow_LATE:
		was = tallyv1.ConfirmedPaymentReversed_LATE
	case tallyv1.ConfirmRow_WAITING, tallyv1.ConfirmRow_REVERSED:
		return
	}
	causes := []string{reversalEventID(e)}
	if whole {
		causes = []string{paymentEventID(s.orderID, p), causes[0]}
	}
	s.say(&tallyv1.ExceptionEvent{
		Meta: meta(s.id("ConfirmedPaymentReversed", p.PaymentID), max(p.At, e.At), causes...),
		Event: &tallyv1.ExceptionEvent_ConfirmedPaymentReversed{
			ConfirmedPaymentReversed: &tallyv1.ConfirmedPaymentReversed{
				PaymentId:      p.PaymentID,
				OrderId:        s.orderID,
				Amount:         schemas.Money(p.Amount, p.Currency),
				Was:            was,
				ConfirmedMinor: p.Confirmed,
				Reason:         e.Payment.GetReason(),
			},
		},
	})
}

// sayPaymentConflicted reports a payment as often as it comes, under one id. Of a
// first one that is not whole, which event it was is not known any more.
func (s *step) sayPaymentConflicted(first, second *schemas.RowPayment, whole bool) {
	causes := []string{paymentEventID(s.orderID, second)}
	if whole {
		causes = []string{paymentEventID(s.orderID, first), causes[0]}
	}
	s.say(&tallyv1.ExceptionEvent{
		Meta: meta(s.id("PaymentConflicted", first.PaymentID,
			paymentContentID(s.orderID, second)), max(first.At, second.At), causes...),
		Event: &tallyv1.ExceptionEvent_PaymentConflicted{
			PaymentConflicted: &tallyv1.PaymentConflicted{
				First:  paymentMessage(s.orderID, first),
				Second: paymentMessage(s.orderID, second),
			},
		},
	})
}

// orderAndPayment is the meta of an event that follows from the order and one
// payment.
func (s *step) orderAndPayment(kind string, p *schemas.RowPayment) *tallyv1.Meta {
	cause, at := s.orderCause()
	return meta(s.id(kind, p.PaymentID), max(at, p.At), cause, paymentEventID(s.orderID, p))
}
