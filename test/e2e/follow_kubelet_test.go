package e2e

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// kubeletReadsCA is how often a kubelet of version 1.36 reads the API server's CA again (client-go transport/ca_rotation.go), and a little.
const kubeletReadsCA = 5*time.Minute + 15*time.Second

// inTransition is a control plane that is about to get another CA.
func inTransition(t *testing.T) *controlplane.ControlPlane {
	t.Helper()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{NextCA: true, SigningDuration: 20 * time.Hour})
	must(t, err)
	t.Cleanup(cp.Stop)
	return cp
}

// Kubernetes' documented procedure ("Manual Rotation of CA Certificates"), with nodes that follow it in both ways: the old CA and the new one
// everywhere, then the API server's certificate and the signer from the new one, then the new one only.
func TestTheClustersCAIsReplacedNextToARunningKubelet(t *testing.T) {
	t.Parallel()
	cp := inTransition(t)
	old, next := cp.CA(), first(cp.NextCA())
	n := byCAFile(t, cp)
	k := n.startKubelet(freeAddress(t), "")
	eventually(t, "the kubelet has registered its Node", func() bool { return n.usedBy("kubelet/", "create", n.leaf()) })
	before, own, other := n.leaf(), n.callers(cp), n.nextCallers(cp)
	eventually(t, "the kubelet lets in whom its CA names", func() bool { return own.answer(k) == http.StatusOK })
	r, beats := n.readsAsKubelet(), n.watchHeartbeats()

	n.writesCA(slices.Concat(old, next))
	eventually(t, "the kubelet lets in whom the new CA names", func() bool { return other.answer(k) == http.StatusOK })
	if says := "a CA file in " + n.certDir().Path + " was written after the kubelet was started"; !strings.Contains(n.run([]string{"doctor"}).stdout, says) {
		t.Errorf("doctor does not say %q", says)
	}
	if soaks() { // the kubelet takes its time, and so must who changes a cluster's CA
		time.Sleep(kubeletReadsCA)
	}
	others := followersOfClusterInfo(t, cp)
	others.learnOfTheNextCA()

	must(t, cp.UseNextCA(t.Context()))
	r.goesOn("with the API server's new certificate")
	n.age(certdir.Client)
	must(t, n.certDir().AskToRotate(certdir.Client))
	n.awaitRotated(csr.Client, certdir.Client, before.SerialNumber.String(), 2)
	if n.leaf().Issuer.CommonName != "kubernetes-next" {
		t.Fatalf("the new client certificate is from %s", n.leaf().Issuer)
	}
	others.goOnWithTheNextCA()
	if soaks() {
		n.usesWithin(k, kubeletReadsCA, func() {})
	}

	must(t, cp.DropFirstCA())
	n.writesCA(next)
	eventually(t, "the kubelet refuses whom only the old CA names", func() bool { return own.answer(k) == http.StatusUnauthorized })
	if code := other.answer(k); code != http.StatusOK {
		t.Errorf("the new API server's answer from the kubelet is %d", code)
	}
	r.goesOn("with the new CA only")
	if soaks() {
		time.Sleep(kubeletReadsCA)
		n.usesWithin(k, time.Minute, func() {})
		beats.expectNone(t, 40*time.Second) // nodeLeaseDurationSeconds, after which a node's Ready is in doubt
	}
	k.assertRuns(t)
	r.stop()
}

func soaks() bool { return os.Getenv("SOAK") != "" }

func first(a, _ []byte) []byte { return a }

// byCAFile is a node that has joined and follows the file ca.crt.
func byCAFile(t *testing.T, cp *controlplane.ControlPlane) *node {
	t.Helper()
	n := newNode(t, cp)
	n.flags = append(n.flags, "--ca-file="+n.path("ca.crt"))
	n.write(n.path("ca.crt"), cp.CA(), 0o644)
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	n.start()
	n.awaitJoined()
	n.awaitServing()
	return n
}

// writesCA is what a configuration management does on every node, and what the agent makes of it.
func (n *node) writesCA(bundle []byte) {
	n.t.Helper()
	n.write(n.path("ca.crt"), bundle, 0o644)
	n.awaitCA(bundle)
}

func (n *node) awaitCA(bundle []byte) {
	n.t.Helper()
	eventually(n.t, "the agent follows the CA", func() bool {
		server, err := os.ReadFile(n.certDir().ServerCA())
		must(n.t, err)
		clients, err := os.ReadFile(n.certDir().ClientCA())
		must(n.t, err)
		return string(server) == string(bundle) && string(clients) == string(bundle)
	})
}

func (n *node) nextCallers(cp *controlplane.ControlPlane) caller {
	n.t.Helper()
	certPEM, keyPEM, err := cp.NextClientCertificate("caller")
	must(n.t, err)
	return callerWith(n.t, certPEM, keyPEM)
}

// heartbeats are when the kubelet renewed its Lease, by which the control plane knows that the node is alive.
type heartbeats struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
	stop    func()
}

func (n *node) watchHeartbeats() *heartbeats {
	n.t.Helper()
	h := &heartbeats{}
	ctx, cancel := context.WithCancel(n.t.Context())
	var ended sync.WaitGroup
	h.stop = func() {
		cancel()
		ended.Wait()
	}
	n.t.Cleanup(h.stop)
	leases := n.cp.AdminClient().CoordinationV1().Leases("kube-node-lease")
	ended.Go(func() {
		for ctx.Err() == nil {
			if lease, err := leases.Get(ctx, n.name, metav1.GetOptions{}); err == nil && lease.Spec.RenewTime != nil {
				h.note(lease.Spec.RenewTime.Time)
			}
			time.Sleep(500 * time.Millisecond)
		}
	})
	return h
}

func (h *heartbeats) note(renewed time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.last.IsZero() {
		h.longest = max(h.longest, renewed.Sub(h.last), time.Since(renewed))
	}
	h.last = renewed
}

// expectNone fails the test if there was none for so long.
func (h *heartbeats) expectNone(t *testing.T, limit time.Duration) {
	t.Helper()
	h.stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last.IsZero() || h.longest > limit {
		t.Errorf("the last heartbeat is of %s; there was none for %s", h.last, h.longest)
	}
	t.Logf("the longest time without a heartbeat: %s", h.longest.Round(time.Millisecond))
}
