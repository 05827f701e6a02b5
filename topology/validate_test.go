package topology_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"tallystick/topology"
)

type mangled struct {
	name, want string
	mangle     func(*topology.Topology)
}

// refused breaks a map in one way at a time and expects the problem to be named,
// with a hint.
func refused(t *testing.T, o topology.Options, cases []mangled) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			m := topology.Default(o)
			tc.mangle(&m)
			err := m.Validate()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("Validate = %v, want %q", err, tc.want)
			}
			var problem *topology.Problem
			if !errors.As(err, &problem) || problem.Hint() == "" {
				t.Errorf("no hint with %v", err)
			}
		})
	}
	if err := topology.Default(o).Validate(); err != nil {
		t.Errorf("Validate of the default = %v", err)
	}
}

// TestValidateTopics breaks the topics of the main job.
func TestValidateTopics(t *testing.T) {
	type m = topology.Topology
	refused(t, topology.Options{}, []mangled{
		{"twice", "topic orders: listed twice", func(t *m) { t.Topics = append(t.Topics, t.Topics[0]) }},
		{"collision", "topic tally_dead-letters: collides with tally.dead-letters", func(t *m) {
			t.Topics[6].Name = "tally.dead-letters"
			t.Topics[5].Name = "tally_dead-letters"
			t.Topics[5], t.Topics[6] = t.Topics[6], t.Topics[5]
		}},
		{"bad name", "character that Kafka refuses", func(t *m) { t.Topics[0].Name = "or ders" }},
		{"no name", "not a name for a topic", func(t *m) { t.Topics[0].Name = "" }},
		{"dots", "not a name for a topic", func(t *m) { t.Topics[0].Name = ".." }},
		{"long name", "over 249 bytes", func(t *m) { t.Topics[0].Name = strings.Repeat("o", 250) }},
		{"no partitions", "topic orders: 0 partitions", func(t *m) { t.Topics[0].Partitions = 0 }},
		{"no copies", "topic orders: replication 0", func(t *m) { t.Topics[0].Replication = 0 }},
		{"bad cleanup", `cleanup "shred"`, func(t *m) { t.Topics[0].Cleanup = "shred" }},
		{"no retention", "retention of nothing", func(t *m) { t.Topics[0].Retention = 0 }},
		{"no bytes", "at most 0 bytes", func(t *m) { t.Topics[0].MaxBytes = 0 }},
		{"no key", "no key", func(t *m) { t.Topics[0].Key = "" }},
		{"empty", "holds nothing", func(t *m) { t.Topics[0].Holds = nil }},
		{"held twice", "holds OrderPlaced twice", func(t *m) {
			t.Topics[0].Holds[1] = topology.Kind{Name: "OrderPlaced", Writer: topology.Confirm}
		}},
		{"held elsewhere", "topic payments: OrderPlaced is in orders too", func(t *m) {
			t.Topics[1].Holds[1].Name = "OrderPlaced"
		}},
		{"no writer", "topic orders: nobody writes OrderPlaced", func(t *m) {
			t.Topics[0].Holds[0].Writer = ""
		}},
		{"writer unknown", "OrderConfirmed is written by ship, which is no processor", func(t *m) {
			t.Topics[3].Holds[0].Writer = "ship"
		}},
		{"writer idle", "PaymentExcess is said to be written by confirm", func(t *m) {
			t.Processors[0].Outputs = t.Processors[0].Outputs[:1]
		}},
	})
}

// TestValidateProcessor breaks the processor of the main job.
func TestValidateProcessor(t *testing.T) {
	type m = topology.Topology
	refused(t, topology.Options{}, []mangled{
		{"two writers", "writes orders, of which all belongs to outside", func(t *m) {
			t.Processors[0].Outputs = append(t.Processors[0].Outputs, "orders")
		}},
		{"processor twice", "processor confirm: listed twice", func(t *m) {
			t.Processors = append(t.Processors, t.Processors[0])
		}},
		{"shared group", "shares group tally-confirm with confirm", func(t *m) {
			t.Processors = append(t.Processors, t.Processors[0])
			t.Processors[1].Name = "second"
		}},
		{"reserved name", "not a name for a processor", func(t *m) {
			t.Processors[0].Name = topology.Outside
		}},
		{"no group", "processor confirm: no group", func(t *m) { t.Processors[0].Group = "" }},
		{"no service", "processor confirm: no service", func(t *m) { t.Processors[0].Service = "" }},
		{"no inputs", "reads nothing", func(t *m) { t.Processors[0].Inputs = nil }},
		{"nothing at all", "reads nothing", func(t *m) {
			t.Processors[0] = topology.Processor{Name: "confirm"}
		}},
		{"no such input", "uses ordres, which is no topic", func(t *m) {
			t.Processors[0].Inputs[0] = "ordres"
		}},
		{"no such output", "uses receipts, which is no topic", func(t *m) {
			t.Processors[0].Outputs = append(t.Processors[0].Outputs, "receipts")
		}},
		{"table deleted", "a table that is not compacted", func(t *m) {
			t.Topics[5].Cleanup = topology.Delete
		}},
		{"table read", "is an input or output too", func(t *m) {
			t.Processors[0].Inputs = append(t.Processors[0].Inputs, "tally-confirm-table")
		}},
		{"table misnamed", "under another name", func(t *m) {
			t.Topics[5].Name, t.Processors[0].Table = "rows", "rows"
		}},
		{"uneven inputs", "joins orders of 12 partitions with payments of 6", func(t *m) {
			t.Topics[1].Partitions = 6
		}},
		{"uneven table", "joins orders of 12 partitions with tally-confirm-table of 13", func(t *m) {
			t.Topics[5].Partitions = 13
		}},
		{"uneven journal", "12 partitions with tally-confirm-journal of 13", func(t *m) {
			t.Topics[8].Partitions = 13
		}},
		{"other key", "keyed by payment", func(t *m) { t.Topics[1].Key = "payment" }},
		{"dead letters owned", "of which all belongs to confirm", func(t *m) {
			t.Topics[7].Holds[0].Writer = topology.Confirm
		}},
		{"journal misnamed", "a journal of group tally-confirm under another name", func(t *m) {
			t.Topics[8].Name, t.Processors[0].Journal = "log", "log"
		}},
		{"journal compacted", "cleaned up by compact", func(t *m) {
			t.Topics[8].Cleanup = topology.Compact
		}},
		{"journal shortened", "tally-confirm-journal: kept for 1 day", func(t *m) {
			t.Topics[8].Retention = 24 * 60 * 60 * 1e9
		}},
		{"journal owned", "of which all belongs to outside", func(t *m) {
			t.Topics[8].Holds[0].Writer = topology.Outside
		}},
		{"parked deleted", "tally-confirm-parked: cleaned up by delete", func(t *m) {
			t.Topics[9].Cleanup = topology.Delete
		}},
		{"retry read", "tally-confirm-retry is an input or output too", func(t *m) {
			t.Processors[0].Inputs = append(t.Processors[0].Inputs, "tally-confirm-retry")
		}},
	})
}

// topicOf returns the topic of that name, to be mangled.
func topicOf(m *topology.Topology, name string) *topology.Topic {
	i := slices.IndexFunc(m.Topics, func(t topology.Topic) bool { return t.Name == name })
	return &m.Topics[i]
}

func processorOf(m *topology.Topology, name string) *topology.Processor {
	i := slices.IndexFunc(m.Processors, func(p topology.Processor) bool { return p.Name == name })
	return &m.Processors[i]
}

// TestValidateChain breaks what only the chain has: several writers of a topic,
// inner topics, copies, look-ups, a join that needs another key.
func TestValidateChain(t *testing.T) {
	type m = topology.Topology
	refused(t, topology.Options{Chain: true}, []mangled{
		{"kind of two", "topic orders: holds OrderPlaced twice", func(t *m) {
			orders := topicOf(t, "orders")
			orders.Holds = append(orders.Holds, topology.Kind{"OrderPlaced", topology.Validate})
		}},
		{"kind in two topics", "StockShort is in order-checks too", func(t *m) {
			topicOf(t, "exceptions").Holds[0].Name = "StockShort"
		}},
		{"unlisted writer", "details: writes order-checks, of which all belongs to", func(t *m) {
			checks := topicOf(t, "order-checks")
			checks.Holds = checks.Holds[:4]
		}},
		{"idle writer", "OrderValidated is said to be written by validate", func(t *m) {
			processorOf(t, "validate").Outputs = nil
		}},
		{"inner topic read", "reads tally-inventory-replies, which is inventory's", func(t *m) {
			p := processorOf(t, "notify")
			p.Inputs = append(p.Inputs, "tally-inventory-replies")
		}},
		{"inner topic looked up", "reads tally-fraud-orders, which is fraud's own", func(t *m) {
			p := processorOf(t, "details")
			p.Lookups = append(p.Lookups, "tally-fraud-orders")
		}},
		{"inner topic written", "written by rekey, but it is fraud's own", func(t *m) {
			p, inner := processorOf(t, "rekey"), topicOf(t, "tally-fraud-orders")
			p.Outputs = append(p.Outputs, inner.Name)
			inner.Holds = []topology.Kind{{"OrderCancelled", topology.Rekey}}
		}},
		{"not re-keyed", "joins orders, keyed by order, with payments, keyed by payment", func(t *m) {
			processorOf(t, "confirm").Inputs[1] = "payments"
		}},
		{"stock not re-keyed", "with order-checks, keyed by order", func(t *m) {
			processorOf(t, "inventory-stock").Inputs[1] = "order-checks"
		}},
		{"uneven copy", "joins orders of 12 partitions with payments-by-order of 6", func(t *m) {
			topicOf(t, "payments-by-order").Partitions = 6
		}},
		{"copy of nothing", "copies bills, which is no topic", func(t *m) {
			topicOf(t, "payments-by-order").Copies = "bills"
		}},
		{"copy in vain", "copies payments under the same key", func(t *m) {
			topicOf(t, "payments-by-order").Key = "payment"
		}},
		{"copy of more", "holds PaymentLost, which payments has not", func(t *m) {
			topicOf(t, "payments-by-order").Holds[0].Name = "PaymentLost"
		}},
		{"no copy", "PaymentReceived is in payments-by-order too", func(t *m) {
			topicOf(t, "payments-by-order").Copies = ""
		}},
		{"look-up in events", "looks up in products, which is not compacted", func(t *m) {
			topicOf(t, "products").Cleanup = topology.Delete
		}},
		{"look-up of an input", "joins orders and looks up in it too", func(t *m) {
			p := processorOf(t, "details")
			p.Lookups = append(p.Lookups, "orders")
		}},
		{"no such look-up", "uses people, which is no topic", func(t *m) {
			processorOf(t, "details").Lookups[0] = "people"
		}},
	})
}

// TestLookupsNeedNotMatch: what is looked up may have other partitions and keys.
func TestLookupsNeedNotMatch(t *testing.T) {
	m := topology.Default(topology.Options{Chain: true})
	topicOf(&m, "customers").Partitions = 5
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
}

// TestServices: the services come in the order in which an order goes through
// them, and each has a processor of its name.
func TestServices(t *testing.T) {
	m := topology.Default(topology.Options{Chain: true})
	want := []string{
		"rekey", "orders", "inventory", "fraud", "details", "validate", "confirm", "notify", "views",
	}
	if got := m.Services(); !slices.Equal(got, want) {
		t.Errorf("services %q, want %q", got, want)
	}
	for _, name := range want {
		if p, ok := m.Processor(name); !ok || p.Service != name {
			t.Errorf("processor %s is %+v", name, p)
		}
	}
	if of := m.Of("inventory"); len(of) != 2 || of[1].Group != "tally-inventory-stock" {
		t.Errorf("inventory is %+v", of)
	}
	n := topology.Options{}.Names()
	for _, p := range m.Processors {
		if p.Group != n.Group(p.Name) || p.Retry != n.Retry(p.Name) ||
			p.Table != "" && p.Table != n.Table(p.Name) ||
			p.Journal != "" && p.Journal != n.Journal(p.Name) ||
			p.Parked != "" && p.Parked != n.Parked(p.Name) {
			t.Errorf("%+v is named otherwise by Names", p)
		}
	}
}
