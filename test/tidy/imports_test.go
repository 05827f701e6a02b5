package tidy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "tallystick/"
	// timestamps is Protobuf's type of a time, a value without a clock.
	timestamps = "google.golang.org/protobuf/types/known/timestamppb"
)

// A room is a part of the tree and what its packages may import besides the
// standard library and each other. A name that ends with a slash, or with
// nothing after it, covers what is below it.
type room struct {
	name    string
	imports []string
	// everything marks the rooms that wire or test the others.
	everything bool
}

// rooms are looked up by the longest name that fits, so that arrows point
// inwards: an outer room imports an inner one, and never the reverse.
var rooms = []room{
	{name: "schemas", imports: []string{"google.golang.org/protobuf"}},
	{name: "schemas/internal/generate", imports: []string{
		"google.golang.org/protobuf", "github.com/bufbuild/protocompile",
	}},
	{name: "processors", imports: []string{
		"tallystick/schemas", "github.com/lovoo/goka", "google.golang.org/protobuf",
	}},
	{name: "topology", imports: []string{"tallystick/topology/keyhash", "github.com/twmb/franz-go"}},
	{name: "topology/keyhash"},
	{name: "state", imports: []string{
		"tallystick/state/fingerprint", "github.com/cockroachdb/pebble/v2",
		"github.com/lovoo/goka/storage", "golang.org/x/sync",
	}},
	{name: "state/fingerprint", imports: []string{"github.com/cespare/xxhash/v2"}},
	{name: "state/statetest", imports: []string{"tallystick/state", "github.com/lovoo/goka/storage"}},
	{name: "engine", imports: []string{
		"tallystick/state", "tallystick/topology/keyhash", "tallystick/engine/journal",
		"github.com/lovoo/goka", "github.com/IBM/sarama", "github.com/twmb/franz-go",
		"golang.org/x/sync",
	}},
	{name: "engine/journal"},
	{name: "query", imports: []string{
		"tallystick/engine/journal", "tallystick/schemas", "tallystick/topology", "tallystick/processors",
		"tallystick/state/fingerprint", "tallystick/query/views",
		"github.com/twmb/franz-go", "google.golang.org/protobuf", "golang.org/x/sync",
	}},
	{name: "query/views", imports: []string{
		"tallystick/schemas", "github.com/lovoo/goka", "google.golang.org/protobuf",
	}},
	{name: "deploy"},
	{name: "cmd", everything: true},
	{name: "test", everything: true},
}

// keepers are the modules that one room, beside tests, contains for all others.
var keepers = map[string][]string{
	"github.com/IBM/sarama":         {"engine"},
	"github.com/cockroachdb/pebble": {"state"},
	"github.com/lovoo/goka":         {"engine", "state", "processors", "query/views", "cmd"},
	"github.com/twmb/franz-go":      {"engine", "topology", "query", "cmd"},
	"github.com/spf13/cobra":        {"cmd"},
}

// A goPackage is what the go command tells of a package.
type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// TestImports holds the packages to the rooms.
func TestImports(t *testing.T) {
	cmd := exec.CommandContext(t.Context(),
		"go", "list", "-e", "-deps", "-json=ImportPath,Imports,Standard", "./...")
	cmd.Dir = root
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	std := map[string]bool{"C": true, "unsafe": true}
	var ours []goPackage
	for d := json.NewDecoder(out); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		std[p.ImportPath] = p.Standard
		if strings.HasPrefix(p.ImportPath, module) {
			ours = append(ours, p)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(ours) == 0 {
		t.Fatal("the go command lists no package of this module")
	}
	for _, p := range ours {
		for _, complaint := range forbidden(p, std) {
			t.Error(complaint)
		}
	}
}

// forbidden returns a complaint for each import that p may not have.
func forbidden(p goPackage, std map[string]bool) []string {
	name := strings.TrimPrefix(p.ImportPath, module)
	r, ok := roomOf(name)
	if !ok {
		return []string{p.ImportPath + " is in no room: list it in test/tidy with what it may import"}
	}
	var out []string
	for _, i := range p.Imports {
		switch inner, err := roomIn(i); {
		case std[i]:
		case err == nil && inner.name == r.name:
		case !r.everything && !slices.ContainsFunc(r.imports, within(i)):
			out = append(out, fmt.Sprintf("%s imports %s: room %s may not", p.ImportPath, i, r.name))
		}
	}
	for _, i := range p.Imports {
		for kept, by := range keepers {
			if within(i)(kept) && r.name != "test" && !slices.ContainsFunc(by, within(name)) {
				out = append(out, fmt.Sprintf("%s imports %s, which only %v may", p.ImportPath, i, by))
			}
		}
	}
	return out
}

// within reports, for a path, whether another is it or contains it.
func within(name string) func(string) bool {
	return func(outer string) bool { return name == outer || strings.HasPrefix(name, outer+"/") }
}

// roomOf returns the room of the longest name that contains the package.
func roomOf(name string) (room, bool) {
	var found room
	for _, r := range rooms {
		if within(name)(r.name) && len(r.name) > len(found.name) {
			found = r
		}
	}
	return found, found.name != ""
}

func roomIn(importPath string) (room, error) {
	name, ok := strings.CutPrefix(importPath, module)
	if r, found := roomOf(name); ok && found {
		return r, nil
	}
	return room{}, errors.New("not of this module")
}

func TestImportsRefuses(t *testing.T) {
	std := map[string]bool{"fmt": true}
	for _, tc := range []struct{ from, to, want string }{
		{"schemas", "fmt", ""},
		{"schemas", "tallystick/schemas/tallyv1", ""},
		{"schemas", "tallystick/engine", "may not"},
		{"processors/confirm", "tallystick/schemas", ""},
		{"processors/confirm", "tallystick/engine", "room processors may not"},
		{"processors/confirm", "tallystick/state", "room processors may not"},
		{"engine", "tallystick/state", ""},
		{"engine", "tallystick/topology/keyhash", ""},
		{"engine", "tallystick/topology", "may not"},
		{"engine", "tallystick/schemas", "may not"},
		{"state", "tallystick/schemas", "may not"},
		{"state", "github.com/cockroachdb/pebble/v2/vfs", ""},
		{"topology", "tallystick/engine", "may not"},
		{"topology/keyhash", "tallystick/topology", "may not"},
		{"query/audit", "tallystick/state", "may not"},
		{"cmd/tally/app", "tallystick/engine", ""},
		{"cmd/tally/app", "github.com/IBM/sarama", "which only"},
		{"test/integration", "github.com/IBM/sarama", ""},
		{"attic", "fmt", "is in no room"},
	} {
		got := forbidden(goPackage{ImportPath: module + tc.from, Imports: []string{tc.to}}, std)
		if (len(got) > 0) != (tc.want != "") || len(got) > 0 && !strings.Contains(got[0], tc.want) {
			t.Errorf("%s imports %s: complaints %q, want %q", tc.from, tc.to, got, tc.want)
		}
	}
}

// shared is a part of a decision that several share. All of it is held to the same.
const shared = "processors/internal/cover"

// pure are the imports of a decision: no Kafka, no clock, no input or output.
var pure = []string{
	"cmp", "crypto/sha256", "encoding/hex", "errors", "fmt", "maps", "math/bits", "slices", "strconv",
	"time", "tallystick/schemas", module + shared, timestamps,
}

// TestDecisionsArePure holds the files of the pure step to their imports, file
// by file, because they share a package with their wiring.
func TestDecisionsArePure(t *testing.T) {
	var steps []file
	for _, f := range code(t) {
		if isStep(f.name) {
			steps = append(steps, f)
		}
	}
	if len(steps) == 0 {
		t.Fatal("there is no step*.go under processors")
	}
	report(t, steps, impure)
}

func isStep(name string) bool {
	step := strings.HasPrefix(path.Base(name), "step") || path.Dir(name) == shared
	return strings.HasPrefix(name, "processors/") && step && !strings.HasSuffix(name, "_test.go")
}

func impure(p parsed) []string {
	var out []string
	for _, spec := range p.tree.Imports {
		name, _ := strconv.Unquote(spec.Path.Value)
		if !slices.Contains(pure, name) && !within(name)("tallystick/schemas") {
			out = append(out, fmt.Sprintf("%s: a decision imports %s", p.at(spec), name))
		}
	}
	return out
}

func TestDecisionsRefuse(t *testing.T) {
	expect(t, impure(sample(t, "processors/confirm/step.go", `package confirm
import ("fmt"; "os"; "tallystick/schemas/tallyv1"; "github.com/lovoo/goka")
`)), "imports os", "imports github.com/lovoo/goka")
	if !isStep("processors/confirm/step_speech.go") || isStep("processors/confirm/graph.go") ||
		!isStep(shared+"/any.go") {
		t.Error("a step is not told from its wiring")
	}
}
