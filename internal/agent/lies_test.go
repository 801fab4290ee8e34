package agent

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// By a denial of 1970 the next request would be due at once, and so would each one after it; by one of 9999 none ever would.
func TestTheEndOfARequestIsBelievedToLieBetweenItsBeginningAndNow(t *testing.T) {
	made := noon.Add(-time.Hour)
	for name, c := range map[string]struct{ said, made, expected time.Time }{
		"in between":                   {noon.Add(-time.Minute), made, noon.Add(-time.Minute)},
		"before it was made":           {time.Unix(0, 0), made, made},
		"in the year 1":                {time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), made, made},
		"in the future":                {time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), made, noon},
		"not said":                     {time.Time{}, made, noon},
		"made by a clock ahead":        {noon.Add(-time.Minute), noon.Add(time.Hour), noon},
		"made by an agent before this": {noon.Add(-time.Minute), time.Time{}, noon.Add(-time.Minute)},
	} {
		if at := endedAt(c.said, c.made, noon); !at.Equal(c.expected) {
			t.Errorf("%s: %s, expected %s", name, at, c.expected)
		}
	}
}

// An API server that says of each object that it is a day old, and deletes it, is not asked without a pause.
func TestARequestIsSentAgainAtOnceOnlyOnceADay(t *testing.T) {
	s, _ := asking(t, newMaterial(t), "sent", func(p *csr.Pending) { p.Accepted = time.Unix(1, 0) })
	for i, least := range []time.Duration{0, time.Minute, time.Minute} {
		p := s.pending(t)
		p.UID, p.Accepted = "uid-1", time.Unix(1, 0)
		must(t, s.agent.store(p))
		s.agent.asked(&s.agent.client, csr.Outcome{Result: csr.Deleted}, nil)
		if wait := s.wait(); wait < least {
			t.Errorf("after deletion %d it is sent again after %s, expected %s", i+1, wait, least)
		}
	}
}

// What stands behind the leaf may be the CA of half the world, and in the node's own file its private key.
func TestOfTheChainOnlyTheIssuerMayCallTheKubelet(t *testing.T) {
	issuer, issuerKey := selfMade(t, "issuer", nil, nil)
	public, _ := selfMade(t, "everybody", nil, nil)
	leaf, leafKey := selfMade(t, "leaf", parsed(t, issuer), issuerKey)
	keyDER, err := x509.MarshalECPrivateKey(leafKey)
	must(t, err)
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	a := &Agent{cfg: config.Config{}}
	for name, chain := range map[string][]byte{
		"the issuer":                     issuer,
		"the issuer and the key":         slices.Concat(issuer, key),
		"the issuer and everybody":       slices.Concat(issuer, public),
		"everybody, the issuer, the key": slices.Concat(public, issuer, key),
	} {
		bundle, err := a.clientCA(slices.Concat(leaf, chain), public)
		if err != nil || !bytes.Equal(bundle, issuer) {
			t.Errorf("%s: %d bytes, expected the issuer's %d: %v", name, len(bundle), len(issuer), err)
		}
	}
	if _, err := a.clientCA(slices.Concat(leaf, key), public); err == nil {
		t.Error("nobody is the issuer, and yet somebody may call")
	}
}

// selfMade makes a certificate, signed by another or by itself.
func selfMade(t *testing.T, name string, by *x509.Certificate, byKey *ecdsa.PrivateKey) (certificate []byte, key *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: noon, NotAfter: noon.Add(time.Hour),
		IsCA: by == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if by == nil {
		by, byKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, key.Public(), byKey)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

func parsed(t *testing.T, certificate []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(certificate)
	leaf, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return leaf
}
