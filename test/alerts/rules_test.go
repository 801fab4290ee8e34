// Package alerts shows that the alert rules fire when they should and at no other time, that they speak of what the agent shows, and
// that their runbooks are there and can be followed.
package alerts

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

const (
	deployed  = "../../deploy/prometheus/"
	rulesFile = deployed + "alerts.yaml"
	runbooks  = "https://github.com/bootstrap-agent/bootstrap-agent/blob/main/docs/alerts/"
)

// ruleFile is a rule file of Prometheus.
type ruleFile struct {
	Groups []ruleGroup `json:"groups"`
}

type ruleGroup struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func load(t *testing.T, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(content, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// rules are all alert rules.
func rules(t *testing.T) []rule {
	t.Helper()
	var file ruleFile
	load(t, rulesFile, &file)
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) < 12 {
		t.Fatalf("%s has %d alerts", rulesFile, len(all))
	}
	return all
}

// ruleTests are the files that promtool test rules runs.
func ruleTests(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(deployed + "*_test.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests of the rules in %s: %v", deployed, err)
	}
	return files
}

func TestPromtoolHasNoRemarkOnTheRules(t *testing.T) {
	t.Parallel()
	if err := prometheus.CheckRules(t.Context(), rulesFile); err != nil {
		t.Error(err)
	}
}

func TestTheRulesFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	if err := prometheus.TestRules(t.Context(), ruleTests(t)...); err != nil {
		t.Error(err)
	}
}

func TestEachAlertSaysHowBadItIsWhichNodeItMeansAndWhereItsRunbookIs(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules(t) {
		if seen[r.Alert] {
			t.Errorf("%s is there twice", r.Alert)
		}
		seen[r.Alert] = true
		if !strings.HasPrefix(r.Alert, "BootstrapAgent") {
			t.Errorf("%s: the names of other people's alerts do not begin with BootstrapAgent, ours do", r.Alert)
		}
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" || len(r.Labels) != 1 {
			t.Errorf("%s: the labels are %v", r.Alert, r.Labels)
		}
		summary := r.Annotations["summary"]
		if fleet := strings.Contains(summary, "nodes"); !fleet && !strings.Contains(summary, "Node {{ or $labels.node $labels.instance }}") && !strings.Contains(summary, "Node {{ $labels.node }}") {
			t.Errorf("%s: its summary names no node: %s", r.Alert, summary)
		}
		if len(r.Annotations["description"]) < 100 {
			t.Errorf("%s: the description does not say what happens if nobody acts: %s", r.Alert, r.Annotations["description"])
		}
		if url := r.Annotations["runbook_url"]; url != runbooks+r.Alert+".md" {
			t.Errorf("%s: the runbook is %s", r.Alert, url)
		}
		if _, err := os.Stat("../../docs/alerts/" + r.Alert + ".md"); err != nil {
			t.Errorf("%s: no runbook: %v", r.Alert, err)
		}
	}
}

// jobs are selected by a label that whoever scrapes chooses, so only the one alert that cannot do without may do it.
func TestNoAlertButTheOneOnTheAgentThatIsDownDependsOnTheNameOfAJob(t *testing.T) {
	job := regexp.MustCompile(`\bjob\s*(=|!)`)
	for _, r := range rules(t) {
		if got, want := job.MatchString(r.Expr), r.Alert == "BootstrapAgentDown"; got != want {
			t.Errorf("%s: depends on a job: %t", r.Alert, got)
		}
	}
}

// testFile is what promtool test rules reads.
type testFile struct {
	RuleFiles          []string    `json:"rule_files"`
	EvaluationInterval string      `json:"evaluation_interval"`
	Tests              []testGroup `json:"tests"`
}

type testGroup struct {
	Name     string      `json:"name"`
	Interval string      `json:"interval"`
	Series   []series    `json:"input_series"`
	Alerts   []alertCase `json:"alert_rule_test,omitempty"`
	Queries  []queryCase `json:"promql_expr_test,omitempty"`
}

type series struct {
	Series string `json:"series"`
	Values string `json:"values"`
}

type alertCase struct {
	EvalTime  string           `json:"eval_time"`
	AlertName string           `json:"alertname"`
	Expected  []map[string]any `json:"exp_alerts"`
}

type queryCase struct {
	EvalTime string        `json:"eval_time"`
	Expr     string        `json:"expr"`
	Expected []expectation `json:"exp_samples"`
}

type expectation struct {
	Labels string  `json:"labels"`
	Value  float64 `json:"value"`
}

func TestEachAlertIsShownFiringAndNotFiring(t *testing.T) {
	var fires, silent []string
	for _, path := range ruleTests(t) {
		var file testFile
		load(t, path, &file)
		for _, group := range file.Tests {
			for _, c := range group.Alerts {
				if len(c.Expected) > 0 {
					fires = append(fires, c.AlertName)
				} else {
					silent = append(silent, c.AlertName)
				}
			}
		}
	}
	all := rules(t)
	for _, r := range all {
		if !slices.Contains(fires, r.Alert) || !slices.Contains(silent, r.Alert) {
			t.Errorf("%s: shown firing: %t, and not firing: %t", r.Alert, slices.Contains(fires, r.Alert), slices.Contains(silent, r.Alert))
		}
	}
	for _, name := range append(fires, silent...) {
		if !slices.ContainsFunc(all, func(r rule) bool { return r.Alert == name }) {
			t.Errorf("%s is tested, and there is no such alert", name)
		}
	}
}
