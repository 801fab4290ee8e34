package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
)

// terminal returns the two sides of a new terminal of so many columns: the person's, and that which programs write to.
func terminal(t *testing.T, columns uint16) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	must(t, err)
	t.Cleanup(func() { person.Close() })
	must(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	must(t, err)
	program, err = os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { program.Close() })
	must(t, unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
	return person, program
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newNode are the flags of a machine on which nothing is yet.
func newNode(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("apiVersion: bootstrap-agent.io/v1alpha1\nkind: BootstrapAgentConfiguration\n"), 0o600))
	return []string{
		"--config=" + filepath.Join(dir, "config.yaml"), "--cert-dir=" + filepath.Join(dir, "pki"), "--hostname-override=worker-1",
		"--kubeconfig=" + filepath.Join(dir, "kubelet.kubeconfig"), "--bootstrap-kubeconfig=" + filepath.Join(dir, "bootstrap.kubeconfig"),
	}
}

// statusOf has status write to out; it ends with code 3, for the node has nothing.
func statusOf(t *testing.T, out interface{ Write([]byte) (int, error) }, args ...string) {
	t.Helper()
	cmd := root()
	cmd.SetOut(out)
	cmd.SetArgs(append([]string{"status"}, args...))
	if exit, is := errors.AsType[*agent.ExitError](cmd.ExecuteContext(t.Context())); !is || exit.Code != 3 || exit.Err != nil {
		t.Fatalf("status ends with %v, expected code 3 and no word", exit)
	}
}

func TestStatusUsesATerminalAndLeavesAPipeAlone(t *testing.T) {
	node := newNode(t)
	for _, c := range []struct {
		name          string
		columns       uint16
		term, noColor string
		colours       bool
		broadest      int
	}{
		{"a terminal", 60, "xterm-256color", "", true, 60},
		{"one that does not say its width, as a serial console", 0, "vt220", "", true, 80},
		{"NO_COLOR", 60, "xterm", "1", false, 60},
		{"a dumb one", 60, "dumb", "", false, 60},
	} {
		t.Setenv("TERM", c.term)
		t.Setenv("NO_COLOR", c.noColor)
		person, program := terminal(t, c.columns)
		statusOf(t, program, node...)
		seen := make([]byte, 64<<10)
		n, err := person.Read(seen) // the report is written at once, and fits into the terminal's buffer
		must(t, err)
		text := strings.ReplaceAll(string(seen[:n]), "\r\n", "\n")
		if colours := strings.Contains(text, "\x1b[31mbroken\x1b[0m"); colours != c.colours || !c.colours && strings.Contains(text, "\x1b") {
			t.Errorf("%s: colours: %t: %q", c.name, colours, text)
		}
		for line := range strings.Lines(strings.NewReplacer("\x1b[31m", "", "\x1b[33m", "", "\x1b[1m", "", "\x1b[0m", "").Replace(text)) {
			words := strings.Fields(line)
			if utf8.RuneCountInString(strings.TrimSpace(line)) > c.broadest && len(words) > 2 && !strings.HasPrefix(line, "    systemctl") {
				t.Errorf("%s: broader than %d: %s", c.name, c.broadest, line)
			}
		}
	}

	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	var pipe bytes.Buffer
	statusOf(t, &pipe, node...)
	if text := pipe.String(); strings.Contains(text, "\x1b") || !strings.Contains(text, "\nbroken      the node has no client certificate yet\n            -> put a bootstrap kubeconfig at /") {
		t.Errorf("a pipe gets %q", text)
	}
	if !strings.Contains(pipe.String(), "\nagent       not running\n") || !strings.Contains(pipe.String(), "\n    systemctl start bootstrap-agent\n") {
		t.Errorf("it does not say that no agent runs: %s", pipe.String())
	}
}

func TestStatusAsJSONIsTheSameOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	person, program := terminal(t, 40)
	statusOf(t, program, append(newNode(t), "-o", "json")...)
	seen := make([]byte, 64<<10)
	n, err := person.Read(seen)
	must(t, err)
	var report struct {
		Kind, Level, Node string
		Agent             *struct{ Running bool }
	}
	if err := json.Unmarshal(seen[:n], &report); err != nil || report.Kind != "Status" || report.Level != "broken" || report.Node != "worker-1" ||
		report.Agent == nil || report.Agent.Running {
		t.Errorf("%v: %s", err, seen[:n])
	}
}
