// Package oracle judges a whole run of the chain of services by what is in the
// topics. It shares no code with the application but the generated messages.
package oracle

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// maxWrong bounds what a verdict spells out.
const maxWrong = 20

// A Shop is all that is known of a run. Its methods take in the records of one
// topic each, those of a partition in their order: first payments and corrections,
// the rest in any order of the topics.
type Shop struct {
	// FraudLimit is what the orders of one customer may come to, in minor units. All
	// of a run lies within one window.
	FraudLimit int64

	orders    map[string]*order
	payments  map[string]*payment
	products  map[string]*product
	customers map[string]*tallyv1.CustomerUpdated
	taken     map[string]int // deliveries that the receiver took, by order

	Wrong []string
	wrong int
}

type order struct {
	asked *tallyv1.PlaceOrder

	placed, validated, rejected, cancelled int
	good, bad                              [3]int // of stock, fraud, details
	checks                                 said
	confirmed, expired, withdrawn          int
	ended                                  *tallyv1.OrderWithdrawn
	cancelRefused                          int
	shares                                 int64
	sent, bounced, unresolved              int
	payments                               []*payment
	places                                 map[string]bool // topic@offset
	view                                   *View
	viewed                                 int
}

// said is what was said about an order beside that it was.
type said struct {
	// stop is the first event that takes the order back, rejection what it is.
	stop      string
	stopped   bool
	rejection bool
	rejected  string // the reason

	short              []string // products
	suspected, refused string
	contact            *tallyv1.Contact
	notice             string // the last one
}

type product struct {
	added   int64
	row     *tallyv1.StockRow
	shipped int64 // with the orders that are confirmed
	wanted  int64 // by all orders
	over    bool  // not sold any more
}

// New returns an empty shop.
func New() *Shop {
	return &Shop{
		orders: map[string]*order{}, payments: map[string]*payment{},
		products: map[string]*product{}, customers: map[string]*tallyv1.CustomerUpdated{},
		taken: map[string]int{},
	}
}

func (s *Shop) order(id string) *order {
	o := s.orders[id]
	if o == nil {
		o = &order{places: map[string]bool{}}
		s.orders[id] = o
	}
	return o
}

func (s *Shop) product(id string) *product {
	p := s.products[id]
	if p == nil {
		p = &product{}
		s.products[id] = p
	}
	return p
}

func (s *Shop) fault(format string, args ...any) {
	if s.wrong++; s.wrong <= maxWrong {
		s.Wrong = append(s.Wrong, fmt.Sprintf(format, args...))
	}
}

func (s *Shop) decode(what string, value []byte, m proto.Message) bool {
	if err := proto.Unmarshal(value, m); err != nil {
		s.fault("%s cannot be read: %v", what, err)
		return false
	}
	return true
}

// Command takes in a record of order-commands. The first command counts.
func (s *Shop) Command(value []byte) {
	var m tallyv1.OrderCommand
	if !s.decode("a command", value, &m) || m.GetPlaceOrder() == nil {
		return
	}
	if o := s.order(m.GetPlaceOrder().GetOrderId()); o.asked == nil {
		o.asked = m.GetPlaceOrder()
	}
}

// OrderEvent takes in a record of orders.
func (s *Shop) OrderEvent(value []byte) {
	var m tallyv1.OrderEvent
	if !s.decode("an order event", value, &m) {
		return
	}
	switch e := m.GetEvent().(type) {
	case *tallyv1.OrderEvent_OrderPlaced:
		s.order(e.OrderPlaced.GetOrderId()).placed++
	case *tallyv1.OrderEvent_OrderValidated:
		s.order(e.OrderValidated.GetOrder().GetOrderId()).validated++
	case *tallyv1.OrderEvent_OrderRejected:
		o := s.order(e.OrderRejected.GetOrderId())
		o.rejected++
		o.checks.rejected = e.OrderRejected.GetReason()
		o.stop(e.OrderRejected.GetReason(), true)
	case *tallyv1.OrderEvent_OrderCancelled:
		o := s.order(e.OrderCancelled.GetOrderId())
		o.cancelled++
		o.stop(e.OrderCancelled.GetReason(), false)
	case *tallyv1.OrderEvent_OrderRefused:
		s.fault("order %s was refused: %v", e.OrderRefused.GetOrderId(), e.OrderRefused)
	}
}

// Check takes in a record of order-checks.
func (s *Shop) Check(value []byte) {
	var m tallyv1.OrderCheckEvent
	if !s.decode("a check", value, &m) {
		return
	}
	switch e := m.GetEvent().(type) {
	case *tallyv1.OrderCheckEvent_StockReserved:
		s.order(e.StockReserved.GetOrderId()).good[0]++
	case *tallyv1.OrderCheckEvent_StockShort:
		o := s.order(e.StockShort.GetOrderId())
		o.bad[0]++
		o.checks.short = e.StockShort.GetProductIds()
	case *tallyv1.OrderCheckEvent_FraudCleared:
		s.order(e.FraudCleared.GetOrderId()).good[1]++
	case *tallyv1.OrderCheckEvent_FraudSuspected:
		o := s.order(e.FraudSuspected.GetOrderId())
		o.bad[1]++
		o.checks.suspected = e.FraudSuspected.GetReason()
	case *tallyv1.OrderCheckEvent_DetailsAccepted:
		o := s.order(e.DetailsAccepted.GetOrderId())
		o.good[2]++
		o.checks.contact = e.DetailsAccepted.GetContact()
	case *tallyv1.OrderCheckEvent_DetailsRefused:
		o := s.order(e.DetailsRefused.GetOrderId())
		o.bad[2]++
		o.checks.refused = e.DetailsRefused.GetReason()
	}
}

// stop notes what takes an order back. Of several events the first counts: they are
// in one partition.
func (o *order) stop(why string, rejection bool) {
	if !o.checks.stopped {
		o.checks.stopped, o.checks.stop, o.checks.rejection = true, why, rejection
	}
}

// Customer takes in a record of customers, the last of which counts.
func (s *Shop) Customer(value []byte) {
	var m tallyv1.CustomerEvent
	if s.decode("a customer", value, &m) {
		s.customers[m.GetCustomerUpdated().GetCustomerId()] = m.GetCustomerUpdated()
	}
}

// Product takes in a record of products, the last of which counts.
func (s *Shop) Product(value []byte) {
	var m tallyv1.ProductEvent
	if s.decode("a product", value, &m) {
		p := m.GetProductUpdated()
		s.product(p.GetProductId()).over = p.GetDiscontinued()
	}
}

// Stock takes in a record of stock.
func (s *Shop) Stock(value []byte) {
	var m tallyv1.StockEvent
	if s.decode("a stock event", value, &m) && m.GetStockAdded() != nil {
		s.product(m.GetStockAdded().GetProductId()).added += m.GetStockAdded().GetQuantity()
	}
}

// StockRow takes in a record of the table of stock, every version of it.
func (s *Shop) StockRow(productID string, value []byte) {
	row := &tallyv1.StockRow{}
	if !s.decode("a row of stock", value, row) {
		return
	}
	if row.GetOnHand() < 0 || row.GetReserved() < 0 || row.GetReserved() > row.GetOnHand() {
		s.fault("product %s: %d are there and %d of them are reserved", productID, row.GetOnHand(),
			row.GetReserved())
	}
	s.product(productID).row = row
}

// Notice takes in a record of notices.
func (s *Shop) Notice(value []byte) {
	var m tallyv1.NoticeEvent
	if !s.decode("a notice", value, &m) {
		return
	}
	switch e := m.GetEvent().(type) {
	case *tallyv1.NoticeEvent_ConfirmationSent:
		o := s.order(e.ConfirmationSent.GetOrderId())
		o.sent++
		o.checks.notice = "sent"
	case *tallyv1.NoticeEvent_ConfirmationBounced:
		o := s.order(e.ConfirmationBounced.GetOrderId())
		o.bounced++
		o.checks.notice = "bounced"
	case *tallyv1.NoticeEvent_ConfirmationUnresolved:
		o := s.order(e.ConfirmationUnresolved.GetOrderId())
		o.unresolved++
		o.checks.notice = "unresolved"
	}
}

// Taken says that the receiver outside took a notification about an order.
func (s *Shop) Taken(orderID string, times int) { s.taken[orderID] += times }

// Place says that a record about an order is in one of the topics about orders.
func (s *Shop) Place(topic, orderID string, offset int64) {
	s.order(orderID).places[place(topic, offset)] = true
}

func place(topic string, offset int64) string { return fmt.Sprintf("%s@%d", topic, offset) }
