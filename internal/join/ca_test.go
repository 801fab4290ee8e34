package join_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
)

func expired() []byte {
	c, _ := certificate(func(c *x509.Certificate) {
		c.NotAfter = now.Add(-time.Minute)
		c.Subject = pkix.Name{CommonName: "old-ca"}
	})
	return c
}

func leaf() []byte {
	c, _ := certificate(func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	return c
}

func block(kind string) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("w3vj8yq2hg5tzx4p")})
}

func TestACAFileHoldsCAsAndNothingElse(t *testing.T) {
	t.Parallel()
	_, key := theCA()
	der, _ := pem.Decode(caPEM())
	future, _ := certificate(func(c *x509.Certificate) { c.NotBefore = now.Add(time.Minute) })
	noSigning, _ := certificate(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	for says, bundle := range map[string][]byte{
		"is empty":                      []byte(" \n"),
		"is no PEM certificate":         []byte("no certificate"),
		"it may be DER":                 der.Bytes,
		"holds a private key":           key,
		"holds a private key, which":    slices.Concat(caPEM(), key),
		"no node may get":               slices.Concat(key, caPEM()),
		"or a piece of one":             slices.Concat(caPEM(), key[:len(key)/2]),
		"piece of one":                  slices.Concat(caPEM(), bytes.ReplaceAll(key, []byte("-----BEGIN"), []byte("----BEGIN"))),
		"something else than a cert":    slices.Concat(caPEM(), block("CERTIFICATE REQUEST")),
		"PEM block 1 is something else": block("X509 CRL"),
		"certificate 2 cannot be read":  slices.Concat(caPEM(), block("CERTIFICATE")),
		"1 of its 2 PEM blocks":         slices.Concat(caPEM(), caPEM()[:100]),
		"is not a CA's":                 leaf(),
		`of "CN=test-ca" is not a CA's`: slices.Concat(caPEM(), leaf()),
		"not a CA's":                    noSigning,
		"expired at 2026-03-01T11:59":   expired(),
		"valid from 2026-03-01T12:01":   future,
		"more than 64":                  bytes.Repeat(caPEM(), 65),
	} {
		ca, _, err := join.Authorities(bundle, now)
		if err == nil || !strings.Contains(err.Error(), says) || ca != nil {
			t.Errorf("%v, expected %q", err, says)
			continue
		}
		silent(t, err, string(key), "w3vj8yq2hg5tzx4p")
	}
}

func TestEncryptedAndOtherKeysAreKeysToo(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "OPENSSH PRIVATE KEY", "DSA PRIVATE KEY"} {
		if _, _, err := join.Authorities(slices.Concat(caPEM(), block(kind)), now); err == nil || !strings.Contains(err.Error(), "private key") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestWhatStandsBetweenCertificatesDoesNotMatterAndIsNotCopied(t *testing.T) {
	t.Parallel()
	ca, _, err := join.Authorities(slices.Concat([]byte("Subject: CN=test-ca\r\n"), caPEM(), []byte("\n# the same\n"), caPEM()), now)
	must(t, err)
	if got := discovery.EncodeBundle(ca); !bytes.Equal(got, caPEM()) {
		t.Errorf("it became:\n%s", got)
	}
}

// In the middle of a change a bundle may still have the old CA.
func TestACAThatExpiredIsLeftOutBesideOneThatIsGood(t *testing.T) {
	t.Parallel()
	ca, outside, err := join.Authorities(slices.Concat(expired(), caPEM()), now)
	must(t, err)
	if !bytes.Equal(discovery.EncodeBundle(ca), caPEM()) || len(outside) != 1 || !strings.Contains(outside[0], `"CN=old-ca" expired at`) {
		t.Errorf("%d CAs, left out: %q", len(ca), outside)
	}
}

// Roots from before version 3 do not say that they are CAs; crypto/x509 lets them sign.
func TestARootWithoutBasicConstraintsIsRefusedOnlyWhereItsVersionHasThem(t *testing.T) {
	t.Parallel()
	c, _ := certificate(func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false })
	if _, _, err := join.Authorities(c, now); err == nil {
		t.Error("a certificate of version 3 that does not say that it is a CA's is taken")
	}
}

func TestTheHashIsThatOfThePublicKeyOnceForEach(t *testing.T) {
	t.Parallel()
	more, _ := certificate(nil)
	ca, _, err := join.Authorities(slices.Concat(caPEM(), more), now)
	must(t, err)
	var want []string
	for _, c := range ca {
		sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
		want = append(want, "sha256:"+hex.EncodeToString(sum[:]))
	}
	if got := join.Hashes(append(ca, ca[0])); !slices.Equal(got, want) || want[0] == want[1] {
		t.Errorf("%q, expected %q", got, want)
	}
}
