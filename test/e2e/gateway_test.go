package e2e

import (
	"crypto/x509/pkix"
	"encoding/json"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/cluster-bootstrap/token/jws"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

// clusterInfoPath is what is asked without a credential.
const clusterInfoPath = "/api/v1/namespaces/kube-public/configmaps/cluster-info"

// gateway is in front of a real control plane. Of cluster-info it says what a test wants; everything else the API server answers itself, asked
// in the name of whoever asks.
type gateway struct {
	*faultproxy.Proxy
	t    *testing.T
	cp   *controlplane.ControlPlane
	info atomic.Pointer[http.HandlerFunc]
	seen *faultproxy.Recording
}

func newGateway(t *testing.T, cp *controlplane.ControlPlane) *gateway {
	t.Helper()
	proxy, err := faultproxy.New(strings.TrimPrefix(cp.Server(), "https://"))
	must(t, err)
	t.Cleanup(func() { _ = proxy.Close() })
	g := &gateway{Proxy: proxy, t: t, cp: cp}
	g.open()
	return g
}

// open has the gateway answer.
func (g *gateway) open() {
	g.t.Helper()
	certificate, err := g.cp.ServingCertificate(controlplane.ServingOptions{})
	must(g.t, err)
	admin, err := clientcmd.BuildConfigFromFlags("", g.cp.AdminKubeconfig())
	must(g.t, err)
	there, err := url.Parse(g.cp.Server())
	must(g.t, err)
	asAdmin, asAnybody := g.towards(there, admin), g.towards(there, rest.AnonymousClientConfig(admin))
	g.seen = g.Handler(certificate, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info := g.info.Load()
		switch {
		case r.URL.Path == clusterInfoPath && info != nil:
			(*info)(w, r)
		case len(r.TLS.PeerCertificates) > 0:
			inTheNameOf(r.Header, r.TLS.PeerCertificates[0].Subject)
			asAdmin.ServeHTTP(w, r)
		default:
			asAnybody.ServeHTTP(w, r)
		}
	}))
}

func (g *gateway) towards(there *url.URL, config *rest.Config) http.Handler {
	g.t.Helper()
	transport, err := rest.TransportFor(config)
	must(g.t, err)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(there) }, Transport: transport, FlushInterval: -1, // watches
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // the connection ends, as it would without a gateway
	}
}

// inTheNameOf has a request of an administrator's be one of somebody else's: a client certificate cannot go through what ends TLS.
func inTheNameOf(header http.Header, subject pkix.Name) {
	header.Set("Impersonate-User", subject.CommonName)
	for _, group := range subject.Organization {
		header.Add("Impersonate-Group", group)
	}
}

// says has a handler answer for cluster-info from now on.
func (g *gateway) says(handler http.HandlerFunc) { g.info.Store(&handler) }

// kubeconfig is what cluster-info holds: where the cluster is, and its CAs.
func (g *gateway) kubeconfig(server string, ca ...[]byte) string {
	g.t.Helper()
	bundle := ""
	for _, one := range ca {
		bundle += string(one)
	}
	content, err := clientcmd.Write(clientcmdapi.Config{Clusters: map[string]*clientcmdapi.Cluster{"": {Server: server, CertificateAuthorityData: []byte(bundle)}}})
	must(g.t, err)
	return string(content)
}

// right is what a cluster-info should say here.
func (g *gateway) right() string { return g.kubeconfig(g.URL(), g.cp.CA()) }

// clusterInfo is the ConfigMap, signed with tokens as bootstrapsigner does it.
func clusterInfo(t *testing.T, kubeconfig string, tokens ...string) http.HandlerFunc {
	t.Helper()
	data := map[string]string{"kubeconfig": kubeconfig}
	for _, token := range tokens {
		id, secret, _ := strings.Cut(token, ".")
		signature, err := jws.ComputeDetachedSignature(kubeconfig, id, secret)
		must(t, err)
		data["jws-kubeconfig-"+id] = signature
	}
	object, err := json.Marshal(map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "metadata": map[string]string{"name": "cluster-info"}, "data": data})
	must(t, err)
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(object)
	}
}

// seeker is a node that has a discovery token, and a gateway at which it finds out where its cluster is.
type seeker struct {
	*node
	gate  *gateway
	token string
	// right is the cluster's token where the node was given a wrong one.
	right string
}

func newSeeker(t *testing.T, lead func(*seeker)) *seeker {
	t.Helper()
	cp := shared(t)
	s := &seeker{node: newNode(t, cp), gate: newGateway(t, cp)}
	s.token = s.secretToken().Token
	s.flags = append(s.flags, "--discovery-token-file="+s.tokenFile(), "--api-server="+s.gate.Address(), "--discovery-ca-cert-hash="+pinOf(t, cp))
	s.write(s.tokenFile(), []byte(s.token+"\n"), 0o600)
	lead(s)
	return s
}

func (s *seeker) tokenFile() string { return s.path("bootstrap.token") }

// mend has cluster-info be what it should be.
func (s *seeker) mend() { s.gate.says(clusterInfo(s.t, s.gate.right(), s.token)) }

// assertNothingGiven shows that the node has given nothing away, has asked for nothing, and that its token is untouched.
func (s *seeker) assertNothingGiven() {
	s.t.Helper()
	for _, r := range s.gate.seen.Requests() {
		if r.Authorization || r.ClientCertificate != "" || r.Path != clusterInfoPath && r.Path != "/version" || r.Method != http.MethodGet {
			s.t.Errorf("the gateway was sent %s", r)
		}
	}
	text, err := os.ReadFile(s.tokenFile())
	if err != nil || strings.TrimSpace(string(text)) != s.token {
		s.t.Errorf("the token is not in its file any more (%v)", err)
	}
	if s.pending("kubelet-client") != nil || isThere(s.kubeconfig()) {
		s.t.Error("there is a request, or an identity")
	}
}
