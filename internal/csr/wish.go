// Package csr is the dialogue with certificates.k8s.io: what to ask for, asking once, waiting for as long as it takes, and
// checking what comes back.
//
// It promises that a request is the same bytes however often it is sent, so that a restart finds its own object again. It
// writes no file and keeps no state; how long to wait between attempts is for package rotate to say.
package csr

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// Kind is which of the node's two certificates.
type Kind string

// The node's certificates.
const (
	Client  Kind = "client"
	Serving Kind = "serving"
)

// Signer returns the signer that issues this kind.
func (k Kind) Signer() string {
	if k == Client {
		return certificatesv1.KubeAPIServerClientKubeletSignerName
	}
	return certificatesv1.KubeletServingSignerName
}

// NodesGroup is the organization of every node's certificates.
const NodesGroup = "system:nodes"

// Wish is what a certificate is asked for. Two wishes are for the same certificate when they are equal but for the order of
// names; addresses are in their textual form.
type Wish struct {
	Kind              Kind     `json:"kind"`
	NodeName          string   `json:"nodeName"`
	KeyAlgorithm      string   `json:"keyAlgorithm"`
	DNSNames          []string `json:"dnsNames,omitempty"`
	IPAddresses       []string `json:"ipAddresses,omitempty"`
	ExpirationSeconds int32    `json:"expirationSeconds,omitempty"`
}

// Covers says whether a certificate for w also serves wanted: the same but for names, and no wanted name missing.
func (w Wish) Covers(wanted Wish) bool {
	return w.Kind == wanted.Kind && w.NodeName == wanted.NodeName && w.KeyAlgorithm == wanted.KeyAlgorithm &&
		w.ExpirationSeconds == wanted.ExpirationSeconds &&
		containsAll(w.DNSNames, wanted.DNSNames) && containsAll(w.IPAddresses, wanted.IPAddresses)
}

// CommonName is the user name of the node.
func (w Wish) CommonName() string { return "system:node:" + w.NodeName }

// Usages returns the exact set that the signers demand (k8s.io/kubernetes pkg/apis/certificates/helpers.go): key encipherment
// goes with RSA keys only.
func (w Wish) Usages() []certificatesv1.KeyUsage {
	usages := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature}
	if w.KeyAlgorithm == "rsa-2048" || w.KeyAlgorithm == "rsa-4096" {
		usages = append(usages, certificatesv1.UsageKeyEncipherment)
	}
	if w.Kind == Client {
		return append(usages, certificatesv1.UsageClientAuth)
	}
	return append(usages, certificatesv1.UsageServerAuth)
}

func (w Wish) template() *x509.CertificateRequest {
	template := &x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: w.CommonName(), Organization: []string{NodesGroup}},
		DNSNames: w.DNSNames,
	}
	for _, ip := range w.IPAddresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	return template
}

// NewKey makes a private key.
func NewKey(algorithm string) (crypto.Signer, error) {
	switch algorithm {
	case "ecdsa-p256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa-2048":
		return rsa.GenerateKey(rand.Reader, 2048)
	case "rsa-4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return nil, fmt.Errorf("key algorithm %q is unknown", algorithm)
}

func containsAll(have, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(name string) bool { return !slices.Contains(have, name) })
}
