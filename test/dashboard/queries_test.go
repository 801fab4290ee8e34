package dashboard

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// unused are the series that no dashboard shows, and why.
var unused = map[string]string{
	"kubelet_certificate_manager_client_ttl_seconds":             "the kubelet's name for certificate_expiration_timestamp_seconds, and opt-in",
	"kubelet_certificate_manager_server_ttl_seconds":             "the kubelet's name for certificate_expiration_timestamp_seconds, and opt-in",
	"kubelet_certificate_manager_client_expiration_renew_errors": "the kubelet's name for some of errors_total, and opt-in",
	"kubelet_server_expiration_renew_errors":                     "the kubelet's name for some of errors_total, and opt-in",
}

// sent are all queries of all dashboards, parsed, with nodes named by a label.
func sent(tb testing.TB, nodeLabel string) (all []query, parsed []expression) {
	tb.Helper()
	for _, name := range boards() {
		b := load(tb, name)
		all = append(all, b.queries()...)
		all = append(all, b.variableQueries(tb)...)
	}
	texts := make([]string, len(all))
	for i, q := range all {
		texts[i] = everything(nodeLabel).in(q.expr)
	}
	return all, parse(tb, texts)
}

var labelValues = regexp.MustCompile(`^label_values\((.+), *(\S+)\)$`)

// variableQueries are the selectors that the values of variables come from: count by (label) (selector) has the same values.
func (b board) variableQueries(tb testing.TB) []query {
	tb.Helper()
	var all []query
	for _, v := range b.Templating.List {
		if v.Type != "query" {
			continue
		}
		parts := labelValues.FindStringSubmatch(v.text(tb))
		if parts == nil {
			tb.Errorf("%s: variable %s: %q is no label_values(selector, label)", b.UID, v.Name, v.text(tb))
			continue
		}
		all = append(all, query{where: b.UID + ": variable " + v.Name, expr: "count by (" + parts[2] + ") (" + parts[1] + ")"})
	}
	return all
}

func TestEveryQueryIsPromQLAboutSeriesLabelsAndValuesThatTheAgentHas(t *testing.T) {
	series := registered(t)
	for _, nodeLabel := range []string{"node", "instance"} {
		all, parsed := sent(t, nodeLabel)
		if len(all) < 60 {
			t.Fatalf("only %d queries were found", len(all))
		}
		for i, q := range all {
			if parsed[i].Error != "" {
				t.Errorf("%s: %s\n%s", q.where, parsed[i].Error, parsed[i].Text)
				continue
			}
			for _, missing := range series.lacks(parsed[i]) {
				t.Errorf("%s: %s\n%s", q.where, missing, parsed[i].Text)
			}
			if len(parsed[i].Selectors) == 0 {
				t.Errorf("%s asks for no metric", q.where)
			}
		}
	}
}

func TestEveryQueryFollowsTheVariables(t *testing.T) {
	for _, nodeLabel := range []string{"node", "instance"} {
		all, parsed := sent(t, nodeLabel)
		for i, q := range all {
			if strings.Contains(q.where, ": variable ") {
				continue
			}
			for _, s := range parsed[i].Selectors {
				var labels []string
				for _, m := range s.Matchers {
					labels = append(labels, m.Label+m.Type+m.Value)
				}
				for _, want := range []string{"cluster=~.*", nodeLabel + "=~.*"} {
					if !slices.Contains(labels, want) {
						t.Errorf("%s: %s is not narrowed by %s", q.where, s.Metric, want)
					}
				}
			}
		}
	}
}

func TestEverySeriesIsShownOrLeftOutForAReason(t *testing.T) {
	shown := map[string]bool{}
	_, parsed := sent(t, "node")
	for _, e := range parsed {
		for _, s := range e.Selectors {
			shown[s.Metric] = true
		}
	}
	for name := range registered(t) {
		why, left := unused[name]
		switch {
		case strings.HasPrefix(name, "process_"):
		case left && shown[name]:
			t.Errorf("%s is shown, and said to be left out: %s", name, why)
		case !left && !shown[name]:
			t.Errorf("no dashboard shows %s: show it, or say in the table here why not", name)
		}
	}
	for name := range unused {
		if registered(t)[name] == nil {
			t.Errorf("%s is said to be left out, and does not exist", name)
		}
	}
}

var recorded = regexp.MustCompile(`(?m)^ *expr: (.+)$`)

func TestTheRulesOnThePageArePromQLAboutSeriesThatTheAgentHas(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var expressions []string
	for _, found := range recorded.FindAllStringSubmatch(string(text), -1) {
		expressions = append(expressions, found[1])
	}
	if len(expressions) != 2 {
		t.Errorf("the page has %d rules", len(expressions))
	}
	for _, e := range parse(t, expressions) {
		if missing := registered(t).lacks(e); e.Error != "" || len(missing) > 0 {
			t.Errorf("%s: %s %q", e.Text, e.Error, missing)
		}
	}
}
