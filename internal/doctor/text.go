package doctor

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
)

// WriteText writes the report for people: a line for each result, and below it, indented, what to do about it.
func (r Report) WriteText(w io.Writer, s screen.Screen) error {
	verdicts, names := len(Attention), 0
	for _, result := range r.Results {
		names = max(names, len(result.Check))
	}
	var text strings.Builder
	for _, result := range r.Results {
		blanks := strings.Repeat(" ", max(0, verdicts-len(result.Verdict)))
		fmt.Fprintf(&text, "%s%s  %-*s  %s\n", paint(s, result.Verdict), blanks, names, result.Check, result.Text)
		if todo := result.todo(); todo != "" {
			fmt.Fprintf(&text, "%*s→ %s\n", verdicts+names+4, "", s.Bold(todo))
		}
	}
	fmt.Fprintf(&text, "\n%s\n", r.summary(s))
	_, err := io.WriteString(w, text.String())
	return err
}

// paint gives a verdict its colour.
func paint(s screen.Screen, v Verdict) string {
	switch v {
	case OK:
		return s.Green(string(v))
	case Unknown:
		return s.Dim(string(v))
	case Broken:
		return s.Red(string(v))
	}
	return s.Yellow(string(v))
}

// todo is the remedy in words, and the command.
func (r Result) todo() string {
	if r.Remedy == "" || r.Command == "" {
		return cmp.Or(r.Remedy, r.Command)
	}
	return r.Remedy + ": " + r.Command
}

// summary is the last line, for who reads only that.
func (r Report) summary(s screen.Screen) string {
	counts := map[Verdict]int{}
	for _, result := range r.Results {
		counts[result.Verdict]++
	}
	var parts []string
	for _, v := range []Verdict{Broken, Waiting, Attention, OK, Unknown} {
		if counts[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[v], v))
		}
	}
	return fmt.Sprintf("%s: %s (%s)", cmp.Or(r.Node, "this machine"), paint(s, r.Verdict), strings.Join(parts, ", "))
}
