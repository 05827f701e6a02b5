package inventory

import (
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// What is said follows from the row. The ids follow from the order and the
// product, so that they need not be kept.

// A command is what can be asked of a product's stock.
type command int

const (
	reserve command = iota
	release
	ship
)

// ask asks something of the stock of a line, because of the event of that id.
func (s *step) ask(what command, l *tallyv1.InventoryRow_Line, cause string) {
	m := new(tallyv1.StockCommand)
	product, quantity := l.GetProductId(), l.GetQuantity()
	kind := ""
	switch what {
	case reserve:
		kind = "ReserveStock"
		m.Command = &tallyv1.StockCommand_ReserveStock{ReserveStock: &tallyv1.ReserveStock{
			ProductId: product, OrderId: s.orderID, Quantity: quantity,
		}}
	case release:
		kind = "ReleaseStock"
		m.Command = &tallyv1.StockCommand_ReleaseStock{ReleaseStock: &tallyv1.ReleaseStock{
			ProductId: product, OrderId: s.orderID, Quantity: quantity,
		}}
	case ship:
		kind = "ShipStock"
		m.Command = &tallyv1.StockCommand_ShipStock{ShipStock: &tallyv1.ShipStock{
			ProductId: product, OrderId: s.orderID, Quantity: quantity,
		}}
	}
	m.Meta = schemas.MetaOf(schemas.EventID(kind, s.orderID, product), s.next.GetAtUs(), cause)
	s.out.Commands = append(s.out.Commands, m)
}

// replyID is the id of the answer about one line.
func replyID(orderID, productID string, granted bool) string {
	if granted {
		return schemas.EventID("StockLineReserved", orderID, productID)
	}
	return schemas.EventID("StockLineRefused", orderID, productID)
}

// sayReserved says that all is reserved. It follows from the answers, or from the
// order alone if there was nothing to ask.
func (s *step) sayReserved() {
	var causes []string
	for _, l := range s.next.GetLines() {
		causes = append(causes, replyID(s.orderID, l.GetProductId(), true))
	}
	if causes == nil {
		causes = []string{s.next.GetPlacedId()}
	}
	s.out.Check = &tallyv1.OrderCheckEvent{
		Meta: s.meta("StockReserved", causes),
		Event: &tallyv1.OrderCheckEvent_StockReserved{
			StockReserved: &tallyv1.StockReserved{OrderId: s.orderID},
		},
	}
}

// sayShort says that nothing is reserved, and what lacked, and returns the id of
// the event.
func (s *step) sayShort(denied []*tallyv1.InventoryRow_Line) string {
	short := &tallyv1.StockShort{OrderId: s.orderID}
	causes := []string{s.next.GetPlacedId()}
	if s.next.GetEnding() == tallyv1.InventoryRow_ENDED {
		causes = append(causes, s.next.GetEndingId())
	}
	for _, l := range denied {
		causes = append(causes, replyID(s.orderID, l.GetProductId(), false))
		short.ProductIds = append(short.ProductIds, l.GetProductId())
	}
	m := s.meta("StockShort", causes)
	s.out.Check = &tallyv1.OrderCheckEvent{
		Meta:  m,
		Event: &tallyv1.OrderCheckEvent_StockShort{StockShort: short},
	}
	return m.GetId()
}

// meta is that of an event about the order: there is one of each kind.
func (s *step) meta(kind string, causes []string) *tallyv1.Meta {
	return schemas.MetaOf(schemas.EventID(kind, s.orderID), s.next.GetAtUs(), causes...)
}

// sayReply answers what was asked of a product's stock.
func sayReply(e Reserve, granted bool) *tallyv1.StockReplyEvent {
	m := &tallyv1.StockReplyEvent{
		Meta: schemas.MetaOf(replyID(e.OrderID, e.ProductID, granted), e.At, e.ID),
	}
	if granted {
		m.Event = &tallyv1.StockReplyEvent_StockLineReserved{
			StockLineReserved: &tallyv1.StockLineReserved{
				OrderId: e.OrderID, ProductId: e.ProductID, Quantity: e.Quantity,
			},
		}
		return m
	}
	m.Event = &tallyv1.StockReplyEvent_StockLineRefused{
		StockLineRefused: &tallyv1.StockLineRefused{
			OrderId: e.OrderID, ProductId: e.ProductID, Quantity: e.Quantity,
		},
	}
	return m
}
