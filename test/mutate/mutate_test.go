package main

import (
	"bytes"
	"context"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// durable and certdir are small ones, with every form in which a change can stand.
const (
	durable = `package durable

import "os"

type Disk struct{}

func (d Disk) WriteFile(path string) error {
	if err := d.create(path); err != nil {
		return err
	}
	return d.syncDir(path)
}

func (d Disk) RenameNoReplace(from, path string) error {
	return d.do(Op{Call: "rename-noreplace"}, func() error { return unix.Renameat2(from, path, unix.RENAME_NOREPLACE) })
}

func (d Disk) create(path string) error { return d.do(Op{Call: "fsync", Path: path}, f.Sync) }
func (d Disk) syncDir(path string) error { return d.do(Op{Call: "fsync-dir"}, func() error { return os.Remove(path) }) }
func (d Disk) do(op Op, call func() error) error { return call() }
func Read(path string) error { return os.Remove(path) }
`
	certdir = `package certdir

import "durable"

type Removed struct{}

func (d Dir) Commit(ctx string) (Removed, error) {
	for range 2 {
		if err := d.Disk.WriteFile("a"); err != nil {
			return err
		}
	}
	if d.wanted() {
		d.Disk.WriteFile("b")
	}
	durable.Read("c")
	return d.Disk.RenameNoReplace("b", "c")
}

func (d Dir) Loop(ctx context.Context) error { return d.Disk.WriteFile("a") }
`
	agent = `package agent

func (a *Agent) act() {
	switch {
	case a.one():
		removed, err := a.dir.Commit("x")
	case a.two():
		a.disk("commit", a.keep)
	}
	a.dir.Loop(ctx)
}

func (a *Agent) keep() error { _, err := a.dir.Commit("y"); return err }

func decide(m memory) step {
	switch {
	case m.one && m.two:
		return "one"
	case m.three:
		return "two"
	}
	return "none"
}

func wanted(m memory) bool { return m.one || m.two }
func number(m memory) (int, bool) { return 1, m.one && m.two }
`
)

func small(t *testing.T) *tree {
	t.Helper()
	tree := &tree{}
	for pkg, text := range map[string]string{"durable": durable, "certdir": certdir, "agent": agent} {
		if err := tree.add(pkg, pkg+".go", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	slices.SortFunc(tree.sources, func(a, b *source) int {
		return slices.Index(mutated, a.pkg) - slices.Index(mutated, b.pkg)
	})
	tree.findChanging()
	return tree
}

func TestEveryChangeIsFoundInEveryFormAndNothingElse(t *testing.T) {
	t.Parallel()
	var ids []string
	for _, m := range small(t).mutants() {
		ids = append(ids, m.id)
	}
	expected := []string{
		"left out:durable.WriteFile:create", "left out:durable.WriteFile:syncDir", "exchanged:durable.WriteFile:create-syncDir",
		"left out:durable.RenameNoReplace:rename-noreplace", "replaced:durable.RenameNoReplace:RENAME_NOREPLACE",
		"left out:durable.create:fsync", "pretended:durable.create:fsync",
		"left out:durable.syncDir:fsync-dir", "pretended:durable.syncDir:fsync-dir",
		"left out:certdir.Commit:WriteFile", "left out:certdir.Commit:WriteFile#2", "left out:certdir.Commit:RenameNoReplace",
		"exchanged:certdir.Commit:WriteFile-WriteFile", "exchanged:certdir.Commit:WriteFile-RenameNoReplace", "exchanged:certdir.Commit:WriteFile-RenameNoReplace#2",
		"unconditional:certdir.Commit:WriteFile",
		"replaced:certdir.Commit:WriteFile", "replaced:certdir.Commit:WriteFile#2", "replaced:certdir.Commit:RenameNoReplace",
		"left out:certdir.Loop:WriteFile", "replaced:certdir.Loop:WriteFile",
		"left out:agent.act:Commit", "left out:agent.act:keep", "left out:agent.keep:Commit",
		"never:agent.decide:1", "one less:agent.decide:1", "one less:agent.decide:2", "never:agent.decide:2", "one less:agent.wanted:1", "one less:agent.wanted:2",
	}
	if !slices.Equal(ids, expected) {
		t.Errorf("mutants:\n%s\nexpected:\n%s", strings.Join(ids, "\n"), strings.Join(expected, "\n"))
	}
}

// Of a mutant's text everything but the mistake is the code as it is.
func TestAMistakeIsMadeWhereItIsSaidToBe(t *testing.T) {
	t.Parallel()
	for id, change := range map[string][2]string{
		"left out:durable.WriteFile:syncDir": {`return d.syncDir(path)`, `return func(...any) (r0 error) { return }(d, path)`},
		"exchanged:durable.WriteFile:create-syncDir": {
			"if err := d.create(path); err != nil {\n\t\treturn err\n\t}\n\treturn d.syncDir(path)",
			"if err := d.syncDir(path); err != nil {\n\t\treturn err\n\t}\n\treturn d.create(path)",
		},
		"pretended:durable.create:fsync":                     {`Path: path}, f.Sync)`, `Path: path}, func() error { return nil })`},
		"replaced:durable.RenameNoReplace:RENAME_NOREPLACE":  {`unix.RENAME_NOREPLACE`, `0`},
		"unconditional:certdir.Commit:WriteFile":             {`if d.wanted() {`, `if (d.wanted()) || true {`},
		"left out:agent.act:Commit":                          {`a.dir.Commit("x")`, `func(...any) (r0 certdir.Removed, r1 error) { return }(a.dir, "x")`},
		"left out:agent.act:keep":                            {`"commit", a.keep)`, `"commit", func() error { return nil })`},
		"never:agent.decide:2":                               {"case m.three:", "case (m.three) && false:"},
		"one less:agent.decide:1":                            {"case m.one && m.two:", "case m.two:"},
		"one less:agent.wanted:2":                            {"return m.one || m.two", "return m.one"},
		"exchanged:certdir.Commit:WriteFile-RenameNoReplace": {`WriteFile("a"); err`, `RenameNoReplace("b", "c"); err`},
		"replaced:certdir.Commit:RenameNoReplace":            {`d.Disk.RenameNoReplace("b", "c")`, `mutantos.Rename("b", "c")`},
	} {
		mutants := small(t).mutants()
		i := slices.IndexFunc(mutants, func(m mutant) bool { return m.id == id })
		if i < 0 {
			t.Errorf("%s is not there", id)
			continue
		}
		if text := string(mutants[i].text); !strings.Contains(text, change[1]) || strings.Count(text, change[0]) > 0 {
			t.Errorf("%s: %q is not in place of %q:\n%s", id, change[1], change[0], text)
		}
	}
}

// Held against the code as it is: each mutant is another text that can be parsed, under a name of its own.
func TestTheMutantsOfThisTree(t *testing.T) {
	t.Parallel()
	tree, err := parseTree("../..")
	must(t, err)
	ids := map[string]bool{}
	for _, m := range tree.mutants() {
		if ids[m.id] {
			t.Errorf("%s is there twice", m.id)
		}
		ids[m.id] = true
		if _, err := parser.ParseFile(token.NewFileSet(), m.path, m.text, 0); err != nil {
			t.Errorf("%s: %v", m.id, err)
		}
		if whole, err := os.ReadFile(filepath.Join("../..", m.path)); err != nil || bytes.Equal(whole, m.text) {
			t.Errorf("%s changes nothing (%v)", m.id, err)
		}
	}
	known, err := equivalents()
	must(t, err)
	for id := range known {
		if !ids[id] {
			t.Errorf("equivalent.txt names %s, which is no mutant of this code", id)
		}
	}
	for _, id := range []string{
		"left out:durable.create:fsync", "left out:durable.WriteFileOf:syncDir", "exchanged:durable.create:write-fsync", "replaced:durable.rename:os.Rename",
		"exchanged:durable.create:utimes-fsync", "exchanged:certdir.Restore:WriteFileOf-Symlink", "replaced:certdir.Restore:WriteFileOf",
		"exchanged:agent.commitClient:moveServing-Commit", "left out:agent.healable:Restore", "left out:agent.settleRotateNow:ForgetRotate",
		"never:agent.decideRotation:1", "never:agent.decideServingRotation:1", "one less:agent.tooSoon:1",
		"exchanged:agent.commitClient:writeCluster-RemovePending", "exchanged:agent.commitClient:Commit-writeCluster", "replaced:kubeconfig.WriteKubelet:WriteFile",
	} {
		if !ids[id] {
			t.Errorf("%s is not among the %d mutants", id, len(ids))
		}
	}
	t.Logf("%d mutants, of the callers of %d functions that change files", len(ids), len(tree.changing))
}

// tiny is a module whose one test sees one of two mistakes.
var tiny = map[string]string{
	"go.mod":                   "module tiny\n\ngo 1.26\n",
	"bin/left-behind":          "built",
	"internal/agent/a.go":      "package agent\n\nfunc Sum() int { return 1 }\n\nfunc Other() int { return 1 }\n",
	"internal/agent/a_test.go": "package agent\n\nimport \"testing\"\n\nfunc TestSum(t *testing.T) {\n\tif Sum() != 1 {\n\t\tt.Fatal(\"wrong\")\n\t}\n}\n",
}

func TestAMistakeThatNoTestSeesSurvivesAndTheCopyIsMendedAfterEach(t *testing.T) {
	runtime.LockOSThread() // what is started ends with this thread
	t.Chdir(t.TempDir())
	for name, text := range tiny {
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, []byte(text), 0o600))
	}
	c := copied{folder: t.TempDir(), limit: time.Minute}
	must(t, c.fill("."))
	if _, err := os.Stat(filepath.Join(c.folder, "bin")); err == nil {
		t.Error("what is built was copied")
	}
	const path = "internal/agent/a.go"
	for _, row := range []struct {
		of, with string
		verdict  verdict
		by       string
	}{
		{"Sum() int { return 1 }", "Sum() int { return 2 }", caught, "agent.TestSum"},
		{"Other() int { return 1 }", "Other() int { return 2 }", survived, ""},
		{"Other() int { return 1 }", "Other() int { return x }", broken, "undefined: x"},
	} {
		m := mutant{path: path, pkg: "agent", text: []byte(strings.Replace(tiny[path], row.of, row.with, 1))}
		verdict, by, err := c.try(context.Background(), m)
		if err != nil || verdict != row.verdict || !strings.Contains(by, row.by) {
			t.Errorf("%s: %s by %q (%v)", row.with, verdict, by, err)
		}
		if text, err := os.ReadFile(filepath.Join(c.folder, path)); err != nil || string(text) != tiny[path] {
			t.Errorf("%s is still there (%v)", row.with, err)
		}
	}
}

func TestWhatCaughtAMistakeIsTheFirstTestThatFailed(t *testing.T) {
	t.Parallel()
	for out, expected := range map[string]string{
		"=== RUN\n--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/b\n--- FAIL: TestC (1s)\n": "TestA",
		"panic: test timed out after 2m0s\n":                                              "(time-out)",
		"panic: runtime error\n":                                                          "(panic)",
		"# package\nsignal: killed\n":                                                     "(signal: killed)",
	} {
		if got := failedTest(out); got != expected {
			t.Errorf("%q: %s", out, got)
		}
	}
}

func TestTheListOfEquivalentsCountsOnlyForWhatSurvives(t *testing.T) {
	t.Parallel()
	for v, expected := range map[verdict]verdict{survived: equivalent, caught: stale, broken: broken} {
		if got, _ := againstList(v, "by", "reason"); got != expected {
			t.Errorf("%s becomes %s, expected is %s", v, got, expected)
		}
	}
	if _, reason := againstList(survived, "", "reason"); reason != "reason" {
		t.Errorf("the reason is lost: %q", reason)
	}
}

func TestOnlyASurvivorOrNothingCaughtIsBad(t *testing.T) {
	t.Parallel()
	results := []result{{verdict: caught}, {verdict: caught}, {verdict: equivalent}, {verdict: broken}}
	if s := summarize(results); !s.good() || s.String() != "caught 2 of 2 (0 survived; beside these 1 are equivalent and 1 do not compile)" {
		t.Errorf("%v: %s", s.good(), s)
	}
	if s := summarize(append(results, result{verdict: survived})); s.good() || !strings.HasPrefix(s.String(), "caught 2 of 3 ") {
		t.Errorf("%v: %s", s.good(), s)
	}
	if s := summarize(append(results, result{verdict: stale})); s.good() || !strings.HasSuffix(s.String(), "; 1 of them are listed as equivalent, and are not") {
		t.Errorf("%v: %s", s.good(), s)
	}
	if summarize(nil).good() {
		t.Error("nothing was tried, and that is good")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
