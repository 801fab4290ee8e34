package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutated are the packages whose code is changed: the one that changes files, and those that call it. Later ones import earlier
// ones, so that a change in one can be caught by its own tests or by those of a later one.
var mutated = []string{"durable", "certdir", "kubeconfig", "agent"}

// source is one file.
type source struct {
	pkg, path string
	text      []byte
	set       *token.FileSet
	file      *ast.File
}

// key is what the syntax alone tells of a function: two methods of one name in a package are taken for one.
type key struct {
	pkg, name string
	method    bool
}

// function is one that changes files, itself or through another, and says by an error whether that went well.
type function struct {
	key
	results *ast.FieldList
}

// tree is the code, and which of its functions change files.
type tree struct {
	sources  []*source
	changing map[key]function
}

// parseTree reads the packages below root/internal.
func parseTree(root string) (*tree, error) {
	t := &tree{}
	for _, pkg := range mutated {
		paths, err := filepath.Glob(filepath.Join(root, "internal", pkg, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return nil, err
			}
			if err := t.add(pkg, name, text); err != nil {
				return nil, err
			}
		}
	}
	if len(t.sources) == 0 {
		return nil, fmt.Errorf("no code in %s: run this in the folder of the repository", filepath.Join(root, "internal"))
	}
	t.findChanging()
	return t, nil
}

func (t *tree) add(pkg, path string, text []byte) error {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	t.sources = append(t.sources, &source{pkg: pkg, path: path, text: text, set: set, file: file})
	return nil
}

// findChanging begins with durable's own do, through which every change goes, and adds whoever calls what is found already.
// Names are resolved by the syntax alone: a method by its name, a function by its name and package.
func (t *tree) findChanging() {
	t.changing = map[key]function{}
	for found := -1; found != len(t.changing); {
		found = len(t.changing)
		for _, s := range t.sources {
			for _, decl := range s.functions() {
				f := function{key{s.pkg, decl.Name.Name, decl.Recv != nil}, decl.Type.Results}
				isDo := f.pkg == "durable" && f.name == "do"
				if endsInError(decl.Type) && !waits(decl.Type) && (isDo || t.anyChange(s, decl.Body)) {
					t.changing[f.key] = f
				}
			}
		}
	}
}

func (s *source) functions() []*ast.FuncDecl {
	var all []*ast.FuncDecl
	for _, decl := range s.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
			all = append(all, f)
		}
	}
	return all
}

func endsInError(f *ast.FuncType) bool {
	if f.Results == nil {
		return false
	}
	last, ok := f.Results.List[len(f.Results.List)-1].Type.(*ast.Ident)
	return ok && last.Name == "error"
}

// waits says whether a function takes a context: the agent's loop, which is no change but all of them.
func waits(f *ast.FuncType) bool {
	return slices.ContainsFunc(f.Params.List, func(p *ast.Field) bool {
		selector, ok := p.Type.(*ast.SelectorExpr)
		return ok && selector.Sel.Name == "Context"
	})
}

// change returns the function that an expression names, if that changes files.
func (t *tree) change(s *source, called ast.Expr) (function, bool) {
	switch called := called.(type) {
	case *ast.Ident:
		f, ok := t.changing[key{s.pkg, called.Name, false}]
		return f, ok
	case *ast.SelectorExpr:
		if pkg, ok := called.X.(*ast.Ident); ok && s.imports(pkg.Name) {
			f, ok := t.changing[key{pkg.Name, called.Sel.Name, false}]
			return f, ok
		}
		for _, pkg := range append([]string{s.pkg}, mutated...) {
			f, ok := t.changing[key{pkg, called.Sel.Name, true}]
			if ok && (pkg == s.pkg || ast.IsExported(f.name)) {
				return f, true
			}
		}
	}
	return function{}, false
}

// imports says whether name is a package in this file. A variable of that name would be taken for it, too.
func (s *source) imports(name string) bool {
	return slices.ContainsFunc(s.file.Imports, func(spec *ast.ImportSpec) bool {
		path := strings.Trim(spec.Path.Value, `"`)
		return spec.Name != nil && spec.Name.Name == name || spec.Name == nil && path[strings.LastIndex(path, "/")+1:] == name
	})
}

// changes returns the calls below n that change files, in their order.
func (t *tree) changes(s *source, n ast.Node) []*ast.CallExpr {
	var calls []*ast.CallExpr
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if _, changes := t.change(s, call.Fun); changes {
				calls = append(calls, call)
			}
		}
		return true
	})
	return calls
}

func (t *tree) anyChange(s *source, n ast.Node) bool { return len(t.changes(s, n)) > 0 }

// at returns the bytes of a node's beginning and end.
func (s *source) at(n ast.Node) (from, to int) {
	return s.set.Position(n.Pos()).Offset, s.set.Position(n.End()).Offset
}

func (s *source) textOf(n ast.Node) string {
	from, to := s.at(n)
	return string(s.text[from:to])
}

func (s *source) printed(n ast.Node) string {
	var text strings.Builder
	_ = printer.Fprint(&text, s.set, n)
	return text.String()
}
