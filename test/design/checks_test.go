package design_test

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"syscall"
)

// opensForWriting finds calls that open a file with flags other than those for reading, or with flags that are not constant.
func opensForWriting(c *code) []string {
	const writing = syscall.O_WRONLY | syscall.O_RDWR | syscall.O_CREAT | syscall.O_TRUNC | syscall.O_APPEND
	flagsAt := map[string]int{
		"os.OpenFile": 1, "(*os.Root).OpenFile": 1, "syscall.Open": 1, "syscall.Openat": 2,
		"golang.org/x/sys/unix.Open": 1, "golang.org/x/sys/unix.Openat": 2,
	}
	var found []string
	c.inspect(func(n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		name := c.callee(call)
		at, ok := flagsAt[name]
		if !ok || at >= len(call.Args) {
			return
		}
		value := c.info.Types[call.Args[at]].Value
		if value == nil {
			found = append(found, c.at(call, "calls %s with flags that are not constant", name))
		} else if flags, _ := constant.Int64Val(value); flags&writing != 0 {
			found = append(found, c.at(call, "calls %s for writing", name))
		}
	})
	return found
}

// makes finds values of the named types: whatever names the type, unless as what a pointer points to.
func makes(names ...string) func(*code) []string {
	return func(c *code) []string {
		pointedTo := map[*ast.Ident]bool{}
		var found []string
		c.inspect(func(n ast.Node) {
			switch n := n.(type) {
			case *ast.StarExpr:
				if id := lastIdent(n.X); id != nil {
					pointedTo[id] = true
				}
			case *ast.Ident:
				obj := c.info.Uses[n]
				if obj == nil || pointedTo[n] {
					return
				}
				if name := fullName(obj); slices.Contains(names, name) {
					found = append(found, c.at(n, "makes a %s", name))
				}
			}
		})
		return found
	}
}

// packageState finds init functions, package-level variables that are more than named constants, and changes to any such variable.
func packageState(c *code) []string {
	var found []string
	for _, f := range c.files {
		for _, decl := range f.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil && decl.Name.Name == "init" {
					found = append(found, c.at(decl, "func init"))
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					if spec, ok := spec.(*ast.ValueSpec); ok && decl.Tok == token.VAR && !c.isConstant(spec, decl) {
						found = append(found, c.at(spec, "package-level %s is neither an error, a pattern, a table nor set by the linker", spec.Names[0].Name))
					}
				}
			}
		}
	}
	c.inspect(func(n ast.Node) {
		for _, target := range changed(n) {
			_, shared := n.(*ast.UnaryExpr)
			if v := c.packageVar(target); v != nil && (!shared || v.Pkg().Path() == c.path) { // client-go's API wants pointers to others' variables
				found = append(found, c.at(n, "changes %s, or lets others change it", fullName(v)))
			}
		}
	})
	return found
}

func (c *code) isConstant(spec *ast.ValueSpec, decl *ast.GenDecl) bool {
	for i, name := range spec.Names {
		embedded := strings.Contains(comments(decl.Doc, spec.Doc), "//go:embed ")
		if name.Name == "_" || embedded {
			continue
		}
		if len(spec.Values) != len(spec.Names) || !c.isConstantValue(spec.Values[i], c.info.Defs[name]) {
			return false
		}
	}
	return true
}

func (c *code) isConstantValue(value ast.Expr, v types.Object) bool {
	switch value := ast.Unparen(value).(type) {
	case *ast.CompositeLit:
		return !strings.Contains(v.Type().String(), "sync.") && !strings.Contains(v.Type().String(), "atomic.") && c.callsOnlyPure(value)
	case *ast.CallExpr:
		return c.callsOnlyPure(value)
	case *ast.BasicLit: // go build -ldflags "-X main.version=…"
		return v.Pkg().Name() == "main" && types.Identical(v.Type(), types.Typ[types.String])
	default: // another name for an error
		return types.Identical(v.Type(), types.Universe.Lookup("error").Type())
	}
}

func (c *code) callsOnlyPure(value ast.Expr) bool {
	only := true
	ast.Inspect(value, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if ok && !c.info.Types[call.Fun].IsType() {
			only = only && slices.ContainsFunc(pure, func(pattern string) bool { return matches(pattern, c.callee(call)) })
		}
		_, isFunc := n.(*ast.FuncLit)
		return !isFunc
	})
	return only
}

// changed returns what n assigns to, empties or takes the address of.
func changed(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") {
			return n.Args[:1]
		}
	}
	return nil
}

// packageVar returns the package-level variable that e is, or is a part of.
func (c *code) packageVar(e ast.Expr) types.Object {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.SelectorExpr:
			if v := c.packageVar(x.Sel); v != nil {
				return v
			}
			e = x.X
		case *ast.Ident:
			if v, ok := c.info.Uses[x].(*types.Var); ok && fullName(v) != "" {
				return v
			}
			return nil
		default:
			return nil
		}
	}
}

func (c *code) inspect(visit func(ast.Node)) {
	for _, f := range c.files {
		ast.Inspect(f, func(n ast.Node) bool {
			if n != nil {
				visit(n)
			}
			return true
		})
	}
}

// callee returns the full name of what is called; empty for a function value.
func (c *code) callee(call *ast.CallExpr) string {
	if id := lastIdent(call.Fun); id != nil && c.info.Uses[id] != nil {
		return fullName(c.info.Uses[id])
	}
	return ""
}

func lastIdent(e ast.Expr) *ast.Ident {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return e
	case *ast.SelectorExpr:
		return e.Sel
	}
	return nil
}

func comments(groups ...*ast.CommentGroup) string {
	var text strings.Builder
	for _, group := range groups {
		if group != nil {
			for _, comment := range group.List {
				text.WriteString(comment.Text + "\n")
			}
		}
	}
	return text.String()
}
