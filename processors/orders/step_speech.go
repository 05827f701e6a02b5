package orders

import (
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// placed says that the order of row was placed; c asked for the same.
func placed(row *Row, c Place) *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{
		Meta: schemas.MetaOf(schemas.EventID("OrderPlaced", c.orderID), row.GetAtUs(),
			row.GetCommandId()),
		Event: &tallyv1.OrderEvent_OrderPlaced{OrderPlaced: &tallyv1.OrderPlaced{
			OrderId: c.orderID, CustomerId: c.Order.GetCustomerId(), Total: c.Order.GetTotal(),
			Due: c.Order.GetDue(), Lines: c.Order.GetLines(),
		}},
	}
}

// cancelled says that the order of row was cancelled; c asked for the same.
func cancelled(row *Row, c Cancel) *tallyv1.OrderEvent {
	end := row.GetCancel()
	return &tallyv1.OrderEvent{
		Meta: schemas.MetaOf(schemas.EventID("OrderCancelled", c.orderID), end.GetAtUs(),
			end.GetCommandId()),
		Event: &tallyv1.OrderEvent_OrderCancelled{OrderCancelled: &tallyv1.OrderCancelled{
			OrderId: c.orderID, Reason: end.GetReason(),
		}},
	}
}

// refused says that a command is not carried out, and why.
func refused(
	c origin, why tallyv1.OrderRefused_Reason, command, note string,
) *tallyv1.OrderEvent {
	return &tallyv1.OrderEvent{
		Meta: schemas.MetaOf(
			schemas.EventID("OrderRefused", c.orderID, c.id, c.content, why.String()), c.at, c.id),
		Event: &tallyv1.OrderEvent_OrderRefused{OrderRefused: &tallyv1.OrderRefused{
			OrderId: c.orderID, Reason: why, Command: command, Note: note,
		}},
	}
}
