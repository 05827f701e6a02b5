package tidy

import (
	"fmt"
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// The limits of size. A reader should be able to hold a file, and see a
// function whole.
const (
	maxFileLines     = 500
	maxFunctionLines = 60
	maxLineRunes     = 100
)

// A ban is a call that code outside of tests may not make.
type ban struct {
	call, why string
	// free are the directories in which it is allowed.
	free []string
	// except are the files in which it is allowed, with the reason.
	except map[string]string
}

var bans = []ban{
	{
		call: "time.Now", why: "time is an input: take it from the record or as a parameter",
		free: []string{"cmd"},
		except: map[string]string{
			"engine/admin.go":       "how long a topic that has just been made may be unknown",
			"engine/clock.go":       "an input is idle by the time of day",
			"engine/epoch.go":       "how long a set-up took, and when a transaction is due",
			"engine/restore.go":     "the rate of a restore, and how long a wait may last",
			"engine/timers.go":      "the time of day takes over when all inputs are idle",
			"engine/transaction.go": "the transaction's interval is wall-clock time",
		},
	},
	{
		call: "context.Background", why: "take a context, or use context.WithoutCancel",
		free: []string{"cmd/tally/main.go", "schemas/internal"},
		except: map[string]string{
			"engine/producer.go": "a record is given up by its transaction, not by a context",
			"engine/session.go":  "Goka drops queued records when a session's context ends",
			"state/options.go":   "asking whether a log level is on needs one",
		},
	},
	{call: "context." + "TO" + "DO", why: "take a context"},
	{call: "panic", why: "return an error"},
	{call: "fmt.Print", why: "return it: cmd prints, to the writer that it was given"},
	{call: "fmt.Printf", why: "return it: cmd prints, to the writer that it was given"},
	{call: "fmt.Println", why: "return it: cmd prints, to the writer that it was given"},
	{call: "print", why: "return it"},
	{call: "println", why: "return it"},
	{call: "log.Fatal", why: "return an error"},
	{
		call: "os.Exit", why: "return an error",
		free: []string{"cmd/tally/main.go", "schemas/internal", "deploy/probe"},
		except: map[string]string{
			"state/options.go": "Pebble demands that the process ends when it cannot write any more",
		},
	},
}

// TestCalls holds the code to the bans, and the bans to the code: an exception
// that nothing needs any more has to go.
func TestCalls(t *testing.T) {
	used := map[string]bool{}
	report(t, code(t), func(p parsed) []string { return banned(p, used) })
	for _, b := range bans {
		for _, name := range slices.Sorted(maps.Keys(b.except)) {
			if !used[b.call+" "+name] {
				t.Errorf("%s does not use %s: take the exception out of test/tidy", name, b.call)
			}
		}
	}
}

// banned returns a complaint for each banned use, as a call or as a value, and
// records which exceptions were needed.
func banned(p parsed, used map[string]bool) []string {
	var out []string
	ast.Inspect(p.tree, func(n ast.Node) bool {
		name := called(n)
		i := slices.IndexFunc(bans, func(b ban) bool { return b.call == name })
		if i < 0 {
			return true
		}
		if _, ok := bans[i].except[p.name]; ok {
			used[name+" "+p.name] = true
		} else if !slices.ContainsFunc(bans[i].free, within(p.name)) {
			out = append(out, fmt.Sprintf("%s: %s: %s", p.at(n), name, bans[i].why))
		}
		return true
	})
	return out
}

// called names what a node calls or takes as a value: pkg.Name, or a built-in.
func called(n ast.Node) string {
	switch n := n.(type) {
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok {
			return x.Name + "." + n.Sel.Name
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok {
			return f.Name
		}
	}
	return ""
}

func TestCallsRefuse(t *testing.T) {
	const source = `package p
import ("context"; "fmt"; "time")
type clock struct{ now func() time.Time }
func f() {
	_ = clock{now: time.Now}
	fmt.Println(context.Background())
	panic("x")
}
`
	all := []string{"p.go:5:17: time.Now", "fmt.Println", "context.Background", "p.go:7:2: panic"}
	expect(t, banned(sample(t, "query/p.go", source), map[string]bool{}), all...)
	expect(t, banned(sample(t, "cmd/tally/app/p.go", source), map[string]bool{}), all[1:]...)
	used := map[string]bool{}
	expect(t, banned(sample(t, "engine/epoch.go", source), used),
		"fmt.Println", "context.Background", "panic")
	if !used["time.Now engine/epoch.go"] {
		t.Error("the exception was not recorded as needed")
	}
}

// TestNoSleeps keeps tests from hoping: they poll with a deadline, or run in
// virtual time. A sleep is the pause of a loop that polls, or virtual in a
// synctest bubble.
func TestNoSleeps(t *testing.T) {
	report(t, files(t, ".go"), sleeps)
}

func sleeps(p parsed) []string {
	for _, spec := range p.tree.Imports {
		if spec.Path.Value == `"testing/synctest"` {
			return nil
		}
	}
	polled := map[ast.Node]bool{}
	var out []string
	ast.Inspect(p.tree, func(n ast.Node) bool {
		if loop, ok := n.(*ast.ForStmt); ok {
			ast.Inspect(loop.Body, func(n ast.Node) bool {
				if n != nil {
					polled[n] = true
				}
				return true
			})
		}
		if called(n) == "time.Sleep" && !polled[n] {
			out = append(out, p.at(n)+": time.Sleep: poll with a deadline, or use testing/synctest")
		}
		return true
	})
	return out
}

func TestNoSleepsRefuses(t *testing.T) {
	const source = "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"
	expect(t, sleeps(sample(t, "p_test.go", source)), "p_test.go:3:12")
	bubble := strings.Replace(source, "import", "import \"testing/synctest\"\nimport", 1)
	expect(t, sleeps(sample(t, "p_test.go", bubble)))
	poll := strings.Replace(source, "time.Sleep(1)", "for !done() { time.Sleep(1) }", 1)
	expect(t, sleeps(sample(t, "p_test.go", poll)))
}

// TestNothingAtStart keeps packages from doing something before main: no init
// functions. Generated code is not asked.
func TestNothingAtStart(t *testing.T) {
	report(t, code(t), inits)
}

func inits(p parsed) []string {
	var out []string
	for _, d := range p.tree.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			out = append(out, p.at(f)+": init: do it where it is needed")
		}
	}
	return out
}

func TestNothingAtStartRefuses(t *testing.T) {
	expect(t, inits(sample(t, "p.go", "package p\nfunc init() {}\n")), "p.go:2:1")
}

// TestSizes holds files, functions and lines to what a reader can take in.
func TestSizes(t *testing.T) {
	for _, f := range files(t, ".go") {
		if f.isGenerated() {
			continue
		}
		p, err := f.parse()
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, complaint := range oversized(p) {
			t.Error(complaint)
		}
	}
}

func oversized(p parsed) []string {
	var out []string
	lines := p.lines()
	if len(lines) > maxFileLines {
		out = append(out, fmt.Sprintf("%s: %d lines, over %d", p.name, len(lines), maxFileLines))
	}
	for i, line := range lines {
		if n := len([]rune(line)); n > maxLineRunes {
			out = append(out, fmt.Sprintf("%s:%d: a line of %d, over %d", p.name, i+1, n, maxLineRunes))
		}
	}
	for _, d := range p.tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || p.isTest() {
			continue
		}
		n := p.set.Position(f.End()).Line - p.set.Position(f.Pos()).Line + 1
		if n > maxFunctionLines {
			out = append(out, fmt.Sprintf("%s: %s has %d lines, over %d", p.at(f), f.Name.Name, n,
				maxFunctionLines))
		}
	}
	return out
}

func TestSizesRefuse(t *testing.T) {
	long := "package p\nfunc f() {\n" + strings.Repeat("\t_ = 1\n", maxFunctionLines) + "}\n"
	expect(t, oversized(sample(t, "p.go", long)), "p.go:2:1: f has 62 lines")
	expect(t, oversized(sample(t, "p_test.go", long)))
	wide := "package p\n\n// " + strings.Repeat("ö", maxLineRunes) + "\n"
	expect(t, oversized(sample(t, "p.go", wide)), "p.go:3: a line of 103")
	tall := "package p\n" + strings.Repeat("\n", maxFileLines)
	expect(t, oversized(sample(t, "p.go", tall)), "p.go: 501 lines")
}
