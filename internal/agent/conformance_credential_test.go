package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// foundIdentity is what an agent finds of a node's identity.
type foundIdentity struct {
	// age and life of the certificate; no life: there is none.
	age, life time.Duration
	// embedded is where it stands: inside the kubelet's kubeconfig, as kubeadm writes it at first, and not in the cert-dir.
	embedded bool
	// credential says whether a bootstrap kubeconfig is there.
	credential bool
}

const (
	byToken = "system:bootstrap:abcdef"
	byNode  = "the node itself"
	nobody  = ""
)

// Which credential a request is sent with: the cases of client-go's TestInitializeCertificateSigningRequestClient,
// TestInitializeOtherRESTClients and TestNewManager…, of TestLoadClientConfig, and of the kubelet's two tests of its client manager. An
// identity that is valid is used, and nothing else; an expired one never; and none is taken out of a kubeconfig.
func TestEachRequestIsSentWithTheCredentialThatTheStateLeaves(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	const hour = time.Hour
	for i, c := range []struct {
		name  string
		found foundIdentity
		by    string
	}{
		{"nothing, and a credential", foundIdentity{credential: true}, byToken},
		{"nothing", foundIdentity{}, nobody},
		{"valid", foundIdentity{age: time.Minute, life: hour}, nobody},
		{"valid, and a credential", foundIdentity{age: time.Minute, life: hour, credential: true}, nobody},
		{"valid, and its time has come", foundIdentity{age: 55 * time.Minute, life: hour}, byNode},
		{"valid, its time has come, and a credential", foundIdentity{age: 55 * time.Minute, life: hour, credential: true}, byNode},
		{"expired", foundIdentity{age: 2 * hour, life: hour}, nobody},
		{"expired, and a credential", foundIdentity{age: 2 * hour, life: hour, credential: true}, byToken},
		{"embedded", foundIdentity{embedded: true, age: time.Minute, life: hour}, nobody},
		{"embedded, and a credential", foundIdentity{embedded: true, age: time.Minute, life: hour, credential: true}, byToken},
		{"embedded and expired, and a credential", foundIdentity{embedded: true, age: 2 * hour, life: hour, credential: true}, byToken},
		{"embedded and meaningless, and a credential", foundIdentity{embedded: true, credential: true}, byToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := newJoiner(t, api, fmt.Sprintf("credential-%d", i), false)
			j.cfg.Once, j.cfg.Timeout.Duration, j.cfg.Serving = false, 0, string(serving.Off)
			j.furnish(c.found, api.url)
			done := func() bool { return j.joinedAnew(api) }
			if c.by == nobody {
				done = nil
			}
			j.live(done)
			by := api.requesters(j.node)
			if expected := strings.Replace(c.by, byNode, "system:node:"+j.node, 1); by != expected {
				t.Fatalf("asked by %q, expected %q\n%s", by, expected, j.log.String())
			}
			if c.by != nobody {
				j.expectPathsAndTwoPairs()
			}
		})
	}
}

// furnish puts on the machine what is found.
func (j *joiner) furnish(f foundIdentity, server string) {
	j.t.Helper()
	if !f.credential {
		must(j.t, os.Remove(j.cfg.BootstrapKubeconfig))
	}
	endpoint := apiserver.Endpoint{Server: server, CA: theCA().pem}
	must(j.t, j.dir.Open())
	must(j.t, j.dir.WriteCA(j.dir.ServerCA(), theCA().pem))
	must(j.t, j.dir.WriteCA(j.dir.ClientCA(), theCA().pem))
	cert, key := []byte("no certificate"), []byte("no key")
	if f.life > 0 {
		p, err := csr.New(csr.Wish{Kind: csr.Client, NodeName: j.node, KeyAlgorithm: "ecdsa-p256"}, endpoint)
		must(j.t, err)
		begin := time.Now().Add(-f.age)
		p.CertificatePEM = theCA().signFor(f.life, p.RequestPEM, x509.ExtKeyUsageClientAuth, begin)
		cert, key = p.CertificatePEM, p.KeyPEM
		if !f.embedded {
			must(j.t, j.dir.Commit(certdir.Client, p.PairPEM(), begin))
			file, err := filepath.EvalSymlinks(j.dir.Current(certdir.Client))
			must(j.t, err)
			must(j.t, os.Chtimes(file, begin, begin))
		}
	}
	switch {
	case f.embedded:
		user := fmt.Sprintf("client-certificate-data: %s, client-key-data: %s", base64.StdEncoding.EncodeToString(cert), base64.StdEncoding.EncodeToString(key))
		j.write(j.t, j.cfg.Kubeconfig, bytes.Replace(bootstrapKubeconfig(server, theCA().pem), []byte("token: "+token), []byte(user), 1))
	case f.life > 0:
		_, err := kubeconfig.WriteKubelet(durable.Disk{}, j.cfg.Kubeconfig, kubeconfig.Kubelet{Endpoint: endpoint, CAFile: j.dir.ServerCA(), ClientPEM: j.dir.Current(certdir.Client)})
		must(j.t, err)
	}
}

// live runs the daemon until done, or until it has said how things stand and has had a moment to do what it should not.
func (j *joiner) live(done func() bool) {
	j.t.Helper()
	ctx, cancel := context.WithCancel(j.t.Context())
	said, ended := make(chan struct{}), make(chan error)
	var once sync.Once
	notify := func(state string) {
		if strings.HasPrefix(state, "STATUS=") {
			once.Do(func() { close(said) })
		}
	}
	go func() {
		log := slog.New(slog.NewTextHandler(&j.log, nil))
		ended <- New(Options{Config: j.cfg, Clock: clock.RealClock{}, Log: log, Notify: notify, UserAgent: "test"}).Run(ctx)
	}()
	<-said
	limit := time.Second
	if done != nil {
		limit = 20 * time.Second
	}
	for until := time.Now().Add(limit); time.Now().Before(until) && (done == nil || !done()); {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	must(j.t, <-ended)
}

// joinedAnew says whether the node has a certificate that it asked for.
func (j *joiner) joinedAnew(api *apiStandIn) bool {
	o := status.Observe(j.cfg, time.Now())
	return api.requestsOf(j.node, csr.Client) > 0 && o.HasIdentity() && o.Client.Pending == nil
}

// requesters are who made the requests of a node.
func (s *apiStandIn) requesters(node string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var users []string
	for name, object := range s.ever {
		if strings.HasPrefix(name, node+"-kubelet-") {
			users = append(users, object.Spec.Username)
		}
	}
	return strings.Join(users, " ")
}

// expectPathsAndTwoPairs shows that the kubelet reads the current pair by its path, and that at most the one before is kept besides.
func (j *joiner) expectPathsAndTwoPairs() {
	j.t.Helper()
	k, err := kubeconfig.LoadKubelet(j.cfg.Kubeconfig)
	must(j.t, err)
	content, err := os.ReadFile(j.cfg.Kubeconfig)
	must(j.t, err)
	if k.ClientPEM != j.dir.Current(certdir.Client) || bytes.Contains(content, []byte("-data")) {
		j.t.Errorf("the kubelet's kubeconfig names %s, expected %s and no data", k.ClientPEM, j.dir.Current(certdir.Client))
	}
	pair, err := j.dir.Read(certdir.Client)
	must(j.t, err)
	if left := time.Until(pair.Leaf.NotAfter); left < 50*time.Minute {
		j.t.Errorf("the pair in use is valid for %s", left)
	}
	if older := j.dir.Older(certdir.Client); len(older) > 1 {
		j.t.Errorf("%d pairs beside the one in use", len(older))
	}
}
