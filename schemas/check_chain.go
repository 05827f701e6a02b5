package schemas

import (
	"errors"
	"fmt"

	"tallystick/schemas/tallyv1"
)

// The checks of the topics around the join: what is asked for, what each service
// found, what others say about customers, products and stock.

func checkCommand(c *tallyv1.OrderCommand) error {
	if err := checkMeta(c.GetMeta()); err != nil {
		return err
	}
	switch v := c.GetCommand().(type) {
	case *tallyv1.OrderCommand_PlaceOrder:
		return within("place_order", checkPlace(v.PlaceOrder))
	case *tallyv1.OrderCommand_CancelOrder:
		return within("cancel_order",
			checkEnded(v.CancelOrder.GetOrderId(), v.CancelOrder.GetReason()))
	}
	return errNoCommand
}

// checkPlace wants to know the customer: who takes orders in checks them.
func checkPlace(o *tallyv1.PlaceOrder) error {
	if err := checkID("order_id", o.GetOrderId()); err != nil {
		return err
	}
	if err := checkID("customer_id", o.GetCustomerId()); err != nil {
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

// checkLines checks each line by itself. Whether the lines add up to the total is
// for whoever takes the order to say; that they can be added up is said here.
func checkLines(lines []*tallyv1.Line) error {
	if n := len(lines); n > MaxLines {
		return fmt.Errorf("lines: %d of them, the limit is %d", n, MaxLines)
	}
	for _, l := range lines {
		if err := checkID("lines.product_id", l.GetProductId()); err != nil {
			return err
		}
		if err := checkQuantity("lines.quantity", l.GetQuantity()); err != nil {
			return err
		}
		if err := checkMoney("lines.price", l.GetPrice()); err != nil {
			return err
		}
		if price := l.GetPrice().GetMinor(); price > MaxMinor/l.GetQuantity() {
			return fmt.Errorf("lines: %d times %d is above the limit of %d",
				l.GetQuantity(), price, int64(MaxMinor))
		}
	}
	return nil
}

func checkQuantity(field string, n int64) error {
	if n <= 0 || n > MaxQuantity {
		return fmt.Errorf("%s is %d, it is between 1 and %d", field, n, MaxQuantity)
	}
	return nil
}

func checkRefused(o *tallyv1.OrderRefused) error {
	if err := checkID("order_id", o.GetOrderId()); err != nil {
		return err
	}
	if o.GetReason() == tallyv1.OrderRefused_REASON_UNSPECIFIED {
		return errors.New("reason is missing")
	}
	if o.GetCommand() == "" {
		return errors.New("command is missing")
	}
	if err := checkText("command", o.GetCommand(), MaxCommandBytes); err != nil {
		return err
	}
	return checkText("note", o.GetNote(), MaxReasonBytes)
}

func checkValidated(o *tallyv1.OrderValidated) error {
	if o.GetOrder() == nil {
		return errors.New("order is missing")
	}
	if err := within("order", checkPlaced(o.GetOrder())); err != nil {
		return err
	}
	return checkContact(o.GetContact())
}

// checkContact takes a contact that is not known.
func checkContact(c *tallyv1.Contact) error {
	if err := checkText("contact.name", c.GetName(), MaxNameBytes); err != nil {
		return err
	}
	return checkText("contact.email", c.GetEmail(), MaxEmailBytes)
}

func checkOrderCheck(e *tallyv1.OrderCheckEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	switch v := e.GetEvent().(type) {
	case *tallyv1.OrderCheckEvent_StockReserved:
		return within("stock_reserved", checkID("order_id", v.StockReserved.GetOrderId()))
	case *tallyv1.OrderCheckEvent_StockShort:
		return within("stock_short", checkShort(v.StockShort))
	case *tallyv1.OrderCheckEvent_FraudCleared:
		return within("fraud_cleared", checkID("order_id", v.FraudCleared.GetOrderId()))
	case *tallyv1.OrderCheckEvent_FraudSuspected:
		f := v.FraudSuspected
		return within("fraud_suspected", checkEnded(f.GetOrderId(), f.GetReason()))
	case *tallyv1.OrderCheckEvent_DetailsAccepted:
		d := v.DetailsAccepted
		err := checkID("order_id", d.GetOrderId())
		if err == nil {
			err = checkContact(d.GetContact())
		}
		return within("details_accepted", err)
	case *tallyv1.OrderCheckEvent_DetailsRefused:
		d := v.DetailsRefused
		return within("details_refused", checkEnded(d.GetOrderId(), d.GetReason()))
	}
	return errNoEvent
}

func checkShort(s *tallyv1.StockShort) error {
	if err := checkID("order_id", s.GetOrderId()); err != nil {
		return err
	}
	if n := len(s.GetProductIds()); n > MaxLines {
		return fmt.Errorf("product_ids: %d of them, the limit is %d", n, MaxLines)
	}
	for _, id := range s.GetProductIds() {
		if err := checkID("product_ids", id); err != nil {
			return err
		}
	}
	return nil
}

func checkCustomer(e *tallyv1.CustomerEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	v, ok := e.GetEvent().(*tallyv1.CustomerEvent_CustomerUpdated)
	if !ok {
		return errNoEvent
	}
	c := v.CustomerUpdated
	err := checkID("customer_id", c.GetCustomerId())
	if err == nil {
		err = checkText("name", c.GetName(), MaxNameBytes)
	}
	if err == nil {
		err = checkText("email", c.GetEmail(), MaxEmailBytes)
	}
	return within("customer_updated", err)
}

func checkProduct(e *tallyv1.ProductEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	v, ok := e.GetEvent().(*tallyv1.ProductEvent_ProductUpdated)
	if !ok {
		return errNoEvent
	}
	err := checkID("product_id", v.ProductUpdated.GetProductId())
	if err == nil {
		err = checkText("name", v.ProductUpdated.GetName(), MaxNameBytes)
	}
	return within("product_updated", err)
}

func checkStock(e *tallyv1.StockEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	switch v := e.GetEvent().(type) {
	case *tallyv1.StockEvent_StockAdded:
		err := checkID("product_id", v.StockAdded.GetProductId())
		if err == nil {
			err = checkQuantity("quantity", v.StockAdded.GetQuantity())
		}
		return within("stock_added", err)
	case *tallyv1.StockEvent_StockCounted:
		return within("stock_counted", checkCounted(v.StockCounted))
	}
	return errNoEvent
}

func checkCounted(s *tallyv1.StockCounted) error {
	if err := checkID("product_id", s.GetProductId()); err != nil {
		return err
	}
	switch n := s.GetQuantity(); {
	case s.Quantity == nil:
		return errors.New("quantity is missing")
	case n < 0 || n > MaxQuantity:
		return fmt.Errorf("quantity is %d, it is between 0 and %d", n, MaxQuantity)
	}
	return nil
}

func checkNotice(e *tallyv1.NoticeEvent) error {
	if err := checkMeta(e.GetMeta()); err != nil {
		return err
	}
	switch v := e.GetEvent().(type) {
	case *tallyv1.NoticeEvent_ConfirmationSent:
		s := v.ConfirmationSent
		return within("confirmation_sent",
			checkTold(s.GetOrderId(), s.GetChannel(), s.GetAttempts(), 1))
	case *tallyv1.NoticeEvent_ConfirmationBounced:
		b := v.ConfirmationBounced
		// None, if there was nobody to send it to.
		err := checkTold(b.GetOrderId(), b.GetChannel(), b.GetAttempts(), 0)
		if err == nil {
			err = checkText("reason", b.GetReason(), MaxReasonBytes)
		}
		return within("confirmation_bounced", err)
	case *tallyv1.NoticeEvent_ConfirmationUnresolved:
		u := v.ConfirmationUnresolved
		err := checkTold(u.GetOrderId(), u.GetChannel(), u.GetAttempts(), 1)
		if err == nil {
			err = checkText("reason", u.GetReason(), MaxReasonBytes)
		}
		return within("confirmation_unresolved", err)
	}
	return errNoEvent
}

// checkTold checks what all notices say: to whom, by which way, at which attempt.
func checkTold(orderID string, channel tallyv1.Channel, attempts, least int32) error {
	if err := checkID("order_id", orderID); err != nil {
		return err
	}
	if channel == tallyv1.Channel_CHANNEL_UNSPECIFIED {
		return errors.New("channel is missing")
	}
	if attempts < least || attempts > MaxAttempts {
		return fmt.Errorf("attempts is %d, it is between %d and %d", attempts, least, MaxAttempts)
	}
	return nil
}
