package topology

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Problem is something wrong with a topology, and what to do about it.
type Problem struct {
	// Where is the topic or the processor, such as "topic orders".
	Where string
	// What is wrong, and Remedy what mends it.
	What, Remedy string
}

// Error says where the problem is and what is wrong, without the remedy.
func (p *Problem) Error() string { return "topology: " + p.Where + ": " + p.What }

// Hint says what to do about it.
func (p *Problem) Hint() string { return p.Remedy }

// Validate returns all that is wrong with the map in itself, each as a
// *Problem, joined; or nil. It does not look at a cluster.
func (t Topology) Validate() error {
	c := checker{topology: t, groups: map[string]string{}}
	c.names()
	for _, topic := range t.Topics {
		c.topic(topic)
	}
	for _, p := range t.Processors {
		c.processor(p)
	}
	return errors.Join(c.problems...)
}

type checker struct {
	topology Topology
	groups   map[string]string // group -> processor
	problems []error
}

func (c *checker) add(where, what, remedy string) {
	c.problems = append(c.problems, &Problem{Where: where, What: what, Remedy: remedy})
}

// names checks that no two topics and no two processors can be mixed up. Kafka
// names its metrics with '.' and '_' made equal, and refuses such a pair.
func (c *checker) names() {
	seen := map[string]string{}
	for _, topic := range c.topology.Topics {
		flat := strings.ReplaceAll(topic.Name, ".", "_")
		switch other, ok := seen[flat]; {
		case ok && other == topic.Name:
			c.add("topic "+topic.Name, "listed twice", "give each topic its own name")
		case ok:
			c.add("topic "+topic.Name, "collides with "+other,
				"Kafka does not tell '.' from '_' in topic names: change one of the two")
		}
		seen[flat] = topic.Name
	}
	processors := map[string]bool{}
	for _, p := range c.topology.Processors {
		if processors[p.Name] {
			c.add("processor "+p.Name, "listed twice", "give each processor its own name")
		}
		processors[p.Name] = true
	}
}

func (c *checker) topic(topic Topic) {
	where := "topic " + topic.Name
	if problem := nameProblem(topic.Name); problem != "" {
		c.add(where, problem, "use 1 to 249 letters, digits, '.', '_' and '-'")
	}
	if topic.Partitions < 1 {
		c.add(where, fmt.Sprintf("%d partitions", topic.Partitions), "a topic needs at least one")
	}
	if topic.Replication < 1 && topic.Replication != -1 {
		c.add(where, fmt.Sprintf("replication %d", topic.Replication),
			"name a number of copies, or -1 for the broker's default")
	}
	if topic.Cleanup != Delete && topic.Cleanup != Compact {
		c.add(where, fmt.Sprintf("cleanup %q", topic.Cleanup), "it is delete or compact")
	}
	if topic.Retention == 0 {
		c.add(where, "retention of nothing", "name a time, or Forever")
	}
	if topic.MaxBytes < 1 {
		c.add(where, fmt.Sprintf("at most %d bytes", topic.MaxBytes), "name a limit above 0")
	}
	if topic.Key == "" {
		c.add(where, "no key", "say what the record key is: it decides what can be joined")
	}
	if len(topic.Holds) == 0 {
		c.add(where, "holds nothing", "list the kinds of records in it")
	}
	for i, kind := range topic.Holds {
		if slices.Contains(topic.Holds[:i], kind) {
			c.add(where, "holds "+kind+" twice", "list each kind once")
		}
	}
	c.owner(topic)
}

// owner checks that somebody writes the topic, and that whoever is named does.
// A topic of others that no processor reads is no mistake: a part of the map is
// a map too.
func (c *checker) owner(topic Topic) {
	where := "topic " + topic.Name
	switch topic.Owner {
	case "":
		c.add(where, "no owner", "name the one processor that writes it, or "+Outside)
	case Outside, Engine:
	default:
		p, ok := c.topology.Processor(topic.Owner)
		if !ok {
			c.add(where, "owned by "+topic.Owner+", which is no processor",
				"name a processor, or "+Outside)
		} else if !slices.Contains(p.writes(), topic.Name) {
			c.add(where, "owned by "+topic.Owner+", which does not write it",
				"list it among the outputs of "+topic.Owner)
		}
	}
}

func (c *checker) processor(p Processor) {
	where := "processor " + p.Name
	if p.Name == "" || p.Name == Outside || p.Name == Engine {
		c.add(where, "not a name for a processor", "choose another than "+Outside+" and "+Engine)
	}
	switch other, ok := c.groups[p.Group]; {
	case p.Group == "":
		c.add(where, "no group", "name its consumer group")
	case ok:
		c.add(where, "shares group "+p.Group+" with "+other, "give each processor its own group")
	}
	c.groups[p.Group] = p.Name
	if len(p.Inputs) == 0 {
		c.add(where, "reads nothing", "name at least one input")
	}
	for _, name := range append(slices.Clone(p.Inputs), p.writes()...) {
		if _, ok := c.topology.Topic(name); !ok {
			c.add(where, "uses "+name+", which is no topic", "list the topic, or mend the name")
		}
	}
	c.writer(p)
	c.table(p)
	c.joined(p)
}

// writer checks that p alone writes what it writes.
func (c *checker) writer(p Processor) {
	expect := func(name, owner string) {
		topic, ok := c.topology.Topic(name)
		if ok && topic.Owner != owner {
			c.add("processor "+p.Name, "writes "+name+", which belongs to "+topic.Owner,
				"a topic has one writer: write another, or change the owner")
		}
	}
	for _, name := range p.Outputs {
		expect(name, p.Name)
	}
	if p.Table != "" {
		expect(p.Table, p.Name)
	}
	if p.DeadLetters != "" {
		expect(p.DeadLetters, Engine)
	}
}

func (c *checker) table(p Processor) {
	table, ok := c.topology.Topic(p.Table)
	if !ok {
		return
	}
	if table.Cleanup != Compact {
		c.add("topic "+table.Name, "a table that is not compacted",
			"a table keeps the last row of each key: set cleanup to compact")
	}
	if slices.Contains(p.Inputs, table.Name) || slices.Contains(p.Outputs, table.Name) {
		c.add("processor "+p.Name, "its table "+table.Name+" is an input or output too",
			"the engine writes and reads the table: leave it out of the others")
	}
	if want := p.Group + "-table"; table.Name != want {
		c.add("topic "+table.Name, "a table of group "+p.Group+" under another name",
			"Goka calls it "+want)
	}
}

// joined checks that what p joins by key and partition can be joined so.
func (c *checker) joined(p Processor) {
	names := p.Copartitioned()
	if len(names) == 0 {
		return
	}
	first, ok := c.topology.Topic(names[0])
	if !ok {
		return
	}
	for _, name := range names[1:] {
		topic, ok := c.topology.Topic(name)
		if !ok {
			continue
		}
		if topic.Partitions != first.Partitions {
			c.add("processor "+p.Name, fmt.Sprintf("joins %s of %d partitions with %s of %d",
				first.Name, first.Partitions, topic.Name, topic.Partitions),
				"a key is in the same partition of both only if the counts are equal")
		}
		if topic.Key != first.Key {
			c.add("processor "+p.Name, fmt.Sprintf("joins %s, keyed by %s, with %s, keyed by %s",
				first.Name, first.Key, topic.Name, topic.Key), "re-key one of them first")
		}
	}
}

func nameProblem(name string) string {
	legal := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("._-", r)
	}
	switch {
	case name == "" || name == "." || name == "..":
		return "not a name for a topic"
	case len(name) > 249:
		return "a name over 249 bytes"
	case strings.ContainsFunc(name, func(r rune) bool { return !legal(r) }):
		return "a name with a character that Kafka refuses"
	}
	return ""
}
