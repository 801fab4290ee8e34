package discovery

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Stranger is a CA certificate that is not trusted.
type Stranger struct {
	Subject string
	Pin     Pin
}

// mostCertificates bounds what one bundle may hold; each is compared with the others.
const mostCertificates = 64

// ParseBundle reads a PEM bundle of certificates. What is between them does not matter; what is not a certificate is an error.
func ParseBundle(bundle []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("the bundle holds something else than certificates")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("the bundle holds a certificate that cannot be read: %w", err)
		}
		if certificates = append(certificates, certificate); len(certificates) > mostCertificates {
			return nil, fmt.Errorf("the bundle holds more than %d certificates", mostCertificates)
		}
	}
	if len(certificates) == 0 {
		return nil, errors.New("the bundle holds no certificate")
	}
	return certificates, nil
}

// EncodeBundle is the reverse of [ParseBundle].
func EncodeBundle(certificates []*x509.Certificate) []byte {
	var bundle bytes.Buffer
	for _, certificate := range certificates {
		_ = pem.Encode(&bundle, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}) // a buffer takes everything
	}
	return bundle.Bytes()
}

// Trusted divides a bundle: kept are the certificates whose key is pinned, the CAs that chain to one of those or to an anchor, and other
// certificates of the same CAs (a root that was renewed, or that another one has cross-signed), each once and in their order. kubeadm would
// keep all of the bundle if one of it is pinned.
func Trusted(bundle []*x509.Certificate, pins Pins, anchors []*x509.Certificate, now time.Time) (kept, dropped []*x509.Certificate) {
	t := trust{roots: slices.Clone(anchors), now: now}
	trusted := make([]bool, len(bundle))
	for i, certificate := range bundle {
		if pins.Have(certificate) {
			trusted[i], t.roots = true, append(t.roots, certificate)
		}
	}
	for more := true; more; {
		more = false
		for i, certificate := range bundle {
			if !trusted[i] && t.add(certificate) {
				trusted[i], more = true, true
			}
		}
	}
	for i, certificate := range bundle {
		switch {
		case !trusted[i]:
			dropped = append(dropped, certificate)
		case !slices.ContainsFunc(kept, certificate.Equal):
			kept = append(kept, certificate)
		}
	}
	return kept, dropped
}

// trust grows from what is pinned. Only keys that are in it already are ever tried on a signature.
type trust struct {
	// roots are trusted for themselves, below because of those.
	roots, below []*x509.Certificate
	now          time.Time
}

// add takes a CA certificate in that may be.
func (t *trust) add(certificate *x509.Certificate) bool {
	switch {
	case !certificate.IsCA || !certificate.BasicConstraintsValid:
		return false
	case slices.ContainsFunc(t.roots, func(root *x509.Certificate) bool { return sameKey(root, certificate) && !limited(root) }):
		t.roots = append(t.roots, certificate)
	case slices.ContainsFunc(t.below, func(other *x509.Certificate) bool { return sameCA(other, certificate) && !limited(other) }), t.chains(certificate):
		t.below = append(t.below, certificate)
	default:
		return false
	}
	return true
}

func (t *trust) chains(certificate *x509.Certificate) bool {
	chains, err := certificate.Verify(x509.VerifyOptions{
		Roots: poolOf(t.roots), Intermediates: poolOf(t.below), CurrentTime: t.now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil && slices.ContainsFunc(chains, mayStandAlone)
}

// mayStandAlone says whether the first certificate of a verified chain may be trusted without the others. What limits those above it would
// not hold any more; and [x509.Certificate.Verify] took it for an end of the chain, while it is a CA and counts (RFC 5280 4.2.1.9).
func mayStandAlone(chain []*x509.Certificate) bool {
	length := 0
	for i, issuer := range chain[1:] {
		if below := chain[i]; !bytes.Equal(below.RawSubject, below.RawIssuer) {
			length++
		}
		capped := issuer.BasicConstraintsValid && (issuer.MaxPathLen > 0 || issuer.MaxPathLenZero)
		if limited(issuer) || capped && length > issuer.MaxPathLen {
			return false
		}
	}
	return true
}

// limited says whether a CA's key is good for some names or usages only, so that another certificate of it may not come without that.
func limited(ca *x509.Certificate) bool {
	names := slices.Concat(ca.PermittedDNSDomains, ca.ExcludedDNSDomains, ca.PermittedEmailAddresses, ca.ExcludedEmailAddresses, ca.PermittedURIDomains, ca.ExcludedURIDomains)
	return len(names)+len(ca.PermittedIPRanges)+len(ca.ExcludedIPRanges)+len(ca.ExtKeyUsage)+len(ca.UnknownExtKeyUsage) > 0
}

func sameKey(a, b *x509.Certificate) bool {
	return bytes.Equal(a.RawSubjectPublicKeyInfo, b.RawSubjectPublicKeyInfo)
}

func sameCA(a, b *x509.Certificate) bool {
	return sameKey(a, b) && bytes.Equal(a.RawSubject, b.RawSubject)
}

func poolOf(certificates []*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, certificate := range certificates {
		pool.AddCert(certificate)
	}
	return pool
}

// Strangers are what to tell a person of certificates that are not trusted.
func Strangers(certificates []*x509.Certificate) []Stranger {
	var strangers []Stranger
	for _, certificate := range certificates {
		strangers = append(strangers, Stranger{Subject: certificate.Subject.String(), Pin: PinOf(certificate)})
	}
	return strangers
}
