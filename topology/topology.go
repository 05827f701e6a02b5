// Package topology is the map of the system as a value: which topics there
// are, what is in them and under which key, who writes them, and which
// processor turns which of them into which.
//
// Once services speak through topics alone, no code shows any more what
// follows from what. So the map is written down once, here. It is printed for
// people (Describe, Mermaid, Dot, JSON, Markdown), checked for the mistakes
// that make a join wrong in silence (Validate), and compared with a cluster
// (Plan), where it creates what lacks and names what differs (Apply). It never
// deletes a topic, never changes one and never changes a partition count.
package topology

import (
	"cmp"
	"slices"
	"time"
)

// A Cleanup says what Kafka does with old records of a topic. Its values are
// those of Kafka's cleanup.policy.
type Cleanup string

// The two ways to clean up. A topic of events is only ever shortened by age, if
// at all; a table keeps the last record of each key.
const (
	Delete  Cleanup = "delete"
	Compact Cleanup = "compact"
)

// Owners that are not processors.
const (
	// Outside owns the topics that other systems write.
	Outside = "outside"
	// Engine owns the topics that processors never see: the dead letters.
	Engine = "engine"
)

const (
	// Forever is the retention of what is never thrown away.
	Forever time.Duration = -1
	// MaxMessageBytes is how large a batch of records a topic must at least
	// take. It is Kafka's own default: a record of 1 MiB and its frame.
	MaxMessageBytes int32 = 1<<20 + 12
	// DefaultPartitions is how many partitions a topic gets if nobody says.
	DefaultPartitions int32 = 12
)

// A Topic is a Kafka topic and what is known of it.
type Topic struct {
	Name string
	// Key says what a record's key is, such as "order" for the order's id.
	Key        string
	Partitions int32
	// Replication is the number of copies; -1 is the broker's default.
	Replication int16
	Cleanup     Cleanup
	// Retention is how long records are kept; below 0 is for ever. A compacted
	// topic has no age limit.
	Retention time.Duration
	// MaxBytes is the least max.message.bytes that will do.
	MaxBytes int32
	// Owner is who writes the topic, alone: a processor's name, Outside or
	// Engine.
	Owner string
	// Holds lists the kinds of records in the topic.
	Holds []string
}

// A Processor is a consumer group that turns topics into topics.
type Processor struct {
	Name string
	// Group is the name of the Kafka consumer group.
	Group   string
	Inputs  []string
	Outputs []string
	// Table is the compacted topic behind the processor's state; it is empty
	// for a processor without.
	Table string
	// DeadLetters is where the engine puts what this processor cannot read.
	DeadLetters string
}

// A Topology is the whole map. Its order is the order in which it is printed.
type Topology struct {
	Topics     []Topic
	Processors []Processor
}

// Options are what a user may choose about the default topology.
type Options struct {
	// Prefix is put before the names of the four event topics, and no others.
	Prefix string
	// App names the groups, the tables and the dead letters; empty is "tally".
	App string
	// Partitions is the count of every topic; 0 is DefaultPartitions.
	Partitions int32
	// Replication is the number of copies; 0 is the broker's default.
	Replication int16
}

// Names are the names that a set of options gives to what the processors and
// the commands speak of.
type Names struct {
	Orders, Payments, Confirmations, Exceptions string

	ConfirmGroup, ConfirmTable, DeadLetters string
}

// Names returns the names that the default topology has under these options.
func (o Options) Names() Names {
	app := cmp.Or(o.App, "tally")
	return Names{
		Orders:        o.Prefix + "orders",
		Payments:      o.Prefix + "payments",
		Confirmations: o.Prefix + "confirmations",
		Exceptions:    o.Prefix + "exceptions",
		ConfirmGroup:  app + "-confirm",
		ConfirmTable:  app + "-confirm-table",
		DeadLetters:   app + "-dead-letters",
	}
}

// Confirm is the name of the processor that joins orders and payments.
const Confirm = "confirm"

// Default returns the topology of the main job: orders and payments from
// outside, joined by one processor into confirmations and exceptions.
func Default(o Options) Topology {
	n := o.Names()
	event := Topic{
		Key:         "order",
		Partitions:  cmp.Or(o.Partitions, DefaultPartitions),
		Replication: cmp.Or(o.Replication, -1),
		Cleanup:     Delete,
		Retention:   Forever,
		MaxBytes:    MaxMessageBytes,
	}
	topic := func(name, owner string, holds ...string) Topic {
		t := event
		t.Name, t.Owner, t.Holds = name, owner, holds
		return t
	}
	table := topic(n.ConfirmTable, Confirm, "ConfirmRow")
	table.Cleanup = Compact
	dead := topic(n.DeadLetters, Engine, "the record as it came")
	dead.Key = "as it came"
	return Topology{
		Topics: []Topic{
			topic(n.Orders, Outside, "OrderPlaced", "OrderCancelled", "OrderRejected"),
			topic(n.Payments, Outside, "PaymentReceived", "PaymentReversed"),
			topic(n.Confirmations, Confirm, "OrderConfirmed"),
			topic(n.Exceptions, Confirm, "PaymentExcess", "PaymentMismatch", "PaymentUnmatched",
				"ConfirmedPaymentReversed", "OrderCancelRefused", "OrderConflicted", "PaymentConflicted"),
			table,
			dead,
		},
		Processors: []Processor{{
			Name:        Confirm,
			Group:       n.ConfirmGroup,
			Inputs:      []string{n.Orders, n.Payments},
			Outputs:     []string{n.Confirmations, n.Exceptions},
			Table:       n.ConfirmTable,
			DeadLetters: n.DeadLetters,
		}},
	}
}

// Topic returns the topic of that name.
func (t Topology) Topic(name string) (Topic, bool) {
	i := slices.IndexFunc(t.Topics, func(topic Topic) bool { return topic.Name == name })
	if i < 0 {
		return Topic{}, false
	}
	return t.Topics[i], true
}

// Processor returns the processor of that name.
func (t Topology) Processor(name string) (Processor, bool) {
	i := slices.IndexFunc(t.Processors, func(p Processor) bool { return p.Name == name })
	if i < 0 {
		return Processor{}, false
	}
	return t.Processors[i], true
}

// Copartitioned returns the topics that must have as many partitions as each
// other, because p joins them by partition: its inputs and its table.
func (p Processor) Copartitioned() []string {
	names := slices.Clone(p.Inputs)
	if p.Table != "" {
		names = append(names, p.Table)
	}
	return names
}

// writes returns all topics that p, or the engine for p, writes.
func (p Processor) writes() []string {
	names := slices.Clone(p.Outputs)
	for _, name := range []string{p.Table, p.DeadLetters} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}
