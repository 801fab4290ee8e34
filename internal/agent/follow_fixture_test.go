package agent

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// began is when the tests of following begin: the certificates of connections are judged by the real clock.
var began = time.Now().Truncate(time.Second)

// caNamed is a CA of its own, or, with a signer, whose certificate that has signed.
func caNamed(name string, key crypto.Signer, signer *authority, until time.Time) authority {
	if key == nil {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		key = private
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: began.AddDate(-1, 0, 0), NotAfter: until, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	by := authority{template, key, nil}
	if signer != nil {
		by = *signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// followCAs are the CAs of one story.
var followCAs = sync.OnceValue(func() map[string]authority {
	long := began.AddDate(10, 0, 0)
	m := map[string]authority{}
	m["old"] = caNamed("old", nil, nil, long)
	m["new"] = caNamed("new", nil, nil, long)
	m["short"] = caNamed("short", nil, nil, began.Add(time.Hour)) // by the agent's clock, which runs faster than the real one
	old, rogue := m["old"], caNamed("rogue", nil, nil, long)
	m["rogue"] = rogue
	m["cross"] = caNamed("new", m["new"].key, &old, long)
	m["other"] = caNamed("other", nil, nil, long)
	m["forged old"] = caNamed("old", m["old"].key, &rogue, began.AddDate(900, 0, 0))
	m["forged new"] = caNamed("new", m["new"].key, &rogue, began.AddDate(900, 0, 0))
	m["expired"] = caNamed("expired", nil, nil, began.Add(-time.Minute))
	return m
})

// serverPairs are what an API server shows, by the CA that it is from.
var serverPairs = sync.OnceValue(func() map[string]tls.Certificate {
	pairs := map[string]tls.Certificate{}
	for name, ca := range followCAs() {
		pair, err := tls.X509KeyPair(ca.serverPair())
		if err != nil {
			panic(err)
		}
		pairs[name] = pair
	}
	return pairs
})

// bundleOf is a PEM bundle of CAs by name, "old, new".
func bundleOf(names string) []byte {
	var bundle []byte
	for name := range strings.SplitSeq(names, ", ") {
		ca, known := followCAs()[name]
		if !known {
			panic("no CA is called " + name)
		}
		bundle = append(bundle, ca.pem...)
	}
	return bundle
}

// namesIn is the reverse.
func namesIn(bundle []byte) string {
	var names []string
	for _, c := range discovery.InUse(bundle) {
		name := c.Subject.String() + ", which is nobody's"
		for known, ca := range followCAs() {
			if ca.cert.Equal(c) {
				name = known
			}
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func pinOf(name string) string { return string(discovery.PinOf(followCAs()[name].cert)) }

// caServer is an API server that can have its certificate from one CA and then from another, and whoever is in front of it.
type caServer struct {
	*httptest.Server
	mu sync.Mutex
	// shows is whose certificate it shows; publishes is what cluster-info names; empty: there is none.
	shows, publishes string
	// then is what cluster-info names to those who read it a second time.
	then string
	// answers is the code of every answer, and user who everybody is; zero: as is fit. down: connections are cut.
	answers int
	user    string
	down    bool
	now     func() time.Time
	// asked are the requests, by path.
	asked map[string]int
	// hold keeps requests that come now until it is closed; held is how many there are.
	hold chan struct{}
	held int
}

func (s *caServer) holding() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

func newCAServer(t *testing.T, shows string) *caServer {
	t.Helper()
	s := &caServer{shows: shows, asked: map[string]int{}, now: time.Now}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", s.whoAmI)
	mux.HandleFunc("GET /api/v1/namespaces/kube-public/configmaps/cluster-info", s.clusterInfo)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, apierrors.NewUnauthorized("by the stand-in"))
	})
	s.Server = httptest.NewUnstartedServer(s.inFront(mux))
	s.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return &tls.Config{ClientAuth: tls.RequestClientCert, Certificates: []tls.Certificate{serverPairs()[s.shows]}}, nil
	}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// set changes the server; connections that were made before are closed, as by a restart.
func (s *caServer) set(change func(*caServer)) {
	s.mu.Lock()
	change(s)
	s.mu.Unlock()
	s.CloseClientConnections()
}

func (s *caServer) inFront(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		down, answers, hold := s.down, s.answers, s.hold
		if hold != nil {
			s.held++
		}
		s.asked[r.URL.Path]++
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
		s.mu.Unlock()
		if hold != nil {
			<-hold
		}
		if r.Header.Get("Authorization") != "" {
			panic("a token was sent")
		}
		switch {
		case down:
			panic(http.ErrAbortHandler)
		case answers != 0:
			err := apierrors.NewInternalError(io.EOF)
			err.ErrStatus.Code = int32(answers)
			refuse(w, err)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *caServer) whoAmI(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := s.user
	if name == "" {
		name = user(r)
	}
	if name == "" {
		refuse(w, apierrors.NewUnauthorized("by the stand-in"))
		return
	}
	review := &authenticationv1.SelfSubjectReview{}
	review.Status.UserInfo = authenticationv1.UserInfo{Username: name, Groups: []string{csr.NodesGroup}}
	answer(w, http.StatusCreated, review)
}

func (s *caServer) clusterInfo(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(r.TLS.PeerCertificates) > 0 {
		panic("the node's certificate was shown to whoever answers")
	}
	names := s.publishes
	if s.then != "" && s.asked[r.URL.Path] > 1 {
		names = s.then
	}
	if names == "" {
		refuse(w, apierrors.NewNotFound(corev1.Resource("configmaps"), "cluster-info"))
		return
	}
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: '', cluster: {server: 'https://192.0.2.1:6443', certificate-authority-data: %s}}]\n",
		base64.StdEncoding.EncodeToString(bundleOf(names)))
	answer(w, http.StatusOK, map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "data": map[string]string{"kubeconfig": text}})
}

// follower is a node of such a server's cluster, which trusts the old CA, and its agent.
type follower struct {
	*machine
	t      *testing.T
	server *caServer
	clock  *testingclock.FakeClock
	agent  *Agent
	ctx    context.Context
	log    bytes.Buffer
	heard  failed
	before func(durable.Op) error
	end    func()
}

// failures are the failures that were counted.
type failed struct {
	unheard
	of map[string]int
}

func (c *failed) Failed(phase status.Phase, reason string) { c.of[string(phase)+" "+reason]++ }

// newFollower returns one whose agent has looked at everything once.
func newFollower(t *testing.T, server *caServer, change func(*follower)) *follower {
	t.Helper()
	f := &follower{machine: newMachine(t), t: t, server: server, clock: testingclock.NewFakeClock(began), heard: failed{of: map[string]int{}}}
	server.mu.Lock()
	server.now = f.clock.Now
	server.mu.Unlock()
	f.cfg.Serving, f.cfg.RotateCertificates = "off", false // nothing else is going on
	p, err := csr.New(csr.Wish{Kind: csr.Client, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"}, apiserver.Endpoint{})
	must(t, err)
	p.CertificatePEM = followCAs()["old"].signFor(1000*time.Hour, p.RequestPEM, x509.ExtKeyUsageClientAuth, began.Add(-time.Minute))
	must(t, os.MkdirAll(f.cfg.CertDir, 0o700))
	must(t, f.dir.Commit(certdir.Client, p.PairPEM(), began))
	must(t, f.dir.WriteCA(f.dir.ServerCA(), bundleOf("old")))
	must(t, f.dir.WriteCA(f.dir.ClientCA(), bundleOf("old")))
	_, err = kubeconfig.WriteKubelet(f.dir.Disk, f.cfg.Kubeconfig, kubeconfig.Kubelet{
		Endpoint: apiserver.Endpoint{Server: server.URL}, CAFile: f.dir.ServerCA(), ClientPEM: f.dir.Current(certdir.Client),
	})
	must(t, err)
	change(f)
	f.start()
	t.Cleanup(func() { f.end() })
	return f
}

// start begins another life of the agent.
func (f *follower) start() {
	f.t.Helper()
	if f.end != nil {
		f.end()
	}
	options := Options{Config: f.cfg, Clock: f.clock, Log: slog.New(slog.NewTextHandler(&f.log, nil)), Metrics: &f.heard}
	options.Disk.Before = func(op durable.Op) error {
		if f.before != nil {
			return f.before(op)
		}
		return nil
	}
	a := New(options)
	a.started = f.clock.Now()
	must(f.t, a.open())
	ctx, cancel := context.WithCancel(f.t.Context())
	f.agent, f.ctx = a, ctx
	f.end = func() {
		cancel()
		a.tasks.Wait()
		a.disconnect()
		a.lock.Close()
	}
	f.settle()
}

// settle acts until there is nothing more to do now.
func (f *follower) settle() {
	f.t.Helper()
	a := f.agent
	for range 50 {
		o := a.observe()
		a.noticeCredential(o)
		if a.act(f.ctx, o) {
			continue
		}
		a.report(o)
		if !a.following.running && !a.credential.running {
			return
		}
		select {
		case report := <-a.events:
			report()
		case <-time.After(30 * time.Second):
			f.t.Fatal("a task does not end")
		}
	}
	f.t.Fatalf("never comes to rest:\n%s", f.log.String())
}

// look has the agent look, d later.
func (f *follower) look(d time.Duration) {
	f.t.Helper()
	f.clock.Step(d)
	f.settle()
}

// writes puts a CA file in place, and lets the agent look when it has been the same for long enough.
func (f *follower) writes(content []byte) {
	f.t.Helper()
	must(f.t, durable.Disk{}.WriteFile(f.cfg.CAFile, content, 0o644))
	f.look(0)
	f.look(settlesIn)
}

// trusts are the CAs in the two files, by name.
func (f *follower) trusts() (server, clients string) {
	f.t.Helper()
	read := func(path string) string {
		content, err := os.ReadFile(path)
		must(f.t, err)
		return namesIn(content)
	}
	return read(f.dir.ServerCA()), read(f.dir.ClientCA())
}

// expect fails the test unless both files hold these CAs.
func (f *follower) expect(names string) {
	f.t.Helper()
	if server, clients := f.trusts(); server != names || clients != names {
		f.t.Errorf("the API server's CA is %q and that of the kubelet's callers %q, expected %q:\n%s", server, clients, names, f.log.String())
	}
}

// expectSaid looks for a text in log and STATUS=.
func (f *follower) expectSaid(text string) {
	f.t.Helper()
	if line := f.agent.followingLine().text; !strings.Contains(f.log.String(), text) || !strings.Contains(line, text) {
		f.t.Errorf("%q is not said in both; STATUS= %q, log:\n%s", text, line, f.log.String())
	}
}

// own asks who the node is, over the agent's own connection.
func (f *follower) own() error {
	f.t.Helper()
	o := f.agent.observe()
	api, err := f.agent.nodeAPI(o.Client.Pair.PEM, o.Client.Pair.PEM, o.Kubelet.Endpoint)
	must(f.t, err)
	for range 10 { // a connection that the server has just closed may be found out by using it
		if _, err = api.WhoAmI(f.t.Context()); err == nil || apiserver.ReasonOf(err) != apiserver.Unreachable {
			break
		}
	}
	return err
}

// leadsKubeletTo has the kubelet reach the API server elsewhere than the agent.
func (f *follower) leadsKubeletTo(server string) {
	f.t.Helper()
	_, err := kubeconfig.WriteKubelet(f.dir.Disk, f.cfg.Kubeconfig, kubeconfig.Kubelet{
		Endpoint: apiserver.Endpoint{Server: f.server.URL}, KubeletServer: server, CAFile: f.dir.ServerCA(), ClientPEM: f.dir.Current(certdir.Client),
	})
	must(f.t, err)
}
