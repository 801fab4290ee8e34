package design_test

import (
	"debug/elf"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program in which a method can be looked up by a name that is made up at run time, as a template does, keeps every method of every type:
// 4 MB of program and 3 MB of memory on each node (the replace in go.mod is there for that).
func TestTheLinkerMayLeaveOutMethodsThatNothingCalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, "../../cmd/bootstrap-agent")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%.2000s", err, output)
	}
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	symbols, err := program.Symbols()
	if err != nil || len(symbols) < 10_000 {
		t.Fatalf("%d symbols, %v", len(symbols), err)
	}
	for _, symbol := range symbols {
		if strings.HasPrefix(symbol.Name, "text/template.(*state)") {
			t.Errorf("%s is in the program: something that is imported fills in templates", symbol.Name)
		}
	}
}
