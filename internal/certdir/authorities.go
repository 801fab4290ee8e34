package certdir

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// longestBundle is how long a file with CAs may be, in bytes: the bundle of all public ones has a quarter of that.
const longestBundle = 1 << 20

// ReadAuthorities reads a file of root's own that says whom to trust, and returns its CAs and their PEM as it stands there. One that is empty,
// is not whole, holds something else (a private key) or nothing that is still valid, is an error, as is one that somebody else may change.
func ReadAuthorities(path string, now time.Time) (cas []*x509.Certificate, bundle []byte, err error) {
	file, err := durable.ReadTrusted(path, longestBundle)
	if err != nil {
		return nil, nil, err
	}
	if cas, err = authorities(file.Data, now); err != nil {
		return nil, nil, fmt.Errorf("%s %w", path, err)
	}
	return cas, file.Data, nil
}

func authorities(bundle []byte, now time.Time) (cas []*x509.Certificate, err error) {
	if len(bytes.TrimSpace(bundle)) == 0 {
		return nil, errors.New("is empty; is it still being written?")
	}
	begun, live := bytes.Count(bundle, []byte("-----BEGIN ")), false
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("holds a %s, and must hold certificates of CAs only", block.Type)
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
