package e2e

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
)

// content is what a file holds when all is well, but for the state's own variant of it.
func (n *node) content(c found.Cell) []byte {
	n.t.Helper()
	name, when := n.name, today
	switch c.State.Name {
	case "of another node":
		name += "-other"
	case "expired":
		when = yesterday
	case "not yet valid":
		when = tomorrow
	}
	kind := csr.Client
	if strings.HasPrefix(c.File.Name, "serving") || strings.HasPrefix(c.File.Name, "kubelet.") {
		kind = csr.Serving
	}
	switch c.File.Kind {
	case found.Pair, found.PairLink, found.Link:
		return n.pair(kind, name, when)
	case found.Half:
		return n.half(c, n.pair(kind, name, when))
	case found.Pending:
		return n.encoded(n.requestInState(c, kind, name, when))
	case found.CA:
		return n.caOf(when)
	case found.Kubeconfig:
		return n.kubeconfigOf(c.File)
	default:
		return []byte("pid 4711\n")
	}
}

// half is the certificate or the key of a pair under the kubelet's own names. The other half is put beside it, unless the state is
// that they do not belong together.
func (n *node) half(c found.Cell, pair []byte) []byte {
	n.t.Helper()
	crt, key := halves(pair)
	mine, theirs, other := crt, key, "kubelet.key"
	if strings.HasPrefix(c.File.Name, "kubelet.key") {
		mine, theirs, other = key, crt, "kubelet.crt"
	}
	if c.State.Name != "with another key" {
		n.lay(other, theirs)
	}
	return mine
}

// requestInState is a request that was sent, and with its certificate if the file should have one.
func (n *node) requestInState(c found.Cell, kind csr.Kind, name string, when days) *csr.Pending {
	n.t.Helper()
	p := n.request(kind, name)
	if name == n.name && c.State.Name != "missing" {
		n.send(p)
	}
	switch {
	case c.File.Blocks <= 3:
		p.CertificatePEM = nil
	case len(p.CertificatePEM) == 0 || when != today:
		p = n.issue(p, when)
	}
	if c.State.Name == "with another key" {
		p.KeyPEM = n.request(kind, name).KeyPEM
	}
	return p
}

// send has the cluster issue the request's certificate, as for an agent that was killed meanwhile.
func (n *node) send(p *csr.Pending) {
	n.t.Helper()
	credential := apiserver.Credential{Token: n.cp.Token(controlplane.KubeletBootstrap)}
	if p.Wish.Kind == csr.Serving {
		pair, err := n.certDir().Read(certdir.Client)
		must(n.t, err)
		credential = apiserver.Credential{CertificatePEM: pair.PEM, KeyPEM: pair.PEM}
	}
	api, err := apiserver.New(p.Endpoint, credential, "killed-agent", clock.RealClock{})
	must(n.t, err)
	defer api.Close()
	asker := &csr.Asker{API: api, Clock: clock.RealClock{}, AsNode: p.Wish.Kind == csr.Serving, Accepted: func(object *certificatesv1.CertificateSigningRequest) {
		p.UID, p.Accepted = string(object.UID), object.CreationTimestamp.Time
	}}
	sent := *p
	n.sent = map[string]bool{p.Name: true}
	outcome, err := asker.Ask(n.t.Context(), &sent)
	must(n.t, err)
	p.CertificatePEM = outcome.CertificatePEM
}

// caOf is the cluster's CA, or one of the same name and key with another validity.
func (n *node) caOf(when days) []byte {
	n.t.Helper()
	if when == today {
		return n.cp.CA()
	}
	ca := clusterCA(n.t, n.cp)
	template := *ca.Leaf
	template.NotBefore, template.NotAfter = when.window()
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, ca.Leaf.PublicKey, ca.PrivateKey)
	must(n.t, err)
	return pemOf(der)
}

func (n *node) kubeconfigOf(file found.File) []byte {
	n.t.Helper()
	if file.Name == "kubelet.kubeconfig" {
		k := kubeconfig.Kubelet{Endpoint: n.endpoint(), CAFile: n.certDir().ServerCA(), ClientPEM: n.path("pki", "kubelet-client-current.pem")}
		content, err := k.Render()
		must(n.t, err)
		return content
	}
	content, err := n.cp.Kubeconfig("", n.staticToken(controlplane.KubeletBootstrap))
	must(n.t, err)
	return content
}

// spoiled is the content in a state that is about its bytes.
func spoiled(c found.Cell, good []byte) []byte {
	var block int
	switch _, err := fmt.Sscanf(c.State.Name, "cut within block %d", &block); {
	case err == nil:
		begin, end := blockAt(good, block)
		return good[:(begin+end)/2]
	case strings.HasPrefix(c.State.Name, "cut after block"):
		_, _ = fmt.Sscanf(c.State.Name, "cut after block %d", &block)
		_, end := blockAt(good, block)
		return good[:end]
	}
	switch c.State.Name {
	case "cut off":
		return good[:len(good)/2]
	case "empty":
		return nil
	case "garbage":
		return bytes.Repeat([]byte{0, 0xff, '\n', 'x'}, 100)
	case "without its key":
		return without(good, "PRIVATE KEY")
	case "without its certificate", "without its certificate too":
		return without(good, "CERTIFICATE")
	case "with another key":
		if c.File.Kind == found.Pair {
			_, other := halves(anotherKey())
			crt, _ := halves(good)
			return append(crt, other...)
		}
	}
	return good
}

// blockAt is where a PEM block of a text begins and ends.
func blockAt(text []byte, number int) (begin, end int) {
	for range number {
		begin = end + bytes.Index(text[end:], []byte("-----BEGIN"))
		after := begin + bytes.Index(text[begin:], []byte("-----END"))
		end = after + bytes.IndexByte(text[after:], '\n') + 1
	}
	return begin, end
}

// without takes the blocks of a type away.
func without(text []byte, suffix string) []byte {
	rest, _, _ := bytes.Cut(text, []byte("-----BEGIN"))
	rest = bytes.Clone(rest)
	for block, more := pem.Decode(text); block != nil; block, more = pem.Decode(more) {
		if !strings.HasSuffix(block.Type, suffix) {
			rest = append(rest, pem.EncodeToMemory(block)...)
		}
	}
	return rest
}

// halves are a pair's certificate and key.
func halves(pair []byte) (crt, key []byte) {
	return without(pair, "PRIVATE KEY"), without(pair, "CERTIFICATE")
}

func anotherKey() []byte {
	p, err := csr.New(csr.Wish{Kind: csr.Client, NodeName: "other", KeyAlgorithm: "ecdsa-p256"}, apiserver.Endpoint{})
	if err != nil {
		panic(err)
	}
	return p.KeyPEM
}
