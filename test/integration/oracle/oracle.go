// Package oracle judges a whole run of the chain of services by what is in the
// topics. It shares no code with the application but the generated messages.
package oracle

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"tallystick/schemas/tallyv1"
)

// maxWrong bounds what a verdict spells out.
const maxWrong = 20

// A Shop is all that is known of a run. Its methods take in the records of one
// topic each, in any order of the topics.
type Shop struct {
	orders   map[string]*order
	payments map[string]*payment
	products map[string]*product
	taken    map[string]int // deliveries that the receiver took, by order

	Wrong []string
	wrong int
}

type order struct {
	asked *tallyv1.PlaceOrder

	placed, validated, rejected, cancelled int
	good, bad                              [3]int // of stock, fraud, details
	confirmed, expired, withdrawn          int
	shares                                 int64
	sent, bounced, unresolved              int
	payments                               []*payment
}

type payment struct {
	order, currency string
	amount          int64
	at              time.Time
	confirmed, owed int64
}

type product struct {
	added   int64
	row     *tallyv1.StockRow
	shipped int64 // with the orders that are confirmed
}

// New returns an empty shop.
func New() *Shop {
	return &Shop{
		orders: map[string]*order{}, payments: map[string]*payment{},
		products: map[string]*product{}, taken: map[string]int{},
	}
}

func (s *Shop) order(id string) *order {
	o := s.orders[id]
	if o == nil {
		o = &order{}
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
		s.order(e.OrderRejected.GetOrderId()).rejected++
	case *tallyv1.OrderEvent_OrderCancelled:
		s.order(e.OrderCancelled.GetOrderId()).cancelled++
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
		s.order(e.StockShort.GetOrderId()).bad[0]++
	case *tallyv1.OrderCheckEvent_FraudCleared:
		s.order(e.FraudCleared.GetOrderId()).good[1]++
	case *tallyv1.OrderCheckEvent_FraudSuspected:
		s.order(e.FraudSuspected.GetOrderId()).bad[1]++
	case *tallyv1.OrderCheckEvent_DetailsAccepted:
		s.order(e.DetailsAccepted.GetOrderId()).good[2]++
	case *tallyv1.OrderCheckEvent_DetailsRefused:
		s.order(e.DetailsRefused.GetOrderId()).bad[2]++
	}
}

// Payment takes in a record of payments. One that comes again counts once.
func (s *Shop) Payment(value []byte, at time.Time) {
	var m tallyv1.PaymentEvent
	if !s.decode("a payment", value, &m) || m.GetPaymentReceived() == nil {
		return
	}
	p := m.GetPaymentReceived()
	if s.payments[p.GetPaymentId()] != nil {
		return
	}
	known := &payment{
		order: p.GetOrderId(), amount: p.GetAmount().GetMinor(),
		currency: p.GetAmount().GetCurrency(), at: at,
	}
	s.payments[p.GetPaymentId()] = known
	o := s.order(p.GetOrderId())
	o.payments = append(o.payments, known)
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

// Confirmation takes in a record of confirmations.
func (s *Shop) Confirmation(value []byte) {
	var m tallyv1.ConfirmationEvent
	if !s.decode("a confirmation", value, &m) {
		return
	}
	c := m.GetOrderConfirmed()
	o := s.order(c.GetOrderId())
	o.confirmed++
	for _, share := range c.GetPayments() {
		o.shares += share.GetMinor()
		if p := s.payments[share.GetPaymentId()]; p != nil {
			p.confirmed += share.GetMinor()
		} else {
			s.fault("order %s is confirmed by payment %s, which never came", c.GetOrderId(),
				share.GetPaymentId())
		}
	}
}

// Exception takes in a record of exceptions; payments must have been taken in.
func (s *Shop) Exception(value []byte) {
	var m tallyv1.ExceptionEvent
	if !s.decode("an exception", value, &m) {
		return
	}
	switch e := m.GetEvent().(type) {
	case *tallyv1.ExceptionEvent_OrderExpired:
		s.order(e.OrderExpired.GetOrderId()).expired++
	case *tallyv1.ExceptionEvent_OrderWithdrawn:
		s.order(e.OrderWithdrawn.GetOrderId()).withdrawn++
	case *tallyv1.ExceptionEvent_RefundOwed:
		if p := s.payments[e.RefundOwed.GetPaymentId()]; p != nil {
			p.owed += e.RefundOwed.GetAmount().GetMinor()
		}
	}
}

// Notice takes in a record of notices.
func (s *Shop) Notice(value []byte) {
	var m tallyv1.NoticeEvent
	if !s.decode("a notice", value, &m) {
		return
	}
	switch e := m.GetEvent().(type) {
	case *tallyv1.NoticeEvent_ConfirmationSent:
		s.order(e.ConfirmationSent.GetOrderId()).sent++
	case *tallyv1.NoticeEvent_ConfirmationBounced:
		s.order(e.ConfirmationBounced.GetOrderId()).bounced++
	case *tallyv1.NoticeEvent_ConfirmationUnresolved:
		s.order(e.ConfirmationUnresolved.GetOrderId()).unresolved++
	}
}

// Taken says that the receiver outside took a notification about an order.
func (s *Shop) Taken(orderID string, times int) { s.taken[orderID] += times }
