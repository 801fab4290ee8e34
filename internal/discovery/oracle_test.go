package discovery

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"time"
)

// What follows is written by hand from RFC 7515, RFC 5280 and RFC 7469, to be compared with what the package does.

// handSignature is a detached JWS with HS256 and the token's ID as its kid.
func handSignature(id, secret, content string) string {
	encode := base64.RawURLEncoding.EncodeToString
	header := encode([]byte(`{"alg":"HS256","kid":"` + id + `"}`))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(header + "." + encode([]byte(content))))
	return header + ".." + encode(mac.Sum(nil))
}

func handPin(c *x509.Certificate) Pin {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return Pin("sha256:" + hex.EncodeToString(sum[:]))
}

// vouched are the certificates of a bundle whose key is pinned, or that a CA among these has signed with its key, or that have the key of a
// CA among these. It allows for more than [Trusted] does, and never for a certificate that nobody with a pinned key has to do with.
func vouched(bundle []*x509.Certificate, pins Pins, now time.Time) (in []*x509.Certificate) {
	for before := -1; before < len(in); {
		before = len(in)
		for _, c := range bundle {
			if slices.ContainsFunc(in, c.Equal) {
				continue
			}
			if slices.Contains(pins, handPin(c)) || slices.ContainsFunc(in, func(by *x509.Certificate) bool { return vouches(by, c, now) }) {
				in = append(in, c)
			}
		}
	}
	return in
}

func vouches(by, c *x509.Certificate, now time.Time) bool {
	if !c.BasicConstraintsValid || !c.IsCA {
		return false
	}
	if handPin(by) == handPin(c) {
		return true
	}
	valid := func(c *x509.Certificate) bool { return !now.Before(c.NotBefore) && !now.After(c.NotAfter) }
	maySign := by.BasicConstraintsValid && by.IsCA && by.KeyUsage&x509.KeyUsageCertSign != 0 || by.Version < 3
	names := string(by.RawSubject) == string(c.RawIssuer)
	return maySign && names && valid(by) && valid(c) && by.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
