package prometheus

import (
	"os"
	"strings"
	"testing"
)

// Names, types, helps and units are as Prometheus' own linter wants them. Of the kubelet's series it has two remarks: they are called so.
func TestPromtoolHasNoRemarkOnTheAgentsMetrics(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../internal/metrics/testdata/metrics.golden")
	if err != nil {
		t.Fatal(err)
	}
	ours, kubelets, found := strings.Cut(string(content), "# HELP kubelet_")
	if !found || strings.Count(ours, "# HELP bootstrap_agent_") < 19 {
		t.Fatal("the golden file is not the agent's metrics and then the kubelet's")
	}
	if err := CheckMetrics(t.Context(), []byte(ours)); err != nil {
		t.Error(err)
	}
	err = CheckMetrics(t.Context(), []byte("# HELP kubelet_"+kubelets))
	if err == nil || strings.Count(err.Error(), `should have "_total" suffix`) != 2 {
		t.Errorf("the remarks on the kubelet's names are %v", err)
	}
}
