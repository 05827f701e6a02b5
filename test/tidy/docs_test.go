package tidy

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"tallystick/schemas"
	"tallystick/schemas/tallyv1"
	"tallystick/topology"
)

// maxReadmeLines keeps the README to what is read before the first try.
const maxReadmeLines = 150

var (
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
	inline  = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
)

// TestLinks follows every relative link of every document: the file is there,
// and so is the heading if one is named.
func TestLinks(t *testing.T) {
	for _, f := range files(t, ".md") {
		for _, complaint := range dangling(f, readTree) {
			t.Error(complaint)
		}
	}
}

// readTree reads a file of the tree; a directory is there and has no text.
func readTree(name string) (string, error) {
	name = filepath.Join(root, name)
	if info, err := os.Stat(name); err != nil || info.IsDir() {
		return "", err
	}
	text, err := os.ReadFile(name)
	return string(text), err
}

func dangling(f file, read func(string) (string, error)) []string {
	var out []string
	prose := inline.ReplaceAllString(fenced.ReplaceAllString(string(f.text), ""), "")
	for _, m := range link.FindAllStringSubmatch(prose, -1) {
		if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
			continue
		}
		target, anchor, _ := strings.Cut(m[1], "#")
		name := f.name
		if target != "" {
			name = path.Join(path.Dir(f.name), target)
		}
		text, err := read(name)
		if err != nil {
			out = append(out, fmt.Sprintf("%s: link to %s: no such file", f.name, m[1]))
		} else if anchor != "" && !slices.Contains(anchors(text), anchor) {
			out = append(out, fmt.Sprintf("%s: link to %s: no such heading", f.name, m[1]))
		}
	}
	return out
}

// anchors returns the names that GitHub gives to the headings of a document.
func anchors(text string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := strings.ToLower(strings.TrimSpace(m[1]))
		name = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(name, "")
		out = append(out, strings.ReplaceAll(name, " ", "-"))
	}
	return out
}

func TestLinksRefuse(t *testing.T) {
	read := func(name string) (string, error) {
		if name == "docs/b.md" {
			return "# One `two`: three\n", nil
		}
		return "", os.ErrNotExist
	}
	text := "[a](b.md) [b](b.md#one-two-three) [c](c.md) [d](b.md#four) [e](https://x.org)\n" +
		"`[f](f.md)`\n```\n[g](g.md)\n```\n"
	expect(t, dangling(file{"docs/a.md", []byte(text)}, read), "c.md: no such file",
		"b.md#four: no such heading")
}

// TestDecisionsAreListed holds docs/adr and its list to each other, and every
// record to its four parts.
func TestDecisionsAreListed(t *testing.T) {
	list, err := readTree("docs/adr/README.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files(t, ".md") {
		base := path.Base(f.name)
		if path.Dir(f.name) != "docs/adr" || base == "README.md" {
			continue
		}
		n++
		if !strings.HasPrefix(base, fmt.Sprintf("%04d-", n)) {
			t.Errorf("%s: its number is not %04d", f.name, n)
		}
		if !strings.Contains(list, "("+base+")") {
			t.Errorf("%s is not listed in docs/adr/README.md", f.name)
		}
		for _, part := range []string{"Context", "Decision", "Consequences", "Rejected"} {
			if !strings.Contains(string(f.text), "\n## "+part+"\n") {
				t.Errorf("%s: has no part %s", f.name, part)
			}
		}
		if lines := len(f.lines()); lines > 60 {
			t.Errorf("%s: %d lines, over a page of 60", f.name, lines)
		}
	}
	if n == 0 {
		t.Error("there are no decisions")
	}
}

// namedTest is how documents name a test: its directory and its function, and
// a subtest after that if need be.
var namedTest = regexp.MustCompile(
	"`([a-z][a-z0-9/_.-]*)/((?:Test|Fuzz|Example)[A-Za-z0-9_]*)[^`]*`")

// TestNamedTestsExist looks for every test that a document names.
func TestNamedTestsExist(t *testing.T) {
	functions := map[string]bool{}
	report(t, files(t, "_test.go"), func(p parsed) []string {
		for _, d := range p.tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				functions[path.Dir(p.name)+"/"+f.Name.Name] = true
			}
		}
		return nil
	})
	for _, f := range files(t, ".md") {
		for _, m := range namedTest.FindAllStringSubmatch(string(f.text), -1) {
			if !functions[m[1]+"/"+m[2]] {
				t.Errorf("%s: there is no test %s in %s", f.name, m[2], m[1])
			}
		}
	}
}

var guarantee = regexp.MustCompile(`(?m)^## G(\d+) `)

// TestGuaranteesAreDefended holds docs/guarantees.md to its promise: numbered
// without a gap, and each guarantee names a test.
func TestGuaranteesAreDefended(t *testing.T) {
	text, err := readTree("docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range undefended(text) {
		t.Error(complaint)
	}
}

func undefended(text string) []string {
	var out []string
	at := guarantee.FindAllStringSubmatchIndex(text, -1)
	if len(at) == 0 {
		return []string{"no guarantee is numbered"}
	}
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		number := text[m[2]:m[3]]
		if number != fmt.Sprint(i+1) {
			out = append(out, fmt.Sprintf("guarantee G%s comes where G%d should", number, i+1))
		}
		if !namedTest.MatchString(text[m[0]:end]) {
			out = append(out, fmt.Sprintf("guarantee G%s names no test", number))
		}
	}
	return out
}

func TestGuaranteesRefuse(t *testing.T) {
	expect(t, undefended("nothing"), "no guarantee is numbered")
	expect(t, undefended("## G1 a\n`x/TestA`\n## G3 b\nno test\n## G3 c\n`x/TestB/sub`\n"),
		"G3 comes where G2 should", "G3 names no test")
}

// TestReadme keeps the README short and its table of topics true.
func TestReadme(t *testing.T) {
	text, err := readTree("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(text, "\n"); n > maxReadmeLines {
		t.Errorf("README.md has %d lines, over %d", n, maxReadmeLines)
	}
	if want := topology.Default(topology.Options{}).Markdown(); !strings.Contains(text, want) {
		t.Errorf("README.md does not contain what the topology prints:\n%s", want)
	}
}

// TestTopicsHoldWhatTheSchemasSay compares the kinds that the map lists for each
// topic with the members of its envelope.
func TestTopicsHoldWhatTheSchemasSay(t *testing.T) {
	names := topology.Options{}.Names()
	job, chain := topology.Default(topology.Options{}), topology.Default(topology.Options{Chain: true})
	for name, envelope := range map[string]protoreflect.ProtoMessage{
		names.Orders:        &tallyv1.OrderEvent{},
		names.Payments:      &tallyv1.PaymentEvent{},
		names.Confirmations: &tallyv1.ConfirmationEvent{},
		names.Exceptions:    &tallyv1.ExceptionEvent{},
		names.OrderCommands: &tallyv1.OrderCommand{},
		names.OrderChecks:   &tallyv1.OrderCheckEvent{},
		names.Customers:     &tallyv1.CustomerEvent{},
		names.Products:      &tallyv1.ProductEvent{},
		names.Stock:         &tallyv1.StockEvent{},
		names.Notices:       &tallyv1.NoticeEvent{},

		names.InventoryRequests: &tallyv1.StockCommand{},
		names.InventoryReplies:  &tallyv1.StockReplyEvent{},
		names.FraudOrders:       &tallyv1.CustomerOrderEvent{},
		names.NotifyResults:     &tallyv1.NotifyResultEvent{},
	} {
		var want []string
		members := envelope.ProtoReflect().Descriptor().Oneofs().Get(0).Fields()
		for i := range members.Len() {
			want = append(want, string(members.Get(i).Message().Name()))
		}
		if topic, ok := chain.Topic(name); !ok || !slices.Equal(topic.Kinds(), want) {
			t.Errorf("topic %s holds %q, its envelope %q", name, topic.Kinds(), want)
		}
		topic, _ := job.Topic(name)
		for _, kind := range topic.Kinds() {
			if !slices.Contains(want, kind) {
				t.Errorf("topic %s of the main job holds %q, its envelope %q", name, kind, want)
			}
		}
	}
}

// TestExamplesAreValid decodes every event that a document shows in one line of
// a JSON block.
func TestExamplesAreValid(t *testing.T) {
	codecs := []interface{ Decode([]byte) (any, error) }{
		schemas.Orders, schemas.Payments, schemas.Confirmations, schemas.Exceptions,
		schemas.OrderCommands, schemas.OrderChecks, schemas.Customers, schemas.Products,
		schemas.Stock, schemas.Notices, schemas.Corrections,
	}
	block := regexp.MustCompile("(?ms)^```json\n(.*?)^```")
	n := 0
	for _, f := range files(t, ".md") {
		for _, m := range block.FindAllStringSubmatch(string(f.text), -1) {
			for line := range strings.Lines(m[1]) {
				if !json.Valid([]byte(line)) || !strings.HasPrefix(line, `{"`) {
					continue
				}
				n++
				if !slices.ContainsFunc(codecs, func(c interface{ Decode([]byte) (any, error) }) bool {
					v, err := c.Decode([]byte(line))
					_, bad := v.(error)
					return err == nil && !bad
				}) {
					t.Errorf("%s: no codec takes %s", f.name, line)
				}
			}
		}
	}
	if n == 0 {
		t.Error("no document shows an event")
	}
}
