package inventory

import (
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// An Event is one input record of the processor by order, decoded.
//
//sumtype:decl
type Event interface {
	// about returns the id of the order.
	about() string
}

// Origin is which event it is and when it was so.
type Origin struct {
	// ID is the event's id.
	ID string
	// At is when it happened, in microseconds since 1970.
	At int64
}

type (
	// Placed opens an order.
	Placed struct {
		Origin
		Order *tallyv1.OrderPlaced
	}
	// Replied is what the stock of one product answered.
	Replied struct {
		Origin
		OrderID   string
		ProductID string
		Quantity  int64
		Granted   bool
	}
	// Decided is what became of the order: it was confirmed, or it ended without
	// that.
	Decided struct {
		Origin
		OrderID   string
		Confirmed bool
	}
)

func (e Placed) about() string  { return e.Order.GetOrderId() }
func (e Replied) about() string { return e.OrderID }
func (e Decided) about() string { return e.OrderID }

// OfOrder returns the event that m holds, or nil if that does not concern the
// stock: orders that end are heard of from [OfException]. The time of the record
// counts if m has none.
func OfOrder(m *tallyv1.OrderEvent, recorded time.Time) Event {
	o := m.GetOrderPlaced()
	if o == nil {
		return nil
	}
	return Placed{Origin{schemas.PlacedID(m.GetMeta(), o), at(m.GetMeta(), recorded)}, o}
}

// OfReply returns the event that m holds. It returns nil if m holds no event,
// which no valid m does.
func OfReply(m *tallyv1.StockReplyEvent, recorded time.Time) Event {
	o := Origin{m.GetMeta().GetId(), at(m.GetMeta(), recorded)}
	switch v := m.GetEvent().(type) {
	case *tallyv1.StockReplyEvent_StockLineReserved:
		l := v.StockLineReserved
		return Replied{o, l.GetOrderId(), l.GetProductId(), l.GetQuantity(), true}
	case *tallyv1.StockReplyEvent_StockLineRefused:
		l := v.StockLineRefused
		return Replied{o, l.GetOrderId(), l.GetProductId(), l.GetQuantity(), false}
	}
	return nil
}

// OfConfirmation returns the event that m holds. It returns nil if m holds no
// event, which no valid m does.
func OfConfirmation(m *tallyv1.ConfirmationEvent, recorded time.Time) Event {
	c := m.GetOrderConfirmed()
	if c == nil {
		return nil
	}
	return decided("OrderConfirmed", c.GetOrderId(), m.GetMeta(), recorded, true)
}

// OfException returns the event that m holds, or nil if it does not end an order.
func OfException(m *tallyv1.ExceptionEvent, recorded time.Time) Event {
	switch v := m.GetEvent().(type) {
	case *tallyv1.ExceptionEvent_OrderExpired:
		return decided("OrderExpired", v.OrderExpired.GetOrderId(), m.GetMeta(), recorded, false)
	case *tallyv1.ExceptionEvent_OrderWithdrawn:
		return decided("OrderWithdrawn", v.OrderWithdrawn.GetOrderId(), m.GetMeta(), recorded, false)
	}
	return nil
}

func decided(
	kind, orderID string, m *tallyv1.Meta, recorded time.Time, confirmed bool,
) Decided {
	id := m.GetId()
	if id == "" {
		id = schemas.EventID(kind, orderID)
	}
	return Decided{Origin{id, at(m, recorded)}, orderID, confirmed}
}

func at(m *tallyv1.Meta, recorded time.Time) int64 { return schemas.MetaAt(m, recorded) }

// A StockEvent is one input record of the processor by product, decoded.
//
//sumtype:decl
type StockEvent interface {
	// product returns the id of the product.
	product() string
}

// Line is so many of a product for an order.
type Line struct {
	ProductID string
	OrderID   string
	Quantity  int64
}

type (
	// Added is what came in.
	Added struct {
		ProductID string
		Quantity  int64
	}
	// Counted is how many were found to be there.
	Counted struct {
		ProductID string
		Quantity  int64
	}
	// Reserve asks to keep so many for an order.
	Reserve struct {
		Origin
		Line
	}
	// Release asks to keep them no longer.
	Release struct{ Line }
	// Ship asks to hand them out.
	Ship struct{ Line }
)

func (e Added) product() string   { return e.ProductID }
func (e Counted) product() string { return e.ProductID }
func (l Line) product() string    { return l.ProductID }

// OfStock returns the event that m holds. It returns nil if m holds no event,
// which no valid m does.
func OfStock(m *tallyv1.StockEvent) StockEvent {
	switch v := m.GetEvent().(type) {
	case *tallyv1.StockEvent_StockAdded:
		return Added{v.StockAdded.GetProductId(), v.StockAdded.GetQuantity()}
	case *tallyv1.StockEvent_StockCounted:
		return Counted{v.StockCounted.GetProductId(), v.StockCounted.GetQuantity()}
	}
	return nil
}

// OfCommand returns the command that m holds. It returns nil if m holds none,
// which no valid m does.
func OfCommand(m *tallyv1.StockCommand, recorded time.Time) StockEvent {
	switch v := m.GetCommand().(type) {
	case *tallyv1.StockCommand_ReserveStock:
		return Reserve{Origin{m.GetMeta().GetId(), at(m.GetMeta(), recorded)}, line(v.ReserveStock)}
	case *tallyv1.StockCommand_ReleaseStock:
		return Release{line(v.ReleaseStock)}
	case *tallyv1.StockCommand_ShipStock:
		return Ship{line(v.ShipStock)}
	}
	return nil
}

func line(m interface {
	GetProductId() string
	GetOrderId() string
	GetQuantity() int64
},
) Line {
	return Line{m.GetProductId(), m.GetOrderId(), m.GetQuantity()}
}
