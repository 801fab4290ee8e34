package status

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// elsewhere is a zone in which no time of a report may be written.
var elsewhere = time.FixedZone("elsewhere", 2*3600)

var noon = time.Date(2026, 3, 1, 14, 0, 0, 123456789, elsewhere) // 12:00 UTC

const day = 24 * time.Hour

// pair is one that was stored a day ago and has a year, from as many days before as age says.
func pair(commonName string, age, left time.Duration) *certdir.Pair {
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(42), Subject: pkix.Name{CommonName: commonName}, Issuer: pkix.Name{CommonName: "kubernetes"},
		NotBefore: noon.Add(-age), NotAfter: noon.Add(left),
	}
	file := "/var/lib/kubelet/pki/kubelet-client-2026-02-28-12-00-00.pem"
	if commonName == nodeUser {
		leaf.Subject.Organization = []string{"system:nodes"}
	}
	return &certdir.Pair{File: file, Leaf: leaf, ModTime: noon.Add(-age)}
}

func servingPair(commonName string, age, left time.Duration) *certdir.Pair {
	p := pair(commonName, age, left)
	p.File = "/var/lib/kubelet/pki/kubelet-server-2026-02-28-12-00-00.pem"
	p.Leaf.DNSNames, p.Leaf.IPAddresses = []string{"worker-1"}, []net.IP{net.ParseIP("192.0.2.10")}
	return p
}

const nodeUser = "system:node:worker-1"

var (
	settings     = config.Default()
	errNone      = fmt.Errorf("%w: /etc/kubernetes/bootstrap.kubeconfig does not exist", kubeconfig.ErrNoCredential)
	errNoPair    = fmt.Errorf("%w at /var/lib/kubelet/pki/kubelet-client-current.pem", certdir.ErrNoPair)
	errDamaged   = errors.New("/var/lib/kubelet/pki/kubelet-client-2026-02-28-12-00-00.pem: the file is empty")
	errKubeless  = errors.New("kubelet kubeconfig: open /etc/kubernetes/kubelet.kubeconfig: no such file or directory")
	bootstrapper = &kubeconfig.Bootstrap{Path: "/etc/kubernetes/bootstrap.kubeconfig", Source: kubeconfig.InlineToken}
)

// healthy is a node that has everything.
func healthy() Observed {
	return Observed{
		Now: noon, Node: "worker-1",
		Client:   Certificate{Kind: csr.Client, Pair: pair(nodeUser, day, 364*day)},
		Serving:  Certificate{Kind: csr.Serving, Pair: servingPair(nodeUser, day, 364*day), Linked: true},
		Kubelet:  &kubeconfig.Kubelet{Endpoint: apiserver.Endpoint{Server: "https://192.0.2.1:6443"}},
		ServerCA: []byte("a CA"), ClientCA: []byte("a CA"),
		BootstrapErr: errNone, Asker: &Asker{Agent: 4711},
	}
}

// empty is a node that has nothing.
func empty() Observed {
	return Observed{
		Now: noon, Node: "worker-1",
		Client:     Certificate{Kind: csr.Client, PairErr: errNoPair},
		Serving:    Certificate{Kind: csr.Serving, PairErr: errNoPair},
		KubeletErr: errKubeless, BootstrapErr: errNone, Asker: &Asker{Agent: 4711},
	}
}

func pending(kind csr.Kind, changes ...func(*csr.Pending)) *csr.Pending {
	p := &csr.Pending{Wish: csr.Wish{Kind: kind, NodeName: "worker-1"}, Name: "worker-1-kubelet-" + string(kind) + "-0123456789abcdef0123"}
	for _, change := range changes {
		change(p)
	}
	return p
}

func sent(p *csr.Pending)   { p.UID, p.Accepted = "uid", noon.Add(-90*time.Second) }
func issued(p *csr.Pending) { p.CertificatePEM = []byte("a certificate") }

func ended(outcome csr.Result) func(*csr.Pending) {
	return func(p *csr.Pending) {
		p.Ended = &csr.Ended{Outcome: outcome, Reason: "Policy", Message: "not today", At: noon.Add(-time.Minute)}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
