package alerts

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const prometheusRule = deployed + "prometheusrule.yaml"

// ruleHead is what the Prometheus Operator wants around the groups (monitoring.coreos.com/v1 PrometheusRule, its spec is a rule file).
const ruleHead = `# The alerts of alerts.yaml for the Prometheus Operator; made from it, write it with: UPDATE_DOCS=1 go test ./test/alerts
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: bootstrap-agent
  labels:
    app.kubernetes.io/name: bootstrap-agent # and what the ruleSelector of your Prometheus asks for
spec:
`

// operatorRule is alerts.yaml as an object for the Prometheus Operator: below spec, and without what does not stand there.
func operatorRule(alerts []byte) string {
	var b strings.Builder
	b.WriteString(ruleHead)
	_, groups, _ := strings.Cut(string(alerts), "\ngroups:\n")
	for line := range strings.Lines("groups:\n" + groups) {
		if line != "\n" {
			b.WriteString("  ")
		}
		b.WriteString(line)
	}
	return b.String()
}

func TestThePrometheusRuleIsMadeFromTheAlerts(t *testing.T) {
	alerts, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	want := operatorRule(alerts)
	got, err := os.ReadFile(prometheusRule)
	if string(got) == want {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Fatalf("%s is not what %s says (%v); write it with: UPDATE_DOCS=1 go test ./test/alerts", prometheusRule, rulesFile, err)
	}
	if err := os.WriteFile(prometheusRule, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestThePrometheusRuleHasTheSchemaOfTheOperatorAndTheSameAlerts(t *testing.T) {
	var object struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name   string            `json:"name"`
			Labels map[string]string `json:"labels"`
		} `json:"metadata"`
		Spec ruleFile `json:"spec"`
	}
	load(t, prometheusRule, &object)
	if object.APIVersion != "monitoring.coreos.com/v1" || object.Kind != "PrometheusRule" || object.Metadata.Name != "bootstrap-agent" {
		t.Errorf("it is a %s %s named %s", object.APIVersion, object.Kind, object.Metadata.Name)
	}
	var file ruleFile
	load(t, rulesFile, &file)
	got, err := yaml.Marshal(object.Spec)
	if err != nil {
		t.Fatal(err)
	}
	want, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("its groups are not those of alerts.yaml")
	}
}
