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
		if slices.Contains(topic.Kinds()[:i], kind.Name) {
			c.add(where, "holds "+kind.Name+" twice", "a kind has one writer: list it once")
		}
		c.kind(topic, kind)
	}
	c.copies(topic)
}

// kind checks that somebody writes it, and that whoever is named does. A topic of
// others that no processor reads is no mistake: a part of the map is a map too.
func (c *checker) kind(topic Topic, kind Kind) {
	where := "topic " + topic.Name
	switch kind.Writer {
	case "":
		c.add(where, "nobody writes "+kind.Name, "name the one processor that does, or "+Outside)
	case Engine:
	case Outside:
		c.unique(topic, kind)
	default:
		c.unique(topic, kind)
		p, ok := c.topology.Processor(kind.Writer)
		if !ok {
			c.add(where, kind.Name+" is written by "+kind.Writer+", which is no processor",
				"name a processor, or "+Outside)
		} else if !slices.Contains(p.writes(), topic.Name) {
			c.add(where, kind.Name+" is said to be written by "+kind.Writer+", which does not write here",
				"list the topic among the outputs of "+kind.Writer)
		}
		if topic.Inner != "" && ok && p.Service != topic.Inner {
			c.add(where, "written by "+p.Name+", but it is "+topic.Inner+"'s own",
				"other services speak through topics that all may read")
		}
	}
}

// unique checks that the kind is in no other topic than the copies of its own.
func (c *checker) unique(topic Topic, kind Kind) {
	for _, other := range c.topology.Topics {
		if other.Name == topic.Name || other.Copies == topic.Name || topic.Copies == other.Name {
			continue
		}
		if topic.Copies != "" && topic.Copies == other.Copies {
			continue
		}
		if slices.Contains(other.Kinds(), kind.Name) {
			c.add("topic "+topic.Name, kind.Name+" is in "+other.Name+" too",
				"a kind has one writer: put it into one topic, or say which copies which")
		}
	}
}

// copies checks that a copy is one.
func (c *checker) copies(topic Topic) {
	if topic.Copies == "" {
		return
	}
	where := "topic " + topic.Name
	from, ok := c.topology.Topic(topic.Copies)
	if !ok {
		c.add(where, "copies "+topic.Copies+", which is no topic", "list the topic, or mend the name")
		return
	}
	if from.Key == topic.Key {
		c.add(where, "copies "+from.Name+" under the same key", "read "+from.Name+" itself")
	}
	for _, kind := range topic.Kinds() {
		if !slices.Contains(from.Kinds(), kind) {
			c.add(where, "holds "+kind+", which "+from.Name+" has not", "a copy adds nothing")
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
	if p.Service == "" {
		c.add(where, "no service", "name the service that it belongs to")
	}
	if len(p.Inputs) == 0 {
		c.add(where, "reads nothing", "name at least one input")
	}
	for _, name := range slices.Concat(p.Inputs, p.Lookups, p.writes()) {
		if _, ok := c.topology.Topic(name); !ok {
			c.add(where, "uses "+name+", which is no topic", "list the topic, or mend the name")
		}
	}
	c.reads(p)
	c.writer(p)
	c.table(p)
	c.kept(p)
	c.joined(p)
}

// reads checks that p reads no other service's own topics, and looks up in
// compacted ones only.
func (c *checker) reads(p Processor) {
	where := "processor " + p.Name
	for _, name := range slices.Concat(p.Inputs, p.Lookups) {
		topic, _ := c.topology.Topic(name)
		if topic.Inner != "" && topic.Inner != p.Service {
			c.add(where, "reads "+name+", which is "+topic.Inner+"'s own",
				"read a topic that is there for all")
		}
	}
	for _, name := range p.Lookups {
		if topic, ok := c.topology.Topic(name); ok && topic.Cleanup != Compact {
			c.add(where, "looks up in "+name+", which is not compacted",
				"what is looked up is the last record of a key: set cleanup to compact")
		}
		if slices.Contains(p.Inputs, name) {
			c.add(where, "joins "+name+" and looks up in it too", "one of the two will do")
		}
	}
}

// writer checks that all that p writes is said to be its.
func (c *checker) writer(p Processor) {
	expect := func(name, writer string) {
		topic, ok := c.topology.Topic(name)
		if ok && !slices.Contains(topic.Writers(), writer) {
			c.add("processor "+p.Name, "writes "+name+", of which all belongs to "+
				strings.Join(topic.Writers(), " and "),
				"say which kinds of records it writes there: each has one writer")
		}
	}
	for _, name := range p.Outputs {
		expect(name, p.Name)
	}
	if p.Table != "" {
		expect(p.Table, p.Name)
	}
	for _, name := range append(p.kept(), named(p.DeadLetters)...) {
		expect(name, Engine)
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
	if w := table.Writers(); len(w) > 1 {
		c.add("topic "+table.Name, "a table that "+strings.Join(w, " and ")+" write",
			"a table belongs to one processor")
	}
	c.apart(p, table.Name)
	c.called(p, table.Name, "table", "Goka")
}

// kept checks the topics that the engine keeps for p.
func (c *checker) kept(p Processor) {
	for suffix, name := range map[string]string{
		"journal": p.Journal, "parked": p.Parked, "retry": p.Retry,
	} {
		topic, ok := c.topology.Topic(name)
		if !ok {
			continue
		}
		c.called(p, name, suffix, "the engine")
		c.apart(p, name)
		want := Delete
		if suffix == "parked" {
			want = Compact
		}
		if topic.Cleanup != want {
			c.add("topic "+name, "cleaned up by "+string(topic.Cleanup),
				"the engine needs "+string(want)+" here")
		} else if want == Delete && topic.Retention != Forever {
			c.add("topic "+name, "kept for "+durationText(topic.Retention),
				"a replay needs all of it: keep it for ever")
		}
	}
}

// apart checks that a topic of the engine is no input or output.
func (c *checker) apart(p Processor, name string) {
	if slices.Contains(p.Inputs, name) || slices.Contains(p.Outputs, name) {
		c.add("processor "+p.Name, name+" is an input or output too",
			"the engine writes and reads it: leave it out of the others")
	}
}

// called checks that a topic is named as who makes it names it.
func (c *checker) called(p Processor, name, suffix, who string) {
	if want := p.Group + "-" + suffix; name != want {
		c.add("topic "+name, "a "+suffix+" of group "+p.Group+" under another name",
			who+" calls it "+want)
	}
}

// joined checks that what p joins by key and partition can be joined so, and that
// what the engine keeps beside it has as many partitions.
func (c *checker) joined(p Processor) {
	names := p.even()
	if len(names) == 0 {
		return
	}
	first, ok := c.topology.Topic(names[0])
	if !ok {
		return
	}
	where, joins := "processor "+p.Name, p.Copartitioned()
	for i, name := range names[1:] {
		topic, ok := c.topology.Topic(name)
		if !ok {
			continue
		}
		if topic.Partitions != first.Partitions {
			c.add(where, fmt.Sprintf("joins %s of %d partitions with %s of %d",
				first.Name, first.Partitions, topic.Name, topic.Partitions),
				"a key is in the same partition of both only if the counts are equal")
		}
		if topic.Key != first.Key && i+1 < len(joins) {
			c.add(where, fmt.Sprintf("joins %s, keyed by %s, with %s, keyed by %s",
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
