package dashboard

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// graphStep is the interval of the graphs when a month is shown.
const graphStep = 12 * time.Hour

func TestARealPrometheusWithAMonthOfAFleetAnswers(t *testing.T) {
	nodes, samples := fleet(t)
	server := prometheus.New(t, prometheus.Options{History: samples, Lookback: scrapeEvery})
	t.Run("every query of the fleet's dashboard with something", func(t *testing.T) {
		for _, nodeLabel := range []string{"node", "instance"} {
			for _, q := range load(t, fleetBoard).queries() {
				found := ask(t, server, q, everything(nodeLabel))
				if len(found) == 0 && !isAboutAlerts(q) {
					t.Errorf("%s, nodes by %s: there is no answer", q.where, nodeLabel)
				}
				checkLegend(t, q, found)
			}
		}
	})
	t.Run("every query of the node's dashboard with something about one of the nodes", func(t *testing.T) {
		for _, q := range load(t, nodeBoard).queries() {
			answered := false
			for _, name := range []string{"fresh-02", "burst-02", "worker-03", "batch-05"} {
				found := ask(t, server, q, one("node", name))
				checkLegend(t, q, found)
				answered = answered || len(found) > 0
			}
			if !answered && !isAboutAlerts(q) {
				t.Errorf("%s: there is no answer for any node", q.where)
			}
		}
	})
	t.Run("with what was counted without it", func(t *testing.T) { countsAgree(t, server, nodes) })
	t.Run("what is wrong on the nodes that have trouble and no other", func(t *testing.T) { troublesAreNamed(t, server) })
	t.Run("a node with what is its own", func(t *testing.T) { nodeIsAlone(t, server) })
	t.Run("and the pictures are drawn", func(t *testing.T) { picturesAreDrawn(t, server) })
	t.Run("a cluster with its own nodes", func(t *testing.T) { clusterIsAlone(t, server, nodes) })
	t.Run("the variables with the clusters and the nodes", func(t *testing.T) { variableValues(t, server, nodes) })
}

// ask sends a query as Grafana does for the last moment of the history, or for the whole of it.
func ask(tb testing.TB, server *prometheus.Server, q query, c chosen) []prometheus.Series {
	tb.Helper()
	if q.Instant {
		found, err := server.QueryAt(tb.Context(), c.in(q.expr), now)
		if err != nil {
			tb.Errorf("%s: %v", q.where, err)
		}
		return found
	}
	found, err := server.QueryRange(tb.Context(), c.in(q.expr), begin, now, graphStep)
	if err != nil {
		tb.Errorf("%s: %v", q.where, err)
	}
	return found
}

// isAboutAlerts is for queries of the rules' series alone: they are evaluated as time goes by, so a history has none.
func isAboutAlerts(q query) bool {
	return strings.HasPrefix(q.expr, alerts+"{")
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// checkLegend sees that series are told apart by labels that they have.
func checkLegend(tb testing.TB, q query, found []prometheus.Series) {
	tb.Helper()
	seen := map[string]bool{}
	for _, s := range found {
		name := legendLabel.ReplaceAllStringFunc(q.LegendFormat, func(reference string) string {
			label := strings.Trim(reference, "{}")
			if s.Labels[label] == "" {
				tb.Errorf("%s: the legend names the label %s, and there is only %v", q.where, label, s.Labels)
			}
			return s.Labels[label]
		})
		if q.Format != "table" && q.expr != "" && q.LegendFormat != "" && seen[name] {
			tb.Errorf("%s: two series are called %q", q.where, name)
		}
		seen[name] = true
	}
	if q.Format == "table" {
		checkColumnsOfAnswer(tb, q, found)
	}
}

// checkColumnsOfAnswer sees that each label of an answer has a column that is named in the table's settings.
func checkColumnsOfAnswer(tb testing.TB, q query, found []prometheus.Series) {
	tb.Helper()
	columns := map[string]string{}
	for _, transformation := range q.panel.Transformations {
		maps.Copy(columns, transformation.Options.RenameByName)
	}
	for _, s := range found {
		for label := range s.Labels {
			if columns[label] == "" {
				tb.Errorf("%s: the table has no column for the label %s", q.where, label)
			}
		}
	}
}

func variableValues(t *testing.T, server *prometheus.Server, nodes []*node) {
	t.Helper()
	want := map[string]int{"cluster": 2, "node": len(nodes) - 1} // without the silent one
	for _, name := range boards() {
		for _, q := range load(t, name).variableQueries(t) {
			found, err := server.QueryAt(t.Context(), everything("node").in(q.expr), now)
			if err != nil {
				t.Errorf("%s: %v", q.where, err)
			}
			label := q.where[strings.LastIndex(q.where, " ")+1:]
			var values []string
			for _, s := range found {
				values = append(values, s.Labels[label])
			}
			slices.Sort(values)
			if len(slices.Compact(values)) != want[label] {
				t.Errorf("%s: %d values, expected %d: %q", q.where, len(values), want[label], values)
			}
		}
	}
}
