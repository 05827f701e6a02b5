package schemas

import (
	"fmt"

	"tallystick/schemas/tallyv1"
)

// CheckKey tells whether a record's key is the id that its body names: the
// product's or the customer's where the topic is about those, else the order's.
// What is no record of a topic that is known here is left to others.
func CheckKey(key string, msg any) error {
	what, id := "order", ""
	switch m := msg.(type) {
	case *tallyv1.OrderEvent:
		id = OrderID(m)
	case *tallyv1.PaymentEvent:
		id = PaymentOrderID(m)
	case *tallyv1.CorrectionEvent:
		id = CorrectionOrderID(m)
	case *tallyv1.ConfirmationEvent:
		id = m.GetOrderConfirmed().GetOrderId()
	case *tallyv1.ExceptionEvent:
		id = ExceptionOrderID(m)
	case *tallyv1.OrderCommand:
		id = CommandOrderID(m)
	case *tallyv1.OrderCheckEvent:
		id = OrderCheckOrderID(m)
	case *tallyv1.NoticeEvent:
		id = NoticeOrderID(m)
	case *tallyv1.NotifyResultEvent:
		id = NotifyResultOrderID(m)
	case *tallyv1.CustomerEvent:
		what, id = "customer", m.GetCustomerUpdated().GetCustomerId()
	case *tallyv1.ProductEvent:
		what, id = "product", m.GetProductUpdated().GetProductId()
	case *tallyv1.StockEvent:
		what, id = "product", StockProductID(m)
	case *tallyv1.StockCommand:
		what, id = "product", StockCommandProductID(m)
	case *tallyv1.StockReplyEvent:
		id = StockReplyOrderID(m)
	case *tallyv1.CustomerOrderEvent:
		what, id = "customer or order", CustomerOrderKey(m.GetOrderPlaced())
	default:
		return nil
	}
	return sameKey(key, what, id)
}

// CheckPaymentKey is [CheckKey] for a topic of payments that is keyed by payment.
func CheckPaymentKey(key string, msg any) error {
	if m, ok := msg.(*tallyv1.PaymentEvent); ok {
		return sameKey(key, "payment", PaymentID(m))
	}
	return CheckKey(key, msg)
}

func sameKey(key, what, id string) error {
	if id != key {
		return fmt.Errorf("schemas: the key is %q, the %s id in the body is %q", key, what, id)
	}
	return nil
}

// OrderID returns the id of the order that e is about, or nothing.
func OrderID(e *tallyv1.OrderEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		return v.OrderPlaced.GetOrderId()
	case *tallyv1.OrderEvent_OrderCancelled:
		return v.OrderCancelled.GetOrderId()
	case *tallyv1.OrderEvent_OrderRejected:
		return v.OrderRejected.GetOrderId()
	case *tallyv1.OrderEvent_OrderRefused:
		return v.OrderRefused.GetOrderId()
	case *tallyv1.OrderEvent_OrderValidated:
		return v.OrderValidated.GetOrder().GetOrderId()
	}
	return ""
}

// PaymentID returns the id of the payment that e is about, or nothing.
func PaymentID(e *tallyv1.PaymentEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.PaymentEvent_PaymentReceived:
		return v.PaymentReceived.GetPaymentId()
	case *tallyv1.PaymentEvent_PaymentReversed:
		return v.PaymentReversed.GetPaymentId()
	}
	return ""
}

// PaymentOrderID returns the id of the order that e is about, or nothing.
func PaymentOrderID(e *tallyv1.PaymentEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.PaymentEvent_PaymentReceived:
		return v.PaymentReceived.GetOrderId()
	case *tallyv1.PaymentEvent_PaymentReversed:
		return v.PaymentReversed.GetOrderId()
	}
	return ""
}

// CorrectionPaymentID returns the id of the payment that e takes back or brings
// in, or nothing.
func CorrectionPaymentID(e *tallyv1.CorrectionEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.CorrectionEvent_PaymentVoided:
		return v.PaymentVoided.GetPaymentId()
	case *tallyv1.CorrectionEvent_PaymentAdjusted:
		return v.PaymentAdjusted.GetPaymentId()
	}
	return ""
}

// CorrectionOrderID returns the id of the order that e is about, or nothing.
func CorrectionOrderID(e *tallyv1.CorrectionEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.CorrectionEvent_PaymentVoided:
		return v.PaymentVoided.GetOrderId()
	case *tallyv1.CorrectionEvent_PaymentAdjusted:
		return v.PaymentAdjusted.GetOrderId()
	}
	return ""
}

// ExceptionOrderID returns the id of the order that e is about, or nothing.
func ExceptionOrderID(e *tallyv1.ExceptionEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.ExceptionEvent_PaymentExcess:
		return v.PaymentExcess.GetOrderId()
	case *tallyv1.ExceptionEvent_PaymentMismatch:
		return v.PaymentMismatch.GetOrderId()
	case *tallyv1.ExceptionEvent_PaymentUnmatched:
		return v.PaymentUnmatched.GetOrderId()
	case *tallyv1.ExceptionEvent_ConfirmedPaymentReversed:
		return v.ConfirmedPaymentReversed.GetOrderId()
	case *tallyv1.ExceptionEvent_OrderCancelRefused:
		return v.OrderCancelRefused.GetOrderId()
	case *tallyv1.ExceptionEvent_OrderConflicted:
		return v.OrderConflicted.GetFirst().GetOrderId()
	case *tallyv1.ExceptionEvent_PaymentConflicted:
		return v.PaymentConflicted.GetFirst().GetOrderId()
	case *tallyv1.ExceptionEvent_OrderExpired:
		return v.OrderExpired.GetOrderId()
	case *tallyv1.ExceptionEvent_OrderWithdrawn:
		return v.OrderWithdrawn.GetOrderId()
	case *tallyv1.ExceptionEvent_RefundOwed:
		return v.RefundOwed.GetOrderId()
	}
	return ""
}

// CommandOrderID returns the id of the order that c is about, or nothing.
func CommandOrderID(c *tallyv1.OrderCommand) string {
	switch v := c.GetCommand().(type) {
	case *tallyv1.OrderCommand_PlaceOrder:
		return v.PlaceOrder.GetOrderId()
	case *tallyv1.OrderCommand_CancelOrder:
		return v.CancelOrder.GetOrderId()
	}
	return ""
}

// OrderCheckOrderID returns the id of the order that e is about, or nothing.
func OrderCheckOrderID(e *tallyv1.OrderCheckEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.OrderCheckEvent_StockReserved:
		return v.StockReserved.GetOrderId()
	case *tallyv1.OrderCheckEvent_StockShort:
		return v.StockShort.GetOrderId()
	case *tallyv1.OrderCheckEvent_FraudCleared:
		return v.FraudCleared.GetOrderId()
	case *tallyv1.OrderCheckEvent_FraudSuspected:
		return v.FraudSuspected.GetOrderId()
	case *tallyv1.OrderCheckEvent_DetailsAccepted:
		return v.DetailsAccepted.GetOrderId()
	case *tallyv1.OrderCheckEvent_DetailsRefused:
		return v.DetailsRefused.GetOrderId()
	}
	return ""
}

// NoticeOrderID returns the id of the order that e is about, or nothing.
func NoticeOrderID(e *tallyv1.NoticeEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.NoticeEvent_ConfirmationSent:
		return v.ConfirmationSent.GetOrderId()
	case *tallyv1.NoticeEvent_ConfirmationBounced:
		return v.ConfirmationBounced.GetOrderId()
	case *tallyv1.NoticeEvent_ConfirmationUnresolved:
		return v.ConfirmationUnresolved.GetOrderId()
	}
	return ""
}

// StockProductID returns the id of the product that e is about, or nothing.
func StockProductID(e *tallyv1.StockEvent) string {
	switch v := e.GetEvent().(type) {
	case *tallyv1.StockEvent_StockAdded:
		return v.StockAdded.GetProductId()
	case *tallyv1.StockEvent_StockCounted:
		return v.StockCounted.GetProductId()
	}
	return ""
}
