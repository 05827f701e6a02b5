package schemas

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"tallystick/schemas/tallyv1"
)

// The reasons for an envelope without an event or a command, or with one that
// this version does not know.
var (
	errNoEvent   = errors.New("the envelope holds no event that is known here")
	errNoCommand = errors.New("the envelope holds no command that is known here")
)

// Money returns the amount of minor units of a currency.
func Money(minor int64, currency string) *tallyv1.Money {
	return &tallyv1.Money{Minor: &minor, Currency: currency}
}

func checkOrder(e *tallyv1.OrderEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	switch v := e.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		return within("order_placed", checkPlaced(v.OrderPlaced))
	case *tallyv1.OrderEvent_OrderCancelled:
		return within("order_cancelled",
			checkEnded(v.OrderCancelled.GetOrderId(), v.OrderCancelled.GetReason()))
	case *tallyv1.OrderEvent_OrderRejected:
		return within("order_rejected",
			checkEnded(v.OrderRejected.GetOrderId(), v.OrderRejected.GetReason()))
	case *tallyv1.OrderEvent_OrderRefused:
		return within("order_refused", checkRefused(v.OrderRefused))
	case *tallyv1.OrderEvent_OrderValidated:
		return within("order_validated", checkValidated(v.OrderValidated))
	}
	return errNoEvent
}

func checkPlaced(o *tallyv1.OrderPlaced) error {
	if err := checkID("order_id", o.GetOrderId()); err != nil {
		return err
	}
	if err := checkText("customer_id", o.GetCustomerId(), MaxIDBytes); err != nil {
		return err
	}
	if err := checkMoney("total", o.GetTotal()); err != nil {
		return err
	}
	if err := checkTime("due", o.GetDue()); err != nil {
		return err
	}
	return checkLines(o.GetLines())
}

func checkEnded(orderID, reason string) error {
	if err := checkID("order_id", orderID); err != nil {
		return err
	}
	return checkText("reason", reason, MaxReasonBytes)
}

func checkPayment(e *tallyv1.PaymentEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	switch v := e.GetEvent().(type) {
	case *tallyv1.PaymentEvent_PaymentReceived:
		return within("payment_received", checkReceived(v.PaymentReceived))
	case *tallyv1.PaymentEvent_PaymentReversed:
		r := v.PaymentReversed
		err := checkIDs(r.GetPaymentId(), r.GetOrderId())
		if err == nil {
			err = checkText("reason", r.GetReason(), MaxReasonBytes)
		}
		return within("payment_reversed", err)
	}
	return errNoEvent
}

func checkReceived(p *tallyv1.PaymentReceived) error {
	if err := checkIDs(p.GetPaymentId(), p.GetOrderId()); err != nil {
		return err
	}
	if err := checkMoney("amount", p.GetAmount()); err != nil {
		return err
	}
	return checkText("method", p.GetMethod(), MaxMethodBytes)
}

func checkConfirmation(e *tallyv1.ConfirmationEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	v, ok := e.GetEvent().(*tallyv1.ConfirmationEvent_OrderConfirmed)
	if !ok {
		return errNoEvent
	}
	return within("order_confirmed", checkConfirmed(v.OrderConfirmed))
}

func checkConfirmed(c *tallyv1.OrderConfirmed) error {
	if err := checkID("order_id", c.GetOrderId()); err != nil {
		return err
	}
	if err := checkText("customer_id", c.GetCustomerId(), MaxIDBytes); err != nil {
		return err
	}
	if err := checkMoney("total", c.GetTotal()); err != nil {
		return err
	}
	if n := len(c.GetPayments()); n > MaxShares {
		return fmt.Errorf("payments: %d of them, the limit is %d", n, MaxShares)
	}
	rest := c.GetTotal().GetMinor()
	for _, p := range c.GetPayments() {
		if err := checkID("payments.payment_id", p.GetPaymentId()); err != nil {
			return err
		}
		if p.GetMinor() <= 0 || p.GetMinor() > rest {
			return fmt.Errorf("payments: %d is not a share of the total", p.GetMinor())
		}
		rest -= p.GetMinor()
	}
	if rest != 0 {
		return fmt.Errorf("payments: the shares lack %d of the total", rest)
	}
	return checkContact(c.GetContact())
}

// within puts the name of the event before the reason.
func within(name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s.%w", name, err)
	}
	return nil
}

func checkMeta(m *tallyv1.Meta) error {
	if m == nil {
		return nil
	}
	if err := checkText("meta.id", m.GetId(), MaxIDBytes); err != nil {
		return err
	}
	if n := len(m.GetCauses()); n > MaxCauses {
		return fmt.Errorf("meta.causes: %d of them, the limit is %d", n, MaxCauses)
	}
	for _, id := range m.GetCauses() {
		if err := checkID("meta.causes", id); err != nil {
			return err
		}
	}
	return checkTime("meta.at", m.GetAt())
}

func checkIDs(paymentID, orderID string) error {
	if err := checkID("payment_id", paymentID); err != nil {
		return err
	}
	return checkID("order_id", orderID)
}

func checkID(field, id string) error {
	if id == "" {
		return fmt.Errorf("%s is missing", field)
	}
	return checkText(field, id, MaxIDBytes)
}

// checkText checks a text that may be empty. Control characters are refused:
// such a text would break every line that it is printed in.
func checkText(field, text string, limit int) error {
	if len(text) > limit {
		return fmt.Errorf("%s has %d bytes, the limit is %d", field, len(text), limit)
	}
	ascii := true
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ' || c == 0x7f:
			return fmt.Errorf("%s holds the control character %#02x", field, c)
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii && !utf8.ValidString(text) {
		return fmt.Errorf("%s is not valid UTF-8", field)
	}
	return nil
}

func checkMoney(field string, m *tallyv1.Money) error {
	switch {
	case m == nil:
		return fmt.Errorf("%s is missing", field)
	case m.Minor == nil:
		return fmt.Errorf("%s.minor is missing", field)
	case *m.Minor < 0:
		return fmt.Errorf("%s.minor is %d, it must not be negative", field, *m.Minor)
	case *m.Minor > MaxMinor:
		return fmt.Errorf("%s.minor is %d, the limit is %d", field, *m.Minor, int64(MaxMinor))
	case m.Currency == "":
		return fmt.Errorf("%s.currency is missing", field)
	case !knownCurrency(m.Currency):
		return fmt.Errorf("%s.currency: %.20q is not an active ISO 4217 code", field, m.Currency)
	}
	return nil
}

func checkTime(field string, t *timestamppb.Timestamp) error {
	if t == nil {
		return nil
	}
	if t.GetSeconds() < minSeconds || t.GetSeconds() > maxSeconds ||
		t.GetNanos() < 0 || t.GetNanos() > 999_999_999 {
		return fmt.Errorf("%s is not a time between 1970 and 9999", field)
	}
	return nil
}
