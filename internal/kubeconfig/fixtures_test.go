package kubeconfig_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// token has no piece that an ordinary word or path could have.
const token = "q7xz9k.w3vj8yq2hg5tzx4p"

// otherToken is a newer one.
const otherToken = "m4nb6v.k9jx2wq7zr5hf8tc"

// keyPair is a self-signed certificate: a CA and a client certificate at once.
type keyPair struct {
	certificate, key string
}

var pairs = sync.OnceValue(func() [2]keyPair { return [2]keyPair{makePair(), makePair()} })

// ca returns a CA's PEM, or any certificate where its content does not matter.
func ca() string { return pairs()[0].certificate }

// client returns a client certificate with its key.
func client() keyPair { return pairs()[1] }

func makePair() keyPair {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return keyPair{
		certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		key:         string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})),
	}
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// goodCluster are the fields of a cluster entry that can be used.
func goodCluster() string {
	return "server: https://10.0.0.1:6443\ncertificate-authority-data: " + b64(ca())
}

// kubeconfigOf is a kubeconfig with these fields of its cluster and its user, one a line.
func kubeconfigOf(cluster, user string) string {
	indent := func(fields string) string { return strings.ReplaceAll(fields, "\n", "\n    ") }
	return fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: the-cluster
  cluster:
    %s
contexts:
- name: the-context
  context:
    cluster: the-cluster
    user: the-user
current-context: the-context
users:
- name: the-user
  user:
    %s
`, indent(cluster), indent(user))
}

// withToken is a good bootstrap kubeconfig.
func withToken(token string) string { return kubeconfigOf(goodCluster(), "token: "+token) }

// folder is a test's own, with the bootstrap kubeconfig's place in it.
type folder struct {
	t    *testing.T
	path string
}

func newFolder(t *testing.T) folder {
	t.Helper()
	return folder{t, t.TempDir()}
}

func (f folder) in(name string) string { return filepath.Join(f.path, name) }
func (f folder) bootstrapFile() string { return f.in("bootstrap.kubeconfig") }
func (f folder) bootstrap(text string) { f.write("bootstrap.kubeconfig", text) }
func (f folder) write(name, text string) {
	f.t.Helper()
	must(f.t, os.WriteFile(f.in(name), []byte(text), 0o600))
}

// rename puts text under name as a careful writer does, in one step.
func (f folder) rename(name, text string) {
	f.t.Helper()
	f.write("new", text)
	must(f.t, os.Rename(f.in("new"), f.in(name)))
}

func (f folder) symlink(target, name string) {
	f.t.Helper()
	must(f.t, os.Symlink(target, f.in(name)))
}

// giveAway makes a file another user's.
func (f folder) giveAway(name string) {
	f.t.Helper()
	if err := os.Lchown(f.in(name), 12345, 12345); err != nil {
		f.t.Fatalf("run this test as root, who alone can give a file to another user: %v", err)
	}
}

// content is everything below the folder: mode, and what is read there or where a link leads.
func (f folder) content() map[string]string {
	f.t.Helper()
	all := map[string]string{}
	must(f.t, filepath.WalkDir(f.path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%s of %d ", info.Mode(), durable.OwnerOf(info))
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			all[strings.TrimPrefix(path, f.path)] = what + "leads to " + target
			return err
		case entry.Type().IsRegular():
			text, err := os.ReadFile(path)
			all[strings.TrimPrefix(path, f.path)] = what + string(text)
			return err
		}
		all[strings.TrimPrefix(path, f.path)] = what
		return nil
	}))
	return all
}

// holds returns the files of the folder in which text is.
func (f folder) holds(text string) (names []string) {
	for name, content := range f.content() {
		if strings.Contains(content, text) {
			names = append(names, name)
		}
	}
	return names
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
