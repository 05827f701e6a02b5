package schemas

import (
	"errors"
	"fmt"
	"strings"

	"tallystick/schemas/tallyv1"
)

// checkCorrection wants to know more than the checks of other inputs: which
// correction it is, why it was made, and by whom.
func checkCorrection(e *tallyv1.CorrectionEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	if err := checkID("meta.id", e.GetMeta().GetId()); err != nil {
		return err
	}
	switch v := e.GetEvent().(type) {
	case *tallyv1.CorrectionEvent_PaymentVoided:
		return within("payment_voided", checkVoided(v.PaymentVoided))
	case *tallyv1.CorrectionEvent_PaymentAdjusted:
		return within("payment_adjusted", checkAdjusted(v.PaymentAdjusted))
	}
	return errNoEvent
}

func checkVoided(p *tallyv1.PaymentVoided) error {
	if err := checkIDs(p.GetPaymentId(), p.GetOrderId()); err != nil {
		return err
	}
	return checkWhy(p.GetReason(), p.GetBy())
}

func checkAdjusted(p *tallyv1.PaymentAdjusted) error {
	if err := checkIDs(p.GetPaymentId(), p.GetOrderId()); err != nil {
		return err
	}
	if err := checkMoney("amount", p.GetAmount()); err != nil {
		return err
	}
	if err := checkText("replaces", p.GetReplaces(), MaxIDBytes); err != nil {
		return err
	}
	if p.GetReplaces() == p.GetPaymentId() {
		return errors.New("replaces is the payment itself: what is adjusted has an id of its own")
	}
	return checkWhy(p.GetReason(), p.GetBy())
}

func checkWhy(reason, by string) error {
	if err := checkSaid("reason", reason, MaxReasonBytes); err != nil {
		return err
	}
	return checkSaid("by", by, MaxNameBytes)
}

// checkSaid checks a text in which something must be said.
func checkSaid(field, text string, limit int) error {
	if strings.TrimSpace(text) == "" {
		return fmt.Errorf("%s is missing", field)
	}
	return checkText(field, text, limit)
}
