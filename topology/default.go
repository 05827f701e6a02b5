package topology

import (
	"cmp"
	"slices"
)

// Default returns the map under these options. It is the main job: orders and
// payments from outside, joined by one processor into confirmations and
// exceptions. With Chain it is the whole order system around that.
func Default(o Options) Topology {
	b := newBuilder(o)
	if o.Chain {
		b.chain()
	} else {
		b.job()
	}
	dead := b.topic(b.n.DeadLetters, "as it came", Kind{"the record as it came", Engine})
	b.t.Topics = append(b.t.Topics, dead)
	for _, p := range b.t.Processors {
		b.kept(p)
	}
	return b.t
}

// A builder collects topics that are alike in most.
type builder struct {
	o     Options
	n     Names
	event Topic
	t     Topology
}

func newBuilder(o Options) *builder {
	return &builder{o: o, n: o.Names(), event: Topic{
		Partitions:  cmp.Or(o.Partitions, DefaultPartitions),
		Replication: cmp.Or(o.Replication, -1),
		Cleanup:     Delete,
		Retention:   Forever,
		MaxBytes:    MaxMessageBytes,
	}}
}

func (b *builder) topic(name, key string, holds ...Kind) Topic {
	t := b.event
	t.Name, t.Key, t.Holds = name, key, holds
	return t
}

// events adds a topic of events.
func (b *builder) events(name, key string, holds ...[]Kind) *Topic {
	b.t.Topics = append(b.t.Topics, b.topic(name, key, slices.Concat(holds...)...))
	return &b.t.Topics[len(b.t.Topics)-1]
}

// by is some kinds of one writer.
func by(writer string, kinds ...string) []Kind {
	list := make([]Kind, len(kinds))
	for i, name := range kinds {
		list[i] = Kind{name, writer}
	}
	return list
}

// add adds a processor, and its table if it has rows. Which topics the engine
// keeps for it follows from its inputs.
func (b *builder) add(p Processor, rows string) {
	p.Service, p.Group = cmp.Or(p.Service, p.Name), b.n.Group(p.Name)
	p.DeadLetters, p.Retry = b.n.DeadLetters, b.n.Retry(p.Name)
	first, _ := b.t.Topic(p.Inputs[0])
	if rows != "" {
		p.Table = b.n.Table(p.Name)
		table := b.topic(p.Table, first.Key, Kind{rows, p.Name})
		table.Cleanup = Compact
		b.t.Topics = append(b.t.Topics, table)
	}
	// The order of records matters where inputs meet in a row.
	if p.Table != "" && len(p.Inputs) > 1 && !p.Unordered {
		p.Journal = b.n.Journal(p.Name)
	}
	if first.Key == "order" && !b.o.NoParking && !p.Unordered {
		p.Parked = b.n.Parked(p.Name)
	}
	b.t.Processors = append(b.t.Processors, p)
}

// kept adds the topics that the engine keeps for p.
func (b *builder) kept(p Processor) {
	first, _ := b.t.Topic(p.Inputs[0])
	if p.Journal != "" {
		b.events(p.Journal, "none", by(Engine, "what came in which order"))
	}
	if p.Parked != "" {
		b.events(p.Parked, first.Key, by(Engine, "keys that wait")).Cleanup = Compact
	}
	b.events(p.Retry, "as it came", by(Engine, "what to do about dead letters")).
		MaxBytes = MaxRetryBytes
}

var (
	confirmed  = []string{"OrderConfirmed"}
	exceptions = []string{
		"PaymentExcess", "PaymentMismatch", "PaymentUnmatched", "ConfirmedPaymentReversed",
		"OrderCancelRefused", "OrderConflicted", "PaymentConflicted", "OrderExpired",
		"OrderWithdrawn", "RefundOwed",
	}
	payments    = []string{"PaymentReceived", "PaymentReversed"}
	corrections = []string{"PaymentVoided", "PaymentAdjusted"}
)

// job is the main job.
func (b *builder) job() {
	n := b.n
	b.events(n.Orders, "order", by(Outside, "OrderPlaced", "OrderCancelled", "OrderRejected"))
	b.events(n.Payments, "order", by(Outside, payments...))
	b.events(n.Corrections, "order", by(Outside, corrections...))
	b.events(n.Confirmations, "order", by(Confirm, confirmed...))
	b.events(n.Exceptions, "order", by(Confirm, exceptions...))
	b.add(Processor{
		Name: Confirm, Inputs: []string{n.Orders, n.Payments, n.Corrections},
		Outputs: []string{n.Confirmations, n.Exceptions},
	}, "ConfirmRow")
	b.views(n.Orders, n.Payments, n.Corrections, n.Confirmations, n.Exceptions)
}

// views reads all that is about orders.
func (b *builder) views(inputs ...string) {
	b.add(Processor{Name: Views, Inputs: inputs, Outputs: []string{}, Unordered: true}, "OrderView")
}

// chain is the whole order system: the topics in the order in which an order goes
// through them, then the services.
func (b *builder) chain() {
	n := b.n
	b.events(n.OrderCommands, "order", by(Outside, "PlaceOrder", "CancelOrder"))
	b.events(n.Orders, "order", by(Orders, "OrderPlaced", "OrderCancelled"),
		by(Validate, "OrderRejected"), by(Orders, "OrderRefused"), by(Validate, "OrderValidated"))
	b.events(n.OrderChecks, "order", by(Inventory, "StockReserved", "StockShort"),
		by(Fraud, "FraudCleared", "FraudSuspected"),
		by(Details, "DetailsAccepted", "DetailsRefused"))
	b.events(n.Payments, "payment", by(Outside, payments...))
	b.events(n.PaymentsByOrder, "order", by(Rekey, payments...)).Copies = n.Payments
	b.events(n.Corrections, "order", by(Outside, corrections...))
	b.events(n.Customers, "customer", by(Outside, "CustomerUpdated")).Cleanup = Compact
	b.events(n.Products, "product", by(Outside, "ProductUpdated")).Cleanup = Compact
	b.events(n.Stock, "product", by(Outside, "StockAdded", "StockCounted"))
	b.events(n.Confirmations, "order", by(Confirm, confirmed...))
	b.events(n.Exceptions, "order", by(Confirm, exceptions...))
	b.events(n.Notices, "order",
		by(Notify, "ConfirmationSent", "ConfirmationBounced", "ConfirmationUnresolved"))
	b.events(n.InventoryRequests, "product",
		by(Inventory, "ReserveStock", "ReleaseStock", "ShipStock")).Inner = Inventory
	b.events(n.InventoryReplies, "order",
		by(InventoryStock, "StockLineReserved", "StockLineRefused")).Inner = Inventory
	copied := b.events(n.FraudOrders, "customer", by(FraudRekey, "OrderPlaced"))
	copied.Copies, copied.Inner = n.Orders, Fraud
	b.events(n.NotifyResults, "order",
		by(Notify, "AttemptAccepted", "AttemptRefused", "AttemptUnsettled")).Inner = Notify
	b.checks()
	b.add(Processor{
		Name: Validate, Inputs: []string{n.Orders, n.OrderChecks}, Outputs: []string{n.Orders},
	}, "ValidateRow")
	b.add(Processor{
		Name: Confirm, Inputs: []string{n.Orders, n.PaymentsByOrder, n.Corrections},
		Outputs: []string{n.Confirmations, n.Exceptions},
	}, "ConfirmRow")
	b.add(Processor{
		Name: Notify, Inputs: []string{n.Confirmations, n.NotifyResults},
		Outputs: []string{n.Notices, n.NotifyResults},
	}, "NotifyRow")
	b.views(n.Orders, n.OrderCommands, n.OrderChecks, n.PaymentsByOrder, n.Corrections,
		n.Confirmations, n.Exceptions, n.Notices)
}

// checks are the services up to the checks of an order.
func (b *builder) checks() {
	n := b.n
	b.add(Processor{
		Name: Rekey, Inputs: []string{n.Payments}, Outputs: []string{n.PaymentsByOrder},
	}, "")
	b.add(Processor{
		Name: Orders, Inputs: []string{n.OrderCommands}, Outputs: []string{n.Orders},
	}, "OrderRow")
	b.add(Processor{
		Name:    Inventory,
		Inputs:  []string{n.Orders, n.Exceptions, n.Confirmations, n.InventoryReplies},
		Outputs: []string{n.OrderChecks, n.InventoryRequests},
	}, "InventoryRow")
	b.add(Processor{
		Name: InventoryStock, Service: Inventory,
		Inputs: []string{n.Stock, n.InventoryRequests}, Outputs: []string{n.InventoryReplies},
	}, "StockRow")
	b.add(Processor{
		Name: FraudRekey, Service: Fraud,
		Inputs: []string{n.Orders}, Outputs: []string{n.FraudOrders},
	}, "")
	b.add(Processor{
		Name: Fraud, Inputs: []string{n.FraudOrders}, Outputs: []string{n.OrderChecks},
	}, "FraudRow")
	b.add(Processor{
		Name: Details, Inputs: []string{n.Orders}, Lookups: []string{n.Customers, n.Products},
		Outputs: []string{n.OrderChecks},
	}, "")
}
