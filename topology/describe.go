package topology

import (
	"fmt"
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
		fmt.Fprintf(tw, "  %s\t[%s]\t%s\tby %s\n", topic.Name, topic.Key, topic.setup(), topic.Owner)
	}
	tw.Flush()
	b.WriteString("\nholds\n")
	for _, topic := range t.Topics {
		name := topic.Name
		for kinds := range slices.Chunk(topic.Holds, 3) {
			fmt.Fprintf(tw, "  %s\t%s\n", name, strings.Join(kinds, ", "))
			name = ""
		}
	}
	tw.Flush()
	for _, p := range t.Processors {
		fmt.Fprintf(&b, "\nprocessor %s\n", p.Name)
		fmt.Fprintf(tw, "  group\t%s\n", p.Group)
		fmt.Fprintf(tw, "  reads\t%s\n", strings.Join(p.Inputs, ", "))
		if p.Table != "" {
			fmt.Fprintf(tw, "  keeps\t%s\n", p.Table)
		}
		fmt.Fprintf(tw, "  writes\t%s\n", strings.Join(p.Outputs, ", "))
		if p.DeadLetters != "" {
			fmt.Fprintf(tw, "  refuses into\t%s\n", p.DeadLetters)
		}
		tw.Flush()
	}
	return b.String()
}

// Markdown returns the topics as a table for a document.
func (t Topology) Markdown() string {
	var b strings.Builder
	b.WriteString("| Topic | Key | Holds | Written by | Kept |\n|---|---|---|---|---|\n")
	for _, topic := range t.Topics {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", topic.Name, topic.Key,
			strings.Join(topic.Holds, ", "), topic.Owner, topic.kept())
	}
	return b.String()
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
