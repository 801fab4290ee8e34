package csr

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Check says what is wrong with an issued certificate: it must be for our key and subject, allow the asked use, and hold every
// asked name. A client certificate's chain is not checked: its signer need not be the CA of the API server, whose word on it is
// the proof.
func (p *Pending) Check() (*x509.Certificate, error) {
	leaf, err := leafOf(p.CertificatePEM)
	if err != nil {
		return nil, fmt.Errorf("the signer's answer is no PEM certificate: %w", err)
	}
	public, err := p.PublicKey()
	if err != nil {
		return nil, err
	}
	usage := x509.ExtKeyUsageClientAuth
	if p.Wish.Kind == Serving {
		usage = x509.ExtKeyUsageServerAuth
	}
	switch {
	case !publicKeysEqual(leaf.PublicKey, public):
		return nil, errors.New("the issued certificate is for another key than ours")
	case leaf.Subject.CommonName != p.Wish.CommonName():
		return nil, fmt.Errorf("the issued certificate is for %q, asked was %q", leaf.Subject.CommonName, p.Wish.CommonName())
	case !slices.Equal(leaf.Subject.Organization, []string{NodesGroup}):
		return nil, fmt.Errorf("the issued certificate has the organizations %q, asked was %q", leaf.Subject.Organization, NodesGroup)
	case leaf.IsCA:
		return nil, errors.New("the issued certificate is a CA's")
	case !slices.Contains(leaf.ExtKeyUsage, usage) || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return nil, fmt.Errorf("the issued certificate may not be used for what was asked (%v)", p.Wish.Usages())
	case len(leaf.UnhandledCriticalExtensions) > 0:
		return nil, fmt.Errorf("the issued certificate has the critical extension %v, for which everybody would refuse it", leaf.UnhandledCriticalExtensions[0])
	}
	return leaf, p.checkNames(leaf)
}

// leafOf reads the signer's answer as strictly as the API server does (k8s.io/kubernetes pkg/apis/certificates/validation): blocks of
// one certificate each, without headers, and no others. About anything else the readers of PEM differ: crypto/tls takes a block with
// headers for the leaf, and client-go passes it over.
func leafOf(text []byte) (*x509.Certificate, error) {
	var leaf *x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			return nil, errors.New("it has blocks of another type, or with headers")
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if leaf == nil {
			leaf = certificate
		}
	}
	if leaf == nil {
		return nil, errors.New("it has none")
	}
	return leaf, nil
}

func (p *Pending) checkNames(leaf *x509.Certificate) error {
	var addresses []string
	for _, ip := range leaf.IPAddresses {
		addresses = append(addresses, ip.String())
	}
	if !containsAll(leaf.DNSNames, p.Wish.DNSNames) || !containsAll(addresses, p.Wish.IPAddresses) {
		return fmt.Errorf("the issued certificate is for %v %v, asked were %v %v", leaf.DNSNames, addresses, p.Wish.DNSNames, p.Wish.IPAddresses)
	}
	return nil
}

// Window says whether now, by the API server's clock, lies in the validity of the certificate.
func Window(leaf *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("the issued certificate is valid from %s; the API server's clock says %s", leaf.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("the issued certificate was valid until %s; the API server's clock says %s", leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// PairPEM is the content of a cert-dir data file: leaf, chain, key in one, as client-go's FileStore writes it.
func (p *Pending) PairPEM() []byte {
	var pair []byte
	for block, rest := pem.Decode(p.CertificatePEM); block != nil; block, rest = pem.Decode(rest) {
		pair = append(pair, pem.EncodeToMemory(block)...)
	}
	return append(pair, p.KeyPEM...)
}
