package status

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
)

// WriteText writes the report for people, so that a node that is well fits on 80 columns and 24 lines. Columns are those of the terminal;
// 0: lines are not broken, see [screen.Width].
func (r Report) WriteText(w io.Writer, s screen.Screen, columns int) error {
	p := &page{screen: s, columns: columns}
	p.row("node", r.Node, "none")
	p.line("status", p.paint(rank[r.Level], r.Level.String()))
	r.writeAgent(p)
	p.row("API server", r.Server, "not known: the kubelet has no kubeconfig that names it")
	p.row("kubeconfig", r.Kubeconfig, "")
	p.row("credential", strings.Join(r.BootstrapSecrets, ", "), "none on the disk")
	p.row("discovery", r.Discovery.String(), "")
	for _, c := range r.Certificates {
		p.text.WriteByte('\n')
		c.write(p, r.Time)
	}
	if len(r.Findings) > 0 {
		p.text.WriteByte('\n')
	}
	for _, f := range r.Findings {
		f.write(p)
	}
	_, err := io.WriteString(w, p.text.String())
	return err
}

func (r Report) writeAgent(p *page) {
	switch {
	case r.Agent == nil:
		p.row("agent", "", "not known whether it runs")
	case r.Agent.Running:
		p.row("agent", fmt.Sprintf("running (pid %d)", r.Agent.PID), "")
	default:
		p.line("agent", p.screen.Yellow("not running"))
	}
}

// states are what the states are to a person, as [rank] has it.
var states = map[State]int{Valid: rank[Well], Placeholder: rank[Attention], Expired: rank[Broken], Missing: rank[Waiting], Unusable: rank[Broken]}

func (c CertificateReport) write(p *page, now time.Time) {
	p.text.WriteString(p.screen.Bold(string(c.Certificate)+" certificate") + ": " + p.paint(states[c.State], string(c.State)) + "\n")
	if c.NotAfter != nil {
		p.line("  lifetime", p.paint(states[c.State], c.bar(p.columns-margin-len("[] 100 % left, 9 d 23 h"))))
		p.row("  file", c.File, "")
		p.row("  subject", c.Subject, "none")
		p.row("  names", first(append(c.DNSNames, c.IPAddresses...)), "")
		p.row("  issuer", c.Issuer, "none")
		p.row("  expires", at(*c.NotAfter, now), "")
	}
	if c.RotateAt != nil {
		p.row("  rotation", at(*c.RotateAt, now)+", | above", "")
	}
	if c.Pending != nil {
		c.Pending.write(p, now)
	}
}

func (r PendingReport) write(p *page, now time.Time) {
	p.row("  request", r.Name, "")
	switch {
	case r.Ended != nil:
		p.row("", fmt.Sprintf("%s since %s", r.Ended.Outcome, at(r.Ended.At, now)), "")
	case r.Since == nil:
		p.row("", "", "not accepted by the API server yet")
	case r.Approve != "":
		p.row("", "waits since "+at(*r.Since, now)+" for its approval:", "")
		p.command(r.Approve)
	default:
		p.row("", "issued; accepted by the API server "+at(*r.Since, now), "")
	}
}

func (f Finding) write(p *page) {
	for i, text := range p.broken(cut(f.Text)) {
		label := ""
		if i == 0 {
			label = f.Level.String()
		}
		fmt.Fprintf(&p.text, "%s%s\n", p.paint(rank[f.Level], fmt.Sprintf("%-*s", margin, label)), text)
	}
	if f.Remedy == "" || p.has(f.Command) { // what to do was said with the request, or with a finding of the same kind
		return
	}
	remedy := "-> " + cut(f.Remedy)
	if f.Command != "" {
		remedy += ":"
	}
	p.row("", remedy, "")
	if f.Command != "" {
		p.command(f.Command)
	}
}

// at is a moment for the clock on the wall and for the one in the head.
func at(t, now time.Time) string {
	return fmt.Sprintf("%s (%s)", t.Format(time.RFC3339), distance(t.Sub(now)))
}

// mostNames and mostCharacters are what a screen has room for; the JSON form has it all.
const mostNames, mostCharacters = 8, 300

func first(names []string) string {
	if len(names) <= mostNames {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostNames], ", "), len(names)-mostNames)
}

// cut shortens the words of others.
func cut(text string) string {
	characters := []rune(text)
	if len(characters) <= mostCharacters {
		return text
	}
	return fmt.Sprintf("%s... (%d more characters: status -o json)", string(characters[:mostCharacters]), len(characters)-mostCharacters)
}

// margin is where values begin.
const margin = 12

// page is a text that is being written.
type page struct {
	text    strings.Builder
	screen  screen.Screen
	columns int
}

// broken is a value on lines of the page, with nothing in it that commands the terminal.
func (p *page) broken(value string) []string {
	if p.columns == 0 {
		return screen.Wrap(screen.Clean(value), 0)
	}
	return screen.Wrap(screen.Clean(value), max(p.columns-margin, 2*margin))
}

// row writes a value, or what is said where there is none; nothing, where that is empty too.
func (p *page) row(label, value, none string) {
	if value == "" {
		value = none
	}
	if value == "" {
		return
	}
	for i, line := range p.broken(value) {
		if i > 0 {
			label = ""
		}
		p.line(label, line)
	}
}

// line writes one line of a value that is ours.
func (p *page) line(label, value string) { fmt.Fprintf(&p.text, "%-*s%s\n", margin, label, value) }

// command writes a command on a line of its own, whole whatever the width, to be copied.
func (p *page) command(command string) {
	p.text.WriteString(commandIndent + p.screen.Bold(screen.Clean(command)) + "\n")
}

const commandIndent = "    "

// has says whether a command has been written.
func (p *page) has(command string) bool {
	return command != "" && strings.Contains(p.text.String(), commandIndent+p.screen.Bold(screen.Clean(command))+"\n")
}

// paint colours a text by how much it matters.
func (p *page) paint(rank int, text string) string {
	switch rank {
	case 0:
		return p.screen.Green(text)
	case 1, 2:
		return p.screen.Yellow(text)
	}
	return p.screen.Red(text)
}
