package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

// discoverer is a node that has an address, a token and a hash, and no kubeconfig.
type discoverer struct {
	*node
	token string
}

// newDiscoverer makes one that asks these servers, host:port, with a token that may not be there yet.
func newDiscoverer(t *testing.T, cp *controlplane.ControlPlane, token string, servers ...string) *discoverer {
	t.Helper()
	n := &discoverer{node: newNode(t, cp)}
	n.flags = append(n.flags, "--discovery-token-file="+n.tokenFile(), "--discovery-ca-cert-hash="+hashOfCA(t, cp.CA()))
	if len(servers) > 0 {
		n.flags = append(n.flags, "--api-server="+strings.Join(servers, ","))
	}
	n.give(token)
	return n
}

func (n *discoverer) tokenFile() string { return n.path("bootstrap.token") }

// give puts a token where the agent looks for it.
func (n *discoverer) give(token string) {
	n.t.Helper()
	id, secret, _ := strings.Cut(token, ".")
	n.token = id + "." + secret
	n.secret([]byte(secret))
	n.told = append(n.told, secret)
	n.write(n.tokenFile(), []byte(token+"\n"), 0o600)
}

// awaitDiscovered waits until the node has joined by discovery, with one request, and its token has gone.
func (n *discoverer) awaitDiscovered() {
	n.t.Helper()
	n.awaitJoined()
	eventually(n.t, "the token is deleted", func() bool { return !isThere(n.tokenFile()) && !isThere(n.path(".bootstrap.token.used")) })
	n.csr(csr.Client)
}

// pins has the agent look for CAs with these hashes, and no others.
func (n *discoverer) pins(hashes ...string) {
	const flag = "--discovery-ca-cert-hash="
	n.flags = append(slices.DeleteFunc(n.flags, func(given string) bool { return strings.HasPrefix(given, flag) }), flag+strings.Join(hashes, ","))
}

// newToken makes a token, and waits until cluster-info is signed with it.
func newToken(t *testing.T, cp *controlplane.ControlPlane) string {
	t.Helper()
	token, err := cp.CreateBootstrapToken(t.Context(), controlplane.TokenOptions{})
	must(t, err)
	awaitSigned(t, cp, token[:6])
	return token
}

// randomToken is one that nobody has made.
func randomToken() string {
	text := strings.ToLower(rand.Text())
	return text[:6] + "." + text[6:22]
}

func parsePEM(t *testing.T, ca []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(ca)
	certificate, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return certificate
}

func hashOfCA(t *testing.T, ca []byte) string {
	t.Helper()
	sum := sha256.Sum256(parsePEM(t, ca).RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// front is what stands at the address that a node was given: whatever a test puts there, or the API server itself (Pass). Everything that
// it is sent by those who do not know better is kept.
type front struct {
	*discoverer
	proxy *faultproxy.Proxy
	// sent are the bytes that came in, before and inside TLS, to somebody who is not the API server.
	sent testimony
	come *coming

	mu       sync.Mutex
	requests []string
	strange  []string // what nobody may be sent who has not proved himself
}

func newFront(t *testing.T, cp *controlplane.ControlPlane, token string) *front {
	t.Helper()
	proxy, err := faultproxy.New(strings.TrimPrefix(cp.Server(), "https://"))
	must(t, err)
	t.Cleanup(func() { _ = proxy.Close() })
	return &front{discoverer: newDiscoverer(t, cp, token, proxy.Address()), proxy: proxy}
}

// info is the cluster-info that there is.
func info(t *testing.T, cp *controlplane.ControlPlane) map[string]string {
	t.Helper()
	object, err := cp.AdminClient().CoreV1().ConfigMaps(metav1.NamespacePublic).Get(t.Context(), "cluster-info", metav1.GetOptions{})
	must(t, err)
	return object.Data
}

func answerInfo(w http.ResponseWriter, data map[string]string) {
	answerJSON(w, http.StatusOK, corev1.ConfigMap{TypeMeta: metav1.TypeMeta{Kind: "ConfigMap", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: "cluster-info", Namespace: "kube-public"}, Data: data})
}

// raw has each connection handled as it is.
func (f *front) raw(handle func(net.Conn)) {
	f.proxy.Raw(func(c net.Conn) {
		f.sent.begins()
		handle(overheard{c, &f.sent})
	})
}

// answersFirst has a handler answer on the first connections; then does something else with the others.
func (f *front) answersFirst(connections int, certificate tls.Certificate, handler http.HandlerFunc, then func(net.Conn)) {
	f.answered(certificate, handler)
	come, numbers := f.come, make(chan int, 1)
	numbers <- 1
	f.raw(func(c net.Conn) {
		n := <-numbers
		numbers <- n + 1
		if n > connections {
			then(c)
			return
		}
		come.serve(c)
	})
}

// through leads a connection to the API server.
func (f *front) through(c net.Conn) {
	splice(c, strings.TrimPrefix(f.cp.Server(), "https://"), plainly, plainly)
}

func plainly(w io.Writer) io.Writer { return w }

// splice leads to a server, and changes what goes by.
func splice(c net.Conn, address string, toServer, toClient func(io.Writer) io.Writer) {
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(toClient(c), server)
		c.Close()
	}()
	_, _ = io.Copy(toServer(server), c)
	server.Close()
	<-done
}

// answered has a handler answer over TLS with a certificate of whoever it is.
func (f *front) answered(certificate tls.Certificate, handler http.HandlerFunc, changes ...func(*tls.Config)) {
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	for _, change := range changes {
		change(config)
	}
	come := newComing()
	server := &http.Server{TLSConfig: config, ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.note(r)
		handler(w, r)
	})}
	go func() { _ = server.ServeTLS(come, "", "") }()
	f.t.Cleanup(func() { _ = server.Close() })
	f.come = come
	f.raw(come.serve)
}

// untrusted is a certificate for the front's address that proves nothing.
func (f *front) untrusted() tls.Certificate {
	f.t.Helper()
	certificate, err := f.cp.ServingCertificate(controlplane.ServingOptions{Untrusted: true})
	must(f.t, err)
	return certificate
}

// trusted is one of the cluster's CA.
func (f *front) trusted() tls.Certificate {
	f.t.Helper()
	certificate, err := f.cp.ServingCertificate(controlplane.ServingOptions{})
	must(f.t, err)
	return certificate
}

func (f *front) note(r *http.Request) {
	text, err := httputil.DumpRequest(r, true)
	_, _ = f.sent.Write(text)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method+" "+r.URL.String())
	if r.Method != http.MethodGet || r.URL.String() != clusterInfoPath || r.ContentLength != 0 || err != nil ||
		r.Header.Get("Authorization") != "" || len(r.Cookies()) > 0 || len(r.TLS.PeerCertificates) > 0 {
		f.strange = append(f.strange, fmt.Sprintf("%s %s, %d bytes, authorization %t, %d client certificates", r.Method, r.URL, r.ContentLength, r.Header.Get("Authorization") != "", len(r.TLS.PeerCertificates)))
	}
}

// visits are the connections to whoever is not the API server.
func (f *front) visits() int {
	f.sent.mu.Lock()
	defer f.sent.mu.Unlock()
	return f.sent.times
}

// assertTrustedWithNothing shows that whoever stood there was asked for cluster-info and sent nothing else.
func (f *front) assertTrustedWithNothing() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.strange) > 0 {
		f.t.Errorf("somebody who is not the API server was sent %q", f.strange)
	}
	id, secret, _ := strings.Cut(f.token, ".")
	for _, word := range []string{secret, id + ".", "Authorization", "authorization", "Bearer", "CERTIFICATE REQUEST", "certificatesigningrequests", f.name} {
		if f.sent.holds([]byte(word)) {
			f.t.Errorf("somebody who is not the API server was sent %q", word)
		}
	}
}

// assertNothingYet shows that the node has come no further, and has lost nothing.
func (f *front) assertNothingYet() {
	f.t.Helper()
	f.assertTrustedWithNothing()
	f.assertThere(f.tokenFile())
	for _, path := range []string{f.kubeconfig(), f.certDir().ServerCA(), f.certDir().ClientCA(), f.path("pki", "kubelet-client-current.pem"), f.path("pki", "kubelet-client.pending.pem")} {
		f.assertGone(path)
	}
	if all := f.csrs(csr.Client); len(all) > 0 {
		f.t.Errorf("there are %d requests", len(all))
	}
}

// quiet is for handshakes that fail, which is what these tests are about.
var quiet = log.New(io.Discard, "", 0)

// coming is a listener of connections that somebody else has accepted.
type coming struct {
	connections chan net.Conn
	over        chan struct{}
	once        sync.Once
}

func newComing() *coming {
	return &coming{connections: make(chan net.Conn), over: make(chan struct{})}
}

func (c *coming) Accept() (net.Conn, error) {
	select {
	case connection := <-c.connections:
		return connection, nil
	case <-c.over:
		return nil, net.ErrClosed
	}
}

func (c *coming) Close() error {
	c.once.Do(func() { close(c.over) })
	return nil
}

func (c *coming) Addr() net.Addr { return &net.TCPAddr{} }

// serve hands a connection over and returns when it is closed.
func (c *coming) serve(connection net.Conn) {
	noted := &notedEnd{Conn: connection, ended: make(chan struct{})}
	select {
	case c.connections <- noted:
		<-noted.ended
	case <-c.over:
	}
}

type notedEnd struct {
	net.Conn
	once  sync.Once
	ended chan struct{}
}

func (n *notedEnd) Close() error {
	defer n.once.Do(func() { close(n.ended) })
	return n.Conn.Close()
}
