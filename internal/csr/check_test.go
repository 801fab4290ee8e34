package csr

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnIssuedCertificateMustBeWhatWasAskedFor(t *testing.T) {
	other := newPending(t, clientWish)
	otherKey, err := other.PublicKey()
	must(t, err)
	for _, c := range []struct {
		name   string
		wish   Wish
		change func(*x509.Certificate)
		says   string
	}{
		{"a client certificate", clientWish, nil, ""},
		{"a serving certificate", servingWish, nil, ""},
		{"names more than asked", servingWish, func(c *x509.Certificate) {
			c.DNSNames = append(c.DNSNames, "more.example.com")
			c.IPAddresses = append(c.IPAddresses, ips("192.0.2.99")...)
		}, ""},
		{"names in another order", servingWish, func(c *x509.Certificate) { slices.Reverse(c.DNSNames); slices.Reverse(c.IPAddresses) }, ""},
		{"usages more than asked", clientWish, func(c *x509.Certificate) {
			c.KeyUsage |= x509.KeyUsageKeyEncipherment
			c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		}, ""},
		{"a life that is over: that is for Window to say", clientWish, func(c *x509.Certificate) { c.NotBefore, c.NotAfter = noon.AddDate(-2, 0, 0), noon.AddDate(-1, 0, 0) }, ""},
		{"for another key", clientWish, func(c *x509.Certificate) { c.PublicKey = otherKey }, "for another key than ours"},
		{"for another node", clientWish, func(c *x509.Certificate) { c.Subject.CommonName = "system:node:worker-2" }, `is for "system:node:worker-2", asked was "system:node:worker-1"`},
		{"for nobody", clientWish, func(c *x509.Certificate) { c.Subject = pkix.Name{} }, `is for ""`},
		{"in no organization", clientWish, func(c *x509.Certificate) { c.Subject.Organization = nil }, "organizations []"},
		{"in another organization", clientWish, func(c *x509.Certificate) { c.Subject.Organization = []string{"system:masters"} }, `organizations ["system:masters"]`},
		{"in an organization more", clientWish, func(c *x509.Certificate) { c.Subject.Organization = append(c.Subject.Organization, "system:masters") }, "organizations"},
		{"a CA's", clientWish, func(c *x509.Certificate) { c.IsCA = true }, "is a CA's"},
		{"not for clients", clientWish, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }, "may not be used for what was asked ([digital signature client auth])"},
		{"not for servers", servingWish, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, "may not be used for what was asked ([digital signature server auth])"},
		{"for nothing", clientWish, func(c *x509.Certificate) { c.ExtKeyUsage = nil }, "may not be used"},
		{"not for signatures", clientWish, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }, "may not be used"},
		{"without a DNS name", servingWish, func(c *x509.Certificate) { c.DNSNames = c.DNSNames[1:] }, "asked were [worker-1 worker-1.example.com]"},
		{"without an address", servingWish, func(c *x509.Certificate) { c.IPAddresses = c.IPAddresses[:1] }, "asked were"},
		{"without any name", servingWish, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil }, "is for [] []"},
	} {
		p := newPending(t, c.wish)
		p.CertificatePEM = theSigner().issue(t, p, c.change)
		leaf, err := p.Check()
		switch {
		case c.says == "" && (err != nil || leaf.Subject.CommonName != "system:node:worker-1"):
			t.Errorf("%s: %v", c.name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, expected %q", c.name, err, c.says)
		}
	}
}

func TestAnAnswerThatIsNoCertificateIsRefused(t *testing.T) {
	p := newPending(t, clientWish)
	for name, answer := range map[string][]byte{"nothing": nil, "no PEM": []byte("good morning"), "a key": p.KeyPEM, "a request": p.RequestPEM, "a damaged one": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")} {
		p.CertificatePEM = answer
		if _, err := p.Check(); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
			t.Errorf("%s: %v", name, err)
		}
	}
	p.CertificatePEM, p.RequestPEM = theSigner().issue(t, p, nil), nil
	if _, err := p.Check(); err == nil {
		t.Error("without our request nothing can be checked, and yet nothing was said")
	}
}

func TestTheFirstCertificateOfTheAnswerIsTheLeaf(t *testing.T) {
	p := newPending(t, clientWish)
	leaf := theSigner().issue(t, p, nil)
	issuer := theSigner().issue(t, p, func(c *x509.Certificate) { c.IsCA = true })
	p.CertificatePEM = slices.Concat(leaf, issuer)
	_, err := p.Check()
	must(t, err)
	p.CertificatePEM = slices.Concat(issuer, leaf)
	if _, err := p.Check(); err == nil {
		t.Error("a chain that begins with the issuer was accepted: the kubelet would show it")
	}
}

func TestTheValidityIsJudgedByTheAPIServersClock(t *testing.T) {
	leaf := &x509.Certificate{NotBefore: noon, NotAfter: noon.Add(time.Hour)}
	for after, says := range map[time.Duration]string{
		-time.Second:               "is valid from 2026-03-01T12:00:00Z; the API server's clock says 2026-03-01T11:59:59Z",
		0:                          "",
		time.Hour:                  "",
		time.Hour + 1:              "was valid until 2026-03-01T13:00:00Z",
		-24 * 365 * 10 * time.Hour: "is valid from",
	} {
		err := Window(leaf, noon.Add(after).In(time.FixedZone("elsewhere", 7200)))
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s after the beginning: %v, expected %q", after, err, says)
		}
	}
}

func TestThePairIsLeafChainAndKeyInOneFile(t *testing.T) {
	p := newPending(t, servingWish)
	leaf, chain := theSigner().issue(t, p, nil), theSigner().issue(t, p, func(c *x509.Certificate) { c.IsCA = true })
	p.CertificatePEM = slices.Concat([]byte("subject=/CN=worker-1\n"), leaf, []byte("\n\n"), chain)
	pair := p.PairPEM()
	if !bytes.Equal(pair, slices.Concat(leaf, chain, p.KeyPEM)) {
		t.Errorf("not leaf, chain, key:\n%s", pair)
	}
	if both, err := tls.X509KeyPair(pair, pair); err != nil || len(both.Certificate) != 2 {
		t.Errorf("%d certificates, %v", len(both.Certificate), err)
	}
}
