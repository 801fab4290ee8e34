package dashboard

import (
	"context"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// firing are the alerts that stand for what the table says is wrong, by node. A node that is not heard from has none here: its alert
// needs the series up.
var firing = map[string][]string{
	"batch-02":  {"CSRPending", "RotationOverdue"},
	"batch-09":  {"NodeNameMismatch"},
	"burst-02":  {"BootstrapStuck", "CertificateExpiring", "RotationOverdue"},
	"edge-02":   {"ClockSkew"},
	"fresh-02":  {"CSRPending", "ServingPlaceholder"},
	"fresh-03":  {"BootstrapStuck", "CSRDenied"},
	"worker-03": {"KubeletRestartNeeded", "ServingNotReloaded"},
	"worker-07": {"TokenPresent"},
}

var patience = regexp.MustCompile(`(?m)^ +for: .*\n`)

// A dashboard that shows other trouble than the alerts call for help about would confuse both readers. The history of the nodes with
// incidents, and of one without, ends now: rules are evaluated as time goes by, here without waiting (for).
func TestTheAlertsFireForWhatTheDashboardCallsWrongAndAreCounted(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, samples := nodesLike(t, time.Since(now).Truncate(time.Second), func(name string) bool { return troubles[name] != nil || name == "worker-20" })
	server := prometheus.New(t, prometheus.Options{
		Config:  "global: {evaluation_interval: 200ms}\nrule_files: [rules/*.yml]\n",
		Files:   map[string][]byte{"rules/alerts.yml": patience.ReplaceAll(rules, nil)},
		History: samples, Lookback: scrapeEvery,
	})
	var got map[string][]string
	for deadline := time.Now().Add(30 * time.Second); ; {
		got = fires(t, server)
		if maps.EqualFunc(got, firing, slices.Equal) || time.Now().After(deadline) {
			break
		}
		time.Sleep(50 * time.Millisecond) // the next evaluation
	}
	for _, name := range slices.Sorted(maps.Keys(troubles)) {
		if name != silentNode && !slices.Equal(got[name], firing[name]) {
			t.Errorf("%s: %q fire, expected %q for what is wrong: %q", name, got[name], firing[name], troubles[name])
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("alerts fire for nodes with which nothing is wrong: %v", got)
	}
	countsFiring(t, server)
}

// fires are the alerts of single nodes that fire by Prometheus' own series, by node, sorted. One that is only more urgent than another
// is left out.
func fires(t *testing.T, server *prometheus.Server) map[string][]string {
	t.Helper()
	found, err := server.Query(t.Context(), `ALERTS{alertstate="firing",node!=""}`)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, s := range found {
		name := strings.TrimPrefix(s.Labels["alertname"], "BootstrapAgent")
		if name != "CertificateExpiringSoon" && !slices.Contains(got[s.Labels["node"]], name) {
			got[s.Labels["node"]] = append(got[s.Labels["node"]], name)
			slices.Sort(got[s.Labels["node"]])
		}
	}
	return got
}

// countsFiring sees that the tile and the annotations of both dashboards show what fires.
func countsFiring(t *testing.T, server *prometheus.Server) {
	t.Helper()
	want, err := server.Query(t.Context(), `ALERTS{alertstate="firing"}`)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, name := range boards() {
		for _, q := range load(t, name).queries() {
			switch found, err := server.Query(context.WithoutCancel(t.Context()), everything("node").in(q.expr)); {
			case !strings.Contains(q.expr, alerts+"{"):
				continue
			case err != nil:
				t.Errorf("%s: %v", q.where, err)
			case isAboutAlerts(q) && len(found) != len(want), !isAboutAlerts(q) && (len(found) != 1 || found[0].Value() != float64(len(want))):
				t.Errorf("%s: %v, and %d alerts fire", q.where, found, len(want))
			}
			asked++
		}
	}
	if asked != 3 {
		t.Errorf("%d queries are about alerts, expected a tile and two annotations", asked)
	}
}
