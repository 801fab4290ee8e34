package e2e

import (
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// A host that runs only node_exporter shows the same series: without a port of the agent's, beside node_exporter's own collectors.
func TestARealNodeExporterShowsTheAgentsTextFileBesideItsOwnSeries(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	folder := t.TempDir()
	exporter := prometheus.NewNodeExporter(t, folder)
	e := eyesOn(t, nil, job{name: "node-exporter", address: exporter})
	n.flags = append(n.flags, "--textfile="+folder+"/bootstrap-agent.prom", "--kubelet-metrics")
	n.bootstrap(n.secretToken())
	d := n.start()
	n.awaitJoined()
	pair, err := n.certDir().Read(certdir.Client)
	must(t, err)

	e.seeTime(`certificate_expiration_timestamp_seconds{certificate="client"}`, pair.Leaf.NotAfter)
	e.assertAll("node-exporter", "bootstrap_agent_")
	e.assertAll("node-exporter", "kubelet_")
	e.see(`certificate_self_signed{certificate="serving"}`, 1)
	n.approve(csr.Serving)
	e.see(`certificate_self_signed{certificate="serving"}`, 0)

	for query, what := range map[string]string{
		"node_textfile_scrape_error == 0":                                                  "reads the file without an error",
		`time() - node_textfile_mtime_seconds{file=~".*/bootstrap-agent.prom"} < 120`:      "says how old it is",
		"node_boot_time_seconds > 0 and process_resident_memory_bytes > 0":                 "has its own series, once",
		`count(node_scrape_collector_success{collector=~"textfile|filesystem"} == 1) == 2`: "has collectors that work",
	} {
		e.seeOne("node_exporter "+what, query)
	}
	if code, _ := d.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, page := n.fetch("http://" + exporter + "/metrics"); strings.Count(string(page), "\nbootstrap_agent_ready 1\n") != 1 {
		t.Errorf("when the agent is gone, what it said last is gone too:\n%s", page)
	}
}
