package main

import (
	"go/ast"
	"strings"
)

// aside is how a mutant imports os where the file does not.
const aside = "mutantos"

// replace puts ways of changing files in the place of durable's, as they are seen in the field: an operation that is said to be
// made and is not, remove and rename, a direct write, a rename that replaces.
func (m maker) replace() {
	for _, call := range m.t.changes(m.s, m.f.Body) {
		selector, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			continue
		}
		on := m.s.textOf(selector.X)
		switch args := m.args(call); selector.Sel.Name {
		case "do":
			m.replaceDo(call)
		case "rename":
			m.add("replaced", "rename", "remove, then rename",
				m.edit(call, "func() error { if err := "+on+".Remove("+args[1]+"); err != nil { return err }; return "+m.s.textOf(call)+" }()"))
		case "WriteFile":
			m.add("replaced", "WriteFile", "the file is written directly", m.importOS(), m.edit(call, aside+".WriteFile("+strings.Join(args, ", ")+")"))
		case "WriteFileOf":
			m.add("replaced", "WriteFileOf", "the file is written directly, and its time is lost", m.importOS(),
				m.edit(call, "func() error { _ = "+args[3]+"; return "+aside+".WriteFile("+strings.Join(args[:3], ", ")+") }()"))
		case "Symlink":
			m.add("replaced", "Symlink", "remove, then link", m.importOS(),
				m.edit(call, "func() error { if err := "+on+".Remove("+args[1]+"); err != nil { return err }; return "+aside+".Symlink("+args[0]+", "+args[1]+") }()"))
		case "Remove":
			m.add("replaced", "Remove", "removed, and the folder not synced", m.importOS(),
				m.edit(call, "func() error { _ = "+aside+".Remove("+args[0]+"); return nil }()"))
		case "RenameNoReplace":
			m.add("replaced", "RenameNoReplace", "a rename that replaces what is there", m.importOS(), m.edit(call, aside+".Rename("+strings.Join(args, ", ")+")"))
		}
	}
	ast.Inspect(m.f.Body, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok && m.s.pkg == "durable" {
			m.replaceFlag(selector)
		}
		return true
	})
}

// replaceDo tells the test of an operation, and does not make it, or makes it in the wrong way.
func (m maker) replaceDo(call *ast.CallExpr) {
	if m.s.pkg != "durable" || len(call.Args) != 2 {
		return
	}
	name := m.nameOf(call)
	if strings.HasPrefix(name, "fsync") {
		m.add("pretended", name, "the "+name+" is announced and not made", m.edit(call.Args[1], "func() error { return nil }"))
	}
	if name == "rename" {
		m.add("replaced", "os.Rename", "remove, then rename, and nobody is told", m.edit(call.Args[1], "func() error { _ = os.Remove(path); return os.Rename(from, path) }"))
	}
}

func (m maker) replaceFlag(selector *ast.SelectorExpr) {
	switch m.s.textOf(selector) {
	case "unix.RENAME_NOREPLACE":
		m.add("replaced", "RENAME_NOREPLACE", "a rename that replaces what is there", m.edit(selector, "0"))
	case "os.O_EXCL":
		m.add("replaced", "O_EXCL", "a temporary file that is there is written over", m.edit(selector, "os.O_TRUNC"))
	}
}

// importOS imports os under a name that no file has.
func (m maker) importOS() edit {
	_, end := m.s.at(m.s.file.Name)
	return edit{end, end, "\nimport " + aside + ` "os"`}
}

func (m maker) args(call *ast.CallExpr) []string {
	var args []string
	for _, arg := range call.Args {
		args = append(args, m.s.textOf(arg))
	}
	return args
}
