package metrics_test

import (
	"os"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

const golden = "testdata/metrics.golden"

// The file shows name, type, help and labels of every series, with its first value. Dashboards, alerts and docs/metrics.md are held
// against it.
func TestEverySeriesIsThereFromTheFirstSecondAsInTheGoldenFile(t *testing.T) {
	m, _ := fresh(true)
	got := page(t, m)
	want, err := os.ReadFile(golden)
	if os.Getenv("UPDATE_DOCS") != "" {
		err = os.WriteFile(golden, []byte(got), 0o644)
		want = []byte(got)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the metrics are not those of %s; write it with: UPDATE_DOCS=1 go test ./internal/metrics ./test/docs\n%s", golden, differences(string(want), got))
	}
}

// differences are the lines that only one of two texts has.
func differences(want, got string) string {
	var found strings.Builder
	for sign, texts := range map[string][2]string{"-": {want, got}, "+": {got, want}} {
		for line := range strings.Lines(texts[0]) {
			if !strings.Contains("\n"+texts[1], "\n"+line) {
				found.WriteString(sign + line)
			}
		}
	}
	return found.String()
}

// What is below 0 means nothing, and a NaN compares false with everything: where there is none of something, it is 0.
func TestWhatHasNotHappenedIsZeroAndOnlyWhatIsNotKnownIsNaN(t *testing.T) {
	m, _ := fresh(false)
	notZero := map[string]bool{}
	for series, value := range values(t, page(t, m)) {
		if value != 0 {
			notZero[series] = true
		}
	}
	for _, series := range []string{
		"bootstrap_agent_clock_skew_seconds", "bootstrap_agent_serving_certificate_reloaded",
		`bootstrap_agent_build_info{goversion="go1.26",version="v1.2.3"}`,
	} {
		if !notZero[series] {
			t.Errorf("%s is 0", series)
		}
		delete(notZero, series)
	}
	if len(notZero) > 0 {
		t.Errorf("not 0: %v", notZero)
	}
}

// increase() sees nothing of a counter whose series begins at 1.
func TestEveryPhaseAndReasonResultAndAnswerHasASeries(t *testing.T) {
	m, _ := fresh(false)
	found := values(t, page(t, m))
	expect := func(series string) {
		t.Helper()
		if _, ok := found[series]; !ok {
			t.Errorf("%s is missing", series)
		}
	}
	for _, certificate := range metrics.Certificates() {
		for _, result := range metrics.RequestResults() {
			expect(`bootstrap_agent_certificate_signing_requests_total{certificate="` + certificate + `",result="` + result + `"}`)
		}
	}
	for _, phase := range status.Phases() {
		if len(status.Reasons(phase)) == 0 {
			t.Errorf("phase %s has no reason", phase)
		}
		for _, reason := range append(status.Reasons(phase), status.OtherReason) {
			expect(`bootstrap_agent_errors_total{phase="` + string(phase) + `",reason="` + reason + `"}`)
		}
	}
	for _, reason := range status.RestartReasons() {
		expect(`bootstrap_agent_kubelet_restart_needed{reason="` + string(reason) + `"}`)
	}
	for _, verb := range metrics.Verbs() {
		for _, code := range []string{"200", "201", "401", "403", "429", "503", "none", "other"} {
			expect(`bootstrap_agent_api_requests_total{code="` + code + `",verb="` + verb + `"}`)
		}
	}
}
