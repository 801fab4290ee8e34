package dashboard

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
)

// catalogue are the series that exist, by name, with the values that each of their labels has.
type catalogue map[string]map[string][]string

// registered are the agent's series; those that the kubelet has too are switched on.
func registered(tb testing.TB) catalogue {
	tb.Helper()
	m := metrics.New(testingclock.NewFakePassiveClock(time.Unix(0, 0)), metrics.Build{Version: "v", GoVersion: "go"}, true)
	families, err := m.Gatherer().Gather()
	if err != nil {
		tb.Fatal(err)
	}
	found := catalogue{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			names, bounds := []string{family.GetName()}, []string(nil)
			if histogram := metric.GetHistogram(); histogram != nil {
				names = []string{family.GetName() + "_bucket", family.GetName() + "_sum", family.GetName() + "_count"}
				bounds = []string{"+Inf"}
			}
			for _, name := range names {
				labels := found.labels(name)
				for _, pair := range metric.GetLabel() {
					labels[pair.GetName()] = append(labels[pair.GetName()], pair.GetValue())
				}
				if strings.HasSuffix(name, "_bucket") {
					labels["le"] = bounds
				}
			}
		}
	}
	return found
}

func (c catalogue) labels(name string) map[string][]string {
	if c[name] == nil {
		c[name] = map[string][]string{}
	}
	return c[name]
}

// added are the labels that Prometheus or its scrape configuration adds: docs/dashboard.md names them.
var added = []string{"node", "instance", "job", "cluster"}

// alerts is Prometheus' own series; its labels are those of the rules in deploy/prometheus and of what they select.
const alerts = "ALERTS"

// lacks says what of a query is neither in the catalogue nor added by Prometheus.
func (c catalogue) lacks(e expression) []string {
	var missing []string
	known := slices.Concat(added, e.Made)
	for _, s := range e.Selectors {
		labels, ok := c[s.Metric]
		switch {
		case s.Metric == alerts:
			continue
		case !ok:
			missing = append(missing, "no metric "+s.Metric)
			continue
		}
		known = slices.AppendSeq(known, maps.Keys(labels))
		for _, m := range s.Matchers {
			values, has := labels[m.Label]
			switch {
			case slices.Contains(added, m.Label):
			case !has:
				missing = append(missing, s.Metric+" has no label "+m.Label)
			default:
				missing = append(missing, unmatched(s.Metric+"'s "+m.Label, values, m.Type, m.Value)...)
			}
		}
	}
	for _, label := range e.Labels {
		if !slices.Contains(known, label) {
			missing = append(missing, "no metric in it has the label "+label)
		}
	}
	return missing
}

// unmatched says which of the values that a matcher names, as a|b does, the label never has.
func unmatched(what string, values []string, kind, wanted string) []string {
	alternatives := []string{wanted}
	if strings.HasSuffix(kind, "~") {
		alternatives = strings.Split(wanted, "|")
	}
	var missing []string
	for _, alternative := range alternatives {
		pattern := regexp.QuoteMeta(alternative)
		if strings.HasSuffix(kind, "~") {
			pattern = alternative
		}
		whole := regexp.MustCompile("^(?:" + pattern + ")$")
		if !slices.ContainsFunc(values, whole.MatchString) {
			missing = append(missing, what+" is never "+alternative)
		}
	}
	return missing
}
