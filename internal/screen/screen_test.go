package screen

import (
	"bytes"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNothingButATerminalGetsColours(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	for name, screen := range map[string]Screen{"a buffer": Of(&bytes.Buffer{}), "a file": Of(file), "the zero value": {}} {
		if got := screen.Red("a") + screen.Bold("b"); got != "ab" {
			t.Errorf("%s is written %q", name, got)
		}
	}
}

func TestATerminalGetsColoursUnlessItIsAskedNotTo(t *testing.T) {
	terminal := openTerminal(t)
	for _, c := range []struct {
		noColor, term string
		colours       bool
	}{{"", "xterm", true}, {"1", "xterm", false}, {"", "dumb", false}} {
		t.Setenv("NO_COLOR", c.noColor)
		t.Setenv("TERM", c.term)
		if got := Of(terminal).Green("a") != "a"; got != c.colours {
			t.Errorf("NO_COLOR=%q TERM=%q: colours %v", c.noColor, c.term, got)
		}
	}
}

// openTerminal returns the side of a new terminal that programs write to.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	other, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	if err := unix.IoctlSetPointerInt(int(other.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(int(other.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return terminal
}

func TestWordsOfOthersCommandNoTerminal(t *testing.T) {
	for text, want := range map[string]string{
		"/etc/kubernetes/kubelet.kubeconfig": "/etc/kubernetes/kubelet.kubeconfig",
		"Überprüft, 検査":                      "Überprüft, 検査",
		"a\x1b[2Jb":                          `a\x1b[2Jb`,
		"two\nlines\ttab":                    `two\nlines\ttab`,
		"right\u202eto left":                 `right\u202eto left`,
		"line\u2028separator":                `line\u2028separator`,
		"broken\xff\xc3":                     `broken\xff\xc3`,
		"c1 \u009b31m":                       `c1 \u009b31m`,
		"replacement \ufffd itself":          "replacement \ufffd itself",
	} {
		if got := Clean(text); got != want {
			t.Errorf("%q becomes %q, expected %q", text, got, want)
		}
	}
}
