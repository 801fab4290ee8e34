package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// noticedWithin is how soon a kubelet serves what the agent has put there.
const noticedWithin = 2 * time.Second

func TestARealKubeletServesEveryPairThatTheAgentPutsThereWithoutARestart(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	address := freeAddress(t)
	d := n.startHurried(hurry(30), "--kubelet-address="+address) // 20 s lie between two requests, less than one here
	d.awaitReady()
	n.awaitJoined()
	k := n.startKubelet(address, "")
	eventually(t, "the kubelet serves the placeholder", func() bool { return n.compare(k).Taken == serving.Took })
	placeholder := n.compare(k).Served
	if !serving.Ours(placeholder) {
		t.Fatalf("the kubelet serves %s first, expected the placeholder", placeholder.Subject)
	}
	n.approveServing(0)
	before, took := placeholder, []time.Duration{}
	for rotation := range 4 {
		if rotation > 0 {
			// by the agent's clock, which is far ahead, what is just being written is old enough to be swept
			eventually(t, "another certificate is asked for", func() bool { return n.certDir().AskToRotate(certdir.Serving) == nil })
		}
		const noticed = `msg="the kubelet serves the new certificate" address=`
		said := strings.Count(d.log(), noticed+address)
		now, after := n.awaitSwap(k, before)
		eventually(t, "the agent sees that the kubelet has taken it", func() bool { return strings.Count(d.log(), noticed+address) > said })
		took, before = append(took, after.Round(time.Millisecond)), now
		n.assertVerifies(k)
	}
	if made := len(n.csrs(csr.Serving)); made != len(took) {
		t.Errorf("%d requests for %d certificates", made, len(took))
	}
	if strings.Contains(k.log(), "TLS handshake error") {
		t.Error("the kubelet complains of those who look at its certificate")
	}
	t.Logf("%d swaps, noticed after %v", len(took), took)
}

func TestARealKubeletGoesFromItsOwnPairToTheAgentsAndBackWithoutARestart(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.expect(n.once("--serving=off"), 0)
	k := n.startKubelet(freeAddress(t), "")
	var own *x509.Certificate
	eventually(t, "the kubelet serves a pair that it has made", func() bool {
		k.assertRuns(t)
		found, err := serving.Served(t.Context(), k.address)
		own = found
		return err == nil
	})
	names := []string{n.path("pki", "kubelet.crt"), n.path("pki", "kubelet.key")}
	made := contents(t, names)
	agent := n.startHurried(hurry(30))
	agent.awaitStatus("waiting for approval")
	if now := contents(t, names); !slices.Equal(now, made) {
		t.Fatal("the kubelet's own pair is replaced before there is a better one")
	}
	n.approveServing(0)
	n.awaitServing()
	issued, first := n.awaitSwap(k, own)
	if kept := contents(t, []string{names[0] + ".orig", names[1] + ".orig"}); !slices.Equal(kept, made) {
		t.Error("what the kubelet had made is not kept beside it")
	}
	must(t, n.certDir().AskToRotate(certdir.Serving))
	rotated, second := n.awaitSwap(k, issued)
	agent.end()
	n.startHurried(hurry(30), "--serving=off")
	eventually(t, "the kubelet's names are files of its own again", func() bool { return !n.certDir().Linked() && !n.certDir().Releasable() })
	returned, err := tls.LoadX509KeyPair(names[0], names[1])
	must(t, err)
	if c := serving.Compare(t.Context(), []string{k.address}, rotated); c.Taken != serving.Took || !returned.Leaf.Equal(rotated) {
		t.Errorf("after --serving=off the kubelet has %s, and serves: %+v", returned.Leaf.Subject, c)
	}
	t.Logf("2 swaps, noticed after %v", []time.Duration{first.Round(time.Millisecond), second.Round(time.Millisecond)})
}

func contents(t *testing.T, paths []string) []string {
	t.Helper()
	var all []string
	for _, path := range paths {
		content, err := os.ReadFile(path)
		must(t, err)
		all = append(all, string(content))
	}
	return all
}

// awaitSwap waits for another current pair than before, and until the kubelet serves it; it returns the pair's leaf and how long that
// took. In between the kubelet serves the one before.
func (n *node) awaitSwap(k *kubelet, before *x509.Certificate) (*x509.Certificate, time.Duration) {
	n.t.Helper()
	var now *x509.Certificate
	eventually(n.t, "another serving certificate is on the disk", func() bool {
		pair, err := n.certDir().Read(certdir.Serving)
		if err != nil { // the link was followed just before the swap, and the file is gone
			return false
		}
		now = pair.Leaf
		return !now.Equal(before)
	})
	for swapped := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		c := n.compare(k)
		after := time.Since(swapped)
		switch {
		case c.Taken == serving.Took:
			return now, after
		case c.Taken == serving.Unknown:
			n.t.Fatalf("it is not known what the kubelet serves, %s after the swap: %v", after, c.Reason)
		case after > noticedWithin:
			n.t.Fatalf("the kubelet still serves %s, number %x, %s after the swap", c.Served.Subject, c.Served.SerialNumber, after)
		}
	}
}

// assertVerifies shows that whoever trusts the cluster's CA can talk to the kubelet by the node's name.
func (n *node) assertVerifies(k *kubelet) {
	n.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(n.cp.SignerCA())
	connection, err := tls.Dial("tcp", k.address, &tls.Config{RootCAs: roots, ServerName: n.name})
	must(n.t, err)
	connection.Close()
}

func TestAfterTheNodeIsRegisteredTheAgentAsksForTheNamesThatTheKubeletAsksFor(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.expect(n.once("--serving=off"), 0)
	k := n.startKubelet(freeAddress(t), "serverTLSBootstrap: true\n", "--cloud-provider=external") // whose addresses are ours to say
	nodes := n.cp.AdminClient().CoreV1().Nodes()
	eventually(t, "the kubelet registers its Node", func() bool {
		k.assertRuns(t)
		_, err := nodes.Get(t.Context(), n.name, metav1.GetOptions{})
		return err == nil
	})
	d := n.startHurried(hurry(30), "--serving=after-node-registered")
	d.awaitStatus("the serving certificate waits for an address of the Node object")
	if early := n.csrs(csr.Serving); len(early) > 0 {
		t.Fatalf("%d requests before the Node has an address", len(early))
	}
	var registered *corev1.Node
	must(t, retry.RetryOnConflict(retry.DefaultBackoff, func() (err error) { // the kubelet updates it too
		if registered, err = nodes.Get(t.Context(), n.name, metav1.GetOptions{}); err != nil {
			return err
		}
		registered.Status.Addresses = nodeAddresses(n.name)
		_, err = nodes.UpdateStatus(t.Context(), registered, metav1.UpdateOptions{})
		return err
	}))
	asked := map[bool]*x509.CertificateRequest{} // by the agent: true
	eventually(t, "both ask for a serving certificate", func() bool {
		for _, c := range n.csrs(csr.Serving) {
			request, err := controlplane.ParseRequest(&c)
			must(t, err)
			asked[strings.HasPrefix(c.Name, n.name)] = request
		}
		return len(asked) == 2
	})
	ours, kubelets := asked[true], asked[false]
	sameIPs := slices.EqualFunc(ours.IPAddresses, kubelets.IPAddresses, net.IP.Equal)
	if !slices.Equal(ours.DNSNames, kubelets.DNSNames) || !sameIPs || ours.Subject.String() != kubelets.Subject.String() {
		t.Fatalf("the agent asks for %s %v %v, the kubelet for %s %v %v",
			ours.Subject, ours.DNSNames, ours.IPAddresses, kubelets.Subject, kubelets.DNSNames, kubelets.IPAddresses)
	}
	t.Logf("%d addresses, %d DNS names and %d IPs in both requests", len(registered.Status.Addresses), len(ours.DNSNames), len(ours.IPAddresses))
}

// nodeAddresses are what a cloud may say of a node: with duplicates, in many spellings, and in part useless.
func nodeAddresses(name string) []corev1.NodeAddress {
	return []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: name},
		{Type: corev1.NodeInternalDNS, Address: name},
		{Type: corev1.NodeExternalDNS, Address: "Worker.example.com"},
		{Type: corev1.NodeExternalDNS, Address: "203.0.113.7"},
		{Type: corev1.NodeInternalIP, Address: "192.0.2.10"},
		{Type: corev1.NodeExternalIP, Address: "192.0.2.10"},
		{Type: corev1.NodeExternalIP, Address: "2001:DB8:0::10"},
		{Type: corev1.NodeExternalIP, Address: "not-an-address"},
		{Type: corev1.NodeInternalIP, Address: ""},
		{Type: "Other", Address: "other.example.com"},
	}
}
