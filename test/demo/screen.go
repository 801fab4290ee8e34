package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// screen is what the person sees: numbered headings, commands as they were run, and what they said.
type screen struct {
	out   io.Writer
	bold  func(string) string
	short *strings.Replacer
	part  int
	begun bool
}

// newScreen writes to out, in bold where that is a terminal. Long paths are made short.
func newScreen(out *os.File, short *strings.Replacer) *screen {
	s := &screen{out: out, short: short, bold: func(text string) string { return text }}
	if info, err := out.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == "" {
		s.bold = func(text string) string { return "\x1b[1m" + text + "\x1b[0m" }
	}
	return s
}

func (s *screen) title(text string) { fmt.Fprintln(s.out, s.bold(text)) }

func (s *screen) heading(text string) {
	s.part++
	fmt.Fprintln(s.out)
	fmt.Fprintln(s.out, s.bold(fmt.Sprintf("%d. %s", s.part, text)))
}

// say prints text, which may have several lines, below the heading.
func (s *screen) say(format string, args ...any) {
	text := s.short.Replace(fmt.Sprintf(format, args...))
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		indent := "   "
		if s.begun {
			indent, s.begun = " ", false
		}
		fmt.Fprintln(s.out, strings.TrimRight(indent+line, " \n"))
	}
}

// columns is how much of a line sayShort prints: the agent's log tells more than a screen has room for.
const columns = 140

// sayShort prints one line, and dots for what does not fit.
func (s *screen) sayShort(format string, args ...any) {
	text := []rune(s.short.Replace(fmt.Sprintf(format, args...)))
	if len(text) > columns {
		text = append(text[:columns], '…')
	}
	s.say("%s", string(text))
}

// begin prints the begin of a line that the next say ends: something that takes a while is under way.
func (s *screen) begin(text string) {
	fmt.Fprint(s.out, "   "+text)
	s.begun = true
}

// finish ends a line that was begun, as the demo does when it fails there.
func (s *screen) finish() {
	if s.begun {
		fmt.Fprintln(s.out)
	}
}

// command prints a command line that is about to be run.
func (s *screen) command(args ...string) {
	s.say("$ %s", strings.Join(args, " "))
}
