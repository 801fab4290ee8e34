package discovery

import (
	"crypto/x509"
	"encoding/pem"
	"slices"
	"time"
)

// MostFollowed bounds the bundle that following makes: cluster-info cannot make it grow without end.
const MostFollowed = 32

// Merged is what a bundle in use becomes by what a cluster says now.
type Merged struct {
	// Bundle is what to trust from now on: what was in use, but for what has expired, and then what was added. It is never empty.
	Bundle []*x509.Certificate
	// Added and Removed are how it differs from what was in use. Without either there is nothing to write.
	Added, Removed []*x509.Certificate
	// Dropped are the certificates of the cluster that are not trusted.
	Dropped []*x509.Certificate
	// Full: some are missing only because there are [MostFollowed] already.
	Full bool
}

// Merge makes of the bundle in use, which is not empty, and of what a cluster says the bundle to use next. Added is a certificate that has
// not expired and whose key is pinned, or that chains to one in use ([Trusted]). Removed is one that has expired by both clocks, this
// machine's (now) and the API server's (there; zero: not known), for one alone may be wrong. That the cluster does not name one any more
// removes nothing.
//
// A public key is no secret, so that everybody can make a certificate of a trusted one with another name, or until the year 9999. Where its
// key is in use already, or comes in a better certificate, a certificate is therefore added only if a trusted key has signed it.
func Merge(inUse, offered []*x509.Certificate, pins Pins, now, there time.Time) Merged {
	var m Merged
	for _, certificate := range inUse {
		if expired(certificate, now) && expired(certificate, there) {
			m.Removed = append(m.Removed, certificate)
		} else {
			m.Bundle = append(m.Bundle, certificate)
		}
	}
	anchors := without(m.Bundle, func(c *x509.Certificate) bool { return expired(c, now) })
	fresh := without(offered, func(c *x509.Certificate) bool { return expired(c, now) || slices.ContainsFunc(inUse, c.Equal) })
	kept, dropped := Trusted(fresh, pins, anchors, now)
	m.Dropped = dropped
	for _, certificate := range kept {
		switch {
		case !signedByOne(certificate, slices.Concat(anchors, kept)) && !isFirst(certificate, m.Bundle, kept, anchors):
			m.Dropped = append(m.Dropped, certificate)
		case len(m.Bundle) >= MostFollowed:
			m.Full = true
		default:
			m.Bundle, m.Added = append(m.Bundle, certificate), append(m.Added, certificate)
		}
	}
	if len(m.Bundle) == 0 { // all have expired, or both clocks are wrong: with none there is no way back
		m.Bundle, m.Removed = inUse, nil
	}
	return m
}

func expired(certificate *x509.Certificate, at time.Time) bool { return at.After(certificate.NotAfter) }

func without(certificates []*x509.Certificate, which func(*x509.Certificate) bool) []*x509.Certificate {
	return slices.DeleteFunc(slices.Clone(certificates), which)
}

// signedByOne says whether the key of one of the trusted certificates, which may be its own, has signed a certificate.
func signedByOne(certificate *x509.Certificate, trusted []*x509.Certificate) bool {
	return slices.ContainsFunc(trusted, func(c *x509.Certificate) bool { return certificate.CheckSignatureFrom(c) == nil })
}

// isFirst says whether a certificate that no trusted key has signed, as a pinned one may be whose issuer is not known, is all there is of
// its key.
func isFirst(certificate *x509.Certificate, bundle, kept, anchors []*x509.Certificate) bool {
	same := func(c *x509.Certificate) bool { return sameKey(c, certificate) }
	return !slices.ContainsFunc(bundle, same) && !slices.ContainsFunc(kept, func(c *x509.Certificate) bool {
		return same(c) && signedByOne(c, slices.Concat(anchors, kept))
	})
}

// InUse returns the certificates of a bundle that TLS uses (as [x509.CertPool.AppendCertsFromPEM]): what it does not, it passes over.
func InUse(bundle []byte) []*x509.Certificate {
	var certificates []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			continue
		}
		if certificate, err := x509.ParseCertificate(block.Bytes); err == nil {
			certificates = append(certificates, certificate)
		}
	}
	return certificates
}

// SameBundle says whether two bundles hold the same certificates, in whatever order and however often.
func SameBundle(a, b []*x509.Certificate) bool { return Within(a, b) && Within(b, a) }

// Within says whether all of part is in whole.
func Within(part, whole []*x509.Certificate) bool {
	return !slices.ContainsFunc(part, func(c *x509.Certificate) bool { return !slices.ContainsFunc(whole, c.Equal) })
}
