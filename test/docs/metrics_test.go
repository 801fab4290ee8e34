package docs

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// examples are a question each that a metric answers.
var examples = map[string]string{
	"bootstrap_agent_certificate_expiration_timestamp_seconds":              `(bootstrap_agent_certificate_expiration_timestamp_seconds > 0) - time()`,
	"bootstrap_agent_certificate_not_before_timestamp_seconds":              `bootstrap_agent_certificate_expiration_timestamp_seconds - bootstrap_agent_certificate_not_before_timestamp_seconds`,
	"bootstrap_agent_certificate_rotation_timestamp_seconds":                `time() - (bootstrap_agent_certificate_rotation_timestamp_seconds > 0) > 600`,
	"bootstrap_agent_certificate_self_signed":                               `count(bootstrap_agent_certificate_self_signed{certificate="serving"} == 1)`,
	"bootstrap_agent_certificate_short_lived":                               `bootstrap_agent_certificate_short_lived == 1`,
	"bootstrap_agent_certificate_signing_request_pending_timestamp_seconds": `time() - (bootstrap_agent_certificate_signing_request_pending_timestamp_seconds > 0)`,
	"bootstrap_agent_certificate_signing_requests_total":                    `sum by (certificate, result) (increase(bootstrap_agent_certificate_signing_requests_total[1d]))`,
	"bootstrap_agent_certificate_signing_request_duration_seconds":          `histogram_quantile(0.95, sum by (certificate, le) (rate(bootstrap_agent_certificate_signing_request_duration_seconds_bucket[7d])))`,
	"bootstrap_agent_rotations_total":                                       `increase(bootstrap_agent_rotations_total{result="failure"}[1d]) > 0`,
	"bootstrap_agent_last_rotation_success_timestamp_seconds":               `time() - (bootstrap_agent_last_rotation_success_timestamp_seconds > 0)`,
	"bootstrap_agent_errors_total":                                          `topk(10, sum by (phase, reason) (increase(bootstrap_agent_errors_total[1h])))`,
	"bootstrap_agent_bootstrap_token_present":                               `bootstrap_agent_bootstrap_token_present == 1 and bootstrap_agent_ready == 1`,
	"bootstrap_agent_serving_certificate_reloaded":                          `bootstrap_agent_serving_certificate_reloaded == 0`,
	"bootstrap_agent_kubelet_restart_needed":                                `bootstrap_agent_kubelet_restart_needed == 1`,
	"bootstrap_agent_node_name_mismatch":                                    `bootstrap_agent_node_name_mismatch == 1`,
	"bootstrap_agent_clock_skew_seconds":                                    `abs(bootstrap_agent_clock_skew_seconds) > 5`,
	"bootstrap_agent_ready":                                                 `count(bootstrap_agent_ready == 0)`,
	"bootstrap_agent_build_info":                                            `count by (version) (bootstrap_agent_build_info)`,
	"bootstrap_agent_api_requests_total":                                    `sum by (verb, code) (rate(bootstrap_agent_api_requests_total[1h]))`,
	"kubelet_certificate_manager_client_ttl_seconds":                        `kubelet_certificate_manager_client_ttl_seconds < 604800`,
	"kubelet_certificate_manager_server_ttl_seconds":                        `kubelet_certificate_manager_server_ttl_seconds < 604800`,
	"kubelet_certificate_manager_client_expiration_renew_errors":            `increase(kubelet_certificate_manager_client_expiration_renew_errors[5m]) > 0`,
	"kubelet_server_expiration_renew_errors":                                `increase(kubelet_server_expiration_renew_errors[5m]) > 0`,
}

// metric is what the golden file says of one.
type metric struct {
	name, kind, help string
	labels           []string
	values           map[string][]string
}

var (
	sampleLine = regexp.MustCompile(`^([a-z_]+)(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// goldenMetrics are those of the golden file, which a test of internal/metrics holds against the registry, in its order.
func goldenMetrics(t *testing.T) []metric {
	t.Helper()
	content, err := os.ReadFile("../../internal/metrics/testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	var all []metric
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		words := strings.SplitN(line, " ", 4)
		switch {
		case strings.HasPrefix(line, "# HELP"):
			all = append(all, metric{name: words[2], help: words[3], values: map[string][]string{}})
		case strings.HasPrefix(line, "# TYPE"):
			all[len(all)-1].kind = words[3]
		default:
			all[len(all)-1].note(t, line)
		}
	}
	return all
}

// note takes the labels of a line with a value.
func (m *metric) note(t *testing.T, line string) {
	t.Helper()
	found := sampleLine.FindStringSubmatch(line)
	if found == nil || !strings.HasPrefix(found[1], m.name) {
		t.Fatalf("%q is no value of %s", line, m.name)
	}
	for _, pair := range labelPair.FindAllStringSubmatch(found[2], -1) {
		label, value := pair[1], pair[2]
		if label == "le" {
			continue
		}
		if !slices.Contains(m.labels, label) {
			m.labels = append(m.labels, label)
		}
		if !slices.Contains(m.values[label], value) {
			m.values[label] = append(m.values[label], value)
		}
	}
}

// described are a metric's labels, with their values where they are few.
func (m *metric) described() string {
	var parts []string
	for _, label := range m.labels {
		part := "`" + label + "`"
		if values := m.values[label]; len(values) > 1 && len(values) <= 8 {
			part += ": " + strings.Join(values, ", ")
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

func TestThePageOnMetricsHasEveryMetricWithAQuestionThatItAnswers(t *testing.T) {
	tables := map[string]*strings.Builder{"series": {}, "kubelet": {}}
	for part, table := range tables {
		fmt.Fprintf(table, "| metric | type | labels | |\n|---|---|---|---|\n")
		for _, m := range goldenMetrics(t) {
			if strings.HasPrefix(m.name, "kubelet_") != (part == "kubelet") {
				continue
			}
			example := examples[m.name]
			if example == "" || !strings.Contains(example, m.name) {
				t.Errorf("%s has no example in test/docs/metrics_test.go", m.name)
			}
			fmt.Fprintf(table, "| `%s` | %s | %s | %s<br>`%s` |\n", m.name, m.kind, m.described(), m.help, example)
		}
		compare(t, "../../docs/metrics.md", part, table.String())
	}
}

func TestThePageOnMetricsHasEveryReason(t *testing.T) {
	var table strings.Builder
	table.WriteString("| phase | reasons |\n|---|---|\n")
	for _, phase := range status.Phases() {
		fmt.Fprintf(&table, "| %s | %s |\n", phase, strings.Join(append(status.Reasons(phase), status.OtherReason), ", "))
	}
	compare(t, "../../docs/metrics.md", "reasons", table.String())
}

var promqlBlock = regexp.MustCompile("(?s)```promql\n(.*?)```")

// Each example is a rule that promtool understands, and so is each block on the page that says it is PromQL.
func TestEveryExampleIsPromQL(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	queries := slices.Collect(maps.Values(examples))
	for _, block := range promqlBlock.FindAllStringSubmatch(string(page), -1) {
		queries = append(queries, strings.TrimSpace(block[1]))
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: examples\n  rules:\n")
	for i, query := range queries {
		fmt.Fprintf(&rules, "  - record: example:%d\n    expr: %q\n", i, query)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := prometheus.CheckRules(t.Context(), path); err != nil {
		t.Error(err)
	}
}
