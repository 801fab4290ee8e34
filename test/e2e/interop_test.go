package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/certificate"
	clientcsr "k8s.io/client-go/util/certificate/csr"
	"k8s.io/client-go/util/keyutil"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// The kubelet keeps its certificates with client-go's FileStore. Either must be able to take over from the other.
func TestTheKubeletsOwnStoreReadsOurPairsAndWeReadIts(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	n.expect(n.once(), 0)
	for kind, of := range map[certdir.Kind]csr.Kind{certdir.Client: csr.Client, certdir.Serving: csr.Serving} {
		ours, err := n.certDir().Read(kind)
		must(t, err)
		dir := n.certDir().Path
		store, err := certificate.NewFileStore(string(kind), dir, dir, "", "")
		must(t, err)
		found, err := store.Current()
		must(t, err)
		if !found.Leaf.Equal(ours.Leaf) {
			t.Fatalf("the kubelet's store finds %s, expected ours, %s", found.Leaf.Subject, ours.Leaf.Subject)
		}
		awaitNextSecond() // the store writes over a file of this very second: its names have no finer time
		certPEM, keyPEM := n.rotateAsKubelet(of, ours.Leaf)
		theirs, err := store.Update(certPEM, keyPEM)
		must(t, err)
		n.assertReads(kind, of, theirs)
	}
}

// assertReads shows that the agent takes what the kubelet has stored as its own, and asks for nothing.
func (n *node) assertReads(kind certdir.Kind, of csr.Kind, theirs *tls.Certificate) {
	n.t.Helper()
	before := len(n.csrs(of))
	n.expectWell()
	n.expect(n.once(), 0)
	n.assertJoined()
	pair, err := n.certDir().Read(kind)
	must(n.t, err)
	if !pair.Leaf.Equal(theirs.Leaf) {
		n.t.Errorf("after run --once the %s pair is not the one that the kubelet has stored", of)
	}
	if after := len(n.csrs(of)); after != before {
		n.t.Errorf("%d %s requests, expected %d as before", after, of, before)
	}
	if of == csr.Serving { // what a kubelet serves that has no tlsCertFile
		served, err := tls.LoadX509KeyPair(n.path("pki", "kubelet.crt"), n.path("pki", "kubelet.key"))
		must(n.t, err)
		if !served.Leaf.Equal(theirs.Leaf) {
			n.t.Error("kubelet.crt is not the serving pair that the kubelet has stored")
		}
	}
}

// rotateAsKubelet gets another certificate like leaf, by client-go's code and with the kubelet's kubeconfig.
func (n *node) rotateAsKubelet(kind csr.Kind, leaf *x509.Certificate) (certPEM, keyPEM []byte) {
	n.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", n.kubeconfig())
	must(n.t, err)
	client, err := kubernetes.NewForConfig(config)
	must(n.t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(n.t, err)
	keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	must(n.t, err)
	request, err := cert.MakeCSR(key, &leaf.Subject, leaf.DNSNames, leaf.IPAddresses)
	must(n.t, err)
	wish := csr.Wish{Kind: kind, KeyAlgorithm: "ecdsa-p256"}
	ctx, cancel := context.WithTimeout(n.t.Context(), 30*time.Second)
	defer cancel()
	name, uid, err := clientcsr.RequestCertificateWithContext(ctx, client, request, "", kind.Signer(), nil, wish.Usages(), key)
	for ; err != nil && strings.Contains(err.Error(), net.ErrClosed.Error()); time.Sleep(100 * time.Millisecond) {
		// client-go closes the connections of a certificate that was replaced, also under a request; the kubelet sends it again
		name, uid, err = clientcsr.RequestCertificateWithContext(ctx, client, request, "", kind.Signer(), nil, wish.Usages(), key)
	}
	must(n.t, err)
	certPEM, err = clientcsr.WaitForCertificate(ctx, client, name, uid)
	must(n.t, err)
	return certPEM, keyPEM
}

func awaitNextSecond() { time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) }

func TestServingOffWritesNothingAboutServing(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.flags = append(n.flags, "--serving=off")
	n.expect(n.once(), 0)
	n.assertJoined()
	n.assertNothingServed()
	d := n.start() // and nothing later
	d.awaitReady()
	d.awaitLog(complete)
	time.Sleep(aWhile())
	n.assertNothingServed()
	if asked := n.csrs(csr.Serving); len(asked) != 0 {
		t.Errorf("%d serving requests", len(asked))
	}
	n.expect(n.run([]string{"status"}), 0, "well")
}

func (n *node) assertNothingServed() {
	n.t.Helper()
	for _, name := range n.files() {
		if base := filepath.Base(name); strings.HasPrefix(base, "kubelet-server") || base == "kubelet.crt" || base == "kubelet.key" {
			n.t.Errorf("with --serving=off there is %s", name)
		}
	}
}

func TestSwitchingServingOffLeavesTheKubeletRealFiles(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	n.expect(n.once(), 0)
	before, err := n.certDir().Read(certdir.Serving)
	must(t, err)
	n.expect(n.once("--serving=off"), 0)
	crt, key := n.path("pki", "kubelet.crt"), n.path("pki", "kubelet.key")
	for _, path := range []string{crt, key} {
		n.assertRegular(path, 0o600)
	}
	served, err := tls.LoadX509KeyPair(crt, key)
	must(t, err)
	if !served.Leaf.Equal(before.Leaf) {
		t.Error("the kubelet's files are not the serving pair that it had")
	}
	for _, name := range n.files() {
		if strings.HasPrefix(filepath.Base(name), "kubelet-server") {
			t.Errorf("%s is left", name)
		}
	}
	n.expectWell("--serving=off")
}

func (n *node) assertRegular(path string, mode fs.FileMode) {
	n.t.Helper()
	info, err := os.Lstat(path)
	must(n.t, err)
	if info.Mode() != mode { // a link has another type
		n.t.Errorf("%s is %s, expected %s", path, info.Mode(), mode)
	}
}

func TestAPairThatTheKubeletHadIsThePlaceholderAndIsKept(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	crt, key := n.path("pki", "kubelet.crt"), n.path("pki", "kubelet.key")
	certPEM, keyPEM := selfSigned(t, n.name)
	must(t, os.Mkdir(n.certDir().Path, 0o700))
	n.write(crt, certPEM, 0o644)
	n.write(key, keyPEM, 0o600)
	n.bootstrap(n.secretToken())

	d := n.start("--serving-wait=50s")
	if took := d.awaitReady(); took > 30*time.Second {
		t.Errorf("the kubelet was held back for %s, though it had a pair", took)
	}
	d.awaitStatus("kubectl certificate approve " + n.csr(csr.Serving).Name)
	n.assertRegular(crt, 0o644)
	n.assertRegular(key, 0o600)
	n.assertHolds(crt, certPEM)
	n.assertHolds(key, keyPEM)
	n.assertGone(n.certDir().Current(certdir.Serving))
	n.expect(n.run([]string{"status"}), 4, "placeholder", crt)

	n.approve(csr.Serving)
	n.awaitServing()
	d.awaitStatus("serving: valid until")
	n.assertHolds(crt+".orig", certPEM)
	n.assertHolds(key+".orig", keyPEM)
	n.assertRegular(crt+".orig", 0o600)
	n.assertRegular(key+".orig", 0o600)
	served, err := tls.LoadX509KeyPair(crt, key)
	must(t, err)
	if served.Leaf.Subject.CommonName != "system:node:"+n.name {
		t.Errorf("the kubelet would serve %s", served.Leaf.Subject)
	}
}

func (n *node) assertHolds(path string, content []byte) {
	n.t.Helper()
	found, err := os.ReadFile(path)
	must(n.t, err)
	if string(found) != string(content) {
		n.t.Errorf("%s does not hold what was there before", path)
	}
}

// selfSigned makes a serving pair as the kubelet makes one for itself.
func selfSigned(t *testing.T, name string) (certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name + "@1700000000"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 10)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	keyPEM, err = keyutil.MarshalPrivateKeyToPEM(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM
}
