package metrics_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// series is one of ours.
func series(rest string) string { return "bootstrap_agent_" + rest }

func TestWhatHappensMovesItsSeriesAndNoOther(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(m *metrics.Metrics)
		want []string // each goes from 0 to 1
	}{
		"a request is created": {
			func(m *metrics.Metrics) { m.Requested("client", "created") },
			[]string{`certificate_signing_requests_total{certificate="client",result="created"}`},
		},
		"a request is denied": {
			func(m *metrics.Metrics) { m.Requested("serving", "denied") },
			[]string{`certificate_signing_requests_total{certificate="serving",result="denied"}`},
		},
		"a rotation": {
			func(m *metrics.Metrics) { m.Rotated("serving", true) },
			[]string{`rotations_total{certificate="serving",result="success"}`},
		},
		"a rotation that fails": {
			func(m *metrics.Metrics) { m.Rotated("client", false) },
			[]string{`rotations_total{certificate="client",result="failure"}`},
		},
		"an error": {
			func(m *metrics.Metrics) { m.Failed(status.ClientPhase, "unreachable") },
			[]string{`errors_total{phase="client",reason="unreachable"}`},
		},
		"an error for a reason that is not in the list": {
			func(m *metrics.Metrics) { m.Failed(status.DiskPhase, "it is haunted") },
			[]string{`errors_total{phase="disk",reason="other"}`},
		},
		"an error for the reason of another phase": {
			func(m *metrics.Metrics) { m.Failed(status.WebPhase, "unreachable") },
			[]string{`errors_total{phase="web",reason="other"}`},
		},
		"an answer": {
			func(m *metrics.Metrics) { m.Called("POST", 201) },
			[]string{`api_requests_total{code="201",verb="POST"}`},
		},
		"an answer that a server made up": {
			func(m *metrics.Metrics) { m.Called("GET", 799) },
			[]string{`api_requests_total{code="other",verb="GET"}`},
		},
		"no answer": {
			func(m *metrics.Metrics) { m.Called("WATCH", 0) },
			[]string{`api_requests_total{code="none",verb="WATCH"}`},
		},
		"the loop goes round": {func(m *metrics.Metrics) { m.Alive() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := fresh(false)
			got := moved(t, m, func() { c.act(m) })
			want := map[string]float64{}
			for _, rest := range c.want {
				want[series(rest)] = 1
			}
			if !maps.Equal(got, want) {
				t.Errorf("moved %v, expected %v", got, want)
			}
		})
	}
}

// An approver answers within a second, a person after a weekend: both are within the buckets.
func TestTheWaitForACertificateIsCountedInItsBucket(t *testing.T) {
	const histogram = "certificate_signing_request_duration_seconds"
	for wait, first := range map[time.Duration]string{
		50 * time.Millisecond: "0.1", 700 * time.Millisecond: "1", 20 * time.Second: "30", 14 * time.Hour: "86400", 60 * time.Hour: "259200", 400 * time.Hour: "+Inf",
	} {
		m, _ := fresh(false)
		got := moved(t, m, func() { m.Waited("client", wait) })
		sum, count := got[series(histogram+`_sum{certificate="client"}`)], got[series(histogram+`_count{certificate="client"}`)]
		if sum != wait.Seconds() || count != 1 {
			t.Errorf("%s: sum %v, count %v", wait, sum, count)
		}
		before, reached := 0, false
		for _, bucket := range []string{"0.1", "0.25", "0.5", "1", "2.5", "5", "10", "30", "60", "300", "900", "3600", "14400", "86400", "259200", "+Inf"} {
			reached = reached || bucket == first
			in := got[series(histogram+`_bucket{certificate="client",le="`+bucket+`"}`)]
			if (in == 1) != reached {
				t.Errorf("%s: bucket %s holds %v", wait, bucket, in)
			}
			if in == 1 {
				before++
			}
		}
		if len(got) != before+2 {
			t.Errorf("%s moved more than its buckets: %v", wait, slices.Sorted(maps.Keys(got)))
		}
	}
}

func TestTheLoopIsHealthyForHalfAMinuteAfterItWentRound(t *testing.T) {
	m, clock := fresh(false)
	if m.Healthy() == nil {
		t.Error("healthy before it began")
	}
	m.Alive()
	for after, healthy := range map[time.Duration]bool{0: true, 6 * time.Second: true, time.Minute: true, 61 * time.Second: false, time.Hour: false} {
		clock.SetTime(moment.Add(after))
		if err := m.Healthy(); (err == nil) != healthy {
			t.Errorf("after %s: %v", after, err)
		}
	}
	m.Alive()
	if err := m.Healthy(); err != nil {
		t.Errorf("going round again: %v", err)
	}
}

func TestReadySaysWhyNot(t *testing.T) {
	m, _ := fresh(false)
	if m.Ready() == nil {
		t.Error("ready before anything was looked at")
	}
	m.Stands(status.Standing{})
	if err := m.Ready(); err != nil {
		t.Errorf("not ready although nothing is said against it: %v", err)
	}
	m.Stands(status.Standing{NotReady: "the API server refuses it"})
	if err := m.Ready(); err == nil || err.Error() != "the API server refuses it" {
		t.Errorf("got %v", err)
	}
}
