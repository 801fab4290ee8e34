package agent

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	nodeUser  = "system:node:worker-1"
	otherUser = "system:node:worker-2"
	// current are the settings of now; a request may have been made with others.
	current = "settings"
)

var (
	errNone   = fmt.Errorf("%w: it does not exist", kubeconfig.ErrNoCredential)
	errNoPair = fmt.Errorf("%w at all", certdir.ErrNoPair)
	errBad    = errors.New("damaged")
)

// scene is all that a decision is made from.
type scene struct {
	o        status.Observed
	m        memory
	wish     *csr.Wish
	settings string
	joining  bool
	// replaces, started and lacks are as in aim.
	replaces, started, lacks bool
}

// aim is what is wanted in the scene, by an agent that rotates.
func (s *scene) aim() aim {
	return aim{wish: s.wish, settings: s.settings, rotates: true, replaces: s.replaces, started: s.started, lacks: s.lacks}
}

// newcomer is a node with a credential and nothing else.
func newcomer() *scene {
	return &scene{
		o: status.Observed{
			Now: noon, Node: "worker-1", Bootstrap: &kubeconfig.Bootstrap{Path: "/bootstrap.kubeconfig"},
			Client:     status.Certificate{Kind: csr.Client, PairErr: errNoPair},
			Serving:    status.Certificate{Kind: csr.Serving, PairErr: errNoPair},
			KubeletErr: errBad,
		},
		wish: &csr.Wish{Kind: csr.Client, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"}, settings: current,
	}
}

// member is a node that has everything and no credential.
func member() *scene {
	s := newcomer()
	s.o.Bootstrap, s.o.BootstrapErr = nil, errNone
	s.o.Client.Pair, s.o.Client.PairErr = pairFor(nodeUser, time.Hour), nil
	s.o.Serving.Pair, s.o.Serving.PairErr, s.o.Serving.Linked = pairFor(nodeUser, time.Hour), nil, true
	s.o.Kubelet, s.o.KubeletErr, s.o.ClientCA = &kubeconfig.Kubelet{}, nil, []byte("a CA")
	return s
}

// joined is a node whose serving certificate is a placeholder still.
func joined() *scene {
	s := member()
	s.o.Serving.Pair = pairFor("worker-1@bootstrap-agent-placeholder", time.Hour)
	s.wish = &csr.Wish{Kind: csr.Serving, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256", DNSNames: []string{"worker-1"}, IPAddresses: []string{"192.0.2.10"}}
	return s
}

func pairFor(commonName string, left time.Duration) *certdir.Pair {
	return &certdir.Pair{Leaf: &x509.Certificate{
		Subject: pkix.Name{CommonName: commonName}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(left), PublicKey: keyOf(commonName),
	}}
}

// keyOf is a key that belongs to no request.
func keyOf(string) crypto.PublicKey {
	public, err := madeRequest(csr.Client, "other")().PublicKey()
	if err != nil {
		panic(err)
	}
	return public
}

// requests are made once: keys take time.
var requests sync.Map

func madeRequest(kind csr.Kind, name string) func() *csr.Pending {
	made, _ := requests.LoadOrStore(string(kind)+name, sync.OnceValue(func() *csr.Pending {
		p, err := csr.New(csr.Wish{Kind: kind, NodeName: name, KeyAlgorithm: "ecdsa-p256"}, apiserver.Endpoint{})
		if err != nil {
			panic(err)
		}
		return p
	}))
	return made.(func() *csr.Pending)
}

// request is one for wish, made with the settings of now.
func request(wish csr.Wish, changes ...func(*csr.Pending)) *csr.Pending {
	p := *madeRequest(wish.Kind, "worker-1")()
	p.Wish, p.Settings = wish, current
	for _, change := range changes {
		change(&p)
	}
	return &p
}

// certificate is one that was issued: decisions look at its bytes and no further.
var certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("a certificate")})

func issued(p *csr.Pending)         { p.CertificatePEM = certificate }
func accepted(p *csr.Pending)       { p.UID = "uid" }
func otherWish(p *csr.Pending)      { p.Wish.NodeName = "worker-9" }
func earlier(p *csr.Pending)        { p.Settings = "earlier settings" }
func justGivenUp(p *csr.Pending)    { p.GivenUp = noon.Add(-59 * time.Minute) }
func longAgoGivenUp(p *csr.Pending) { p.GivenUp = noon.Add(-time.Hour) }

func ended(outcome csr.Result, ago time.Duration) func(*csr.Pending) {
	return func(p *csr.Pending) { p.Ended = &csr.Ended{Outcome: outcome, At: noon.Add(-ago)} }
}

// committed makes the pair in use the one of p.
func committed(c *status.Certificate) {
	public, err := c.Pending.PublicKey()
	if err != nil {
		panic(err)
	}
	c.Pair, c.PairErr = pairFor(nodeUser, time.Hour), nil
	c.Pair.Leaf.PublicKey = public
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
