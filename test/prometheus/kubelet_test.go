package prometheus

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

const day = 24 * time.Hour

// An hour of an agent's life, scraped each minute, and what stock alerts make of it. The series are the agent's own, as it shows them.
func TestStockAlertsOnTheKubeletsSeriesFireForTheAgentsAsTheyDoForTheKubelets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		client, serving time.Duration // what is left at the end; 0: there is no certificate
		fails           status.Phase  // each minute
		want            []string
	}{
		"no certificate yet":                     {},
		"a month is left of both":                {client: 30 * day, serving: 30 * day},
		"five days of the client's":              {client: 5 * day, serving: 30 * day, want: []string{"ClientExpiresInAWeek"}},
		"twelve hours of the serving one":        {client: 30 * day, serving: day / 2, want: []string{"ServerExpiresInADay", "ServerExpiresInAWeek"}},
		"the client's is over for a month":       {client: -30 * day, serving: 30 * day, want: []string{"ClientExpiresInADay", "ClientExpiresInAWeek"}},
		"the client's cannot be renewed":         {client: 30 * day, serving: 30 * day, fails: status.ClientPhase, want: []string{"ClientRenewalErrors"}},
		"the serving one cannot be renewed":      {client: 30 * day, serving: 30 * day, fails: status.ServingPhase, want: []string{"ServerRenewalErrors"}},
		"the disk fails, which is not a renewal": {client: 30 * day, serving: 30 * day, fails: status.DiskPhase},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
			clock := testingclock.NewFakePassiveClock(begin)
			m := metrics.New(clock, metrics.Build{}, true)
			end := begin.Add(time.Hour)
			m.Stands(status.Standing{Client: expires(end, c.client), Serving: expires(end, c.serving)})
			seen := map[string][]string{}
			for at := begin; !at.After(end); at = at.Add(time.Minute) {
				clock.SetTime(at)
				if c.fails != "" {
					m.Failed(c.fails, status.Reasons(c.fails)[0])
				}
				scrapeInto(t, m, seen)
			}
			if len(seen) != 4 {
				t.Fatalf("the kubelet's series are %v", seen)
			}
			testStock(t, seen, c.want)
		})
	}
}

func expires(end time.Time, left time.Duration) status.CertificateStanding {
	if left == 0 {
		return status.CertificateStanding{}
	}
	return status.CertificateStanding{NotAfter: end.Add(left)}
}

// scrapeInto adds the values of the kubelet's series to those that were seen before.
func scrapeInto(t *testing.T, m *metrics.Metrics, seen map[string][]string) {
	t.Helper()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(m.Gatherer(), promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(answer.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && strings.HasPrefix(name, "kubelet_") {
			seen[name] = append(seen[name], strings.TrimPrefix(value, "+"))
		}
	}
}

// testStock has promtool find out whether exactly these alerts fire at the end.
func testStock(t *testing.T, seen map[string][]string, want []string) {
	t.Helper()
	rules, err := filepath.Abs("testdata/stock.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("rule_files: [%q]\nevaluation_interval: 1m\ntests:\n- interval: 1m\n  input_series:\n", rules)
	for name, values := range seen {
		text += fmt.Sprintf("  - {series: '%s{node=\"worker-1\"}', values: '%s'}\n", name, strings.Join(values, " "))
	}
	text += "  alert_rule_test:\n"
	for _, alert := range []string{"ClientExpiresInAWeek", "ClientExpiresInADay", "ServerExpiresInAWeek", "ServerExpiresInADay", "ClientRenewalErrors", "ServerRenewalErrors"} {
		fires := ""
		if slices.Contains(want, alert) {
			fires = "{exp_labels: {node: worker-1}}"
		}
		text += fmt.Sprintf("  - {eval_time: 1h, alertname: %s, exp_alerts: [%s]}\n", alert, fires)
	}
	path := filepath.Join(t.TempDir(), "test.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := TestRules(t.Context(), path); err != nil {
		t.Error(err)
	}
}
