package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// The tests of this file are about other ways to the API server than a straight one.

// clusterIs changes the cluster of the bootstrap kubeconfig.
func (n *node) clusterIs(change func(*clientcmdapi.Cluster)) {
	n.t.Helper()
	config, err := clientcmd.LoadFromFile(n.bootstrapFile())
	must(n.t, err)
	for _, cluster := range config.Clusters {
		change(cluster)
	}
	content, err := clientcmd.Write(*config)
	must(n.t, err)
	n.write(n.bootstrapFile(), content, 0o600)
}

// kubeletCluster is the cluster of the kubelet's kubeconfig.
func (n *node) kubeletCluster() *clientcmdapi.Cluster {
	n.t.Helper()
	config, err := clientcmd.LoadFromFile(n.kubeconfig())
	must(n.t, err)
	return config.Clusters[config.Contexts[config.CurrentContext].Cluster]
}

func TestTheServerMayBeReachedByAnotherNameThanItsCertificateHas(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(n.cp.Server(), "https://"))
	must(t, err)
	other := "https://127.0.0.2:" + port // not in the certificate
	if relay, err := net.Listen("tcp", "127.0.0.2:"+port); err == nil {
		t.Cleanup(func() { relay.Close() })
		go relayTo(relay, strings.TrimPrefix(n.cp.Server(), "https://"))
	} else {
		t.Fatal(err)
	}
	n.clusterIs(func(c *clientcmdapi.Cluster) { c.Server = other })
	n.expect(n.once("--timeout=1s"), 1, "tls: create certificate signing request", other, "certificate is valid for 127.0.0.1")

	n.clusterIs(func(c *clientcmdapi.Cluster) { c.TLSServerName = "kubernetes.default.svc" })
	n.expect(n.once(), 0)
	n.assertJoined()
	if c := n.kubeletCluster(); c.Server != other || c.TLSServerName != "kubernetes.default.svc" {
		t.Errorf("the kubelet is led to %s by the name %q", c.Server, c.TLSServerName)
	}
	n.csr(csr.Client)
	n.csr(csr.Serving)
}

// relayTo hands every connection on.
func relayTo(listener net.Listener, address string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", address)
		if err != nil {
			client.Close()
			continue
		}
		go pipe(client, server)
		go pipe(server, client)
	}
}

func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	to.Close()
	from.Close()
}

// connector is an HTTP proxy: it makes tunnels, and notes where to.
type connector struct {
	*httptest.Server
	real    string
	mu      sync.Mutex
	tunnels []string
}

func newConnector(t *testing.T, address string) *connector {
	t.Helper()
	c := &connector{real: address}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *connector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.tunnels = append(c.tunnels, r.Method+" "+r.Host)
	c.mu.Unlock()
	server, err := net.Dial("tcp", c.real)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		server.Close()
		return
	}
	fmt.Fprint(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	go pipe(client, server)
	go pipe(server, client)
}

// seen are the tunnels so far, each destination once.
func (c *connector) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var seen []string
	for _, tunnel := range c.tunnels {
		if len(seen) == 0 || seen[len(seen)-1] != tunnel {
			seen = append(seen, tunnel)
		}
	}
	return seen
}

// The name of the server is one that nobody but the proxy can resolve: a single request past it would fail.
func TestAProxyLeadsAgentAndKubeletToTheServer(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	proxy := newConnector(t, strings.TrimPrefix(n.cp.Server(), "https://"))
	n.clusterIs(func(c *clientcmdapi.Cluster) {
		c.Server, c.TLSServerName, c.ProxyURL = "https://api.cluster.invalid:6443", "kubernetes", proxy.URL
	})
	n.expect(n.once("--timeout=20s"), 0)
	n.assertJoined() // kubectl goes by the kubelet's kubeconfig
	if c := n.kubeletCluster(); c.ProxyURL != proxy.URL || c.Server != "https://api.cluster.invalid:6443" {
		t.Errorf("the kubelet is led to %s by the proxy %q", c.Server, c.ProxyURL)
	}
	if seen := proxy.seen(); len(seen) != 1 || seen[0] != "CONNECT api.cluster.invalid:6443" {
		t.Errorf("the proxy was asked for %v", seen)
	}
	if !n.servingIssued() {
		t.Error("the serving certificate is a placeholder")
	}
	n.expect(n.once(), 0)
	_, err := os.Lstat(n.bootstrapFile())
	if !os.IsNotExist(err) {
		t.Errorf("the bootstrap kubeconfig is still there: %v", err)
	}
}

func TestAServerWithoutHTTP2IsAsGoodAsAny(t *testing.T) {
	t.Parallel()
	n := newNode(t, manual(t, "--disable-http2-serving"))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	r := n.meanwhile(func() {
		n.expectVerbs(csr.Client, "create", "watch")
		n.approve(csr.Client)
	})
	n.expect(r, 0)
	n.assertJoined()
	n.expectVerbs(csr.Client, "create", "watch")
	n.expectVerbs(csr.Serving, "create", "watch")
	n.assertHTTP1()
}

// assertHTTP1 shows that the API server has no HTTP/2, or the test would be about nothing.
func (n *node) assertHTTP1() {
	n.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(n.cp.CA())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	response, err := client.Get(n.cp.Server() + "/version")
	must(n.t, err)
	defer response.Body.Close()
	if response.Proto != "HTTP/1.1" {
		n.t.Errorf("the API server speaks %s", response.Proto)
	}
}
