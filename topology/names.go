package topology

import "cmp"

// The services, in the order in which an order goes through them. Each of them
// has a processor of its own name, beside which some have another one.
const (
	Rekey     = "rekey"
	Orders    = "orders"
	Inventory = "inventory"
	Fraud     = "fraud"
	Details   = "details"
	Validate  = "validate"
	// Confirm joins orders and payments.
	Confirm = "confirm"
	Notify  = "notify"
	// Views keeps what people read of orders.
	Views = "views"
)

// The processors that are not named after their service.
const (
	// InventoryStock keeps the stock of each product for inventory.
	InventoryStock = "inventory-stock"
	// FraudRekey brings orders to where fraud keeps their customer.
	FraudRekey = "fraud-rekey"
)

// Options are what a user may choose about the default topology.
type Options struct {
	// Prefix is put before the names of the topics that others may read or write,
	// and no others.
	Prefix string
	// App names the groups, the tables, the inner topics and the dead letters;
	// empty is "tally".
	App string
	// Partitions is the count of every topic; 0 is DefaultPartitions.
	Partitions int32
	// Replication is the number of copies; 0 is the broker's default.
	Replication int16
	// Chain is the whole order system instead of the main job alone.
	Chain bool
	// NoParking leaves out that later records of a key wait behind a dead letter.
	NoParking bool
}

// Names are the names that a set of options gives to what the processors and
// the commands speak of.
type Names struct {
	Orders, Payments, Corrections, Confirmations, Exceptions string
	// OrderCommands and all others up to Notices are topics of the chain alone.
	OrderCommands, OrderChecks, PaymentsByOrder, Customers, Products, Stock, Notices string
	// InventoryRequests, InventoryReplies, FraudOrders and NotifyResults are inner
	// topics of the services that they are named after.
	InventoryRequests, InventoryReplies, FraudOrders, NotifyResults string

	ConfirmGroup, ConfirmTable, DeadLetters string

	// App is what groups and inner topics begin with.
	App string
}

// Names returns the names that the topology has under these options.
func (o Options) Names() Names {
	n := Names{
		Orders:          o.Prefix + "orders",
		Payments:        o.Prefix + "payments",
		Corrections:     o.Prefix + "corrections",
		Confirmations:   o.Prefix + "confirmations",
		Exceptions:      o.Prefix + "exceptions",
		OrderCommands:   o.Prefix + "order-commands",
		OrderChecks:     o.Prefix + "order-checks",
		PaymentsByOrder: o.Prefix + "payments-by-order",
		Customers:       o.Prefix + "customers",
		Products:        o.Prefix + "products",
		Stock:           o.Prefix + "stock",
		Notices:         o.Prefix + "notices",
		App:             cmp.Or(o.App, "tally"),
	}
	n.InventoryRequests = n.App + "-inventory-requests"
	n.InventoryReplies = n.App + "-inventory-replies"
	n.FraudOrders = n.App + "-fraud-orders"
	n.NotifyResults = n.App + "-notify-results"
	n.DeadLetters = n.App + "-dead-letters"
	n.ConfirmGroup, n.ConfirmTable = n.Group(Confirm), n.Table(Confirm)
	return n
}

// Group returns the consumer group of a processor.
func (n Names) Group(processor string) string { return n.App + "-" + processor }

// Table returns the topic behind a processor's state.
func (n Names) Table(processor string) string { return n.Group(processor) + "-table" }

// Journal returns the topic in which the order of a processor's records is.
func (n Names) Journal(processor string) string { return n.Group(processor) + "-journal" }

// Parked returns the topic of the keys that wait behind a processor's dead
// letters.
func (n Names) Parked(processor string) string { return n.Group(processor) + "-parked" }

// Retry returns the topic that says what is to be done about a processor's dead
// letters.
func (n Names) Retry(processor string) string { return n.Group(processor) + "-retry" }
