package e2e

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// What the kubelet's node tests "should reload certificates from disk" show, and how long a certificate takes to come into use, with a
// real kubelet and files that the agent writes.
func TestARealKubeletFollowsItsClientCertificateAndWhoMayCallItWithoutARestart(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	proxy := n.behind(t)
	proxy.Pass()
	n.bootstrapVia(proxy.URL(), n.secretToken())
	n.approveServing(0)
	n.start()
	n.awaitJoined()
	n.awaitServing()
	k := n.startKubelet(freeAddress(t), "")
	before := n.leaf()
	eventually(t, "the kubelet has registered its Node", func() bool { return n.usedBy("kubelet/", "create", before) })
	own, other, bundle := n.callers(n.cp), n.callers(split(t)), slices.Concat(n.cp.CA(), split(t).CA())
	n.letsInBoth(k, own, other, bundle)

	n.age(certdir.Client)
	must(t, n.certDir().AskToRotate(certdir.Client))
	n.awaitRotated(csr.Client, certdir.Client, before.SerialNumber.String(), 2)
	cut := func() {}
	if os.Getenv("SOAK") == "" {
		cut = func() { proxy.Pass() } // anew, which cuts the connections, as a load balancer may
	}
	n.usesWithin(k, 310*time.Second, cut)

	n.mindsNoDamage(k, own, other, bundle) // the agent has looked at the files since they were changed
	must(t, n.certDir().WriteCA(n.certDir().ClientCA(), split(t).CA()))
	eventually(t, "the kubelet refuses whom the first CA names", func() bool { return own.answer(k) == http.StatusUnauthorized })
	k.assertRuns(t)
}

// usesWithin waits until the kubelet uses the client certificate on the disk. It reads that every five minutes, and at each new connection
// unless it has read it within the last second (cachingCertificateLoader, client-go transport/transport.go), so that the connections are cut every two.
func (n *node) usesWithin(k *kubelet, limit time.Duration, cut func()) {
	n.t.Helper()
	after, begin := n.leaf(), time.Now()
	if os.Getenv("SOAK") == "" {
		limit = 30 * time.Second
	}
	for look := 0; !n.usedBy("kubelet/", "", after); look++ {
		if k.assertRuns(n.t); time.Since(begin) > limit {
			n.t.Fatalf("not within %s: the kubelet uses the new certificate", limit)
		}
		if look%20 == 0 {
			cut()
		}
		time.Sleep(100 * time.Millisecond)
	}
	n.t.Logf("the kubelet used its new certificate after %s", time.Since(begin).Round(time.Millisecond))
}

// letsInBoth shows that whom a second CA in kubelet-client-ca.crt names may call the kubelet, and not before it stands there.
func (n *node) letsInBoth(k *kubelet, own, other caller, bundle []byte) {
	n.t.Helper()
	eventually(n.t, "the kubelet lets in whom its CA names", func() bool { return own.answer(k) == http.StatusOK })
	if code := other.answer(k); code != http.StatusUnauthorized {
		n.t.Fatalf("somebody of another cluster gets %d", code)
	}
	must(n.t, n.certDir().WriteCA(n.certDir().ClientCA(), bundle))
	eventually(n.t, "the kubelet lets in whom the second CA names", func() bool { return other.answer(k) == http.StatusOK })
}

// mindsNoDamage shows that a damaged kubelet-client-ca.crt changes nothing until the agent has written it again.
func (n *node) mindsNoDamage(k *kubelet, own, other caller, bundle []byte) {
	n.t.Helper()
	file := n.certDir().ClientCA()
	must(n.t, os.WriteFile(file, []byte("no certificate"), 0o644))
	eventually(n.t, "the agent has written the file again", func() bool {
		for name, c := range map[string]caller{"the first CA": own, "the second CA": other} {
			if code := c.answer(k); code != http.StatusOK {
				n.t.Fatalf("with a damaged CA file a caller whom %s names gets %d", name, code)
			}
		}
		content, err := os.ReadFile(file)
		return err == nil && bytes.Equal(content, bundle)
	})
}

// caller calls a kubelet with a client certificate.
type caller struct {
	*http.Client
	t *testing.T
}

// callers is somebody with a client certificate of a cluster, who shows it whatever CAs the kubelet says that it knows.
func (n *node) callers(cp *controlplane.ControlPlane) caller {
	n.t.Helper()
	certPEM, keyPEM, err := cp.ClientCertificate("caller")
	must(n.t, err)
	return callerWith(n.t, certPEM, keyPEM)
}

func callerWith(t *testing.T, certPEM, keyPEM []byte) caller {
	t.Helper()
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	must(t, err)
	config := &tls.Config{
		InsecureSkipVerify:   true, // who is called is not the question here
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	}
	return caller{&http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 5 * time.Second}, t}
}

// answer is the code of the kubelet's answer; 0: nobody listens.
func (c caller) answer(k *kubelet) int {
	c.t.Helper()
	k.assertRuns(c.t)
	response, err := c.Get("https://" + k.address + "/healthz")
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}
