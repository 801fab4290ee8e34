package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
)

// look is what a test sees of a node's folder, without the agent's own code.
type look struct {
	files map[string]string
	// identity is the client pair in use, if it is one.
	identity []byte
	// kubelet says why the kubelet could not start.
	kubelet error
	// dangling are the kubelet's own names that lead nowhere.
	dangling []string
	// credentials are the files that hold a bootstrap credential.
	credentials int
	temporary   int
}

func (n *node) look() look {
	n.t.Helper()
	l := look{files: map[string]string{}}
	for _, name := range n.files() {
		info, err := os.Lstat(n.path(name))
		if err != nil {
			continue
		}
		stat := info.Sys().(*syscall.Stat_t)
		l.files[name] = fmt.Sprint(info.Mode(), stat.Uid, stat.Ino, info.Size())
		if info.Mode().IsRegular() {
			l.files[name] += info.ModTime().Format(time.RFC3339Nano)
			if info.Size() < 1<<20 {
				content, _ := os.ReadFile(n.path(name))
				if bytes.Contains(content, []byte("token: ")) {
					l.credentials++
				}
			}
		}
		if durable.IsTemp(filepath.Base(name)) {
			l.temporary++
		}
	}
	l.identity, l.kubelet = n.usable()
	for _, name := range []string{"kubelet.crt", "kubelet.key"} {
		path := n.path("pki", name)
		if _, err := os.Readlink(path); err == nil {
			if _, err := os.Stat(path); err != nil {
				l.dangling = append(l.dangling, name)
			}
		}
	}
	return l
}

// usable reads what the kubelet opens when it starts.
func (n *node) usable() (identity []byte, kubelet error) {
	current := n.path("pki", "kubelet-client-current.pem")
	if text, err := readSmall(current); err == nil {
		if pair, err := tls.X509KeyPair(text, text); err == nil && time.Now().Before(pair.Leaf.NotAfter) {
			identity = text
		}
	}
	if identity == nil {
		return nil, fmt.Errorf("there is no pair at %s", current)
	}
	for _, name := range []string{"kubelet-apiserver-ca.crt", "kubelet-client-ca.crt"} {
		text, err := readSmall(n.path("pki", name))
		if err != nil {
			return identity, err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return identity, fmt.Errorf("%s holds no certificate", name)
		}
	}
	crt, err := readSmall(n.path("pki", "kubelet.crt"))
	if err != nil {
		return identity, err
	}
	key, err := readSmall(n.path("pki", "kubelet.key"))
	if err != nil {
		return identity, err
	}
	if _, err := tls.X509KeyPair(crt, key); err != nil {
		return identity, fmt.Errorf("kubelet.crt and kubelet.key: %w", err)
	}
	text, err := readSmall(n.kubeconfig())
	if err != nil {
		return identity, err
	}
	_, err = clientcmd.RESTConfigFromKubeConfig(text)
	return identity, err
}

// readSmall reads a regular file that is not too big, following links.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return nil, fmt.Errorf("%s is %s of %d bytes", path, info.Mode(), info.Size())
	}
	return os.ReadFile(path)
}

// checkHarmless is what must hold in every state: the identity and the credential are not lost, the kubelet's names do not dangle,
// nothing is left over, and nothing elsewhere was touched.
func (n *node) checkHarmless(c found.Cell, row found.Row, before, after look) {
	n.t.Helper()
	switch {
	case before.identity != nil && after.identity == nil:
		n.t.Error("the identity is lost")
	case c.File.Kind != found.Pending && row.Outcome != found.Asked && row.Outcome != found.Joins && before.identity != nil && !bytes.Equal(before.identity, after.identity):
		n.t.Error("the identity is another one")
	}
	if after.credentials < before.credentials && after.identity == nil {
		n.t.Error("the credential is gone, and there is no identity")
	}
	if len(after.dangling) > 0 && row.Outcome != found.Refused {
		n.t.Errorf("%q lead nowhere: the kubelet would write its own key through them", after.dangling)
	}
	if after.temporary > before.temporary {
		n.t.Error("a temporary file is left over")
	}
	for name, was := range before.files {
		if name != "elsewhere" && strings.HasPrefix(name, "elsewhere/") && !strings.HasPrefix(name, "elsewhere/pki") && after.files[name] != was {
			n.t.Errorf("%s was changed", name)
		}
	}
}

// checkOutcome is what a row promises about the file itself.
func (n *node) checkOutcome(c found.Cell, row found.Row, before, after look) {
	n.t.Helper()
	was, is := before.files[c.File.Path], after.files[c.File.Path]
	switch row.Outcome {
	case found.Used, found.LeftAlone, found.Refused, found.NotUsed, found.Mended:
		if was != is && row.Files[0] != "bootstrap.kubeconfig.used" && c.File.Name != "lock file" && c.File.Kind != found.Folder {
			n.t.Errorf("%s was changed: %s, %s", c.File.Path, was, is)
		}
	case found.Removed, found.PutBack:
		if is != "" {
			n.t.Errorf("%s is still there", c.File.Path)
		}
	case found.Healed, found.Resumed, found.Asked, found.AskedServing, found.Joins:
		if after.kubelet != nil {
			n.t.Error(after.kubelet)
		}
	}
	if row.Outcome == found.Asked && bytes.Equal(before.identity, after.identity) {
		n.t.Error("the identity is the old one")
	}
	if row.Outcome == found.Refused {
		for name, was := range before.files {
			if after.files[name] != was {
				n.t.Errorf("%s was changed", name)
			}
		}
	}
	if target, err := fs.Stat(os.DirFS(n.dir), "pki"); err == nil && c.File.Kind != found.Folder && target.Mode().Perm() != 0o700 {
		n.t.Errorf("the cert-dir is of mode %s", target.Mode())
	}
}
