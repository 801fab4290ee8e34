package serving

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"time"

	"k8s.io/client-go/util/keyutil"
)

const (
	// placeholderLife is long enough for any approver's holiday and short enough not to be mistaken for the real thing.
	placeholderLife = 30 * 24 * time.Hour
	// backdated as signers do, for clocks that are a little behind
	placeholderBackdate = 5 * time.Minute
	placeholderSuffix   = "@bootstrap-agent-placeholder"
)

// Placeholder returns a self-signed pair for names, in one PEM text. Its subject is none that a signer would issue, so that a
// kubelet that takes over asks for a certificate of its own at once.
func Placeholder(nodeName string, names Names, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: nodeName + placeholderSuffix},
		NotBefore:    now.Add(-placeholderBackdate),
		NotAfter:     now.Add(placeholderLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     names.DNS,
	}
	for _, ip := range names.IPs {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the placeholder serving certificate: %w", err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM...), nil
}

// Ours says whether leaf is a placeholder that [Placeholder] has made, for whatever node.
func Ours(leaf *x509.Certificate) bool {
	return strings.HasSuffix(leaf.Subject.CommonName, placeholderSuffix) && len(leaf.Subject.Organization) == 0 && bytes.Equal(leaf.RawSubject, leaf.RawIssuer)
}

// SelfSigned says whether a serving certificate was not issued through a request to the cluster: our placeholder, or what the
// kubelet makes for itself (NAME@<unix time>). The kubelet-serving signer issues for system:node:NAME and nothing else.
func SelfSigned(leaf *x509.Certificate) bool {
	return !strings.HasPrefix(leaf.Subject.CommonName, nodePrefix)
}

// nodePrefix begins the common name of every certificate that the cluster issues to a node.
const nodePrefix = "system:node:"
