package screen

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheWidthIsTheTerminalsAndThereIsNoneElsewhere(t *testing.T) {
	terminal := openTerminal(t)
	for columns, want := range map[uint16]int{0: 80, 20: 20, 132: 132} {
		if err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
			t.Fatal(err)
		}
		if got := Width(terminal); got != want {
			t.Errorf("a terminal of %d columns has the width %d, expected %d", columns, got, want)
		}
	}
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if Width(file) != 0 || Width(&bytes.Buffer{}) != 0 {
		t.Errorf("a file has the width %d, a buffer %d", Width(file), Width(&bytes.Buffer{}))
	}
}

func TestLinesAreBrokenBetweenWordsOnly(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"one two three", 0, []string{"one two three"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 6, []string{"one", "two", "three"}},
		{"see /a/path/that/is/long now", 8, []string{"see", "/a/path/that/is/long", "now"}},
		{"größer größer", 13, []string{"größer größer"}},
		{"", 8, []string{""}},
	} {
		if got := Wrap(c.text, c.width); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d columns is %q, expected %q", c.text, c.width, got, c.want)
		}
	}
}

func TestAShellTakesAQuotedArgumentAsItIs(t *testing.T) {
	for _, argument := range []string{"", "/etc/kubernetes/bootstrap.kubeconfig", "a b", "it's", "$(id)", "`id`", "a;b", "~", "*", "a\nb", "ä", "!", `\`} {
		quoted := Quote(argument)
		out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", "printf %s "+quoted).Output()
		if err != nil || string(out) != argument {
			t.Errorf("%q is quoted as %s, which a shell takes as %q (%v)", argument, quoted, out, err)
		}
	}
	if path := "/etc/kubernetes/bootstrap.kubeconfig"; Quote(path) != path {
		t.Errorf("a plain path becomes %s", Quote(path))
	}
}

func TestJSONHoldsNothingThatCommandsATerminalAndMeansTheSame(t *testing.T) {
	said := "a\x1b[2Jb\x7f\u009b31m\u202e\U000e0001 \u2028 <&> Überprüft\n"
	var out bytes.Buffer
	if err := JSON(&out, map[string]string{"text": said}); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.String() {
		if r != '\n' && commands(r) {
			t.Errorf("%q is written raw: %q", r, out.String())
		}
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["text"] != said {
		t.Errorf("%q (%v), expected %q", back["text"], err, said)
	}
	if JSON(&out, func() {}) == nil {
		t.Error("a function is written as JSON")
	}
}
