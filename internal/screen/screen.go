// Package screen is what commands that speak to people share: colours where a person looks at a terminal and nowhere else, and words
// of others, such as file names and the API server's messages, that can do nothing to that terminal. It changes nothing but bytes.
package screen

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Screen is where a command writes. The zero value has no colours.
type Screen struct {
	colours bool
}

// Of returns what w can show: colours if it is a terminal, unless NO_COLOR is set (no-color.org) or TERM is dumb.
func Of(w io.Writer) Screen {
	return Screen{colours: IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// Coloured returns a screen that has colours whatever it is, for tests of what a terminal gets.
func Coloured() Screen { return Screen{colours: true} }

// IsTerminal says whether w is a terminal, before which a person may sit.
func IsTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// Green is for what is well. Like the others it returns text as it is to be written: without colours, unchanged.
func (s Screen) Green(text string) string { return s.paint("32", text) }

// Yellow is for what is due.
func (s Screen) Yellow(text string) string { return s.paint("33", text) }

// Red is for what is broken.
func (s Screen) Red(text string) string { return s.paint("31", text) }

// Bold is for what the eye is to find first.
func (s Screen) Bold(text string) string { return s.paint("1", text) }

// Dim is for what it may pass over.
func (s Screen) Dim(text string) string { return s.paint("2", text) }

// paint uses the codes of ECMA-48 that every terminal knows.
func (s Screen) paint(code, text string) string {
	if !s.colours || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Clean returns text on one line, with what could command a terminal, or turn the direction of what is written, shown as Go would
// write it (\x1b, \n, \u202e).
func Clean(text string) string {
	if !strings.ContainsFunc(text, commands) && utf8.ValidString(text) {
		return text
	}
	var clean strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&clean, `\x%02x`, text[0])
		case commands(r):
			quoted := fmt.Sprintf("%+q", r) // in single quotes
			clean.WriteString(quoted[1 : len(quoted)-1])
		default:
			clean.WriteString(text[:size])
		}
		text = text[size:]
	}
	return clean.String()
}

// commands says whether a character is none to be seen: control and format characters, and the separators of lines.
func commands(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}
