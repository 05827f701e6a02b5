package schemas

import (
	"strconv"

	"tallystick/schemas/tallyv1"
)

// IDOf returns the id by which other events name msg, an envelope, as their cause:
// the one that it came with, or else one that follows from what it says. It is
// empty for what is nobody's cause unless it has an id.
func IDOf(msg any) string {
	if m, ok := msg.(interface{ GetMeta() *tallyv1.Meta }); ok && m.GetMeta().GetId() != "" {
		return m.GetMeta().GetId()
	}
	switch m := msg.(type) {
	case *tallyv1.OrderCommand:
		return CommandContentID(m)
	case *tallyv1.OrderEvent:
		return orderContentID(m)
	case *tallyv1.OrderCheckEvent:
		return OrderCheckID(m)
	case *tallyv1.PaymentEvent:
		return paymentContentID(m)
	case *tallyv1.CustomerOrderEvent:
		return PlacedID(nil, m.GetOrderPlaced())
	case *tallyv1.ConfirmationEvent:
		return EventID("OrderConfirmed", m.GetOrderConfirmed().GetOrderId())
	case *tallyv1.ExceptionEvent:
		switch v := m.GetEvent().(type) {
		case *tallyv1.ExceptionEvent_OrderExpired:
			return EventID("OrderExpired", v.OrderExpired.GetOrderId())
		case *tallyv1.ExceptionEvent_OrderWithdrawn:
			return EventID("OrderWithdrawn", v.OrderWithdrawn.GetOrderId())
		}
	}
	return ""
}

func orderContentID(m *tallyv1.OrderEvent) string {
	switch v := m.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		return PlacedID(nil, v.OrderPlaced)
	case *tallyv1.OrderEvent_OrderValidated:
		return PlacedID(nil, v.OrderValidated.GetOrder())
	case *tallyv1.OrderEvent_OrderCancelled:
		return EventID("OrderCancelled", v.OrderCancelled.GetOrderId(), v.OrderCancelled.GetReason())
	case *tallyv1.OrderEvent_OrderRejected:
		return EventID("OrderRejected", v.OrderRejected.GetOrderId(), v.OrderRejected.GetReason())
	}
	return ""
}

func paymentContentID(m *tallyv1.PaymentEvent) string {
	switch v := m.GetEvent().(type) {
	case *tallyv1.PaymentEvent_PaymentReceived:
		p := v.PaymentReceived
		return EventID("PaymentReceived", p.GetOrderId(), p.GetPaymentId(),
			strconv.FormatInt(p.GetAmount().GetMinor(), 10), p.GetAmount().GetCurrency(), p.GetMethod())
	case *tallyv1.PaymentEvent_PaymentReversed:
		p := v.PaymentReversed
		return EventID("PaymentReversed", p.GetOrderId(), p.GetPaymentId(), p.GetReason())
	}
	return ""
}
