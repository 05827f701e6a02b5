package causes

import (
	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// A role is what an event is for one of its causes.
type role byte

const (
	_        role = iota
	answer        // of a command
	stock         // what inventory does about an order
	reply         // of a product's stock
	copied        // of an order, for fraud
	fraud         // the verdict
	details       // the verdict
	decision      // of validate
	notice        // of the customer; one for each channel follows
	// What is above stands for the topics, in which an id is said once.
	firstTopic = notice + 8
)

// String names what is missing if it is.
func (r role) String() string {
	switch r {
	case answer:
		return "the answer of orders"
	case stock:
		return "what inventory asks or says"
	case reply:
		return "the answer of the stock"
	case copied:
		return "the copy for fraud"
	case fraud:
		return "FraudCleared or FraudSuspected"
	case details:
		return "DetailsAccepted or DetailsRefused"
	case decision:
		return "OrderValidated or OrderRejected"
	}
	return "the notice"
}

func told(c tallyv1.Channel) role { return notice + role(c&7) }

// The three checks.
const (
	stockCheck = 1 << iota
	fraudCheck
	detailsCheck
	allChecks = stockCheck | fraudCheck | detailsCheck
)

// take puts an event on the shelf of its order, and notes what has to follow from
// it: what the processors that had taken it in, when the look began, do with it.
func (l *look) take(s *shelf, f *fact) {
	if !f.topic.copy { // a copy has the id of what it copies, which has to be there
		s.known[f.id] = struct{}{}
	}
	if f.topic.writers[f.kind] != topology.Outside && f.topic.name != l.names.PaymentsByOrder &&
		!f.late {
		s.spoken(f)
	}
	if !l.chain {
		return
	}
	n := &l.names
	switch f.topic.name {
	case n.OrderCommands:
		l.command(s, f)
	case n.Orders:
		l.ofOrders(s, f)
	case n.OrderChecks:
		l.check(s, f)
	case n.InventoryRequests:
		if f.kind == "ReserveStock" {
			s.follows(stock, f.causes...)
			s.order(f.order).asked++
			l.demand(s, topology.InventoryStock, reply, f)
		}
	case n.InventoryReplies:
		s.follows(reply, f.causes...)
		if l.taken(topology.Inventory, f) == taken {
			s.order(f.order).replied++
		}
	case n.FraudOrders:
		s.cause(f, f.id)
		s.follows(copied, f.id)
		l.demand(s, topology.Fraud, fraud, f)
	case n.Payments, n.PaymentsByOrder:
		l.payment(s, f)
	case n.Confirmations:
		s.order(f.order).confirmed = l.taken(topology.Notify, f) == taken
	case n.Notices:
		s.order(f.order).told = true
		if len(f.causes) > 0 { // the confirmation, and perhaps the result of an attempt
			s.follows(told(f.channel), f.causes[0])
		}
	}
}

// command: each is answered, but one that asks for the same as another before it.
func (l *look) command(s *shelf, f *fact) {
	switch l.taken(topology.Orders, f) {
	case taken:
		if _, asked := s.said[f.content]; !asked {
			s.said[f.content] = struct{}{}
			s.expect(answer, f)
		}
	case waiting:
		s.report.Pending++
	case dead:
	}
}

func (l *look) ofOrders(s *shelf, f *fact) {
	switch f.kind {
	case "OrderPlaced":
		s.follows(answer, f.causes...)
		l.demand(s, topology.Inventory, stock, f)
		l.demand(s, topology.FraudRekey, copied, f)
		l.demand(s, topology.Details, details, f)
		if l.taken(topology.Validate, f) == taken {
			s.order(f.order).placed = f.id
		}
	case "OrderRefused":
		s.follows(answer, f.causes...)
	case "OrderCancelled":
		s.follows(answer, f.causes...)
		s.order(f.order).cancelled = true
	case "OrderValidated", "OrderRejected":
		s.follows(decision, f.causes...)
	}
}

func (l *look) check(s *shelf, f *fact) {
	o, bit := s.order(f.order), byte(0)
	switch f.kind {
	case "StockReserved", "StockShort":
		s.follows(stock, f.causes...)
		o.stock, bit = true, stockCheck
	case "FraudCleared", "FraudSuspected":
		s.follows(fraud, f.causes...)
		bit = fraudCheck
	case "DetailsAccepted", "DetailsRefused":
		s.follows(details, f.causes...)
		bit = detailsCheck
	}
	if l.taken(topology.Validate, f) == taken {
		o.checks |= bit
	}
}

func (l *look) payment(s *shelf, f *fact) {
	c := s.copiesOf(f.id, f.order)
	if f.topic.name == l.names.PaymentsByOrder {
		c.copied++
		return
	}
	c.came++
	switch l.taken(topology.Rekey, f) {
	case taken:
		c.taken++
	case waiting:
		s.report.Pending++
	case dead:
	}
}

// demand wants something to follow from f if a processor has taken it in.
func (l *look) demand(s *shelf, processor string, r role, f *fact) {
	switch l.taken(processor, f) {
	case taken:
		s.expect(r, f)
	case waiting:
		s.report.Pending++
	case dead:
	}
}

// row takes in a row of notify: what it says was told has to have been said.
func (l *look) row(s *shelf, id string, row *tallyv1.NotifyRow, f *fact) {
	o := s.order(id)
	for _, d := range row.GetDeliveries() {
		if d.GetState() == tallyv1.NotifyRow_UNRESOLVED {
			s.report.Unresolved++
		}
		switch d.GetState() {
		case tallyv1.NotifyRow_OPEN, tallyv1.NotifyRow_WAITING:
			o.open = true
		case tallyv1.NotifyRow_SENT, tallyv1.NotifyRow_BOUNCED, tallyv1.NotifyRow_UNRESOLVED:
			f.id = l.seeds.of(0, row.GetEventId())
			s.expect(told(d.GetChannel()), f)
		}
	}
}

// describe notes what else counts of some kinds.
func (l *look) describe(f *fact, m any) {
	switch m := m.(type) {
	case *tallyv1.OrderCommand:
		f.content = l.seeds.of(answer, f.order+"\x00"+schemas.CommandContentID(m))
	case *tallyv1.NoticeEvent:
		switch v := m.GetEvent().(type) {
		case *tallyv1.NoticeEvent_ConfirmationSent:
			f.channel = v.ConfirmationSent.GetChannel()
		case *tallyv1.NoticeEvent_ConfirmationBounced:
			f.channel = v.ConfirmationBounced.GetChannel()
		case *tallyv1.NoticeEvent_ConfirmationUnresolved:
			f.channel = v.ConfirmationUnresolved.GetChannel()
		}
	}
}
