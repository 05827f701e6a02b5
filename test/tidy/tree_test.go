package tidy

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// root is the top of the repository, from this package.
const root = "../.."

// A file is one file of the tree. Its name is relative to the root.
type file struct {
	name string
	text []byte
}

// tree returns all files that are tracked or could be: what is ignored and what
// is gone is left out.
var tree = sync.OnceValues(func() ([]file, error) {
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var files []file
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, file{name, text})
	}
	return files, nil
})

// files returns the files of the tree whose names end with one of suffixes.
func files(t *testing.T, suffixes ...string) []file {
	t.Helper()
	all, err := tree()
	if err != nil {
		t.Fatalf("list files: %v", err)
	}
	return slices.DeleteFunc(slices.Clone(all), func(f file) bool {
		return !slices.ContainsFunc(suffixes, func(s string) bool {
			return strings.HasSuffix(f.name, s)
		})
	})
}

// code returns the Go files that people write, without tests and what exists
// for tests.
func code(t *testing.T) []file {
	t.Helper()
	return slices.DeleteFunc(files(t, ".go"), func(f file) bool {
		return f.isTest() || f.isGenerated()
	})
}

// isTest reports whether the file exists for tests only.
func (f file) isTest() bool {
	return strings.HasSuffix(f.name, "_test.go") || strings.HasPrefix(f.name, "test/") ||
		strings.HasSuffix(path.Dir(f.name), "test")
}

func (f file) isGenerated() bool {
	head, _, _ := bytes.Cut(f.text, []byte("\npackage "))
	return bytes.Contains(head, []byte("// Code generated ")) &&
		bytes.Contains(head, []byte(" DO NOT EDIT."))
}

// lines returns the lines of the file without their ends.
func (f file) lines() []string {
	return strings.Split(strings.TrimSuffix(string(f.text), "\n"), "\n")
}

// parsed is a Go file with its syntax.
type parsed struct {
	file
	set  *token.FileSet
	tree *ast.File
}

func (f file) parse() (parsed, error) {
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, f.name, f.text, parser.ParseComments|parser.SkipObjectResolution)
	return parsed{f, set, tree}, err
}

// at says where a node is, as a compiler does.
func (p parsed) at(n ast.Node) string {
	return p.set.Position(n.Pos()).String()
}

// report fails t with each complaint of check about each file.
func report(t *testing.T, files []file, check func(parsed) []string) {
	t.Helper()
	for _, f := range files {
		p, err := f.parse()
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		for _, complaint := range check(p) {
			t.Error(complaint)
		}
	}
}

// sample parses source text that a test of a checker made up.
func sample(t *testing.T, name, source string) parsed {
	t.Helper()
	p, err := file{name, []byte(source)}.parse()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// expect compares complaints with the parts that they should have, in order.
func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("complaints %q, want %d like %q", got, len(want), want)
	}
	for i := range got {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("complaint %q, want one with %q", got[i], want[i])
		}
	}
}
