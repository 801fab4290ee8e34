package docs

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

func TestThePageOnRotationHasTheWindows(t *testing.T) {
	var table strings.Builder
	table.WriteString("| lifetime | rotated after | which is | left then |\n|---|---|---|---|\n")
	for _, life := range []time.Duration{
		90 * time.Second, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour, 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour,
	} {
		first, last := window(life)
		percent := func(d time.Duration) string { return fmt.Sprintf("%.0f", 100*float64(d)/float64(life)) }
		fmt.Fprintf(&table, "| %s | %s to %s | %s to %s %% | at least %s |\n", days(life), days(first), days(last), percent(first), percent(last), days(life-last))
	}
	compare(t, "../../docs/rotation.md", "windows", table.String())
}

// window is when the first and the last of many certificates with a lifetime are rotated, to the percent.
func window(life time.Duration) (first, last time.Duration) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	first = life
	for i := range int64(20_000) {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(i), NotBefore: begin, NotAfter: begin.Add(life)}
		at := rotate.Deadline(leaf, begin, fmt.Sprint("node-", i)).Sub(begin)
		first, last = min(first, at), max(last, at)
	}
	return first.Round(life / 1000), last.Round(life / 1000)
}

// days is a time span as a person says it: in days from two on, and in minutes below an hour.
func days(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.3g days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.3g h", d.Hours())
	case d >= 2*time.Minute:
		return fmt.Sprintf("%.3g min", d.Minutes())
	}
	return fmt.Sprintf("%.3g s", d.Seconds())
}
