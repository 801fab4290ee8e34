package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// mutant is one mistake in the code.
type mutant struct {
	// id is what it is called in the table and in the list of equivalents: kind, function, detail.
	id string
	// path of the file and package that it is in.
	path, pkg string
	// what was done, for people.
	what string
	// text is the whole file with the mistake in it.
	text []byte
}

// edit replaces the bytes from from to to.
type edit struct {
	from, to int
	text     string
}

// maker collects the mutants of one function.
type maker struct {
	t      *tree
	s      *source
	f      *ast.FuncDecl
	found  *[]mutant
	number map[string]int
}

// mutants returns every mistake that is tried, in the order of the code.
func (t *tree) mutants() []mutant {
	var all []mutant
	number := map[string]int{}
	for _, s := range t.sources {
		for _, f := range s.functions() {
			m := maker{t, s, f, &all, number}
			m.leaveOut()
			m.exchange()
			m.forgetConditions()
			m.replace()
			m.undecide()
		}
	}
	return all
}

func (m maker) add(kind, detail, what string, edits ...edit) {
	id := fmt.Sprintf("%s:%s.%s:%s", kind, m.s.pkg, m.f.Name.Name, detail)
	m.number[id]++
	if n := m.number[id]; n > 1 {
		id += fmt.Sprintf("#%d", n)
	}
	slices.SortFunc(edits, func(a, b edit) int { return b.from - a.from })
	text := string(m.s.text)
	for _, e := range edits {
		text = text[:e.from] + e.text + text[e.to:]
	}
	*m.found = append(*m.found, mutant{id: id, path: m.s.path, pkg: m.s.pkg, what: what, text: []byte(text)})
}

func (m maker) edit(n ast.Node, text string) edit {
	from, to := m.s.at(n)
	return edit{from, to, text}
}

// nothing is a call of a function that does nothing and reports success. It takes the same arguments, so that none goes unused.
func (m maker) nothing(call *ast.CallExpr, f function) string {
	var args []string
	if selector, ok := call.Fun.(*ast.SelectorExpr); ok && f.method {
		args = append(args, m.s.textOf(selector.X))
	}
	for _, arg := range call.Args {
		args = append(args, m.s.textOf(arg))
	}
	return fmt.Sprintf("func(...any) (%s) { return }(%s)", m.results(f), strings.Join(args, ", "))
}

func (m maker) results(f function) string {
	var results []string
	for _, field := range f.results.List {
		for range max(1, len(field.Names)) {
			results = append(results, fmt.Sprintf("r%d %s", len(results), m.typeHere(f, field.Type)))
		}
	}
	return strings.Join(results, ", ")
}

// typeHere is how the type is called in the file at hand: another package's gets its name.
func (m maker) typeHere(f function, of ast.Expr) string {
	switch of := of.(type) {
	case *ast.Ident:
		if ast.IsExported(of.Name) && f.pkg != m.s.pkg {
			return f.pkg + "." + of.Name
		}
		return of.Name
	case *ast.StarExpr:
		return "*" + m.typeHere(f, of.X)
	case *ast.ArrayType:
		return "[]" + m.typeHere(f, of.Elt)
	default:
		return m.s.printed(of)
	}
}

// nameOf is what a call is called in an id: for do the operation that is made.
func (m maker) nameOf(call *ast.CallExpr) string {
	f, _ := m.t.change(m.s, call.Fun)
	if f.name != "do" || len(call.Args) == 0 {
		return f.name
	}
	if op, ok := call.Args[0].(*ast.CompositeLit); ok {
		for _, element := range op.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok && m.s.textOf(pair.Key) == "Call" {
				return strings.Trim(m.s.textOf(pair.Value), `"`)
			}
		}
	}
	return f.name
}

// leaveOut takes each change out, and each that is handed on as a value.
func (m maker) leaveOut() {
	called := map[ast.Expr]bool{}
	for _, call := range m.t.changes(m.s, m.f.Body) {
		called[call.Fun] = true
		f, _ := m.t.change(m.s, call.Fun)
		m.add("left out", m.nameOf(call), "`"+short(m.s.textOf(call))+"` does nothing and reports success", m.edit(call, m.nothing(call, f)))
	}
	ast.Inspect(m.f.Body, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok || called[selector] {
			return true
		}
		if f, changes := m.t.change(m.s, selector); changes && len(f.results.List) == 1 {
			m.add("left out", f.name, "`"+short(m.s.textOf(selector))+"`, handed on, does nothing and reports success", m.edit(selector, "func() error { return nil }"))
		}
		return true
	})
}

// nearby is how many changes further on the other one of an exchanged pair may be.
const nearby = 3

// exchange swaps each pair of changes that stand in one list of statements, up to three apart.
func (m maker) exchange() {
	ast.Inspect(m.f.Body, func(n ast.Node) bool {
		var changing []ast.Stmt
		for _, statement := range statementsOf(n) {
			if m.t.anyChange(m.s, statement) {
				changing = append(changing, statement)
			}
		}
		for i, first := range changing {
			for _, second := range changing[i+1 : min(i+1+nearby, len(changing))] {
				m.exchangeTwo(first, second)
			}
		}
		return true
	})
}

func statementsOf(n ast.Node) []ast.Stmt {
	switch n := n.(type) {
	case *ast.BlockStmt:
		if len(n.List) > 0 {
			if _, isSwitch := n.List[0].(*ast.CaseClause); isSwitch { // the order of cases is not that of what they do
				return nil
			}
		}
		return n.List
	case *ast.CaseClause:
		return n.Body
	}
	return nil
}

// exchangeTwo swaps whole statements, or only the calls in them when one is a return or its result is looked at by the next.
func (m maker) exchangeTwo(first, second ast.Stmt) {
	a, b := m.t.changes(m.s, first)[0], m.t.changes(m.s, second)[0]
	var x, y ast.Node = first, second
	if onlyTheCall(first) || onlyTheCall(second) {
		x, y = a, b
	}
	m.add("exchanged", m.nameOf(a)+"-"+m.nameOf(b), "`"+short(m.s.textOf(b))+"` comes before `"+short(m.s.textOf(a))+"`",
		m.edit(x, m.s.textOf(y)), m.edit(y, m.s.textOf(x)))
}

func onlyTheCall(s ast.Stmt) bool {
	switch s.(type) {
	case *ast.ReturnStmt, *ast.AssignStmt:
		return true
	}
	return false
}

// forgetConditions makes changes that are made only under a condition unconditional: what was to be compared before is not.
func (m maker) forgetConditions() {
	ast.Inspect(m.f.Body, func(n ast.Node) bool {
		branch, ok := n.(*ast.IfStmt)
		if !ok || failed(branch.Cond) {
			return true
		}
		if calls := m.t.changes(m.s, branch.Body); len(calls) > 0 {
			m.add("unconditional", m.nameOf(calls[0]), "`"+short(m.s.textOf(calls[0]))+"` whatever `"+short(m.s.textOf(branch.Cond))+"` says",
				m.edit(branch.Cond, "("+m.s.textOf(branch.Cond)+") || true"))
		}
		return true
	})
}

// failed says whether a condition is only about whether something went wrong.
func failed(condition ast.Expr) bool {
	comparison, ok := condition.(*ast.BinaryExpr)
	if !ok || comparison.Op != token.NEQ {
		return false
	}
	nothing, ok := comparison.Y.(*ast.Ident)
	return ok && nothing.Name == "nil"
}

// short is the beginning of a piece of code in one line.
func short(code string) string {
	line := strings.Join(strings.Fields(code), " ")
	if len(line) > 60 {
		line = line[:57] + "…"
	}
	return strings.ReplaceAll(line, "|", `\|`)
}
