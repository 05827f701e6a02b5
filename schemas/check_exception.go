package schemas

import (
	"errors"
	"fmt"

	"tallystick/schemas/tallyv1"
)

func checkException(e *tallyv1.ExceptionEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	switch v := e.GetEvent().(type) {
	case *tallyv1.ExceptionEvent_PaymentExcess:
		return within("payment_excess", checkExcess(v.PaymentExcess))
	case *tallyv1.ExceptionEvent_PaymentMismatch:
		return within("payment_mismatch", checkMismatch(v.PaymentMismatch))
	case *tallyv1.ExceptionEvent_PaymentUnmatched:
		return within("payment_unmatched", checkUnmatched(v.PaymentUnmatched))
	case *tallyv1.ExceptionEvent_ConfirmedPaymentReversed:
		return within("confirmed_payment_reversed",
			checkReversed(v.ConfirmedPaymentReversed))
	case *tallyv1.ExceptionEvent_OrderCancelRefused:
		r := v.OrderCancelRefused
		return within("order_cancel_refused", checkEnded(r.GetOrderId(), r.GetReason()))
	case *tallyv1.ExceptionEvent_OrderConflicted:
		c := v.OrderConflicted
		err := within("first", checkPlaced(c.GetFirst()))
		if err == nil {
			err = within("second", checkPlaced(c.GetSecond()))
		}
		return within("order_conflicted", err)
	case *tallyv1.ExceptionEvent_PaymentConflicted:
		c := v.PaymentConflicted
		err := within("first", checkReceived(c.GetFirst()))
		if err == nil {
			err = within("second", checkReceived(c.GetSecond()))
		}
		return within("payment_conflicted", err)
	case *tallyv1.ExceptionEvent_OrderExpired:
		return within("order_expired", checkExpired(v.OrderExpired))
	case *tallyv1.ExceptionEvent_OrderWithdrawn:
		w := v.OrderWithdrawn
		return within("order_withdrawn", checkEnded(w.GetOrderId(), w.GetReason()))
	case *tallyv1.ExceptionEvent_RefundOwed:
		return within("refund_owed", checkRefund(v.RefundOwed))
	}
	return errNoEvent
}

func checkExcess(p *tallyv1.PaymentExcess) error {
	if err := checkIDs(p.GetPaymentId(), p.GetOrderId()); err != nil {
		return err
	}
	if err := checkMoney("amount", p.GetAmount()); err != nil {
		return err
	}
	if err := checkMoney("excess", p.GetExcess()); err != nil {
		return err
	}
	if n := p.GetExcess().GetMinor(); n == 0 || n > p.GetAmount().GetMinor() {
		return errors.New("excess.minor is not a part of the amount")
	}
	return nil
}

func checkMismatch(p *tallyv1.PaymentMismatch) error {
	if err := checkIDs(p.GetPaymentId(), p.GetOrderId()); err != nil {
		return err
	}
	if err := checkMoney("amount", p.GetAmount()); err != nil {
		return err
	}
	if !knownCurrency(p.GetOrderCurrency()) {
		return errors.New("order_currency is not an active ISO 4217 code")
	}
	return nil
}

func checkUnmatched(p *tallyv1.PaymentUnmatched) error {
	if err := checkIDs(p.GetPaymentId(), p.GetOrderId()); err != nil {
		return err
	}
	if p.GetAmount() != nil {
		if err := checkMoney("amount", p.GetAmount()); err != nil {
			return err
		}
	}
	if p.GetReason() == tallyv1.PaymentUnmatched_REASON_UNSPECIFIED {
		return errors.New("reason is missing")
	}
	return checkText("note", p.GetNote(), MaxReasonBytes)
}

func checkReversed(p *tallyv1.ConfirmedPaymentReversed) error {
	if err := checkIDs(p.GetPaymentId(), p.GetOrderId()); err != nil {
		return err
	}
	if err := checkMoney("amount", p.GetAmount()); err != nil {
		return err
	}
	if p.GetWas() == tallyv1.ConfirmedPaymentReversed_WAS_UNSPECIFIED {
		return errors.New("was is missing")
	}
	if n := p.GetConfirmedMinor(); n < 0 || n > p.GetAmount().GetMinor() {
		return errors.New("confirmed_minor is not a part of the amount")
	}
	return checkText("reason", p.GetReason(), MaxReasonBytes)
}

func checkExpired(o *tallyv1.OrderExpired) error {
	if err := checkID("order_id", o.GetOrderId()); err != nil {
		return err
	}
	if err := checkText("customer_id", o.GetCustomerId(), MaxIDBytes); err != nil {
		return err
	}
	if err := checkMoney("total", o.GetTotal()); err != nil {
		return err
	}
	if o.GetDue() == nil {
		return errors.New("due is missing")
	}
	if err := checkTime("due", o.GetDue()); err != nil {
		return err
	}
	if n := len(o.GetReturns()); n > MaxShares {
		return fmt.Errorf("returns: %d of them, the limit is %d", n, MaxShares)
	}
	for _, r := range o.GetReturns() {
		if err := checkID("returns.payment_id", r.GetPaymentId()); err != nil {
			return err
		}
		if n := r.GetMinor(); n <= 0 || n > MaxMinor {
			return fmt.Errorf("returns.minor is %d, it is between 1 and %d", n, int64(MaxMinor))
		}
	}
	return nil
}

func checkRefund(r *tallyv1.RefundOwed) error {
	if err := checkIDs(r.GetPaymentId(), r.GetOrderId()); err != nil {
		return err
	}
	if err := checkMoney("amount", r.GetAmount()); err != nil {
		return err
	}
	if r.GetAmount().GetMinor() == 0 {
		return errors.New("amount.minor is 0: nothing has to go back")
	}
	if r.GetReason() == tallyv1.RefundOwed_REASON_UNSPECIFIED {
		return errors.New("reason is missing")
	}
	return nil
}
