package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

var webServedAt = regexp.MustCompile(`metrics are served.* address=(\S+)`)

// webAddress is where the agent's metrics are, once they are served for the nth time.
func (d *daemon) webAddress(nth int) string {
	d.t.Helper()
	eventually(d.t, "metrics are served", func() bool { return len(webServedAt.FindAllString(d.log(), -1)) >= nth })
	return webServedAt.FindAllStringSubmatch(d.log(), -1)[nth-1][1]
}

// webAnswer is what one request over a connection of its own gets; the status is 0 where there is no answer.
func webAnswer(url string, config *tls.Config) (status int, body string, served *x509.Certificate) {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if response.TLS != nil {
		served = response.TLS.PeerCertificates[0]
	}
	return response.StatusCode, string(text), served
}

// webTrust is how Prometheus sees the node: it knows the cluster's CA and the node's name. pair is a file with a certificate and its key.
func (n *node) webTrust(pair string) *tls.Config {
	n.t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: n.name}
	config.RootCAs.AppendCertsFromPEM(n.cp.CA())
	if pair != "" {
		certificate, err := tls.LoadX509KeyPair(pair, pair)
		must(n.t, err)
		config.Certificates = []tls.Certificate{certificate}
	}
	return config
}

// shippedWebConfig is the web configuration with client certificates as it is shipped, with this node's cert-dir.
func (n *node) shippedWebConfig() string {
	n.t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/web-config-mtls.yaml")
	must(n.t, err)
	path := n.path("web.yaml")
	n.write(path, bytes.ReplaceAll(text, []byte("/var/lib/kubelet/pki"), []byte(n.certDir().Path)), 0o600)
	return path
}

func TestTheNodesOwnServingCertificateProtectsTheMetricsAlsoWhenItIsRotated(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	d := n.start("--web.listen-address=127.0.0.1:0", "--web.config.file="+n.shippedWebConfig())
	n.awaitJoined()
	n.awaitServing()
	address := d.webAddress(1)
	for rotation := range 2 {
		if rotation > 0 {
			n.age(certdir.Serving)
			before := n.serial(certdir.Serving)
			n.expect(n.rotate("serving"), 0)
			n.awaitRotated(csr.Serving, certdir.Serving, before, rotation+1)
		}
		status, body, served := webAnswer("https://"+address+"/metrics", n.webTrust(n.certDir().Current(certdir.Client)))
		if status != http.StatusOK || !strings.Contains(body, "bootstrap_agent_ready 1\n") || served.SerialNumber.String() != n.serial(certdir.Serving) {
			t.Fatalf("rotation %d: %d %.300s", rotation, status, body)
		}
		for name, config := range map[string]*tls.Config{"nobody": n.webTrust(""), "another CA": n.webTrust(n.strangersPair())} {
			if status, body, _ := webAnswer("https://"+address+"/metrics", config); status != 0 || strings.Contains(body, "bootstrap_agent_") {
				t.Errorf("%s: %d %.300s", name, status, body)
			}
		}
	}
	if d.webAddress(1) != address || strings.Count(d.log(), "metrics are served") != 1 {
		t.Error("the listener was made anew: nothing but the certificate has changed")
	}
	if status, body, _ := webAnswer("http://"+address+"/metrics", nil); status != http.StatusBadRequest || strings.Contains(body, "bootstrap_agent_") {
		t.Errorf("without TLS: %d %.300s", status, body)
	}
}

// strangersPair is a client certificate of another CA for the same node.
func (n *node) strangersPair() string {
	n.t.Helper()
	certificate, key, err := split(n.t).ClientCertificate("system:node:"+n.name, "system:nodes")
	must(n.t, err)
	path := n.path("stranger.pem")
	n.write(path, append(certificate, key...), 0o600)
	n.mayKeep = append(n.mayKeep, path)
	return path
}

// What keeps the metrics from being served, and how it ends. The text file shows it meanwhile.
func TestWhatKeepsTheMetricsFromBeingServedKeepsNoCertificateBack(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { taken.Close() })
	for name, c := range map[string]struct {
		reason, says string
		flags        func(*node) []string
		mend         func(*node)
	}{
		"a port that is taken": {
			"listen", "address already in use",
			func(*node) []string { return []string{"--web.listen-address=" + taken.Addr().String()} },
			func(*node) { taken.Close() },
		},
		"a web configuration that is bad": {
			"configuration", "protects nothing",
			func(n *node) []string {
				n.write(n.path("web.yaml"), nil, 0o600)
				return []string{"--web.listen-address=127.0.0.1:0", "--web.config.file=" + n.path("web.yaml")}
			},
			func(n *node) { n.shippedWebConfig() },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, shared(t))
			n.bootstrap(n.secretToken())
			n.approveServing(0)
			textfile := n.path("node_exporter", "agent.prom")
			must(t, os.Mkdir(filepath.Dir(textfile), 0o755))
			d := n.start(append(c.flags(n), "--textfile="+textfile)...)
			d.awaitReady()
			n.awaitJoined()
			n.awaitServing()
			d.awaitLog(c.says)
			counted := regexp.MustCompile(fmt.Sprintf(`bootstrap_agent_errors_total\{phase="web",reason="%s"\} [1-9]`, c.reason))
			eventually(t, "the text file shows it, and the certificates", func() bool {
				text, _ := os.ReadFile(textfile)
				return counted.Match(text) && bytes.Contains(text, []byte("bootstrap_agent_ready 1\n")) && bytes.Contains(text, []byte(`result="issued"} 1`))
			})
			if info, err := os.Stat(textfile); err != nil || info.Mode() != 0o644 {
				t.Errorf("%v %v: node_exporter must be able to read it", info, err)
			}
			if strings.Contains(d.log(), "metrics are served\"") {
				t.Fatal("metrics are served")
			}
			c.mend(n)
			d.webAddress(1)
			if lines := strings.Count(d.log(), "metrics are not served"); lines != 1 {
				t.Errorf("%d lines say so", lines)
			}
		})
	}
}

// The plugin writes down what it was given.
func TestASocketOfTheServiceManagerIsServedAndNoProgramInheritsIt(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	token := n.secretToken().Token
	seen := n.path("seen")
	n.bootstrap(n.execPlugin(`env > ` + seen + `.new; ls -l /proc/self/fd >> ` + seen + `.new; mv ` + seen + `.new ` + seen + `; ` + printToken(token)))
	n.keeps(n.path("plugin"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	socket, err := listener.(*net.TCPListener).File()
	must(t, err)
	t.Cleanup(func() { socket.Close() })

	n.through = []string{"/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=bootstrap-agent.socket exec "$@"`, "sh"}
	ctx, cancel := context.WithCancel(context.Background())
	c := n.command(ctx, []string{"run"}, "--web.listen-address=192.0.2.1:1") // not used
	var said bytes.Buffer
	c.ExtraFiles, c.Stdout, c.Stderr = []*os.File{socket}, &said, &said
	must(t, c.Start())
	t.Cleanup(func() {
		cancel()
		_ = c.Wait()
		fmt.Fprintln(&n.said, said.String())
		if t.Failed() {
			t.Logf("the agent said:\n%s", said.String())
		}
	})
	n.awaitJoined()
	for _, path := range []string{"/healthz", "/readyz"} {
		eventually(t, path, func() bool {
			status, body, _ := webAnswer("http://"+listener.Addr().String()+path, nil)
			return status == http.StatusOK && body == "ok\n"
		})
	}
	text, err := os.ReadFile(seen)
	must(t, err)
	if bytes.Contains(text, []byte("LISTEN_")) || bytes.Contains(text, []byte("socket:")) {
		t.Errorf("the plugin has inherited the socket or its name:\n%s", text)
	}
}

func TestRunOnceOpensNoPortAndWritesNoTextFile(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	r := n.once("--web.listen-address="+taken.Addr().String(), "--textfile="+n.path("agent.prom"))
	n.expect(r, 0)
	if strings.Contains(r.stderr, "address already in use") {
		t.Errorf("it has tried to listen:\n%s", r.stderr)
	}
	n.assertGone(n.path("agent.prom"))
}
