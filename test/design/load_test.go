package design_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const root = "../.."

// source is a package of ours that is not a test.
type source struct {
	path, dir      string
	files, imports []string
}

// sources returns what lies below internal and cmd. It walks the folders itself, so that Go's test cache knows what was read.
func sources(t *testing.T) []source {
	t.Helper()
	var found []source
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(dir string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			p, err := build.ImportDir(dir, 0)
			if none := new(build.NoGoError); errors.As(err, &none) || err == nil && len(p.GoFiles) == 0 {
				return nil
			}
			rel, _ := filepath.Rel(root, dir)
			found = append(found, source{module + "/" + filepath.ToSlash(rel), dir, p.GoFiles, p.Imports})
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
	return found
}

// code is a type-checked package.
type code struct {
	path  string
	fset  *token.FileSet
	files []*ast.File
	info  *types.Info
}

func (c *code) at(n ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s: %s", strings.TrimPrefix(c.fset.Position(n.Pos()).String(), root+"/"), fmt.Sprintf(format, args...))
}

// checker knows the types of everything that our packages and the rules name.
type checker struct {
	fset     *token.FileSet
	compiled types.Importer
	exports  map[string]string
}

func newChecker(t *testing.T) *checker {
	t.Helper()
	exports, err := exportData()
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	lookup := func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
	return &checker{fset, importer.ForCompiler(fset, "gc", lookup), exports}
}

// exportData has the compiler compile what is needed and returns where the types of each package were written.
var exportData = sync.OnceValues(func() (map[string]string, error) {
	args := append([]string{"list", "-e", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./..."}, packagesInRules()...)
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Stderr = new(strings.Builder)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, cmd.Stderr)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	return exports, nil
})

// Import returns the types of a package; of one that was not compiled, nothing but that it is there.
func (c *checker) Import(path string) (*types.Package, error) {
	if c.exports[path] != "" || path == "unsafe" {
		return c.compiled.Import(path)
	}
	empty := types.NewPackage(path, filepath.Base(path))
	empty.MarkComplete()
	return empty, nil
}

func (c *checker) load(s source) (*code, error) {
	var files []*ast.File
	for _, name := range s.files {
		f, err := parser.ParseFile(c.fset, filepath.Join(s.dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return c.check(s.path, files)
}

// sample makes a package of text, whose package clause may be missing.
func (c *checker) sample(t *testing.T, text string) *code {
	t.Helper()
	checked, err := c.check("sample", []*ast.File{parseSample(c.fset, text)})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return checked
}

func parseSample(fset *token.FileSet, text string) *ast.File {
	if !strings.HasPrefix(text, "package ") {
		text = "package sample\n" + text
	}
	f, err := parser.ParseFile(fset, "sample.go", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		panic(fmt.Sprintf("%v\n%s", err, text))
	}
	return f
}

func (c *checker) check(path string, files []*ast.File) (*code, error) {
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: c}
	if _, err := config.Check(path, c.fset, files, info); err != nil {
		return nil, err
	}
	return &code{path, c.fset, files, info}, nil
}

// fullName is how rules name what an identifier stands for: os.Remove, (*os.File).Chmod, net/http.Client.
func fullName(obj types.Object) string {
	if f, ok := obj.(*types.Func); ok {
		return f.Origin().FullName()
	}
	if obj.Pkg() == nil || obj.Parent() != obj.Pkg().Scope() {
		return ""
	}
	return obj.Pkg().Path() + "." + obj.Name()
}

// matches says whether name is pattern, or begins with it when pattern ends in a star.
func matches(pattern, name string) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// packageOf returns the import path in a full name.
func packageOf(name string) string {
	name = strings.TrimLeft(name, "(*")
	slash := strings.LastIndex(name, "/") + 1
	dot := strings.Index(name[slash:], ".")
	return name[:slash+dot]
}

// names returns the full names of everything exported by the package, methods included.
func (c *checker) names(path string) ([]string, error) {
	pkg, err := c.Import(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		names = append(names, fullName(obj))
		if _, ok := obj.(*types.TypeName); ok {
			for method := range types.NewMethodSet(types.NewPointer(obj.Type())).Methods() {
				names = append(names, fullName(method.Obj()))
			}
		}
	}
	return names, nil
}
