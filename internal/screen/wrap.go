package screen

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// usual is how wide a terminal is that does not say: a serial console has no size.
const usual = 80

// Width returns how many columns w has: what the terminal says, 80 if it says nothing, and 0 if w is no terminal, so that a file or a
// pipe gets each sentence whole, for grep.
func Width(w io.Writer) int {
	if !IsTerminal(w) {
		return 0
	}
	size, err := unix.IoctlGetWinsize(int(w.(*os.File).Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return usual
	}
	return int(size.Col)
}

// Wrap breaks text between words into lines of at most width columns, or into one with a width of 0. A word that is longer, as a path or
// an address, has a line of its own and stays whole, to be copied. Commands are not for Wrap.
func Wrap(text string, width int) []string {
	if width <= 0 {
		return []string{text}
	}
	var lines []string
	line, columns := "", 0
	for word := range strings.FieldsSeq(text) {
		long := utf8.RuneCountInString(word)
		switch {
		case line == "":
			line, columns = word, long
		case columns+1+long > width:
			lines = append(lines, line)
			line, columns = word, long
		default:
			line, columns = line+" "+word, columns+1+long
		}
	}
	return append(lines, line)
}

// Quote returns an argument as a shell takes it: as it is where it has only what no shell treats specially, else in single quotes.
func Quote(argument string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_@%+=:,./-", r)
	}
	if argument != "" && !strings.ContainsFunc(argument, func(r rune) bool { return !plain(r) }) {
		return argument
	}
	return "'" + strings.ReplaceAll(argument, "'", `'\''`) + "'"
}
