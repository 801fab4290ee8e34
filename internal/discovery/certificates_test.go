package discovery

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"
)

// noon is the time in the tests that need no server.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// party is somebody with a key and a certificate for it.
type party struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// change is made to a certificate before it is signed.
type change func(*x509.Certificate)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// template is a CA certificate that is valid around noon, and now.
func template(name string, changes ...change) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: noon.AddDate(-10, 0, 0), NotAfter: noon.AddDate(100, 0, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	for _, change := range changes {
		change(c)
	}
	return c
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return key
}

// root makes a CA that has signed itself.
func root(name string, changes ...change) party {
	key := newKey()
	return party{signed(template(name, changes...), nil, key, key), key}
}

// signed is what comes of a template; without an issuer it is its own.
func signed(c, issuer *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	if issuer == nil {
		issuer = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), by)
	if err != nil {
		panic(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return parsed
}

// signs makes a certificate of the CA's, for a CA unless it is changed.
func (p party) signs(name string, changes ...change) party {
	return p.crossSigns(party{key: newKey()}, name, changes...)
}

// crossSigns makes one for the key of somebody else.
func (p party) crossSigns(other party, name string, changes ...change) party {
	return party{signed(template(name, changes...), p.Certificate, other.key, p.key), other.key}
}

// again is another certificate that the CA has made for itself.
func (p party) again(changes ...change) party {
	return party{signed(template(p.Subject.CommonName, changes...), nil, p.key, p.key), p.key}
}

// server is a serving certificate of the CA's for 127.0.0.1.
func (p party) server(changes ...change) tls.Certificate {
	at := func(c *x509.Certificate) {
		notCA(c)
		c.IPAddresses, c.ExtKeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	s := p.signs("kube-apiserver", append([]change{at}, changes...)...)
	return tls.Certificate{Certificate: [][]byte{s.Raw}, PrivateKey: s.key}
}

func notCA(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature }

func noBasicConstraints(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false }

func tooOld(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Hour) }

func tooYoung(c *x509.Certificate) { c.NotBefore = noon.Add(time.Hour) }

func mayNotSign(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }

func serversOnly(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }

func namesOnly(c *x509.Certificate) {
	c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.com"}, true
}

func pathLength(n int) change {
	return func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = n, n == 0 }
}

func bundleOf(parties ...party) []*x509.Certificate {
	var bundle []*x509.Certificate
	for _, p := range parties {
		bundle = append(bundle, p.Certificate)
	}
	return bundle
}

func pinsOf(parties ...party) Pins {
	var pins Pins
	for _, p := range parties {
		pins = append(pins, PinOf(p.Certificate))
	}
	return pins
}
