package e2e

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
)

// clusterCA is the control plane's own CA with its key: what it signs is as good as what the signer signs, and quicker.
func clusterCA(t *testing.T, cp *controlplane.ControlPlane) tls.Certificate {
	t.Helper()
	pki := filepath.Join(cp.Dir(), "pki")
	ca, err := tls.LoadX509KeyPair(filepath.Join(pki, "ca.crt"), filepath.Join(pki, "ca.key"))
	must(t, err)
	return ca
}

// days are the first and the last day of a certificate, counted from today.
type days struct{ from, to int }

var (
	today     = days{0, 1}
	yesterday = days{-2, -1} // and over
	tomorrow  = days{1, 2}
)

func (d days) window() (notBefore, notAfter time.Time) {
	now := time.Now().Add(-time.Hour)
	return now.AddDate(0, 0, d.from), now.AddDate(0, 0, d.to)
}

// request makes a key of the node's and a request for it.
func (n *node) request(kind csr.Kind, name string) *csr.Pending {
	n.t.Helper()
	wish := csr.Wish{Kind: kind, NodeName: name, KeyAlgorithm: "ecdsa-p256"}
	if kind == csr.Serving {
		wish.DNSNames, wish.IPAddresses = []string{name}, []string{"192.0.2.10"}
	}
	p, err := csr.New(wish, n.endpoint())
	must(n.t, err)
	return p
}

func (n *node) endpoint() apiserver.Endpoint {
	return apiserver.Endpoint{Server: n.cp.Server(), CA: n.cp.CA()}
}

// issue signs a request as the cluster's signer would.
func (n *node) issue(p *csr.Pending, when days) *csr.Pending {
	n.t.Helper()
	public, err := p.PublicKey()
	must(n.t, err)
	usage := x509.ExtKeyUsageClientAuth
	if p.Wish.Kind == csr.Serving {
		usage = x509.ExtKeyUsageServerAuth
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		DNSNames: p.Wish.DNSNames,
	}
	for _, ip := range p.Wish.IPAddresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	template.Subject.CommonName, template.Subject.Organization = p.Wish.CommonName(), []string{csr.NodesGroup}
	template.NotBefore, template.NotAfter = when.window()
	ca := clusterCA(n.t, n.cp)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.Leaf, public, ca.PrivateKey)
	must(n.t, err)
	p.CertificatePEM, p.UID, p.Accepted = pemOf(der), "of-an-earlier-start", time.Now()
	return p
}

// pair is a certificate of the node's and its key, as a data file has them.
func (n *node) pair(kind csr.Kind, name string, when days) []byte {
	n.t.Helper()
	return n.issue(n.request(kind, name), when).PairPEM()
}

func (n *node) encoded(p *csr.Pending) []byte {
	n.t.Helper()
	content, err := p.Encode()
	must(n.t, err)
	return content
}

// furnish puts on the disk what the agent finds besides the file in question.
func (n *node) furnish(around found.Around) {
	n.t.Helper()
	must(n.t, os.Mkdir(n.certDir().Path, 0o700))
	must(n.t, os.Mkdir(n.path("elsewhere"), 0o700))
	if around == found.Fresh {
		return
	}
	n.lay(found.ClientPair, n.pair(csr.Client, n.name, today))
	n.link(found.ClientPair, n.certDir().Current(certdir.Client))
	if around == found.JoinedOlder {
		n.lay(found.OlderPair, n.pair(csr.Client, n.name, today))
	}
	if around == found.OwnPair {
		crt, key := halves(n.pair(csr.Serving, n.name, today))
		n.lay("kubelet.crt", crt)
		n.lay("kubelet.key", key)
	} else {
		n.lay(found.ServingPair, n.pair(csr.Serving, n.name, today))
		n.link(found.ServingPair, n.certDir().Current(certdir.Serving))
		n.link("kubelet-server-current.pem", n.certDir().Path+"/kubelet.crt")
		n.link("kubelet-server-current.pem", n.certDir().Path+"/kubelet.key")
	}
	n.lay("kubelet-apiserver-ca.crt", n.cp.CA())
	n.lay("kubelet-client-ca.crt", n.cp.CA())
	kubelet := kubeconfig.Kubelet{Endpoint: n.endpoint(), CAFile: n.certDir().ServerCA(), ClientPEM: n.certDir().Current(certdir.Client)}
	content, err := kubelet.Render()
	must(n.t, err)
	must(n.t, os.WriteFile(n.kubeconfig(), content, 0o600))
}

// lay puts a file into the cert-dir.
func (n *node) lay(name string, content []byte) {
	n.t.Helper()
	must(n.t, os.WriteFile(filepath.Join(n.certDir().Path, name), content, 0o600))
}

func (n *node) link(target, path string) {
	n.t.Helper()
	must(n.t, os.Symlink(target, path))
}
