package details

import (
	"time"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
)

// Rules are what a user can choose about the decision.
type Rules struct {
	// KnownCustomersOnly refuses orders whose customer is not known.
	KnownCustomersOnly bool
	// KnownProductsOnly refuses orders with a product that is not known.
	KnownProductsOnly bool
}

// An Order is an order that was placed.
type Order struct {
	// ID is that of the event, as the record gave it or derived.
	ID string
	// At is when it was placed, in microseconds since 1970.
	At     int64
	Placed *tallyv1.OrderPlaced
}

// OfOrder returns the order that m opens, and false if it opens none. The time of
// the record counts if m has none.
func OfOrder(m *tallyv1.OrderEvent, recorded time.Time) (Order, bool) {
	v, ok := m.GetEvent().(*tallyv1.OrderEvent_OrderPlaced)
	if !ok {
		return Order{}, false
	}
	return Order{
		ID:     schemas.PlacedID(m.GetMeta(), v.OrderPlaced),
		At:     schemas.MetaAt(m.GetMeta(), recorded),
		Placed: v.OrderPlaced,
	}, true
}

// Step returns what is to be said about an order, given what is known of its
// customer, or nil, and of its products by their ids.
func Step(
	rules Rules, order Order, customer *tallyv1.CustomerUpdated,
	products map[string]*tallyv1.ProductUpdated,
) *tallyv1.OrderCheckEvent {
	id := order.Placed.GetOrderId()
	wrong := wrongWithCustomer(rules, order.Placed.GetCustomerId(), customer)
	wrong = append(wrong, wrongWithProducts(rules, order.Placed.GetLines(), products)...)
	if wrong != nil {
		reason := schemas.Reason(wrong...)
		return &tallyv1.OrderCheckEvent{
			Meta: schemas.MetaOf(schemas.EventID("DetailsRefused", id, order.ID, reason),
				order.At, order.ID),
			Event: &tallyv1.OrderCheckEvent_DetailsRefused{
				DetailsRefused: &tallyv1.DetailsRefused{OrderId: id, Reason: reason},
			},
		}
	}
	var contact *tallyv1.Contact
	if customer.GetName() != "" || customer.GetEmail() != "" {
		contact = &tallyv1.Contact{Name: customer.GetName(), Email: customer.GetEmail()}
	}
	return &tallyv1.OrderCheckEvent{
		Meta: schemas.MetaOf(schemas.EventID("DetailsAccepted", id, order.ID,
			contact.GetName(), contact.GetEmail()), order.At, order.ID),
		Event: &tallyv1.OrderCheckEvent_DetailsAccepted{
			DetailsAccepted: &tallyv1.DetailsAccepted{OrderId: id, Contact: contact},
		},
	}
}

func wrongWithCustomer(rules Rules, id string, customer *tallyv1.CustomerUpdated) []string {
	switch {
	case customer.GetClosed():
		return []string{"the account of customer " + id + " is closed"}
	case customer != nil || !rules.KnownCustomersOnly:
		return nil
	case id == "":
		return []string{"the order names no customer"}
	}
	return []string{"customer " + id + " is not known"}
}

func wrongWithProducts(
	rules Rules, lines []*tallyv1.Line, products map[string]*tallyv1.ProductUpdated,
) []string {
	var wrong []string
	seen := map[string]bool{}
	for _, l := range lines {
		id := l.GetProductId()
		product := products[id]
		switch {
		case seen[id]:
		case product.GetDiscontinued():
			wrong = append(wrong, "product "+id+" is discontinued")
		case product == nil && rules.KnownProductsOnly:
			wrong = append(wrong, "product "+id+" is not known")
		}
		seen[id] = true
	}
	return wrong
}

// Customer returns the customer that v, looked up by that id, holds. It returns
// nil if there is none, and an error beside it if what is there cannot be used.
func Customer(id string, v any) (*tallyv1.CustomerUpdated, error) {
	m, ok := v.(*tallyv1.CustomerEvent)
	if err := unusable(id, v, ok); err != nil || !ok {
		return nil, err
	}
	return m.GetCustomerUpdated(), nil
}

// Product is [Customer] for a product.
func Product(id string, v any) (*tallyv1.ProductUpdated, error) {
	m, ok := v.(*tallyv1.ProductEvent)
	if err := unusable(id, v, ok); err != nil || !ok {
		return nil, err
	}
	return m.GetProductUpdated(), nil
}

// unusable says why v, if there is one, cannot be used; known tells whether it is
// of the kind that was looked for.
func unusable(id string, v any, known bool) error {
	if known {
		return schemas.CheckKey(id, v)
	}
	if err, ok := v.(error); ok {
		return err
	}
	return nil
}
