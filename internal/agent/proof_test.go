package agent

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

func leafOf(t *testing.T, p *csr.Pending) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(p.CertificatePEM)
	leaf, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return leaf
}

func TestOnlyTheAPIServersWordProvesACertificate(t *testing.T) {
	m := newMaterial(t)
	node := apiserver.User{Name: nodeUser, Groups: []string{"system:nodes", "system:authenticated"}}
	unauthorized := apierrors.NewUnauthorized("by a test")
	for _, c := range []struct {
		name    string
		user    apiserver.User
		err     error
		since   time.Duration // how long it has been refused already
		proved  bool
		ended   bool
		trouble string
		wait    time.Duration
	}{
		{"answered as this node", node, nil, 0, true, false, "", 0},
		{"answered as this node by a 403, which does not say the groups", apiserver.User{Name: nodeUser}, nil, 0, true, false, "", 0},
		{"answered as this node, at last", node, nil, 14 * time.Minute, true, false, "", 0},
		{"answered as another node", apiserver.User{Name: otherUser, Groups: node.Groups}, nil, 0, false, false, "takes the new client certificate for user", 30 * time.Second},
		{"answered as nobody", apiserver.User{Name: "system:anonymous"}, nil, 0, false, false, "system:anonymous", 30 * time.Second},
		{"answered as this node without the nodes' group", apiserver.User{Name: nodeUser, Groups: []string{"system:authenticated"}}, nil, 0, false, false, "in groups", 30 * time.Second},
		{"unauthorized", apiserver.User{}, unauthorized, 0, false, false, "--client-ca-file", 30 * time.Second},
		{"unauthorized for almost a quarter of an hour", apiserver.User{}, unauthorized, 15*time.Minute - 1, false, false, "--client-ca-file", 30 * time.Second},
		{"unauthorized for a quarter of an hour", apiserver.User{}, unauthorized, 15 * time.Minute, false, true, "the issued certificate cannot be used", 0},
		{"no answer is no refusal", apiserver.User{}, errors.New("connection reset"), 15 * time.Minute, false, false, "connection reset", -1},
		{"an overloaded server is no refusal", apiserver.User{}, apierrors.NewTooManyRequests("by a test", 9), 15 * time.Minute, false, false, "throttled", 9 * time.Second},
	} {
		s, p := asking(t, m, "issued", func(p *csr.Pending) {
			if c.since > 0 {
				p.RefusedSince = noon.Add(-c.since)
			}
		})
		s.agent.proved(p, leafOf(t, p), c.user, nodeHolder{}, c.err)
		after := s.pending(t)
		if s.agent.client.proved(after) != c.proved || (after.Ended != nil) != c.ended || !strings.Contains(s.agent.client.trouble, c.trouble) {
			t.Errorf("%s: proved %v, ended %+v, trouble %q", c.name, s.agent.client.proved(after), after.Ended, s.agent.client.trouble)
		}
		if wait := s.wait(); c.wait >= 0 && wait != c.wait {
			t.Errorf("%s: again after %s, expected %s", c.name, wait, c.wait)
		}
		refused := c.wait == 30*time.Second
		if begun := after.RefusedSince.Equal(noon); refused && c.since == 0 && !begun {
			t.Errorf("%s: refused since %s on the disk, so a restart would begin to count anew", c.name, after.RefusedSince)
		}
	}
}

func TestACertificateOutsideItsTimeWaitsForItAndIsNotAskedForAgain(t *testing.T) {
	m := newMaterial(t)
	node := apiserver.User{Name: nodeUser, Groups: []string{"system:nodes"}}
	for _, c := range []struct {
		name string
		// begins is when the certificate's hour begins; server how far the API server's clock is ahead of ours.
		begins, server time.Duration
		proved, ended  bool
		says           string
	}{
		{"both clocks are in its hour", -time.Minute, 0, true, false, ""},
		{"it begins in a minute", time.Minute, 0, false, false, "is valid from"},
		{"it begins in a minute by our clock, the API server is ahead", time.Minute, 10 * time.Minute, true, false, ""},
		{"its hour is over", -61 * time.Minute, 0, false, true, "was valid until"},
		{"its hour is over by our clock only: the kubelet would not take it", -61 * time.Minute, -30 * time.Minute, false, false, "set the clock of this machine"},
		{"its hour is over by the API server's clock only", -time.Minute, 61 * time.Minute, false, true, "was valid until"},
	} {
		s, p := asking(t, m, "issued", func(p *csr.Pending) { p.CertificatePEM = theCA().issue(p, noon.Add(c.begins)) })
		s.agent.noted.server, s.agent.noted.local = noon.Add(c.server), noon
		s.agent.proved(p, leafOf(t, p), node, nodeHolder{}, nil)
		after := s.pending(t)
		if s.agent.client.proved(after) != c.proved || (after.Ended != nil) != c.ended || !strings.Contains(s.agent.client.trouble, c.says) {
			t.Errorf("%s: proved %v, ended %+v, trouble %q", c.name, s.agent.client.proved(after), after.Ended, s.agent.client.trouble)
		}
		if waits := !c.proved && !c.ended; waits && s.wait() != 30*time.Second {
			t.Errorf("%s: looked at again after %s", c.name, s.wait())
		}
	}
}

// With a public or a company's CA there, all its holders would be let in at port 10250.
func TestOnlyTheIssuerOrWhatIsConfiguredMayCallTheKubelet(t *testing.T) {
	m := newMaterial(t)
	issuedPEM := func() []byte { _, p := asking(t, m, "issued", nil); return p.CertificatePEM }()
	foreign, rest := pem.Decode(m.placeholder) // some certificate that signed nothing of ours
	foreignPEM := pem.EncodeToMemory(foreign)
	if len(rest) == 0 {
		t.Fatal("expected a key behind the certificate")
	}
	for _, c := range []struct {
		name                     string
		certificates, endpointCA []byte
		configured               []byte
		expect                   []byte
		says                     string
	}{
		{"the CA of the kubeconfig signed it", issuedPEM, theCA().pem, nil, theCA().pem, ""},
		{"one of the CAs of the kubeconfig signed it", issuedPEM, slices.Concat(foreignPEM, theCA().pem), nil, slices.Concat(foreignPEM, theCA().pem), ""},
		{"another CA signed it, which is in the answer", slices.Concat(issuedPEM, theCA().pem), foreignPEM, nil, theCA().pem, ""},
		{"another CA signed it, which nobody names", issuedPEM, foreignPEM, nil, nil, "did not sign the node's client certificate"},
		{"the answer holds a CA that did not sign it", slices.Concat(issuedPEM, foreignPEM), foreignPEM, nil, nil, "did not sign"},
		{"one is configured", issuedPEM, theCA().pem, foreignPEM, foreignPEM, ""},
		{"what is configured is no certificate", issuedPEM, theCA().pem, []byte("good morning"), nil, "holds no PEM certificate"},
		{"no certificate", nil, theCA().pem, nil, nil, "no certificate"},
	} {
		on := newMachine(t)
		a := thinker()
		a.cfg = on.cfg
		if c.configured != nil {
			a.cfg.KubeletClientCAFile = on.cfg.Kubeconfig + ".ca"
			on.write(t, a.cfg.KubeletClientCAFile, c.configured)
		}
		bundle, err := a.clientCA(c.certificates, c.endpointCA)
		if string(bundle) != string(c.expect) || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v", c.name, bundle, err)
		}
	}
	a := thinker()
	a.cfg.KubeletClientCAFile = "/none"
	if _, err := a.clientCA(issuedPEM, theCA().pem); err == nil || !strings.Contains(err.Error(), "--kubelet-client-ca-file") {
		t.Errorf("a configured file that is not there: %v, expected to hear of it", err)
	}
}
