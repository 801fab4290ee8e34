package status

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteText writes the report for people, on one screen.
func (r Report) WriteText(w io.Writer, now time.Time) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("node", "%s", orNone(r.Node))
	row("status", "%s", r.Level)
	row("kubeconfig", "%s", r.Kubeconfig)
	row("API server", "%s", orNone(r.Server))
	row("bootstrap credential", "%s", orNone(strings.Join(r.BootstrapSecrets, ", ")))
	for _, c := range r.Certificates {
		c.writeText(row, now)
	}
	if len(r.Findings) > 0 {
		row("", "")
	}
	for _, f := range r.Findings {
		row(f.Level.String(), "%s", f.Text)
	}
	return table.Flush()
}

func (c CertificateReport) writeText(row func(string, string, ...any), now time.Time) {
	row("", "")
	row(string(c.Certificate)+" certificate", "%s", c.State)
	if c.NotAfter != nil {
		row("  file", "%s", c.File)
		row("  subject", "%s", c.Subject)
		row("  issuer", "%s", c.Issuer)
		if names := append(c.DNSNames, c.IPAddresses...); len(names) > 0 {
			row("  names", "%s", strings.Join(names, ", "))
		}
		row("  valid until", "%s (%s)", c.NotAfter.Format(time.RFC3339), distance(c.NotAfter.Sub(now)))
	}
	if c.RotateAt != nil {
		row("  rotation", "%s (%s)", c.RotateAt.Format(time.RFC3339), distance(c.RotateAt.Sub(now)))
	}
	if p := c.Pending; p != nil {
		row("  request", "%s", p.Name)
		if p.Since != nil && p.Ended == nil {
			row("  waiting since", "%s (%s)", p.Since.Format(time.RFC3339), distance(p.Since.Sub(now)))
		}
		if p.Ended != nil {
			row("  "+string(p.Ended.Outcome), "%s (%s)", p.Ended.At.Format(time.RFC3339), distance(p.Ended.At.Sub(now)))
		}
		if p.Approve != "" {
			row("  to approve", "%s", p.Approve)
		}
	}
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// distance says how far away a moment is, in the two units that matter.
func distance(d time.Duration) string {
	text := "in %s"
	if d < 0 {
		text, d = "%s ago", -d
	}
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf(text, fmt.Sprintf("%d days", int(d.Hours())/24))
	case d >= time.Minute:
		return fmt.Sprintf(text, strings.TrimSuffix(d.Round(time.Minute).String(), "0s"))
	}
	return fmt.Sprintf(text, d.Round(time.Second).String())
}
