package metrics_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
)

// moment is when everything happens, unless a test lets time pass.
var moment = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// fresh are metrics to which nothing has happened.
func fresh(kubeletSeries bool) (*metrics.Metrics, *testingclock.FakePassiveClock) {
	clock := testingclock.NewFakePassiveClock(moment)
	return metrics.New(clock, metrics.Build{Version: "v1.2.3", GoVersion: "go1.26"}, kubeletSeries), clock
}

// page is what Prometheus reads, without the series about the process, which depend on the machine.
func page(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(m.Gatherer(), promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.Code != http.StatusOK {
		t.Fatalf("%d, %v: %s", answer.Code, err, body)
	}
	var kept strings.Builder
	for line := range strings.Lines(string(body)) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if !strings.HasPrefix(name, "process_") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// values are the values of a page, by name and labels as they stand there.
func values(t *testing.T, page string) map[string]float64 {
	t.Helper()
	found := map[string]float64{}
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		at := strings.LastIndex(line, " ")
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, twice := found[line[:at]]; twice {
			t.Errorf("%s is there twice", line[:at])
		}
		found[line[:at]] = value
	}
	return found
}

// moved are the values that an act changes, in full.
func moved(t *testing.T, m *metrics.Metrics, act func()) map[string]float64 {
	t.Helper()
	before := values(t, page(t, m))
	act()
	after := values(t, page(t, m))
	changed := map[string]float64{}
	for series, value := range after {
		was, known := before[series]
		if !known {
			t.Errorf("%s came into being", series)
		}
		if was != value && (was == was || value == value) { // NaN is not itself
			changed[series] = value
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d series were there, now %d are", len(before), len(after))
	}
	return changed
}
