package boot

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestBothCertificatesRotateUnderARunningKubelet asks for both by hand: the kubelet serves the new one within a second, comes to the API
// server with the new one with its next connection, keeps its pid and misses no heartbeat.
func TestBothCertificatesRotateUnderARunningKubelet(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{prepare: (*node).giveCredential})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(time.Minute)
	n.awaitReady()
	eventually(t, "the certificate of the first request is served", func() bool { return n.servedLeaf() == n.leaf("server") })
	pid, watch := n.MainPID(kubeletUnit), n.watchHeartbeat()

	before := n.leaf("server")
	n.Run("bootstrap-agent", "rotate", "serving")
	within(t, 2*time.Minute, "there is another serving certificate (20 s after the first at the earliest)", func() bool { return n.leaf("server") != before })
	swapped := time.Now()
	within(t, 10*time.Second, "the kubelet serves it", func() bool { return n.servedLeaf() == n.leaf("server") })
	took := time.Since(swapped)
	t.Logf("serving certificate swapped → served %s", took.Round(time.Millisecond))
	if took > atOnce {
		t.Errorf("the kubelet served the new certificate %s after it was there", took)
	}

	before = n.leaf("client")
	n.Run("bootstrap-agent", "rotate", "client")
	within(t, 2*time.Minute, "there is another client certificate", func() bool { return n.leaf("client") != before })
	swapped = time.Now()
	limit, cutAt := 20*time.Second, time.Time{}
	soak := os.Getenv("SOAK") != ""
	if soak {
		limit = 5*time.Minute + 10*time.Second // client-go's own look at the file
	}
	within(t, limit, "the kubelet comes with the new client certificate", func() bool {
		if !soak && time.Since(cutAt) > 2*time.Second { // at a new connection it reads the file, but not twice within a second
			cutAt = time.Now()
			n.way.cut()
		}
		return n.kubeletCameWith(n.leaf("client"))
	})
	t.Logf("client certificate swapped → used by the kubelet %s", time.Since(swapped).Round(time.Millisecond))

	if now := n.MainPID(kubeletUnit); now != pid || n.Unit(kubeletUnit, "NRestarts") != "0" {
		t.Errorf("the kubelet's pid was %d and is %d", pid, now)
	}
	longest := watch()
	t.Logf("longest time between two heartbeats: %s", longest.Round(time.Millisecond))
	if longest > 25*time.Second { // every 10 s; the node is given up after 40
		t.Errorf("a heartbeat was missed: %s between two", longest)
	}
}

// leaf is the fingerprint of the certificate in use, kind is client or server.
func (n *node) leaf(kind string) string { n.t.Helper(); return fingerprint(n.parsed(kind).Raw) }

// parsed is the certificate in use.
func (n *node) parsed(kind string) *x509.Certificate {
	n.t.Helper()
	content, err := os.ReadFile(n.current(kind))
	must(n.t, err)
	block, _ := pem.Decode(content)
	if block == nil {
		n.t.Fatalf("no PEM in %s", n.current(kind))
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	must(n.t, err)
	return leaf
}

// current is where the link to a pair leads, seen from the tests: the link itself is relative or the machine's.
func (n *node) current(kind string) string {
	n.t.Helper()
	link := certDir + "/kubelet-" + kind + "-current.pem"
	target, err := os.Readlink(n.Path(link))
	must(n.t, err)
	if !strings.HasPrefix(target, "/") {
		target = certDir + "/" + target
	}
	return n.Path(target)
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// servedLeaf is the fingerprint of what the kubelet serves; "" when it does not.
func (n *node) servedLeaf() string {
	dialer := &net.Dialer{Timeout: time.Second}
	found := ""
	connection, err := tls.DialWithDialer(dialer, "tcp", net.JoinHostPort(n.IP.String(), "10250"), &tls.Config{
		InsecureSkipVerify: true, //nolint:gosec // it is looked at, not trusted
		VerifyPeerCertificate: func(certificates [][]byte, _ [][]*x509.Certificate) error {
			found = fingerprint(certificates[0])
			return nil
		},
	})
	if err == nil {
		connection.Close()
	}
	return found
}

// kubeletCameWith says whether the API server has seen the kubelet with a certificate.
func (n *node) kubeletCameWith(fingerprint string) bool {
	n.t.Helper()
	requests, err := n.cp.Requests("system:node:" + n.Name)
	must(n.t, err)
	for _, r := range requests {
		if strings.HasPrefix(r.UserAgent, "kubelet/") && strings.EqualFold(r.CredentialID, "X509SHA256="+fingerprint) {
			return true
		}
	}
	return false
}

// watchHeartbeat watches the node's lease and condition until the returned function is called, which returns the longest time between
// two heartbeats. A condition other than Ready fails the test.
func (n *node) watchHeartbeat() func() time.Duration {
	ctx, cancel := context.WithCancel(n.t.Context())
	done := make(chan time.Duration)
	go func() {
		longest, last := time.Duration(0), time.Time{}
		defer func() { done <- max(longest, time.Since(last)) }()
		for ; ctx.Err() == nil; time.Sleep(500 * time.Millisecond) {
			renewed := n.leaseRenewed()
			if renewed.IsZero() {
				continue
			}
			if !last.IsZero() {
				longest = max(longest, renewed.Sub(last))
			}
			last = renewed
			for _, condition := range n.conditions() {
				if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
					n.t.Errorf("the node is not Ready: %s: %s", condition.Reason, condition.Message)
				}
			}
		}
	}()
	return func() time.Duration {
		cancel()
		return <-done
	}
}

func (n *node) conditions() []corev1.NodeCondition {
	if object := n.object(); object != nil {
		return object.Status.Conditions
	}
	return nil
}

// leaseRenewed is when the kubelet last renewed the node's lease; zero when that is not known.
func (n *node) leaseRenewed() time.Time {
	lease, err := n.cp.AdminClient().CoordinationV1().Leases("kube-node-lease").Get(context.Background(), n.Name, metav1.GetOptions{})
	if err != nil || lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return lease.Spec.RenewTime.Time
}
