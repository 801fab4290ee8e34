package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// The tests of this file are about the process's memory, which holds the secret while it is in use.

// TestTheProcessIsClosedBeforeItOpensAnything watches every system call: what the loader and the runtime open on the system comes
// first, then the process is closed, and only then a file of ours is opened.
func TestTheProcessIsClosedBeforeItOpensAnything(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{{"run", "--once"}, {"config", "check"}, {"status"}} {
		n := newNode(t, nil)
		n.write(n.bootstrapFile(), []byte("token: m4nb6v.9k2jx7wq5zr4hf3t\n"), 0o600)
		n.keeps(n.bootstrapFile())
		undumpable, noCore, before, after := false, false, []string{}, 0
		_, err := tracer.Watch(n.command(t.Context(), command), func(e tracer.Entry) {
			switch e.Number() {
			case unix.SYS_PRCTL:
				undumpable = undumpable || e.Argument(0) == unix.PR_SET_DUMPABLE && e.Argument(1) == 0
			case unix.SYS_PRLIMIT64:
				limit := e.Bytes(2, 16)
				noCore = noCore || e.Argument(1) == unix.RLIMIT_CORE && len(limit) == 16 && binary.NativeEndian.Uint64(limit) == 0 && binary.NativeEndian.Uint64(limit[8:]) == 0
			case unix.SYS_OPENAT:
				if path := e.Text(1); !undumpable || !noCore {
					before = append(before, path)
				} else if strings.HasPrefix(path, n.dir) {
					after++
				}
			}
		})
		must(t, err)
		if !undumpable || !noCore || after == 0 {
			t.Errorf("%v: undumpable %t, core limit 0 %t, %d files of ours opened afterwards", command, undumpable, noCore, after)
		}
		for _, path := range before {
			if !isSystems(path) && path != n.program { // protobuf makes a hash of the program (internal/detrand)
				t.Errorf("%v opens %s before it is closed", command, path)
			}
		}
		t.Logf("%v: %d files of the system's opened before, %d of ours after", command, len(before), after)
	}
}

// isSystems says whether the loader or Go's runtime may open path: libraries, and what the kernel tells of the machine.
func isSystems(path string) bool {
	for _, folder := range []string{"/etc/ld.so", "/lib", "/usr/lib", "/proc/self/", "/sys/"} {
		if strings.HasPrefix(path, folder) {
			return true
		}
	}
	return false
}

// deadly are the signals that end a process with a core dump, and with a stack trace of Go's. Of a fault in its own code Go's
// runtime makes the same as of SIGSEGV from outside.
var deadly = []syscall.Signal{syscall.SIGABRT, syscall.SIGQUIT, syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGTRAP, syscall.SIGSYS, syscall.SIGFPE}

// TestADaemonThatDiesInUseOfTheCredentialTellsNothing has it die in the middle of a request, with every permission to leave a core
// and with the longest of traces.
func TestADaemonThatDiesInUseOfTheCredentialTellsNothing(t *testing.T) {
	t.Parallel()
	w, signals := newWay(t, (*way).hang), deadly
	if os.Getenv("SOAK") == "" {
		signals = deadly[:3]
	}
	w.keeps(w.bootstrapFile())
	for _, signal := range signals {
		d := w.beginDumpable()
		connections := w.seen.Connections()
		eventually(t, "the credential is in use", func() bool { return w.seen.Connections() > connections })
		if status := d.die(signal); !status.Signaled() || status.CoreDump() {
			t.Errorf("%s: it ended by a signal: %t, with a core dump: %t", signal, status.Signaled(), status.CoreDump())
		}
		if !strings.Contains(d.log(), "goroutine ") || !strings.Contains(d.log(), "rip ") && !strings.Contains(d.log(), "pc ") {
			t.Errorf("%s: there is no trace with registers, so that the test shows nothing", signal)
		}
		for _, secret := range w.secrets {
			w.assertTraceSilent(signal, d.log(), string(secret))
		}
	}
	if found, _ := filepath.Glob(w.path("*core*")); len(found) > 0 {
		t.Errorf("it left %q", found)
	}
	if !w.beginDumpableOther().die(syscall.SIGABRT).CoreDump() {
		t.Fatal("an ordinary process leaves no core here either, so that the test shows nothing: is the hard limit (ulimit -H -c) 0?")
	}
}

// assertTraceSilent looks for the secret as text, and as the words of memory that a trace has for arguments and registers.
func (n *node) assertTraceSilent(signal syscall.Signal, trace, secret string) {
	n.t.Helper()
	if piece := leak(trace, secret); piece != "" {
		n.t.Errorf("%s: %q of the secret is in the trace", signal, piece)
	}
	for i := range len(secret) - 7 {
		word := binary.LittleEndian.Uint64([]byte(secret[i : i+8]))
		if strings.Contains(trace, fmt.Sprintf("%#x", word)) || strings.Contains(trace, hex.EncodeToString([]byte(secret[i:i+8]))) {
			n.t.Errorf("%s: eight bytes of the secret are in the trace as a word", signal)
		}
	}
}

// beginDumpable starts the daemon in the node's folder with the highest core limit that there is.
func (n *node) beginDumpable() *daemon {
	return n.beginLimited(n.command(n.t.Context(), []string{"run"}))
}

// beginDumpableOther starts an ordinary program so.
func (n *node) beginDumpableOther() *daemon {
	other := n.beginLimited(exec.CommandContext(n.t.Context(), "/bin/sh", "-c", "echo begun; exec sleep 60"))
	other.awaitLog("begun")
	return other
}

func (n *node) beginLimited(c *exec.Cmd) *daemon {
	n.t.Helper()
	shell := []string{"/bin/sh", "-c", `ulimit -c "$(ulimit -H -c)"; exec "$0" "$@"`}
	c.Path, c.Args = shell[0], append(shell, c.Args...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Dir = n.dir
	c.Env = append(c.Environ(), "GOTRACEBACK=crash") // the runtime tells all and then ends itself by the signal
	return n.begin(c)
}

// die has a daemon die of a signal, and returns how it ended.
func (d *daemon) die(signal syscall.Signal) syscall.WaitStatus {
	d.t.Helper()
	must(d.t, d.cmd.Process.Signal(signal))
	d.wait()
	return d.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

const corePattern = "/proc/sys/kernel/core_pattern"

// TestNoCoreGoesThroughAPipe sets the machine's core_pattern to a program, for a moment: the core's limit does not hold for
// pipes, so that only the process's not being dumpable is in the way.
func TestNoCoreGoesThroughAPipe(t *testing.T) {
	t.Parallel()
	w := newWay(t, (*way).hang)
	w.keeps(w.bootstrapFile())
	if !writable(corePattern) { // nothing but the kernel's rule is left, and that the process is not dumpable another test shows
		t.Logf("%s cannot be written here; the kernel asks the same question for a pipe as for a file (fs/coredump.c: __get_dumpable)", corePattern)
		if limit := coreLimit(t, w.inUse().cmd.Process.Pid); limit != "0 0" {
			t.Errorf("the core file's limit is %s", limit)
		}
		return
	}
	handler := filepath.Join(t.TempDir(), "handler") // the kernel takes at most 127 characters
	must(t, os.WriteFile(handler, []byte("#!/bin/sh\ncat > \"$0.$1.part\" && mv \"$0.$1.part\" \"$0.$1\"\n"), 0o700))
	came := func(d *daemon) bool { return isThere(fmt.Sprintf("%s.%d", handler, d.cmd.Process.Pid)) }

	d, first, last := w.inUse(), w.beginDumpableOther(), w.beginDumpableOther()
	restore := setCorePattern(t, "|"+handler+" %P")
	first.die(syscall.SIGABRT)
	status := d.die(syscall.SIGABRT)
	last.die(syscall.SIGABRT)
	eventually(t, "the cores of ordinary programs come through the pipe", func() bool { return came(first) && came(last) })
	restore()
	if came(d) || status.CoreDump() {
		t.Error("the agent's core went through the pipe")
	}
}

// inUse starts a daemon with every permission to leave a core, and waits until the credential is in its memory.
func (w *way) inUse() *daemon {
	w.t.Helper()
	d := w.beginDumpable()
	eventually(w.t, "the credential is in use", func() bool { return w.seen.Connections() > 0 })
	return d
}

func writable(path string) bool {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return true
}

// setCorePattern changes the machine's core_pattern until restore is called or this process ends, however it ends: another one,
// which waits for that, puts the old one back. Whoever else does so at the same time waits.
func setCorePattern(t *testing.T, pattern string) (restore func()) {
	t.Helper()
	lock, err := os.Open(corePattern)
	must(t, err)
	defer lock.Close()
	eventually(t, "nobody else changes "+corePattern, func() bool { return unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil })
	old, err := os.ReadFile(corePattern)
	must(t, err)
	guard := exec.Command("/bin/sh", "-c", `read -r _; printf %s "$0" > `+corePattern, strings.TrimSpace(string(old)))
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it outlives what ends this process
	guard.ExtraFiles = []*os.File{lock}                     // and is the last to have the lock
	rope, err := guard.StdinPipe()
	must(t, err)
	must(t, guard.Start())
	done := false
	restore = func() {
		if done {
			return
		}
		done = true
		rope.Close()
		_ = guard.Wait()
		if now, err := os.ReadFile(corePattern); err != nil || string(now) != string(old) {
			t.Errorf("%s is %q (%v), and was %q", corePattern, now, err, old)
		}
	}
	t.Cleanup(restore)
	must(t, os.WriteFile(corePattern, []byte(pattern), 0o644))
	return restore
}
