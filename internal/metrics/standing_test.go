package metrics_test

import (
	"maps"
	"math"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// unready is how things stand with metrics that are fresh.
func unready(change func(*status.Standing)) status.Standing {
	s := status.Standing{NotReady: "the agent has not looked yet"}
	change(&s)
	return s
}

func TestHowThingsStandIsShownFieldByField(t *testing.T) {
	yes, no, skew := true, false, -3*time.Minute
	at := func(s int64) time.Time { return time.Unix(s, 999_000_000) }
	for name, c := range map[string]struct {
		standing func(*status.Standing)
		want     map[string]float64
	}{
		"expiry":      {func(s *status.Standing) { s.Client.NotAfter = at(100) }, map[string]float64{`certificate_expiration_timestamp_seconds{certificate="client"}`: 100}},
		"not before":  {func(s *status.Standing) { s.Serving.NotBefore = at(101) }, map[string]float64{`certificate_not_before_timestamp_seconds{certificate="serving"}`: 101}},
		"rotation":    {func(s *status.Standing) { s.Client.RotateAt = at(102) }, map[string]float64{`certificate_rotation_timestamp_seconds{certificate="client"}`: 102}},
		"self-signed": {func(s *status.Standing) { s.Serving.SelfSigned = true }, map[string]float64{`certificate_self_signed{certificate="serving"}`: 1}},
		"short-lived": {func(s *status.Standing) { s.Client.ShortLived = true }, map[string]float64{`certificate_short_lived{certificate="client"}`: 1}},
		"pending": {
			func(s *status.Standing) { s.Serving.PendingSince = at(103) },
			map[string]float64{`certificate_signing_request_pending_timestamp_seconds{certificate="serving"}`: 103},
		},
		"stored":                   {func(s *status.Standing) { s.Client.Received = at(104) }, map[string]float64{`last_rotation_success_timestamp_seconds{certificate="client"}`: 104}},
		"a credential on the disk": {func(s *status.Standing) { s.BootstrapToken = true }, map[string]float64{"bootstrap_token_present": 1}},
		"taken by the kubelet":     {func(s *status.Standing) { s.ServingTaken = &yes }, map[string]float64{"serving_certificate_reloaded": 1}},
		"not taken by the kubelet": {func(s *status.Standing) { s.ServingTaken = &no }, map[string]float64{"serving_certificate_reloaded": 0}},
		"another name":             {func(s *status.Standing) { s.NodeNameMismatch = true }, map[string]float64{"node_name_mismatch": 1}},
		"a clock that is behind":   {func(s *status.Standing) { s.ClockSkew = &skew }, map[string]float64{"clock_skew_seconds": -180}},
		"ready":                    {func(s *status.Standing) { s.NotReady = "" }, map[string]float64{"ready": 1}},
		"a restart is needed": {
			func(s *status.Standing) { s.Restart = map[status.RestartReason]bool{status.ServerChanged: true} },
			map[string]float64{`kubelet_restart_needed{reason="server_changed"}`: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := fresh(false)
			got := moved(t, m, func() { m.Stands(unready(c.standing)) })
			want := map[string]float64{}
			for rest, value := range c.want {
				want[series(rest)] = value
			}
			if !maps.Equal(got, want) {
				t.Errorf("moved %v, expected %v", got, want)
			}
			m.Stands(unready(func(*status.Standing) {}))
			if again, _ := fresh(false); page(t, m) != page(t, again) {
				t.Error("it does not go back when it is over")
			}
		})
	}
}

// While the kubelet's four are what it would show of the same certificates.
func TestTheKubeletsSeriesAreOnlyThereWhenAskedForAndMeanWhatTheKubeletsMean(t *testing.T) {
	const client, serving = "kubelet_certificate_manager_client_ttl_seconds", "kubelet_certificate_manager_server_ttl_seconds"
	const clientErrors, servingErrors = "kubelet_certificate_manager_client_expiration_renew_errors", "kubelet_server_expiration_renew_errors"
	plain, _ := fresh(false)
	m, clock := fresh(true)
	with, without := values(t, page(t, m)), values(t, page(t, plain))
	if len(with) != len(without)+4 {
		t.Errorf("%d series with the kubelet's four, %d without", len(with), len(without))
	}
	expect := func(when string, want map[string]float64) {
		t.Helper()
		got := values(t, page(t, m))
		for series, value := range want {
			if have, ok := got[series]; have != value || !ok {
				t.Errorf("%s: %s is %v (%t), expected %v", when, series, have, ok, value)
			}
		}
	}
	none := math.Inf(1)
	expect("nothing there", map[string]float64{client: none, serving: none, clientErrors: 0, servingErrors: 0})

	var s status.Standing
	s.Client.NotAfter, s.Serving.NotAfter = moment.Add(time.Hour), moment.Add(24*time.Hour)
	m.Stands(s)
	expect("both valid", map[string]float64{client: 3600, serving: 86400})
	clock.SetTime(moment.Add(2 * time.Hour))
	expect("the client certificate is over since an hour", map[string]float64{client: -3600, serving: 22 * 3600})

	m.Failed(status.ClientPhase, "unreachable")
	m.Failed(status.ServingPhase, "denied")
	m.Failed(status.ServingPhase, "it is haunted")
	m.Failed(status.DiskPhase, "full")
	expect("errors", map[string]float64{clientErrors: 1, servingErrors: 2})
}
