package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

const alertRules = "../../deploy/prometheus/alerts.yaml"

// otherAlerts are not about one node at one moment: they go by many nodes, a quarter of an hour of failures, or by other exporters.
var otherAlerts = []string{"BootstrapAgentErrors", "BootstrapAgentFleetStuck", "BootstrapAgentMissing", "BootstrapAgentTextfileStale"}

// assertAlerts has a real Prometheus judge what was seen of each scenario: it fails the test unless exactly the row's alerts are true, but
// for how long they would have to be. Each scenario is a target, of which it has two scrapes: as the agent began, and the look.
func assertAlerts(t *testing.T) {
	t.Helper()
	looks.Lock()
	defer looks.Unlock()
	if len(looks.pages) == 0 {
		return
	}
	t.Logf("%d scenarios were looked at, each for %s", len(looks.pages), (looks.took / time.Duration(len(looks.pages))).Round(time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // the test's own context has ended
	defer cancel()
	now := time.Now()
	p, err := prometheus.Start(ctx, prometheus.Options{Config: "global: {}\n", History: history(now)})
	must(t, err)
	defer p.Stop()
	fires := map[string][]string{}
	for name, expression := range alertExpressions(t) {
		found, err := p.QueryAt(ctx, expression, now)
		must(t, err)
		for _, series := range found {
			row := strings.TrimSuffix(series.Labels["instance"], ":10261")
			if !slices.Contains(otherAlerts, name) && !slices.Contains(fires[row], name) {
				fires[row] = append(fires[row], name)
			}
		}
	}
	for _, row := range scenarios.All {
		if _, seen := looks.pages[row.Name]; !seen {
			continue
		}
		expected, may := row.Names()
		fired := slices.DeleteFunc(fires[row.Name], func(name string) bool { return slices.Contains(may, name) })
		slices.Sort(expected)
		slices.Sort(fired)
		if !slices.Equal(fired, expected) {
			t.Errorf("%s: of what was seen %q are true, expected %q", row.Name, fired, expected)
		}
	}
}

func alertExpressions(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(alertRules)
	must(t, err)
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	must(t, yaml.Unmarshal(text, &file))
	expressions := map[string]string{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			expressions[rule.Alert] = rule.Expr
		}
	}
	if len(expressions) < 10 {
		t.Fatalf("%s has %d alerts", alertRules, len(expressions))
	}
	return expressions
}

// history is what Prometheus has scraped, as OpenMetrics.
func history(now time.Time) []byte {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(looks.pages)) {
		page, up := looks.pages[name], 0
		if page != nil {
			up = 1
		}
		fmt.Fprintf(&text, "up{job=\"bootstrap-agent\",instance=\"%s:10261\"} %d %d\n", name, up, now.Unix())
		fmt.Fprintf(&text, "up{job=\"node-exporter\",instance=\"%s:9100\"} 1 %d\n", name, now.Unix())
		for family := range maps.Values(page) {
			if strings.HasPrefix(family.GetName(), "bootstrap_agent_") && family.GetType() != dto.MetricType_HISTOGRAM {
				writeSamples(&text, name, family, now)
			}
		}
	}
	return []byte(text.String() + "# EOF\n")
}

// writeSamples writes a family as it was a minute before, when no counter had begun, and as it is now.
func writeSamples(text *strings.Builder, name string, family *dto.MetricFamily, now time.Time) {
	for _, m := range family.Metric {
		labels := labelsOf(m)
		if labels != "" {
			labels += ","
		}
		series := fmt.Sprintf("%s{%sjob=\"bootstrap-agent\",instance=\"%s:10261\"}", family.GetName(), labels, name)
		before := valueOf(m)
		if m.Counter != nil {
			before = 0
		}
		fmt.Fprintf(text, "%s %v %d\n%[1]s %[4]v %[5]d\n", series, before, now.Unix()-60, valueOf(m), now.Unix())
	}
}
