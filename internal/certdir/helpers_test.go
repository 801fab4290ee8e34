package certdir

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/keyutil"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newPair returns certificate and key in one text, for a life of a year that begins at notBefore.
func newPair(t *testing.T, commonName string, notBefore time.Time) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: commonName},
		NotBefore: notBefore, NotAfter: notBefore.AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	must(t, err)
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM...)
}

// newDir returns an empty cert-dir, in memory where the machine has that: thousands of fsyncs take their time on a disk.
func newDir(t *testing.T) Dir {
	t.Helper()
	top := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		top = "/dev/shm"
	}
	path, err := os.MkdirTemp(top, "certdir-test-") //nolint:usetesting // t.TempDir is on the disk
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(path) })
	return Dir{Path: path}
}

// clone copies a folder, so that many things can be done to the same state.
func clone(t *testing.T, d Dir) Dir {
	t.Helper()
	to := newDir(t)
	entries, err := os.ReadDir(d.Path)
	must(t, err)
	for _, entry := range entries {
		from, path := filepath.Join(d.Path, entry.Name()), filepath.Join(to.Path, entry.Name())
		if target, err := os.Readlink(from); err == nil {
			must(t, os.Symlink(strings.Replace(target, d.Path, to.Path, 1), path))
			continue
		}
		content, err := os.ReadFile(from)
		must(t, err)
		must(t, os.WriteFile(path, content, 0o600))
	}
	return to
}

func (d Dir) write(t *testing.T, name string, content []byte) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(d.Path, name), content, 0o600))
}

func (d Dir) link(t *testing.T, target, name string) {
	t.Helper()
	must(t, os.Symlink(target, filepath.Join(d.Path, name)))
}

// names returns what is in the folder.
func (d Dir) names(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(d.Path)
	must(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func (d Dir) content(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(d.Path, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(content)
}

// expectCurrent shows that the pair in use is the expected text.
func (d Dir) expectCurrent(t *testing.T, kind Kind, text []byte) {
	t.Helper()
	pair, err := d.Read(kind)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	if string(pair.PEM) != string(text) {
		t.Fatalf("%s: %s is in use, expected another pair", kind, pair.Leaf.Subject)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
