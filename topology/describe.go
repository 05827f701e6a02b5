package topology

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Describe returns the map as text for people, two lines or more for each topic
// and a block for each processor. A golden file pins it, so that every change
// of the map is seen in review.
func (t Topology) Describe() string {
	var b strings.Builder
	b.WriteString("topics\n")
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, topic := range t.Topics {
		fmt.Fprintf(tw, "  %s\t[%s]\t%s\tby %s%s\n", topic.Name, topic.Key, topic.setup(),
			strings.Join(topic.Writers(), ", "), topic.remark())
	}
	tw.Flush()
	b.WriteString("\nholds\n")
	for _, topic := range t.Topics {
		topic.describeKinds(tw)
	}
	tw.Flush()
	for _, p := range t.Processors {
		fmt.Fprintf(&b, "\nprocessor %s\n", p.Name)
		p.describe(tw)
		tw.Flush()
	}
	return b.String()
}

// remark is what there is to say of few topics.
func (t Topic) remark() string {
	s := ""
	if t.Copies != "" {
		s = ", a copy of " + t.Copies
	}
	if t.Inner != "" {
		s += ", its own"
	}
	return s
}

// describeKinds writes the kinds of records, and who writes them if not all are
// of one.
func (t Topic) describeKinds(w io.Writer) {
	name, writers := t.Name, t.Writers()
	for _, writer := range writers {
		said := ""
		if len(writers) > 1 {
			said = "\tby " + writer
		}
		for kinds := range slices.Chunk(t.by(writer), 3) {
			fmt.Fprintf(w, "  %s\t%s%s\n", name, strings.Join(kinds, ", "), said)
			name, said = "", ""
		}
	}
}

func (p Processor) describe(w io.Writer) {
	line := func(what string, names ...string) {
		if names = named(names...); len(names) > 0 {
			fmt.Fprintf(w, "  %s\t%s\n", what, strings.Join(names, ", "))
		}
	}
	if p.Service != p.Name {
		line("of", p.Service)
	}
	line("group", p.Group)
	line("reads", p.Inputs...)
	line("looks up in", p.Lookups...)
	line("keeps", p.Table)
	line("writes", p.Outputs...)
	line("refuses into", p.DeadLetters)
	line("retries from", p.Retry)
	line("parks in", p.Parked)
	line("orders in", p.Journal)
}

// Markdown returns the topics as a table for a document. What the engine keeps for
// itself beside dead letters is left out.
func (t Topology) Markdown() string {
	var b strings.Builder
	b.WriteString("| Topic | Key | Holds | Written by | Kept |\n|---|---|---|---|---|\n")
	for _, topic := range t.Topics {
		if t.keptBy(topic.Name) {
			continue
		}
		var holds []string
		for _, writer := range topic.Writers() {
			holds = append(holds, strings.Join(topic.by(writer), ", "))
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", topic.Name, topic.Key,
			strings.Join(holds, " · "), strings.Join(topic.Writers(), " · "), topic.kept())
	}
	return b.String()
}

// keptBy tells whether the topic is one that the engine keeps for a processor.
func (t Topology) keptBy(topic string) bool {
	return slices.ContainsFunc(t.Processors, func(p Processor) bool {
		return slices.Contains(p.kept(), topic)
	})
}

// setup is how the topic is made, in words. Usual sizes are not spoken of.
func (t Topic) setup() string {
	s := count(int(t.Partitions), "partition") + ", keeps " + t.kept()
	if t.Replication > 0 {
		s += ", on " + count(int(t.Replication), "broker")
	}
	if t.MaxBytes != MaxMessageBytes {
		s += ", messages to " + sizeText(int64(t.MaxBytes))
	}
	return s
}

// kept is how long the topic's records live, in words.
func (t Topic) kept() string {
	switch {
	case t.Cleanup == Compact:
		return "the last of each key"
	case t.Retention < 0:
		return "everything"
	default:
		return durationText(t.Retention)
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// durationText says whole days as days, because retention is thought of so.
func durationText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "ever"
	case d >= day && d%day == 0:
		return count(int(d/day), "day")
	default:
		return d.String()
	}
}

// sizeText rounds down to one place, and is exact below 1 KiB.
func sizeText(n int64) string {
	unit, name := int64(1), "bytes"
	switch {
	case n >= 1<<20:
		unit, name = 1<<20, "MiB"
	case n >= 1<<10:
		unit, name = 1<<10, "KiB"
	}
	s := strconv.FormatInt(n/unit, 10)
	if tenth := n % unit * 10 / unit; tenth > 0 {
		s += "." + strconv.FormatInt(tenth, 10)
	}
	return s + " " + name
}
