// Package serving is what is special about the kubelet's serving certificate: the names it must hold, and the self-signed
// placeholder that stands in for it, since the kubelet does not start without one.
package serving

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/util/keyutil"
)

// Mode is when the serving certificate is asked for.
type Mode string

const (
	// BeforeKubelet asks as soon as the node has its identity.
	BeforeKubelet Mode = "before-kubelet"
	// Off leaves the serving certificate to the kubelet.
	Off Mode = "off"
)

// Names are what a serving certificate is for, sorted and without duplicates.
type Names struct {
	DNS []string
	IPs []string
}

// NamesFor returns the names to ask for: exactly those that are configured, for each of the two kinds that is; else the node's
// name (as an address if it is one) and its addresses. Never other interfaces: approvers compare with what they know of the node.
func NamesFor(nodeName string, addresses []net.IP, dnsNames, ips []string) Names {
	names := Names{DNS: slices.Clone(dnsNames)}
	for _, text := range ips {
		names.IPs = append(names.IPs, net.ParseIP(text).String())
	}
	named := net.ParseIP(nodeName)
	if len(dnsNames) == 0 && named == nil {
		names.DNS = []string{nodeName}
	}
	if len(ips) == 0 {
		if named != nil {
			addresses = append(slices.Clone(addresses), named)
		}
		for _, ip := range addresses {
			names.IPs = append(names.IPs, ip.String())
		}
	}
	slices.Sort(names.DNS)
	slices.Sort(names.IPs)
	return Names{DNS: slices.Compact(names.DNS), IPs: slices.Compact(names.IPs)}
}

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

// SelfSigned says whether a serving certificate was not issued through a request to the cluster: our placeholder, or what the
// kubelet makes for itself (NAME@<unix time>). The kubelet-serving signer issues for system:node:NAME and nothing else.
func SelfSigned(leaf *x509.Certificate) bool {
	return !strings.HasPrefix(leaf.Subject.CommonName, "system:node:")
}

// Lacks returns the wanted names that leaf is not for.
func Lacks(leaf *x509.Certificate, wanted Names) []string {
	var lacking []string
	for _, name := range wanted.DNS {
		if !slices.Contains(leaf.DNSNames, name) {
			lacking = append(lacking, name)
		}
	}
	for _, name := range wanted.IPs {
		if !slices.ContainsFunc(leaf.IPAddresses, func(ip net.IP) bool { return ip.String() == name }) {
			lacking = append(lacking, name)
		}
	}
	return lacking
}
