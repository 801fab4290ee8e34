package durable

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAHeldLockIsRefusedAndNamesItsHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Disk{}.Lock(path, "pid 1, whose name is longer than the next one's")
	must(t, err)
	_, err = Disk{}.Lock(path, "pid 2")
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Path != path || locked.Holder != "pid 1, whose name is longer than the next one's" {
		t.Fatalf("%v, expected who holds it", err)
	}
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "held by pid 1") {
		t.Errorf("%q does not say what to do", err)
	}
	must(t, first.Close())
	second, err := Disk{}.Lock(path, "pid 3")
	must(t, err)
	defer second.Close()
	expectContent(t, path, "pid 3\n") // nothing of the longer name before it
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
}

func TestAHolderThatSaysNothingIsCalledAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	defer f.Close()
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	if _, err := (Disk{}).Lock(path, "pid 2"); err == nil || !strings.Contains(err.Error(), "held by another process") {
		t.Errorf("%v, expected that another process holds it", err)
	}
}

func TestALockThatCannotBeTakenAtAllIsNotCalledHeld(t *testing.T) {
	dir := furnished(t)
	for _, name := range []string{"link", "folder", "none/lock"} { // a link may lead anywhere, so it is not followed
		_, err := Disk{}.Lock(filepath.Join(dir, name), "pid 1")
		var locked *LockedError
		if err == nil || errors.As(err, &locked) || !strings.Contains(err.Error(), name) {
			t.Errorf("lock %s: %v", name, err)
		}
	}
}

// holdEnv makes this test program hold the lock that it names until its standard input ends.
const holdEnv = "DURABLE_TEST_HOLD_LOCK"

func TestMain(m *testing.M) {
	if path := os.Getenv(holdEnv); path != "" {
		os.Exit(hold(path))
	}
	os.Exit(m.Run())
}

func hold(path string) int {
	if _, err := (Disk{}).Lock(path, "the child"); err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		return 1
	}
	os.Stdout.WriteString("locked\n")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return 0
}

func TestTheKernelLetsGoOfALockWhenItsProcessIsKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdEnv+"="+path)
	stdin, err := child.StdinPipe()
	must(t, err)
	defer stdin.Close()
	stdout, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the child says %q (%v)", line, err)
	}
	if _, err := (Disk{}).Lock(path, "me"); err == nil || !strings.Contains(err.Error(), "the child") {
		t.Errorf("%v, expected that the child holds it", err)
	}
	must(t, child.Process.Kill())
	_ = child.Wait()
	f, err := Disk{}.Lock(path, "me")
	must(t, err)
	f.Close()
}
