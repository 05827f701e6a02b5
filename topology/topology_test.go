package topology_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"tallystick/topology"
)

// TestDescribe pins every printed form of the default map.
func TestDescribe(t *testing.T) {
	datadriven.RunTest(t, "testdata/describe", func(t *testing.T, d *datadriven.TestData) string {
		var o topology.Options
		var partitions, replication int
		d.MaybeScanArgs(t, "prefix", &o.Prefix)
		d.MaybeScanArgs(t, "app", &o.App)
		d.MaybeScanArgs(t, "partitions", &partitions)
		d.MaybeScanArgs(t, "replication", &replication)
		o.Partitions, o.Replication = int32(partitions), int16(replication)
		m := topology.Default(o)
		if err := m.Validate(); err != nil {
			d.Fatalf(t, "%v", err)
		}
		switch d.Cmd {
		case "describe":
			return m.Describe()
		case "markdown":
			return m.Markdown()
		case "mermaid":
			return m.Mermaid()
		case "dot":
			return m.Dot()
		case "json":
			b, err := m.JSON()
			if err != nil {
				d.Fatalf(t, "%v", err)
			}
			return string(b) + "\n"
		default:
			d.Fatalf(t, "unknown command %s", d.Cmd)
			return ""
		}
	})
}

// TestEventsAreKept holds the default to its word: no topic of events is
// shortened by age or compacted, and only tables are compacted.
func TestEventsAreKept(t *testing.T) {
	m := topology.Default(topology.Options{})
	for _, topic := range m.Topics {
		table := slices.ContainsFunc(m.Processors, func(p topology.Processor) bool {
			return p.Table == topic.Name
		})
		if got := topic.Cleanup == topology.Compact; got != table {
			t.Errorf("%s: compacted %v, table %v", topic.Name, got, table)
		}
		if topic.Retention != topology.Forever {
			t.Errorf("%s: retention %v, want for ever", topic.Name, topic.Retention)
		}
	}
}

// TestNames holds Names and Default to the same answer.
func TestNames(t *testing.T) {
	o := topology.Options{Prefix: "eu.", App: "till"}
	n, m := o.Names(), topology.Default(o)
	got := []string{n.Orders, n.Payments, n.Confirmations, n.Exceptions, n.ConfirmTable, n.DeadLetters}
	want := []string{
		"eu.orders", "eu.payments", "eu.confirmations", "eu.exceptions",
		"till-confirm-table", "till-dead-letters",
	}
	if !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	for i, topic := range m.Topics {
		if topic.Name != want[i] {
			t.Errorf("topic %d is %s, want %s", i, topic.Name, want[i])
		}
	}
	p, ok := m.Processor(topology.Confirm)
	if !ok || p.Group != n.ConfirmGroup || p.Group != "till-confirm" {
		t.Errorf("processor %+v %v, want group till-confirm", p, ok)
	}
	if _, ok := m.Topic("orders"); ok {
		t.Error("there is a topic without the prefix")
	}
	if _, ok := m.Processor("orders"); ok {
		t.Error("there is a processor named orders")
	}
}

// TestValidate breaks the default map in one way at a time and expects the
// problem to be named, with a hint.
func TestValidate(t *testing.T) {
	type m = topology.Topology
	for _, tc := range []struct {
		name, want string
		mangle     func(*m)
	}{
		{"twice", "topic orders: listed twice", func(t *m) { t.Topics = append(t.Topics, t.Topics[0]) }},
		{"collision", "topic tally_dead-letters: collides with tally.dead-letters", func(t *m) {
			t.Topics[5].Name = "tally.dead-letters"
			t.Topics[4].Name = "tally_dead-letters"
			t.Topics[4], t.Topics[5] = t.Topics[5], t.Topics[4]
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
			t.Topics[0].Holds = []string{"OrderPlaced", "OrderPlaced"}
		}},
		{"no owner", "topic orders: no owner", func(t *m) { t.Topics[0].Owner = "" }},
		{"owner unknown", "owned by ship, which is no processor", func(t *m) {
			t.Topics[2].Owner = "ship"
		}},
		{"owner idle", "owned by confirm, which does not write it", func(t *m) {
			t.Processors[0].Outputs = t.Processors[0].Outputs[:1]
		}},
		{"two writers", "writes orders, which belongs to outside", func(t *m) {
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
		{"no inputs", "reads nothing", func(t *m) { t.Processors[0].Inputs = nil }},
		{"nothing at all", "reads nothing", func(t *m) {
			t.Processors[0].Inputs, t.Processors[0].Table = nil, ""
		}},
		{"no such input", "uses ordres, which is no topic", func(t *m) {
			t.Processors[0].Inputs[0] = "ordres"
		}},
		{"no such output", "uses receipts, which is no topic", func(t *m) {
			t.Processors[0].Outputs = append(t.Processors[0].Outputs, "receipts")
		}},
		{"table deleted", "a table that is not compacted", func(t *m) {
			t.Topics[4].Cleanup = topology.Delete
		}},
		{"table read", "is an input or output too", func(t *m) {
			t.Processors[0].Inputs = append(t.Processors[0].Inputs, "tally-confirm-table")
		}},
		{"table misnamed", "under another name", func(t *m) {
			t.Topics[4].Name, t.Processors[0].Table = "rows", "rows"
		}},
		{"uneven inputs", "joins orders of 12 partitions with payments of 6", func(t *m) {
			t.Topics[1].Partitions = 6
		}},
		{"uneven table", "joins orders of 12 partitions with tally-confirm-table of 13", func(t *m) {
			t.Topics[4].Partitions = 13
		}},
		{"other key", "keyed by payment", func(t *m) { t.Topics[1].Key = "payment" }},
		{"dead letters owned", "belongs to confirm", func(t *m) { t.Topics[5].Owner = topology.Confirm }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := topology.Default(topology.Options{})
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
	if err := topology.Default(topology.Options{}).Validate(); err != nil {
		t.Errorf("Validate of the default = %v", err)
	}
}

// TestSharedNames: a processor may be called as a topic is, and the pictures
// must not mix the two up.
func TestSharedNames(t *testing.T) {
	m := topology.Default(topology.Options{})
	m.Processors[0].Name = "orders"
	for i := range m.Topics {
		if m.Topics[i].Owner == topology.Confirm {
			m.Topics[i].Owner = "orders"
		}
	}
	if err := m.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := m.Mermaid(); !strings.Contains(got, "t1 --> p1") {
		t.Errorf("no arrow from the topic to the processor:\n%s", got)
	}
}

// TestJSON reads the JSON back.
func TestJSON(t *testing.T) {
	m := topology.Default(topology.Options{})
	m.Topics[0].Retention = 36 * time.Hour
	b, err := m.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Topics []struct {
			Name      string `json:"name"`
			Retention int64  `json:"retention_ms"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.Topics[0].Retention != 129_600_000 || got.Topics[1].Retention != -1 {
		t.Errorf("retention %d and %d, want 129600000 and -1",
			got.Topics[0].Retention, got.Topics[1].Retention)
	}
}

func Example() {
	m := topology.Default(topology.Options{Partitions: 4})
	m.Topics[1].Partitions = 6
	err := m.Validate()
	fmt.Println(err)
	if problem := new(topology.Problem); errors.As(err, &problem) {
		fmt.Println("hint:", problem.Hint())
	}
	// Output:
	// topology: processor confirm: joins orders of 4 partitions with payments of 6
	// hint: a key is in the same partition of both only if the counts are equal
}

// TestPartOfTheMap: whoever only produces compares no more than the inputs.
func TestPartOfTheMap(t *testing.T) {
	m := topology.Default(topology.Options{})
	part := topology.Topology{Topics: m.Topics[:2]}
	if err := part.Validate(); err != nil {
		t.Errorf("Validate of the inputs alone = %v", err)
	}
}
