package validate

import (
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// A Service is one of those that look at new orders.
type Service int

// The services whose verdict is needed.
const (
	Stock Service = iota + 1
	Fraud
	Details
)

// An Event is one input record, decoded.
//
//sumtype:decl
type Event interface{ event() }

// Origin is which event it is, as the record gave it or derived, and when it was
// so, in microseconds since 1970.
type Origin struct {
	ID string
	At int64
}

type (
	// Placed opens an order.
	Placed struct {
		Origin
		Order *tallyv1.OrderPlaced
	}
	// Cancelled ends an order.
	Cancelled struct{}
	// Checked is the verdict of one service.
	Checked struct {
		Origin
		By Service
		// Reason says in words what is wrong; it is empty if all is good.
		Reason string
		// Contact is how to reach the customer, if Details knows.
		Contact *tallyv1.Contact
	}
)

func (Placed) event()    {}
func (Cancelled) event() {}
func (Checked) event()   {}

// OfOrder returns the event that m holds, or nil if it is none that matters here.
// The time of the record counts if m has none.
func OfOrder(m *tallyv1.OrderEvent, recorded time.Time) Event {
	switch v := m.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		return Placed{Origin{
			ID: schemas.PlacedID(m.GetMeta(), v.OrderPlaced),
			At: schemas.MetaAt(m.GetMeta(), recorded),
		}, v.OrderPlaced}
	case *tallyv1.OrderEvent_OrderCancelled:
		return Cancelled{}
	}
	return nil
}

// OfCheck returns the event that m holds. The time of the record counts if m has
// none. It returns nil if m holds no event, which no valid m does.
func OfCheck(m *tallyv1.OrderCheckEvent, recorded time.Time) Event {
	c := Checked{Origin: Origin{
		ID: schemas.OrderCheckID(m), At: schemas.MetaAt(m.GetMeta(), recorded),
	}}
	switch v := m.GetEvent().(type) {
	case *tallyv1.OrderCheckEvent_StockReserved:
		c.By = Stock
	case *tallyv1.OrderCheckEvent_StockShort:
		c.By, c.Reason = Stock, short(v.StockShort.GetProductIds())
	case *tallyv1.OrderCheckEvent_FraudCleared:
		c.By = Fraud
	case *tallyv1.OrderCheckEvent_FraudSuspected:
		c.By, c.Reason = Fraud, because("fraud", "suspected", v.FraudSuspected.GetReason())
	case *tallyv1.OrderCheckEvent_DetailsAccepted:
		c.By, c.Contact = Details, v.DetailsAccepted.GetContact()
	case *tallyv1.OrderCheckEvent_DetailsRefused:
		c.By, c.Reason = Details, because("details", "refused", v.DetailsRefused.GetReason())
	default:
		return nil
	}
	return c
}

func because(service, otherwise, reason string) string {
	if reason == "" {
		reason = otherwise
	}
	return service + ": " + reason
}

// short names products that lack, as many as a reason can hold.
func short(products []string) string {
	text := "stock: not enough"
	for i, id := range products {
		sep := ", "
		if i == 0 {
			sep = " of "
		}
		if text += sep + id; len(text) > maxReason {
			break
		}
	}
	return text
}
