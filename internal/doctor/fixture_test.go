package doctor

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

const (
	day = 24 * time.Hour
	// secretToken is on many of the nodes, and may be in no report.
	secretToken = "abcdef.0123456789abcdef"
	apiServer   = "https://192.0.2.1:6443"
	ourMachine  = "4f0c2b1d9a8e7f6053c4d2e1b0a99887"
)

// sick is a node on the disk of its own root, which is well until a test changes it.
type sick struct {
	t    *testing.T
	root string
	cfg  config.Config
	now  time.Time
	ca   authority
	// kubelet are the arguments of the one that runs; nil: none does. since is when it was started.
	kubelet []string
	since   time.Time
	// noAgent: none runs.
	noAgent bool
}

// wellNode is a node that has everything, and lacks nothing.
func wellNode(t *testing.T) *sick {
	t.Helper()
	n := &sick{t: t, root: t.TempDir(), cfg: config.Default(), now: time.Now().Truncate(time.Second), ca: newAuthority(t, "kubernetes", time.Now().Add(3650*day))}
	n.cfg.CertDir, n.cfg.Kubeconfig, n.cfg.BootstrapKubeconfig = n.path("/var/lib/kubelet/pki"), n.path("/etc/kubernetes/kubelet.kubeconfig"), n.path("/etc/kubernetes/bootstrap.kubeconfig")
	n.cfg.HostnameOverride = "worker-1"
	n.cfg.CredentialsDirectory = n.path("/run/credentials/bootstrap-agent.service")
	for path, content := range map[string]string{
		"/etc/hostname": "worker-1\n", "/etc/machine-id": ourMachine + "\n", "/run/systemd/timesync/synchronized": "", "/run/bootstrap-agent/ready": "", "/run/systemd/system/.keep": "",
		"/etc/kubernetes/manifests/.keep":                    "",
		"/etc/systemd/system/kubelet.service":                "[Service]\nExecStart=/usr/bin/kubelet " + strings.Join(n.fitting(), " ") + "\n",
		"/usr/lib/systemd/system/bootstrap-agent.service":    n.shipped("systemd/bootstrap-agent.service"),
		"/etc/systemd/system/bootstrap-agent.service.d/test": "not a drop-in",
		// the node lies in a temporary folder
		"/etc/systemd/system/bootstrap-agent.service.d/paths.conf":          "[Service]\nPrivateTmp=no\nReadWritePaths=-" + n.path("/var/lib/kubelet") + " -" + n.path("/etc/kubernetes") + "\nExecStart=\nExecStart=/usr/bin/bootstrap-agent run " + n.flags() + "\n",
		"/usr/lib/systemd/system/kubelet.service.d/20-bootstrap-agent.conf": n.shipped("systemd/kubelet.service.d/20-bootstrap-agent.conf"),
	} {
		n.write(path, content, 0o644)
	}
	n.link("/usr/lib/systemd/system/bootstrap-agent.service", "/etc/systemd/system/multi-user.target.wants/bootstrap-agent.service")
	n.kubelet, n.since = n.fitting(), n.now.Add(-time.Hour)
	dir := n.dir()
	must(t, os.MkdirAll(dir.Path, 0o700))
	n.write(dir.ServerCA(), string(n.ca.pem), 0o644)
	n.write(dir.ClientCA(), string(n.ca.pem), 0o644)
	n.storeClient(n.ca.issue(t, nodeSubject, n.now.Add(-30*day), n.now.Add(335*day)))
	n.storeServing(n.ca.issue(t, nodeSubject, n.now.Add(-30*day), n.now.Add(335*day)))
	for _, name := range []string{"kubelet.crt", "kubelet.key"} {
		must(t, os.Symlink(filepath.Base(dir.Current(certdir.Serving)), filepath.Join(dir.Path, name)))
	}
	n.writeKubeconfig(kubeconfig.Kubelet{Endpoint: apiserver.Endpoint{Server: apiServer}, CAFile: dir.ServerCA(), ClientPEM: dir.Current(certdir.Client)})
	n.age(n.now.Add(-2*time.Hour), dir.ServerCA(), dir.ClientCA(), n.cfg.Kubeconfig)
	return n
}

func (n *sick) shipped(name string) string {
	text, err := os.ReadFile(filepath.Join("../../deploy", name))
	must(n.t, err)
	return string(text)
}

// flags are those that the agent's unit has, and fitting those of a kubelet that goes with them.
func (n *sick) flags() string {
	return fmt.Sprintf("--cert-dir=%s --kubeconfig=%s --bootstrap-kubeconfig=%s --hostname-override=worker-1", n.cfg.CertDir, n.cfg.Kubeconfig, n.cfg.BootstrapKubeconfig)
}

func (n *sick) fitting() []string {
	return []string{"--kubeconfig=" + n.cfg.Kubeconfig, "--cert-dir=" + n.cfg.CertDir, "--client-ca-file=" + n.dir().ClientCA(), "--hostname-override=worker-1"}
}

func (n *sick) path(name string) string { return filepath.Join(n.root, name) }
func (n *sick) dir() certdir.Dir        { return certdir.Dir{Path: n.cfg.CertDir} }

func (n *sick) write(path, content string, mode fs.FileMode) {
	n.t.Helper()
	if !strings.HasPrefix(path, n.root) {
		path = n.path(path)
	}
	must(n.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(n.t, os.WriteFile(path, []byte(content), mode))
	must(n.t, os.Chmod(path, mode))
}

func (n *sick) link(target, path string) {
	n.t.Helper()
	must(n.t, os.MkdirAll(filepath.Dir(n.path(path)), 0o755))
	must(n.t, os.Symlink(target, n.path(path)))
}

func (n *sick) remove(paths ...string) {
	n.t.Helper()
	for _, path := range paths {
		if !strings.HasPrefix(path, n.root) {
			path = n.path(path)
		}
		must(n.t, os.RemoveAll(path))
	}
}

func (n *sick) age(at time.Time, paths ...string) {
	n.t.Helper()
	for _, path := range paths {
		must(n.t, os.Chtimes(path, at, at))
	}
}

func (n *sick) storeClient(pair []byte)  { n.t.Helper(); n.store(certdir.Client, pair) }
func (n *sick) storeServing(pair []byte) { n.t.Helper(); n.store(certdir.Serving, pair) }

// store makes a pair the current one, as [certdir.Dir.Commit] does, but for the care: hundreds of nodes would wait for the disk.
func (n *sick) store(kind certdir.Kind, pair []byte) {
	n.t.Helper()
	at := n.now.Add(-time.Duration(len(n.dir().Pairs(kind))) * time.Minute)
	name := fmt.Sprintf("%s-%s.pem", kind, at.Format("2006-01-02-15-04-05"))
	n.write(filepath.Join(n.cfg.CertDir, name), string(pair), 0o600)
	n.remove(n.dir().Current(kind))
	must(n.t, os.Symlink(name, n.dir().Current(kind)))
	n.date(kind)
}

// date gives the current pair the time at which it began to be valid.
func (n *sick) date(kind certdir.Kind) {
	n.t.Helper()
	if pair, err := n.dir().Read(kind); err == nil {
		n.age(pair.Leaf.NotBefore, pair.File)
	}
}

func (n *sick) writeKubeconfig(k kubeconfig.Kubelet) {
	n.t.Helper()
	text, err := k.Render()
	must(n.t, err)
	n.write(n.cfg.Kubeconfig, string(text), 0o600)
	n.age(n.now.Add(-2*time.Hour), n.cfg.Kubeconfig)
}

// bootstrap writes a bootstrap kubeconfig with a token.
func (n *sick) bootstrap(server string) {
	n.t.Helper()
	n.write(n.cfg.BootstrapKubeconfig, fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: %s}}]
`, server, base64Of(n.ca.pem), secretToken), 0o600)
}

// noIdentity takes away what makes a node one.
func (n *sick) noIdentity() {
	n.remove(n.cfg.CertDir, n.cfg.Kubeconfig)
	must(n.t, os.MkdirAll(n.cfg.CertDir, 0o700))
	n.kubelet = nil
}

// patient is the node as doctor sees it now. The agent that runs is this test.
func (n *sick) patient() *Patient {
	n.t.Helper()
	if !n.noAgent {
		lock, err := n.dir().Lock("the test")
		if err == nil {
			n.t.Cleanup(func() { lock.Close() })
		}
	}
	o := status.Observe(n.cfg, n.now)
	if n.kubelet != nil {
		k := node.ParseKubelet(append([]string{"/usr/bin/kubelet"}, n.kubelet...), os.DirFS("/"))
		k.Process = node.Process{PID: os.Getpid(), Since: n.since}
		o.Kubelets = []node.Kubelet{k}
	}
	var passive clock.PassiveClock = testclock.NewFakePassiveClock(n.now)
	return &Patient{Config: n.cfg, Observed: o, Clock: passive, Root: n.root}
}

// serves has something on this machine show a pair, as a kubelet would.
func (n *sick) serves(pair []byte) {
	n.t.Helper()
	certificate, err := tls.X509KeyPair(pair, pair)
	must(n.t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	must(n.t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.(*tls.Conn).HandshakeContext(context.Background())
			connection.Close()
		}
	}()
	n.t.Cleanup(func() { listener.Close(); <-ended })
	n.cfg.KubeletAddress = listener.Addr().String()
}

func (n *sick) current(kind certdir.Kind) []byte {
	n.t.Helper()
	pair, err := n.dir().Read(kind)
	must(n.t, err)
	return pair.PEM
}

// authority is a CA.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

func newAuthority(t *testing.T, name string, until time.Time) authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: until.Add(-4000 * day), NotAfter: until, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

const nodeSubject = "system:node:worker-1"

// issue returns certificate and key in one PEM text.
func (a authority) issue(t *testing.T, commonName string, from, until time.Time, ips ...string) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: commonName, Organization: []string{"system:nodes"}}, NotBefore: from, NotAfter: until,
		DNSNames: []string{"worker-1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, ip := range ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return bytes.Join([][]byte{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})}, nil)
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
