package durable

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// What tells the test's own binary to make the changes, in which folder, and where to write down what was announced.
const announceIn, announceTo = "DURABLE_ANNOUNCE_IN", "DURABLE_ANNOUNCE_TO"

// callOf is the system call of each operation.
var callOf = map[string]string{
	"open": "openat", "chmod": "fchmod", "write": "write", "fsync": "fsync", "fsync-dir": "fsync", "rename": "renameat",
	"rename-noreplace": "renameat2", "symlink": "symlinkat", "unlink": "unlinkat", "mkdir": "mkdirat",
}

// Whoever records the operations and replays them, after a power cut say, proves nothing if the kernel is asked for anything else.
func TestEveryOperationThatIsAnnouncedIsMadeThenAndNoOther(t *testing.T) {
	if dir := os.Getenv(announceIn); dir != "" {
		must(t, os.WriteFile(os.Getenv(announceTo), []byte(strings.Join(announced(t, dir), "\n")), 0o600))
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir, notes := furnished(t), filepath.Join(t.TempDir(), "announced")
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	c.Env = append(os.Environ(), announceIn+"="+dir, announceTo+"="+notes)
	c.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	trace, err := tracer.Run(c, tracer.Kill{}, nil)
	if err != nil || trace.Status.ExitStatus() != 0 {
		t.Fatalf("the changes could not be followed: %v, status %#x (this needs ptrace)", err, trace.Status)
	}
	var made []string
	for _, call := range trace.Calls {
		if name, inside := strings.CutPrefix(call.On, dir); inside {
			made = append(made, call.Name+" "+name)
		}
	}
	text, err := os.ReadFile(notes)
	must(t, err)
	expected := strings.Split(string(text), "\n")
	t.Logf("%d operations", len(expected))
	if !slices.Equal(made, expected) {
		t.Errorf("made:\n%s\nannounced:\n%s", strings.Join(made, "\n"), strings.Join(expected, "\n"))
	}
}

// announced makes every kind of change in a furnished folder and returns the system calls that were announced.
func announced(t *testing.T, dir string) []string {
	t.Helper()
	var calls []string
	d := Disk{Before: func(op Op) error {
		calls = append(calls, callOf[op.Call]+" "+strings.TrimPrefix(op.Path, dir))
		return nil
	}}
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, d.WriteFile(in("old"), []byte("new"), 0o640))
	must(t, d.Symlink("other", in("link")))
	must(t, d.MkdirAll(in("a/b"), 0o700))
	must(t, d.RenameNoReplace(in("old"), in("new")))
	if err := d.RenameNoReplace(in("new"), in("other")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("renamed over a file: %v", err)
	}
	must(t, d.Remove(in("other")))
	f, err := os.Open(in("new"))
	must(t, err)
	defer f.Close()
	must(t, d.Narrow(f, 0o600))
	must(t, d.SyncFolder(dir))
	return calls
}

// Whoever made a folder on the way may not have synced it: without its name nothing below it is found again.
func TestTheNamesOnTheWholeWayAreSynced(t *testing.T) {
	dir := filepath.Join(furnished(t), "a", "b")
	must(t, os.MkdirAll(dir, 0o700))
	var expected, synced []string
	for path := dir; path != "/"; {
		path = filepath.Dir(path)
		expected = append(expected, "fsync-dir "+path)
	}
	d := Disk{Before: func(op Op) error {
		synced = append(synced, op.Call+" "+op.Path)
		return nil
	}}
	must(t, d.SyncWay(dir))
	if !slices.Equal(synced, expected) {
		t.Errorf("synced:\n%s\nexpected:\n%s", strings.Join(synced, "\n"), strings.Join(expected, "\n"))
	}
}
