package boot

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

const webSettings = `apiVersion: bootstrap-agent.io/v1alpha1
kind: BootstrapAgentConfiguration
webListenAddress: ":10261"
webConfigFile: /etc/bootstrap-agent/web.yaml
textfile: /var/lib/node_exporter/bootstrap-agent.prom
`

// scrape asks the machine from outside, as this node or as nobody; the status is 0 where there is no answer.
func (n *node) scrape(port string, asNode bool) (status int, body string) {
	n.t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(n.cp.CA())
	if asNode {
		text := []byte(n.Read(certDir + "/kubelet-client-current.pem"))
		pair, err := tls.X509KeyPair(text, text)
		must(n.t, err)
		config.Certificates = []tls.Certificate{pair}
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := client.Get("https://" + net.JoinHostPort(n.IP.String(), port) + "/metrics")
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// TestTheMetricsAreServedFromWithinTheSandbox goes through docs/web.md on one machine: HTTPS with the node's own certificate, the text file,
// the socket.
func TestTheMetricsAreServedFromWithinTheSandbox(t *testing.T) {
	t.Parallel()
	webConfig, err := os.ReadFile("../../../deploy/prometheus/web-config-mtls.yaml")
	must(t, err)
	socket, err := os.ReadFile("../../../deploy/systemd/bootstrap-agent.socket")
	must(t, err)
	n := newNode(t, options{noKubelet: true, prepare: func(n *node) {
		n.giveCredential()
		n.Write("/etc/bootstrap-agent/web.yaml", string(webConfig), 0o644)
		n.Write(configFile, webSettings, 0o644)
	}})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(time.Minute)
	answered := func(port string) bool {
		status, body := n.scrape(port, true)
		return status == http.StatusOK && strings.Contains(body, "bootstrap_agent_ready ") // 0, before the agent has looked at its files
	}
	served := func(port string) bool {
		status, body := n.scrape(port, true)
		return status == http.StatusOK && strings.Contains(body, "bootstrap_agent_ready 1\n")
	}
	eventually(t, "the node's own certificates protect the metrics", func() bool { return n.Exists(certDir+"/kubelet-client-current.pem") && served("10261") })
	if said := n.Journal(agentUnit); strings.Contains(said, "metrics are not served") {
		t.Errorf("a new node, which has no serving certificate for a moment, complains:\n%s", said)
	}
	if status, body := n.scrape("10261", false); status != 0 {
		t.Errorf("without a certificate: %d %.200s", status, body)
	}

	const textfile = "/var/lib/node_exporter/bootstrap-agent.prom"
	eventually(t, "the agent says what the unit lacks for the text file", func() bool {
		return strings.Contains(n.Journal(agentUnit), "text file cannot be written")
	})
	n.Shell("mkdir -p /etc/systemd/system/bootstrap-agent.service.d; bootstrap-agent config check --systemd > /etc/systemd/system/bootstrap-agent.service.d/paths.conf; systemctl daemon-reload; systemctl restart bootstrap-agent")
	eventually(t, "the text file is there", func() bool { return n.Exists(textfile) })
	if modes := n.Run("stat", "-c", "%a %U", textfile, "/var/lib/node_exporter"); modes != "644 root\n755 root\n" {
		t.Errorf("node_exporter cannot read it:\n%s", modes)
	}

	n.Write("/etc/systemd/system/bootstrap-agent.socket", strings.Replace(string(socket), "127.0.0.1:10261", "443", 1), 0o644)
	n.Shell("systemctl daemon-reload; systemctl stop bootstrap-agent; systemctl enable --now bootstrap-agent.socket; systemctl start bootstrap-agent")
	eventually(t, "a port is served that the agent may not open", func() bool { return served("443") })
	if status, _ := n.scrape("10261", true); status != 0 {
		t.Error("the address of the settings is served beside the socket")
	}
	n.Shell("systemctl restart --no-block bootstrap-agent")
	for range 20 {
		if !answered("443") {
			t.Error("a scrape fails while the agent is restarted")
		}
	}
	n.Run("systemctl", "stop", "bootstrap-agent")
	if !answered("443") {
		t.Error("a scrape does not start the agent")
	}
	n.Run("systemctl", "stop", "bootstrap-agent.socket", "bootstrap-agent")
	if status, body := n.scrape("443", true); status != 0 {
		t.Errorf("stopped for good: %d %.200s", status, body)
	}
}
