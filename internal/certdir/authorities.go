package certdir

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// longestBundle is how long a file with CAs may be, in bytes: the bundle of all public ones has a quarter of that.
const longestBundle = 1 << 20

// mostAuthorities is how many CAs a file may hold; each is compared with the others.
const mostAuthorities = 64

// ReadAuthorities reads a file of root's own that says whom to trust, and returns its CAs. One that somebody else may change is an error, as
// is what [Authorities] refuses.
func ReadAuthorities(path string, now time.Time) ([]*x509.Certificate, error) {
	file, err := durable.ReadTrusted(path, longestBundle)
	if err != nil {
		return nil, err
	}
	return Authorities(path, file.Data, now)
}

// Authorities returns the CAs in data, which was read at path: PEM, whatever stands between. What is empty, is not whole, holds something
// else (a private key), too much, or nothing that is still valid, is an error that names the path and quotes nothing.
func Authorities(path string, data []byte, now time.Time) ([]*x509.Certificate, error) {
	cas, err := authorities(data, now)
	if err != nil {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return cas, nil
}

func authorities(bundle []byte, now time.Time) (cas []*x509.Certificate, err error) {
	if len(bytes.TrimSpace(bundle)) == 0 {
		return nil, errors.New("is empty; is it still being written?")
	}
	begun, live := bytes.Count(bundle, []byte("-----BEGIN ")), false
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case strings.Contains(block.Type, "PRIVATE KEY"):
			return nil, errors.New("holds a private key, which does not belong on a node; put the certificates of the CAs there alone")
		case block.Type != "CERTIFICATE":
			return nil, errors.New("holds something else than certificates")
		case len(cas) == mostAuthorities:
			return nil, fmt.Errorf("holds more than %d certificates", mostAuthorities)
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("holds a certificate that cannot be read: %w", err)
		}
		live = live || now.Before(ca.NotAfter)
		cas = append(cas, ca)
	}
	switch {
	case len(cas) < begun:
		return nil, fmt.Errorf("is not complete: %d PEM blocks begin in it, and %d can be read; is it still being written?", begun, len(cas))
	case len(cas) == 0:
		return nil, errors.New("holds no PEM certificate")
	case !live:
		return nil, errors.New("holds only certificates that have expired")
	}
	return cas, nil
}
