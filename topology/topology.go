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

// Writers that are not processors.
const (
	// Outside writes the topics of other systems.
	Outside = "outside"
	// Engine writes the topics that processors never see: dead letters, and what
	// the engine keeps for itself.
	Engine = "engine"
)

const (
	// Forever is the retention of what is never thrown away.
	Forever time.Duration = -1
	// MaxMessageBytes is how large a batch of records a topic must at least
	// take. It is Kafka's own default: a record of 1 MiB and its frame.
	MaxMessageBytes int32 = 1<<20 + 12
	// MaxRetryBytes is the same for topics of retries, which hold records as they
	// came, also from inputs whose limit was raised.
	MaxRetryBytes int32 = 16 << 20
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
	// Holds lists the kinds of records in the topic, each with its one writer.
	Holds []Kind
	// Copies is the topic whose records this one repeats under another key; empty
	// for others. A kind is in one topic and its copies only.
	Copies string
	// Inner is the service whose own the topic is; empty if others may read it.
	Inner string
}

// A Kind is a kind of records.
type Kind struct {
	Name string
	// Writer is who writes it, alone: a processor's name, Outside or Engine.
	Writer string
}

// Kinds returns the names of the kinds of records in the topic.
func (t Topic) Kinds() []string {
	names := make([]string, len(t.Holds))
	for i, k := range t.Holds {
		names[i] = k.Name
	}
	return names
}

// Writers returns who writes the topic, in the order of the kinds.
func (t Topic) Writers() []string {
	var names []string
	for _, k := range t.Holds {
		if !slices.Contains(names, k.Writer) {
			names = append(names, k.Writer)
		}
	}
	return names
}

// by returns the kinds that writer writes.
func (t Topic) by(writer string) []string {
	var names []string
	for _, k := range t.Holds {
		if k.Writer == writer {
			names = append(names, k.Name)
		}
	}
	return names
}

// A Processor is a consumer group that turns topics into topics.
type Processor struct {
	Name string
	// Service is what the processor belongs to; some have several.
	Service string
	// Group is the name of the Kafka consumer group.
	Group string
	// Inputs are joined by key and partition.
	Inputs []string
	// Lookups are compacted topics that the processor reads in full, whatever
	// their partitions are.
	Lookups []string
	Outputs []string
	// Table is the compacted topic behind the processor's state; it is empty
	// for a processor without.
	Table string
	// DeadLetters is where the engine puts what this processor cannot read.
	DeadLetters string
	// Journal is where the engine writes down the order in which records and
	// timers came; it is empty where that does not matter.
	Journal string
	// Parked is where the engine keeps the keys whose records wait behind a dead
	// letter; it is empty for a processor that does not park.
	Parked string
	// Retry is where the engine is told what to do about dead letters.
	Retry string
	// Unordered says that the table is the same in whatever order the records of
	// several inputs come: it has no journal, and no key has to wait.
	Unordered bool
}

// A Topology is the whole map. Its order is the order in which it is printed,
// and that of the processors the order in which an order goes through them.
type Topology struct {
	Topics     []Topic
	Processors []Processor
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

// Services returns the names of the services, in the order of their processors.
func (t Topology) Services() []string {
	var names []string
	for _, p := range t.Processors {
		if !slices.Contains(names, p.Service) {
			names = append(names, p.Service)
		}
	}
	return names
}

// Of returns the processors of a service.
func (t Topology) Of(service string) []Processor {
	return slices.DeleteFunc(slices.Clone(t.Processors),
		func(p Processor) bool { return p.Service != service })
}

// Part returns the map as far as these services need it: their processors, and the
// topics that they read or write. What other services write there comes from
// outside.
func (t Topology) Part(services ...string) Topology {
	var part Topology
	needed := map[string]bool{}
	for _, p := range t.Processors {
		if !slices.Contains(services, p.Service) {
			continue
		}
		part.Processors = append(part.Processors, p)
		for _, name := range slices.Concat(p.Inputs, p.Lookups, p.writes()) {
			needed[name] = true
		}
	}
	for _, topic := range t.Topics {
		if !needed[topic.Name] {
			continue
		}
		topic.Holds = slices.Clone(topic.Holds)
		for i, k := range topic.Holds {
			if _, ours := part.Processor(k.Writer); !ours && k.Writer != Engine {
				topic.Holds[i].Writer = Outside
			}
		}
		if !needed[topic.Copies] {
			topic.Copies = ""
		}
		part.Topics = append(part.Topics, topic)
	}
	return part
}

// Copartitioned returns the topics that p joins by key and partition: its inputs
// and its table.
func (p Processor) Copartitioned() []string {
	names := slices.Clone(p.Inputs)
	if p.Table != "" {
		names = append(names, p.Table)
	}
	return names
}

// even returns all topics that must have as many partitions as each other: what
// p joins, and what the engine keeps for each partition of it.
func (p Processor) even() []string {
	return append(p.Copartitioned(), p.kept()...)
}

// kept returns the topics that the engine keeps for p alone.
func (p Processor) kept() []string { return named(p.Journal, p.Parked, p.Retry) }

// writes returns all topics that p, or the engine for p, writes.
func (p Processor) writes() []string {
	names := append(slices.Clone(p.Outputs), named(p.Table, p.DeadLetters)...)
	return append(names, p.kept()...)
}

// named returns the names that are not empty.
func named(names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}
