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
		o.Chain, o.NoParking = d.HasArg("chain"), d.HasArg("no-parking")
		var show []topology.Show
		if d.HasArg("everything") {
			show = append(show, topology.Everything)
		}
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
			return m.Mermaid(show...)
		case "dot":
			return m.Dot(show...)
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

// TestEventsAreKept holds the maps to their word: no topic of events is shortened
// by age or compacted; only tables are compacted, whoever's they are.
func TestEventsAreKept(t *testing.T) {
	for _, chain := range []bool{false, true} {
		m := topology.Default(topology.Options{Chain: chain})
		for _, topic := range m.Topics {
			table := slices.ContainsFunc(m.Processors, func(p topology.Processor) bool {
				return p.Table == topic.Name || p.Parked == topic.Name ||
					slices.Contains(p.Lookups, topic.Name)
			})
			if got := topic.Cleanup == topology.Compact; got != table {
				t.Errorf("%s: compacted %v, table %v", topic.Name, got, table)
			}
			if topic.Retention != topology.Forever {
				t.Errorf("%s: retention %v, want for ever", topic.Name, topic.Retention)
			}
		}
	}
}

// TestNames holds Names and Default to the same answer.
func TestNames(t *testing.T) {
	o := topology.Options{Prefix: "eu.", App: "till"}
	n, m := o.Names(), topology.Default(o)
	got := []string{
		n.Orders, n.Payments, n.Corrections, n.Confirmations, n.Exceptions, n.ConfirmTable,
		n.Table(topology.Views), n.DeadLetters,
	}
	want := []string{
		"eu.orders", "eu.payments", "eu.corrections", "eu.confirmations", "eu.exceptions",
		"till-confirm-table", "till-views-table", "till-dead-letters",
	}
	if !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
	for i, name := range want {
		if m.Topics[i].Name != name {
			t.Errorf("topic %d is %s, want %s", i, m.Topics[i].Name, name)
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

// TestSharedNames: a processor may be called as a topic is, and the pictures
// must not mix the two up.
func TestSharedNames(t *testing.T) {
	m := topology.Default(topology.Options{})
	m.Processors[0].Name, m.Processors[0].Service = "orders", "orders"
	for i := range m.Topics {
		for j, k := range m.Topics[i].Holds {
			if k.Writer == topology.Confirm {
				m.Topics[i].Holds[j].Writer = "orders"
			}
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
	// topology: processor views: joins orders of 4 partitions with payments of 6
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

// TestServicesAlone: whoever runs some services needs their topics and no others.
func TestServicesAlone(t *testing.T) {
	m := topology.Default(topology.Options{})
	topicOf(&m, "confirmations").Partitions = 3 // as before there were views
	err := m.Part(topology.Views).Validate()
	if err == nil || !strings.Contains(err.Error(), "with confirmations of 3") {
		t.Errorf("views on confirmations of other partitions: %v", err)
	}
	part := m.Part(topology.Confirm)
	if err := part.Validate(); err != nil {
		t.Errorf("confirm alone: %v", err)
	}
	if _, ok := part.Topic("tally-views-table"); ok || len(part.Topics) != len(m.Topics)-2 {
		t.Errorf("confirm alone needs %d of %d topics", len(part.Topics), len(m.Topics))
	}
	chain := topology.Default(topology.Options{Chain: true})
	for _, service := range chain.Services() {
		if err := chain.Part(service).Validate(); err != nil {
			t.Errorf("%s alone: %v", service, err)
		}
	}
}
