package certdir

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
	"testing"
	"time"
)

// authority is the PEM of a certificate that signs itself.
func authority(t *testing.T, name string, until time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: until.Add(-time.Hour), NotAfter: until, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestAFileOfCAsHoldsCAsAndNothingElse(t *testing.T) {
	t.Parallel()
	now := time.Now()
	good, next := authority(t, "old", now.Add(time.Hour)), authority(t, "new", now.Add(time.Hour))
	expired := authority(t, "expired", now.Add(-time.Minute))
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		cas     int
		says    string
	}{
		"one":                             {good, 0o644, 1, ""},
		"two, with words between":         {"# old\n" + good + "\n# new\n" + next, 0o644, 2, ""},
		"one that has expired beside":     {expired + good, 0o644, 2, ""},
		"nothing":                         {"", 0o644, 0, "is empty"},
		"white space":                     {" \n", 0o644, 0, "is empty"},
		"words":                           {"the CA", 0o644, 0, "holds no PEM certificate"},
		"half of a certificate":           {good[:len(good)/2], 0o644, 0, "is not complete"},
		"one, and half of the next":       {good + next[:len(next)/2], 0o644, 0, "is not complete: 2 PEM blocks begin in it, and 1 can be read"},
		"a certificate that is none":      {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o644, 0, "cannot be read"},
		"a private key":                   {good + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0o644, 0, "holds a private key"},
		"something else":                  {good + "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", 0o644, 0, "something else than certificates"},
		"as many as may be":               {strings.Repeat(good, 64), 0o644, 64, ""},
		"more":                            {strings.Repeat(good, 65), 0o644, 0, "more than 64"},
		"nothing that is valid any more":  {expired, 0o644, 0, "have expired"},
		"what somebody else may write to": {good, 0o666, 0, "writable by others"},
	} {
		path := filepath.Join(t.TempDir(), "ca.crt")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		cas, err := ReadAuthorities(path, now)
		switch {
		case c.says == "" && (err != nil || len(cas) != c.cas):
			t.Errorf("%s: %d CAs, %v", name, len(cas), err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: %v, expected %q and the path", name, err, c.says)
		}
	}
	if _, err := ReadAuthorities(filepath.Join(t.TempDir(), "gone"), now); !os.IsNotExist(err) {
		t.Errorf("a file that is not there: %v", err)
	}
}
