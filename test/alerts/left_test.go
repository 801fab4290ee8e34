package alerts

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// threshold is how much of a certificate's life is left when an alert's condition begins to hold, if left was planned to be.
type threshold struct {
	alert string
	left  func(planned time.Duration) time.Duration
	wait  time.Duration // the for of the alert
}

var thresholds = []threshold{
	{"BootstrapAgentRotationOverdue", func(planned time.Duration) time.Duration { return planned - min(planned/4, 6*time.Hour) }, 2 * time.Minute},
	{"BootstrapAgentCertificateExpiring", func(planned time.Duration) time.Duration { return min(planned/2, 7*day) }, 2 * time.Minute},
	{"BootstrapAgentCertificateExpiringSoon", func(planned time.Duration) time.Duration { return min(planned/4, day) }, 2 * time.Minute},
}

// plannedLeft is what is left of a life at the latest moment for which a rotation can be planned: 1 of 20,000 is close to it.
func plannedLeft(life time.Duration) time.Duration {
	left, begin := life, time.Unix(0, 0)
	for i := range int64(20_000) {
		leaf := &x509.Certificate{SerialNumber: big.NewInt(i), NotBefore: begin, NotAfter: begin.Add(life)}
		left = min(left, leaf.NotAfter.Sub(rotate.Deadline(leaf, begin, fmt.Sprint("worker-", i))))
	}
	return left.Round(life / 1000)
}

func TestThePageOnAlertsSaysHowMuchTimeIsLeft(t *testing.T) {
	var table strings.Builder
	table.WriteString("| lifetime | left at the planned rotation | BootstrapAgentRotationOverdue | BootstrapAgentCertificateExpiring | BootstrapAgentCertificateExpiringSoon |\n|---|---|---|---|---|\n")
	for _, l := range lifetimes {
		planned := plannedLeft(l.life)
		fmt.Fprintf(&table, "| %s | %s |", spoken(l.life), spoken(planned))
		for _, at := range thresholds {
			fmt.Fprintf(&table, " %s |", spoken(at.left(planned)-at.wait))
		}
		table.WriteByte('\n')
	}
	compare(t, "left", table.String())
}

// TestAMissedRotationFiresWithTheTimeLeftThatThePageSays lets the moment of a rotation pass, as the agent's registry shows it, and looks a
// little before and after each alert is to begin.
func TestAMissedRotationFiresWithTheTimeLeftThatThePageSays(t *testing.T) {
	t.Parallel()
	for _, l := range drawn(t, sample.Random(t)) {
		planned := plannedLeft(l.life)
		step := max(planned/200, 5*time.Second).Round(5 * time.Second)
		file := missed(t, step, planned)
		for _, at := range thresholds {
			begins := step + planned - at.left(planned)
			expr := fmt.Sprintf(`count(ALERTS{alertname=%q,alertstate="firing"})`, at.alert)
			file.Tests[0].Queries = append(
				file.Tests[0].Queries,
				queryCase{(begins - step).Truncate(step).String(), expr, []expectation{}},
				queryCase{(begins + at.wait - step).Truncate(step).String(), expr, []expectation{}},
				queryCase{(begins + at.wait + 2*step).Truncate(step).String(), expr, []expectation{{"{}", 1}}},
			)
		}
		if err := run(t, file); err != nil {
			t.Errorf("%s: %v", l.life, err)
		}
	}
}

// missed are the series of an agent whose client certificate is to be rotated after the first step, when this much of its life is left, and
// is not, until a while after its end.
func missed(t *testing.T, step, left time.Duration) testFile {
	t.Helper()
	clock := testingclock.NewFakePassiveClock(time.Unix(0, 0))
	m := metrics.New(clock, metrics.Build{Version: "1.0.0", GoVersion: "go1.26"}, false)
	planned := time.Unix(0, 0).Add(step)
	m.Stands(status.Standing{Client: status.CertificateStanding{NotBefore: time.Unix(1, 0), Received: time.Unix(1, 0), RotateAt: planned, NotAfter: planned.Add(left)}})
	var page recorded
	for i := range int((left+10*time.Minute)/step) + 4 {
		page.add(t, m, i)
	}
	return page.test("a missed rotation", step)
}

// spoken is a time as a person says it.
func spoken(d time.Duration) string {
	switch {
	case d <= 0:
		return "has ended"
	case d >= 2*day:
		return fmt.Sprintf("%.3g days", d.Hours()/24)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%.3g h", d.Hours())
	}
	return fmt.Sprintf("%.3g min", d.Minutes())
}
