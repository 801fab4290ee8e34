package join

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
)

const (
	pemBegin = "-----BEGIN "
	// mostCertificates is far above what a cluster has while it changes its CA.
	mostCertificates = 64
)

// Authorities reads the CA certificates of a cluster: PEM, and nothing but certificates of CAs. Those that are not valid now, as
// in a bundle from the middle of a change, are left out as long as there is another; outside are their descriptions.
func Authorities(bundle []byte, now time.Time) (inside []*x509.Certificate, outside []string, err error) {
	certificates, err := certificatesIn(bundle)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range certificates {
		switch {
		case !isAuthority(c):
			return nil, nil, fmt.Errorf("the certificate of %s is not a CA's: it is signed for a server or a client; the CA is the one that signed it (on kubeadm's control plane nodes: /etc/kubernetes/pki/ca.crt)", subject(c))
		case now.After(c.NotAfter):
			outside = append(outside, fmt.Sprintf("the CA %s expired at %s", subject(c), c.NotAfter.UTC().Format(time.RFC3339)))
		case now.Before(c.NotBefore):
			outside = append(outside, fmt.Sprintf("the CA %s is valid from %s on, and it is %s here", subject(c), c.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)))
		case !slices.ContainsFunc(inside, c.Equal):
			inside = append(inside, c)
		}
	}
	if len(inside) == 0 {
		return nil, nil, fmt.Errorf("%s: no node could verify the server with it; look at the clock of this machine, else give the CA that is in use now", strings.Join(outside, "; "))
	}
	return inside, outside, nil
}

// certificatesIn reads certificates in PEM. No error holds anything of another block: what it is may be all that must not be told.
func certificatesIn(bundle []byte) ([]*x509.Certificate, error) {
	if len(bytes.TrimSpace(bundle)) == 0 {
		return nil, errors.New("is empty")
	}
	var certificates []*x509.Certificate
	blocks := 0
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		blocks++
		switch {
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, errors.New("holds a private key, which no node may get; give a file with the CA's certificate alone (ca.crt, not ca.key), and look at who has had this one")
		case block.Type != "CERTIFICATE":
			return nil, fmt.Errorf("PEM block %d is something else than a certificate", blocks)
		case blocks > mostCertificates:
			return nil, fmt.Errorf("holds more than %d certificates; give the cluster's CA, not a bundle of all that a system trusts", mostCertificates)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read; look at it with: openssl x509 -noout -text", blocks)
		}
		certificates = append(certificates, c)
	}
	// pem.Decode passes over what it cannot read
	switch begun := bytes.Count(bundle, []byte(pemBegin)); {
	case bytes.Contains(bundle, []byte("PRIVATE KEY")):
		return nil, errors.New("holds a private key, or a piece of one, which no node may get; give a file with the CA's certificate alone")
	case begun != blocks:
		return nil, fmt.Errorf("%d of its %d PEM blocks are broken; was it copied whole?", begun-blocks, begun)
	case blocks == 0 && bundle[0] == 0x30: // an ASN.1 sequence
		return nil, errors.New("is no PEM; it may be DER: openssl x509 -inform der -in FILE -out ca.crt")
	case blocks == 0:
		return nil, errors.New("is no PEM certificate, which begins with -----BEGIN CERTIFICATE-----")
	}
	return certificates, nil
}

// isAuthority is what crypto/x509 asks of a parent (Certificate.CheckSignatureFrom): roots from before version 3 say nothing.
func isAuthority(c *x509.Certificate) bool {
	if c.Version == 3 && !c.BasicConstraintsValid || c.BasicConstraintsValid && !c.IsCA {
		return false
	}
	return c.KeyUsage == 0 || c.KeyUsage&x509.KeyUsageCertSign != 0
}

func subject(c *x509.Certificate) string { return fmt.Sprintf("%q", Conceal(c.Subject.String())) }

// Hashes are what the CAs are known by, for --discovery-ca-cert-hash: each key once.
func Hashes(authorities []*x509.Certificate) []string {
	var hashes []string
	for _, c := range authorities {
		if hash := string(discovery.PinOf(c)); !slices.Contains(hashes, hash) {
			hashes = append(hashes, hash)
		}
	}
	return hashes
}
