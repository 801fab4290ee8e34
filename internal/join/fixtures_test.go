package join_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
)

const server = "https://api.example.com:6443"

// now is the time of every test.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// token has no piece that an ordinary word could have.
var token = discovery.Token{ID: "q7xz9k", Secret: "w3vj8yq2hg5tzx4p"}

// certificate makes a self-signed one in PEM, valid for an hour around now, and its key.
func certificate(change func(*x509.Certificate)) (certificatePEM, keyPEM []byte) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test-ca"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	if change != nil {
		change(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
}

// theCA is one CA, and its key.
var theCA = sync.OnceValues(func() (certificatePEM, keyPEM []byte) { return certificate(nil) })

func caPEM() []byte {
	c, _ := theCA()
	return c
}

// invitation is a good one, with these groups.
func invitation(t *testing.T, groups ...string) join.Invitation {
	t.Helper()
	ca, outside, err := join.Authorities(caPEM(), now)
	must(t, err)
	if len(ca) != 1 || len(outside) != 0 {
		t.Fatalf("%d CAs, %q left out", len(ca), outside)
	}
	return join.Invitation{Token: token, Until: now.Add(time.Hour), Groups: groups, Cluster: join.Cluster{Server: server, CA: ca}}
}

// file writes a text into a file of its own.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// silent shows that an error tells neither the token nor a line of the key.
func silent(t *testing.T, err error, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for line := range strings.Lines(secret) {
			if line = strings.TrimSpace(line); len(line) > 8 && !strings.HasPrefix(line, "-----") && strings.Contains(err.Error(), line) {
				t.Errorf("a secret is in the error: %v", err)
			}
		}
	}
}
