package tidy

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestDocumented holds every exported name, and every package, to a comment.
// Fields and methods of what is not exported are free.
func TestDocumented(t *testing.T) {
	packages := map[string]bool{}
	var sources []file
	for _, f := range files(t, ".go") {
		if !f.isGenerated() && !strings.HasSuffix(f.name, "_test.go") {
			sources = append(sources, f)
		}
	}
	report(t, sources, func(p parsed) []string {
		dir := path.Dir(p.name)
		packages[dir] = packages[dir] || p.tree.Doc != nil
		return undocumented(p)
	})
	for dir, documented := range packages {
		if !documented {
			t.Errorf("%s: no file has a comment on the package", dir)
		}
	}
}

func undocumented(p parsed) []string {
	var out []string
	complain := func(n ast.Node, name string) {
		out = append(out, fmt.Sprintf("%s: exported %s has no comment", p.at(n), name))
	}
	for _, d := range p.tree.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && receiverExported(d) && !understood(d) {
				complain(d, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				undocumentedSpec(d, s, complain)
			}
		}
	}
	return out
}

// undocumentedSpec takes a comment on a whole group of constants or variables
// for a comment on each.
func undocumentedSpec(d *ast.GenDecl, s ast.Spec, complain func(ast.Node, string)) {
	switch s := s.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
			complain(s, s.Name.Name)
		}
	case *ast.ValueSpec:
		if s.Doc != nil || s.Comment != nil || d.Doc != nil || d.Tok == token.IMPORT {
			return
		}
		for _, name := range s.Names {
			if name.IsExported() {
				complain(s, name.Name)
			}
		}
	}
}

// understood reports whether a method says with its name what it does, because
// the standard library's contract does.
func understood(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"Error", "Unwrap", "String"}, d.Name.Name)
}

// receiverExported reports whether a function is one, or a method of an
// exported type.
func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}

func TestDocumentedRefuses(t *testing.T) {
	expect(t, undocumented(sample(t, "p.go", `package p

type T struct{}

func F() {}

func (T) M() {}

func (T) Error() string { return "" }

func (*g[K]) Fine() {}

const C = 1

// These are documented together.
const (
	D = 1
	E = 2
)

var (
	V = 1
	W = 2 // W is documented here.
)

type g[K any] struct{}

// G is documented.
type G[K any] struct{}

func (*G[K]) M() {}
`)), "exported T", "exported F", "exported M", "exported C", "exported V", "p.go:31:1: exported M")
}
