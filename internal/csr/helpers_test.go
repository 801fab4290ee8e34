package csr

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var (
	clientWish  = Wish{Kind: Client, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"}
	servingWish = Wish{
		Kind: Serving, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256", ExpirationSeconds: 3600,
		DNSNames: []string{"worker-1", "worker-1.example.com"}, IPAddresses: []string{"192.0.2.10", "2001:db8::10"},
	}
	endpoint = apiserver.Endpoint{Server: "https://192.0.2.1:6443", TLSServerName: "kubernetes", ProxyURL: "http://proxy:3128", CA: []byte("a CA")}
)

func newPending(tb testing.TB, wish Wish) *Pending {
	tb.Helper()
	p, err := New(wish, endpoint)
	must(tb, err)
	return p
}

// signer issues certificates; change alters what is asked.
type signer struct {
	key  crypto.Signer
	cert *x509.Certificate
}

var theSigner = sync.OnceValue(func() signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return signer{key, &x509.Certificate{Subject: pkix.Name{CommonName: "the signer"}}}
})

func (s signer) issue(tb testing.TB, p *Pending, change func(*x509.Certificate)) []byte {
	tb.Helper()
	request, err := p.request()
	must(tb, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: request.Subject, DNSNames: request.DNSNames, IPAddresses: request.IPAddresses,
		NotBefore: noon, NotAfter: noon.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, PublicKey: request.PublicKey, BasicConstraintsValid: true,
	}
	if p.Wish.Kind == Serving {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.cert, template.PublicKey, s.key)
	must(tb, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func ips(texts ...string) []net.IP {
	var ips []net.IP
	for _, text := range texts {
		ips = append(ips, net.ParseIP(text))
	}
	return ips
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
