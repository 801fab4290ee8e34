package agent

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/util/keyutil"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// machine is a folder with the files of one node.
type machine struct {
	top string
	cfg config.Config
	dir certdir.Dir
}

// newMachine returns one with nothing on it, in memory where there is such a place: thousands of fsyncs take their time on a disk.
func newMachine(tb testing.TB) *machine {
	tb.Helper()
	where := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		where = "/dev/shm"
	}
	top, err := os.MkdirTemp(where, "agent-test-") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(top) })
	return machineAt(top)
}

func machineAt(top string) *machine {
	cfg := config.Default()
	cfg.BootstrapKubeconfig = filepath.Join(top, "bootstrap.kubeconfig")
	cfg.Kubeconfig = filepath.Join(top, "kubelet.kubeconfig")
	cfg.CertDir = filepath.Join(top, "pki")
	cfg.HostnameOverride, cfg.NodeIP = "worker-1", "192.0.2.10"
	return &machine{top: top, cfg: cfg, dir: certdir.Dir{Path: cfg.CertDir}}
}

func (m *machine) write(tb testing.TB, path string, content []byte) {
	tb.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func (m *machine) exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// token opens nothing.
const token = "abcdef.0123456789abcdef"

// bootstrapKubeconfig is one with an inline token.
func bootstrapKubeconfig(server string, ca []byte) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: u, user: {token: %s}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, server, base64.StdEncoding.EncodeToString(ca), token)
}

// authority signs certificates, as the cluster's CA does.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  []byte
}

var theCA = sync.OnceValue(newAuthority)

func newAuthority() authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kubernetes"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: noon.AddDate(-50, 0, 0), NotAfter: noon.AddDate(50, 0, 0), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		panic(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	return authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// sign issues what a request asks for, from notBefore on for an hour.
func (ca authority) sign(requestPEM []byte, usage x509.ExtKeyUsage, notBefore time.Time) []byte {
	return ca.signFor(time.Hour, requestPEM, usage, notBefore)
}

func (ca authority) signFor(validity time.Duration, requestPEM []byte, usage x509.ExtKeyUsage, notBefore time.Time) []byte {
	block, _ := pem.Decode(requestPEM)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		panic(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: request.Subject, DNSNames: request.DNSNames, IPAddresses: request.IPAddresses,
		NotBefore: notBefore, NotAfter: notBefore.Add(validity), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, request.PublicKey, ca.key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// issue is sign for a request of ours.
func (ca authority) issue(p *csr.Pending, notBefore time.Time) []byte {
	usage := x509.ExtKeyUsageClientAuth
	if p.Wish.Kind == csr.Serving {
		usage = x509.ExtKeyUsageServerAuth
	}
	return ca.sign(p.RequestPEM, usage, notBefore)
}

// serverPair is what an API server shows at 127.0.0.1.
func (ca authority) serverPair() (certificate, key []byte) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: "kube-apiserver"}, IPAddresses: loopback}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, private)
	if err != nil {
		panic(err)
	}
	key, err = keyutil.MarshalPrivateKeyToPEM(private)
	if err != nil {
		panic(err)
	}
	request := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return ca.sign(request, x509.ExtKeyUsageServerAuth, time.Now().Add(-time.Minute)), key
}
