package topology

import (
	"fmt"
	"slices"
	"strings"
)

// A Node is one end of an arrow. A topic, a service and a processor may share a
// name.
type Node struct {
	Kind NodeKind
	Name string
}

// A NodeKind tells what a Node is.
type NodeKind string

// The kinds of nodes: the world that writes inputs, topics, services and
// processors.
const (
	OutsideNode   NodeKind = "outside"
	TopicNode     NodeKind = "topic"
	ServiceNode   NodeKind = "service"
	ProcessorNode NodeKind = "processor"
)

// An Edge is one arrow of the map: who hands records to whom.
type Edge struct {
	From, To Node
	// Dotted marks what flows only if something is wrong.
	Dotted bool
	// Label says what flows, where it is not all of the topic.
	Label string
}

// Show is what a picture of the map shows.
type Show int

const (
	// Overview shows the services that say something, and the topics between them. If
	// that is one, its table and its dead letters are shown too. It is the default.
	Overview Show = iota
	// Everything shows every processor and every topic.
	Everything
)

// Edges returns all arrows: outside to the topics it writes, topics to the
// processors that read them, processors to what they write. A table is one
// arrow from its processor, though the engine reads it too.
func (t Topology) Edges() []Edge { return t.picture(Everything).edges }

// A picture is what is drawn, in the order in which it is.
type picture struct {
	outside bool
	topics  []Topic
	boxes   []Node
	edges   []Edge
}

func (t Topology) picture(show Show) picture {
	var p picture
	for _, topic := range t.Topics {
		if t.shown(topic, show) {
			p.topics = append(p.topics, topic)
		}
	}
	for _, topic := range p.topics {
		if slices.Contains(topic.Writers(), Outside) {
			p.outside = true
			p.draw(Node{OutsideNode, Outside}, Node{TopicNode, topic.Name}, topic.label(Outside), false)
		}
	}
	for _, processor := range t.Processors {
		box := Node{ProcessorNode, processor.Name}
		if show == Overview {
			if len(processor.Outputs) == 0 {
				continue
			}
			box = Node{ServiceNode, processor.Service}
		}
		if !slices.Contains(p.boxes, box) {
			p.boxes = append(p.boxes, box)
		}
		p.processor(processor, box)
	}
	return p
}

// shown tells whether the topic is in the picture.
func (t Topology) shown(topic Topic, show Show) bool {
	if show == Everything {
		return true
	}
	if topic.Inner != "" || t.keptBy(topic.Name) {
		return false
	}
	acting := t.acting()
	private := slices.ContainsFunc(t.Processors, func(p Processor) bool {
		ours := topic.Name == p.Table || topic.Name == p.DeadLetters
		return ours && (len(acting.Services()) > 1 || topic.Name == p.Table && len(p.Outputs) == 0)
	})
	return !private
}

// acting is the map of those that say something, not only read.
func (t Topology) acting() Topology {
	t.Processors = slices.DeleteFunc(slices.Clone(t.Processors),
		func(p Processor) bool { return len(p.Outputs) == 0 })
	return t
}

// processor adds the arrows of a processor.
func (p *picture) processor(processor Processor, box Node) {
	for _, name := range processor.Inputs {
		p.draw(Node{TopicNode, name}, box, "", false)
	}
	for _, name := range processor.Lookups {
		p.draw(Node{TopicNode, name}, box, "looks up", false)
	}
	for _, name := range processor.writes() {
		if name == processor.Retry {
			p.draw(Node{TopicNode, name}, box, "", true)
			continue
		}
		i := slices.IndexFunc(p.topics, func(topic Topic) bool { return topic.Name == name })
		if i >= 0 {
			troubled := name == processor.DeadLetters || name == processor.Parked
			p.draw(box, Node{TopicNode, name}, p.topics[i].label(processor.Name), troubled)
		}
	}
}

// draw adds an arrow unless it is there or its topic is not shown.
func (p *picture) draw(from, to Node, label string, dotted bool) {
	for _, end := range []Node{from, to} {
		if end.Kind == TopicNode && !slices.ContainsFunc(p.topics, func(topic Topic) bool {
			return topic.Name == end.Name
		}) {
			return
		}
	}
	if e := (Edge{from, to, dotted, label}); !slices.Contains(p.edges, e) {
		p.edges = append(p.edges, e)
	}
}

// label is what writer writes of a topic that has several writers.
func (t Topic) label(writer string) string {
	if len(t.Writers()) < 2 {
		return ""
	}
	return strings.Join(t.by(writer), ", ")
}

// Mermaid returns the map as a Mermaid flow chart, as GitHub draws it: an
// Overview, or what is asked for.
func (t Topology) Mermaid(show ...Show) string {
	p := t.picture(slices.Max(append(show, Overview)))
	ids := p.ids()
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	if p.outside {
		fmt.Fprintf(&b, "  %s((%s))\n", ids[Node{OutsideNode, Outside}], Outside)
	}
	for _, topic := range p.topics {
		shape := "  %s([%s])\n"
		if topic.Cleanup == Compact {
			shape = "  %s[(%s)]\n"
		}
		fmt.Fprintf(&b, shape, ids[Node{TopicNode, topic.Name}], topic.Name)
	}
	for _, box := range p.boxes {
		fmt.Fprintf(&b, "  %s[%s]\n", ids[box], box.Name)
	}
	for _, e := range p.edges {
		arrow := "-->"
		if e.Dotted {
			arrow = "-.->"
		}
		if e.Label != "" {
			arrow += "|" + strings.ReplaceAll(e.Label, ", ", "<br>") + "|"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", ids[e.From], arrow, ids[e.To])
	}
	return b.String()
}

// Dot returns the map in Graphviz's language: an Overview, or what is asked for.
func (t Topology) Dot(show ...Show) string {
	p := t.picture(slices.Max(append(show, Overview)))
	ids := p.ids()
	var b strings.Builder
	b.WriteString("digraph tally {\n  rankdir=LR;\n")
	if p.outside {
		fmt.Fprintf(&b, "  %s [label=%q shape=circle];\n", ids[Node{OutsideNode, Outside}], Outside)
	}
	for _, topic := range p.topics {
		shape := "oval"
		if topic.Cleanup == Compact {
			shape = "cylinder"
		}
		node := Node{TopicNode, topic.Name}
		fmt.Fprintf(&b, "  %s [label=%q shape=%s];\n", ids[node], topic.Name, shape)
	}
	for _, box := range p.boxes {
		fmt.Fprintf(&b, "  %s [label=%q shape=box];\n", ids[box], box.Name)
	}
	for _, e := range p.edges {
		var style []string
		if e.Dotted {
			style = append(style, "style=dotted")
		}
		if e.Label != "" {
			style = append(style, fmt.Sprintf("label=%q", strings.ReplaceAll(e.Label, ", ", "\n")))
		}
		if len(style) > 0 {
			style = []string{" [" + strings.Join(style, " ") + "]"}
		}
		fmt.Fprintf(&b, "  %s -> %s%s;\n", ids[e.From], ids[e.To], strings.Join(style, ""))
	}
	b.WriteString("}\n")
	return b.String()
}

// ids gives every node a name that both languages take without quotes.
func (p picture) ids() map[Node]string {
	ids := map[Node]string{{OutsideNode, Outside}: "o"}
	for i, topic := range p.topics {
		ids[Node{TopicNode, topic.Name}] = fmt.Sprintf("t%d", i+1)
	}
	for i, box := range p.boxes {
		ids[box] = fmt.Sprintf("p%d", i+1)
	}
	return ids
}
