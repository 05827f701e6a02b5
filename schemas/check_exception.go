package schemas

import (
	"errors"

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
