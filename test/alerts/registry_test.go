package alerts

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
)

// shown are the series of the agent from its first second on: name, label, values.
func shown(t *testing.T) map[string]map[string][]string {
	t.Helper()
	families, err := metrics.New(testingclock.NewFakePassiveClock(time.Unix(0, 0)), metrics.Build{Version: "1.0.0", GoVersion: "go1.26"}, false).Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string][]string{}
	for _, family := range families {
		labels := map[string][]string{}
		for _, metric := range family.GetMetric() {
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = append(labels[pair.GetName()], pair.GetValue())
			}
		}
		all[family.GetName()] = labels
	}
	return all
}

// others are series of other programs that a rule may ask for.
var others = []string{"up", "node_textfile_mtime_seconds", "kube_node_status_condition", "kube_node_role"}

// given are labels that whoever scrapes gives; host is made by the rule that compares addresses.
var given = []string{"instance", "job", "node", "cluster", "host", "file", "condition", "status", "role"}

var (
	selector = regexp.MustCompile(`([a-z_:][a-zA-Z0-9_:]*)(\{[^}]*\})`)
	own      = regexp.MustCompile(`\bbootstrap_agent_[a-z0-9_]+`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on|ignoring|without) \(([^)]*)\)`)
	template = regexp.MustCompile(`\$labels\.([a-z_]+)`)
)

func TestTheRulesAskOnlyForWhatTheAgentShows(t *testing.T) {
	all := shown(t)
	known := slices.Clone(given)
	for _, labels := range all {
		for label := range labels {
			known = append(known, label)
		}
	}
	for _, r := range rules(t) {
		if len(own.FindAllString(r.Expr, -1)) == 0 && !slices.ContainsFunc(others, func(name string) bool { return strings.Contains(r.Expr, name+"{") }) {
			t.Errorf("%s asks for no known series: %s", r.Alert, r.Expr)
		}
		for _, name := range own.FindAllString(r.Expr, -1) {
			if all[name] == nil {
				t.Errorf("%s asks for %s, which the agent does not show", r.Alert, name)
			}
		}
		for _, found := range selector.FindAllStringSubmatch(r.Expr, -1) {
			agree(t, all, r.Alert, found[1], found[2])
		}
		for _, found := range append(grouping.FindAllStringSubmatch(r.Expr, -1), template.FindAllStringSubmatch(strings.Join([]string{r.Annotations["summary"], r.Annotations["description"]}, " "), -1)...) {
			if label := found[1]; label != "" && !slices.Contains(known, label) {
				t.Errorf("%s: nothing has a label %s", r.Alert, label)
			}
		}
	}
}

// agree compares the labels of a selector, or of a series in a test, with those that the agent shows.
func agree(t *testing.T, all map[string]map[string][]string, where, name, labels string) {
	t.Helper()
	ours := all[name]
	if ours == nil {
		if !slices.Contains(others, name) {
			t.Errorf("%s: %s is neither the agent's nor one of %v", where, name, others)
		}
		return
	}
	for _, found := range matcher.FindAllStringSubmatch(labels, -1) {
		label, value := found[1], found[3]
		if slices.Contains(given, label) && ours[label] == nil {
			continue
		}
		for wanted := range strings.SplitSeq(value, "|") {
			if !slices.Contains(ours[label], wanted) {
				t.Errorf("%s: %s has no %s=%q, but %q", where, name, label, wanted, slices.Compact(slices.Sorted(slices.Values(ours[label]))))
			}
		}
	}
}

// What promtool is given must look as the agent's series do, or the rules are tested against something else.
func TestTheSeriesInTheTestsOfTheRulesAreThoseThatTheAgentShows(t *testing.T) {
	all := shown(t)
	for _, path := range ruleTests(t) {
		var file testFile
		load(t, path, &file)
		for _, group := range file.Tests {
			for _, s := range group.Series {
				found := selector.FindStringSubmatch(s.Series)
				if found == nil {
					t.Errorf("%s: %s has no labels", group.Name, s.Series)
					continue
				}
				agree(t, all, group.Name, found[1], found[2])
				for label := range all[found[1]] {
					if !strings.Contains(found[2], label+`="`) {
						t.Errorf("%s: %s lacks the label %s", group.Name, s.Series, label)
					}
				}
			}
		}
	}
}
