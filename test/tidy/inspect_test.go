package tidy

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"tallystick/engine"
	"tallystick/engine/journal"
	"tallystick/topology"
)

// TestInspectDocument holds the tables of docs/inspect.md to what rows, journals
// and parked keys are made of: every field is there, and nothing else.
func TestInspectDocument(t *testing.T) {
	text, err := readTree("docs/inspect.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range misdocumented(text, fieldsOfEverything(t)) {
		t.Error("docs/inspect.md: " + complaint)
	}
}

// TestInspectNamesTopics looks for every topic of the map, and for the message
// that its values are.
func TestInspectNamesTopics(t *testing.T) {
	text, err := readTree("docs/inspect.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topology.Default(topology.Options{Chain: true}).Topics {
		name := "`" + topic.Name + "`"
		for _, own := range []string{"-journal", "-retry", "-parked"} {
			if strings.HasSuffix(topic.Name, own) {
				name = "`<group>" + own + "`"
			}
		}
		if !strings.Contains(text, "\n| "+name+" | ") {
			t.Errorf("docs/inspect.md has no line of topic %s", name)
		}
	}
}

// fieldsOfEverything are the members of what is documented field by field, by the
// name that its table has.
func fieldsOfEverything(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, topic := range topology.Default(topology.Options{Chain: true}).Topics {
		if topic.Cleanup != topology.Compact || !strings.HasSuffix(topic.Name, "-table") {
			continue
		}
		row := protoreflect.FullName("tally.v1." + topic.Kinds()[0])
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(row)
		if err != nil {
			t.Fatalf("topic %s: %v", topic.Name, err)
		}
		addMessage(all, found.(protoreflect.MessageDescriptor))
	}
	for _, kind := range []reflect.Type{
		reflect.TypeFor[journal.Segment](), reflect.TypeFor[journal.Clock](),
		reflect.TypeFor[journal.Hand](), reflect.TypeFor[journal.Firing](),
		reflect.TypeFor[journal.Table](),
		reflect.TypeFor[engine.ParkedKey](),
	} {
		for i := range kind.NumField() {
			name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
			all[kind.Name()] = append(all[kind.Name()], name)
		}
	}
	return all
}

// addMessage adds a message, and the messages and enums that it defines.
func addMessage(all map[string][]string, m protoreflect.MessageDescriptor) {
	name := func(d protoreflect.Descriptor) string {
		return strings.TrimPrefix(string(d.FullName()), "tally.v1.")
	}
	for i := range m.Fields().Len() {
		all[name(m)] = append(all[name(m)], string(m.Fields().Get(i).Name()))
	}
	for i := range m.Enums().Len() {
		enum := m.Enums().Get(i)
		for v := range enum.Values().Len() {
			all[name(enum)] = append(all[name(enum)], string(enum.Values().Get(v).Name()))
		}
	}
	for i := range m.Messages().Len() {
		addMessage(all, m.Messages().Get(i))
	}
}

var (
	fieldTable = regexp.MustCompile("(?m)^\\| `?([A-Z][A-Za-z.]*)`? \\| (?:Is|Means) \\|\n" +
		"\\|---\\|---\\|\n((?:\\|.*\n)+)")
	fieldName = regexp.MustCompile("`([A-Za-z0-9_]+)`")
)

// misdocumented compares the tables of a document with what there is.
func misdocumented(text string, want map[string][]string) []string {
	var out []string
	got := map[string][]string{}
	for _, table := range fieldTable.FindAllStringSubmatch(text, -1) {
		name := table[1]
		if got[name] != nil {
			out = append(out, name+" has two tables")
		}
		for line := range strings.Lines(table[2]) {
			cell := strings.Split(line, "|")[1]
			for _, field := range fieldName.FindAllStringSubmatch(cell, -1) {
				got[name] = append(got[name], field[1])
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if want[name] == nil {
			out = append(out, "there is no "+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		for _, field := range want[name] {
			if !slices.Contains(got[name], field) {
				out = append(out, fmt.Sprintf("%s lacks %s", name, field))
			}
		}
		for _, field := range got[name] {
			if !slices.Contains(want[name], field) {
				out = append(out, fmt.Sprintf("%s has no %s", name, field))
			}
		}
	}
	return out
}

func TestInspectDocumentRefuses(t *testing.T) {
	text := "| `Row` | Is |\n|---|---|\n| `a`, `b` … | both `z` |\n| `c` | c |\n\n" +
		"| Gone | Means |\n|---|---|\n| `x` | x |\n"
	expect(t, misdocumented(text, map[string][]string{"Row": {"a", "c", "d"}, "Other": {"e"}}),
		"there is no Gone", "Other lacks e", "Row lacks d", "Row has no b")
}
