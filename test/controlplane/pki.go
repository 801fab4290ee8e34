package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

const (
	// backdating keeps certificates valid for a test whose clock is set back a little.
	backdating = time.Hour
	// lifetime of what is issued here. Certificates issued through CSRs live for Options.SigningDuration.
	lifetime = 24 * time.Hour
)

// authority is a certificate authority that lives as long as one control plane.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pair
}

// pair is a certificate and its private key, PEM.
type pair struct {
	certPEM, keyPEM []byte
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", name, err)
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-backdating),
		NotAfter:              time.Now().Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	a := &authority{certificate: template, key: key}
	if a.pair, err = a.sign(template, key); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(a.certPEM)
	a.certificate, err = x509.ParseCertificate(block.Bytes)
	return a, err
}

// issue makes a key and a certificate for it. Validity not given is now and a day.
func (a *authority) issue(template x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key for %s: %w", template.Subject.CommonName, err)
	}
	if template.NotBefore.IsZero() {
		template.NotBefore = time.Now().Add(-backdating)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(lifetime)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	return a.sign(&template, key)
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) (pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return pair{}, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return pair{}, fmt.Errorf("sign a certificate for %s: %w", template.Subject.CommonName, err)
	}
	keyPEM, err := marshalKey(key)
	if err != nil {
		return pair{}, err
	}
	return pair{certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM: keyPEM}, nil
}

func marshalKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func clientTemplate(commonName string, organizations ...string) x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName, Organization: organizations},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// ClientCertificate makes a certificate, PEM, that the API server takes as user cn in groups orgs: a credential for a
// bootstrap by client certificate (group system:bootstrappers), or anybody else.
func (cp *ControlPlane) ClientCertificate(cn string, orgs ...string) (certPEM, keyPEM []byte, err error) {
	issued, err := cp.pki.cluster.issue(clientTemplate(cn, orgs...))
	return issued.certPEM, issued.keyPEM, err
}

// ServingOptions say how a certificate for a stand-in of the API server is made. All of it is optional.
type ServingOptions struct {
	// NotBefore and NotAfter are its validity; an hour ago and a day from now when zero.
	NotBefore, NotAfter time.Time
	// IPs and DNSNames are its names; 127.0.0.1 and localhost when both are empty.
	IPs      []net.IP
	DNSNames []string
	// Untrusted has it signed by a CA that nobody knows.
	Untrusted bool
}

// ServingCertificate makes a serving certificate signed by the CA of the API server, for a test that answers in its place.
func (cp *ControlPlane) ServingCertificate(options ServingOptions) (tls.Certificate, error) {
	signer := cp.pki.cluster
	if options.Untrusted {
		unknown, err := newAuthority("unknown-ca")
		if err != nil {
			return tls.Certificate{}, err
		}
		signer = unknown
	}
	if len(options.IPs) == 0 && len(options.DNSNames) == 0 {
		options.IPs, options.DNSNames = []net.IP{loopbackIP}, []string{"localhost"}
	}
	issued, err := signer.issue(x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver-stand-in"},
		NotBefore:   options.NotBefore,
		NotAfter:    options.NotAfter,
		IPAddresses: options.IPs,
		DNSNames:    options.DNSNames,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(issued.certPEM, issued.keyPEM)
}
