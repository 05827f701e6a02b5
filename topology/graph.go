package topology

import (
	"fmt"
	"slices"
	"strings"
)

// A Node is one end of an arrow. A topic and a processor may share a name.
type Node struct {
	Kind NodeKind
	Name string
}

// A NodeKind tells what a Node is.
type NodeKind string

// The kinds of nodes: the world that writes inputs, topics and processors.
const (
	OutsideNode   NodeKind = "outside"
	TopicNode     NodeKind = "topic"
	ProcessorNode NodeKind = "processor"
)

// An Edge is one arrow of the map: who hands records to whom. Dotted marks
// what flows only if something is wrong.
type Edge struct {
	From, To Node
	Dotted   bool
}

// Edges returns all arrows: outside to the topics it writes, topics to the
// processors that read them, processors to what they write. A table is one
// arrow from its processor, though the engine reads it too.
func (t Topology) Edges() []Edge {
	var edges []Edge
	outside := Node{OutsideNode, Outside}
	for _, topic := range t.Topics {
		if topic.Owner == Outside {
			edges = append(edges, Edge{From: outside, To: Node{TopicNode, topic.Name}})
		}
	}
	for _, p := range t.Processors {
		self := Node{ProcessorNode, p.Name}
		for _, name := range p.Inputs {
			edges = append(edges, Edge{From: Node{TopicNode, name}, To: self})
		}
		for _, name := range p.writes() {
			to := Node{TopicNode, name}
			edges = append(edges, Edge{From: self, To: to, Dotted: name == p.DeadLetters})
		}
	}
	return edges
}

// Mermaid returns the map as a Mermaid flow chart, as GitHub draws it.
func (t Topology) Mermaid() string {
	ids := t.ids()
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	if t.fromOutside() {
		fmt.Fprintf(&b, "  %s((%s))\n", ids[Node{OutsideNode, Outside}], Outside)
	}
	for _, topic := range t.Topics {
		shape := "  %s([%s])\n"
		if topic.Cleanup == Compact {
			shape = "  %s[(%s)]\n"
		}
		fmt.Fprintf(&b, shape, ids[Node{TopicNode, topic.Name}], topic.Name)
	}
	for _, p := range t.Processors {
		fmt.Fprintf(&b, "  %s[%s]\n", ids[Node{ProcessorNode, p.Name}], p.Name)
	}
	for _, e := range t.Edges() {
		arrow := "-->"
		if e.Dotted {
			arrow = "-.->"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", ids[e.From], arrow, ids[e.To])
	}
	return b.String()
}

// Dot returns the map in Graphviz's language.
func (t Topology) Dot() string {
	ids := t.ids()
	var b strings.Builder
	b.WriteString("digraph tally {\n  rankdir=LR;\n")
	if t.fromOutside() {
		fmt.Fprintf(&b, "  %s [label=%q shape=circle];\n", ids[Node{OutsideNode, Outside}], Outside)
	}
	for _, topic := range t.Topics {
		shape := "oval"
		if topic.Cleanup == Compact {
			shape = "cylinder"
		}
		node := Node{TopicNode, topic.Name}
		fmt.Fprintf(&b, "  %s [label=%q shape=%s];\n", ids[node], topic.Name, shape)
	}
	for _, p := range t.Processors {
		fmt.Fprintf(&b, "  %s [label=%q shape=box];\n", ids[Node{ProcessorNode, p.Name}], p.Name)
	}
	for _, e := range t.Edges() {
		style := ""
		if e.Dotted {
			style = " [style=dotted]"
		}
		fmt.Fprintf(&b, "  %s -> %s%s;\n", ids[e.From], ids[e.To], style)
	}
	b.WriteString("}\n")
	return b.String()
}

// ids gives every node a name that both languages take without quotes.
func (t Topology) ids() map[Node]string {
	ids := map[Node]string{{OutsideNode, Outside}: "o"}
	for i, topic := range t.Topics {
		ids[Node{TopicNode, topic.Name}] = fmt.Sprintf("t%d", i+1)
	}
	for i, p := range t.Processors {
		ids[Node{ProcessorNode, p.Name}] = fmt.Sprintf("p%d", i+1)
	}
	return ids
}

func (t Topology) fromOutside() bool {
	return slices.ContainsFunc(t.Topics, func(topic Topic) bool {
		return topic.Owner == Outside
	})
}
