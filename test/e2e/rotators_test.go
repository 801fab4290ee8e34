package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// adopted is what the agent says of a certificate that the kubelet has put in place.
const adopted = `msg="adopted a certificate that somebody else has put in place" certificate=`

// TestTwoRotatorsAreSaidAndDoNoHarm has a kubelet that rotates both of its certificates beside an agent that does too, with certificates of
// 90 s: a kubelet follows them after up to 51 s, often at once, and the agent after 45 to 54 s.
func TestTwoRotatorsAreSaidAndDoNoHarm(t *testing.T) {
	t.Parallel()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{SigningDuration: rotationLife})
	must(t, err)
	t.Cleanup(cp.Stop)
	n := newNode(t, cp)
	n.approveServing(0)
	k := n.bootstrapsItself("serverTLSBootstrap: true\n")
	eventually(t, "the kubelet has its serving certificate", func() bool { _, err := n.certDir().Read(certdir.Serving); return err == nil })
	n.flags = append(n.flags, "--kubeconfig="+n.kubeletConf(), "--serving=after-node-registered") // the names that the kubelet asks for
	begin := time.Now()
	d := n.start()
	d.awaitStatus("rotates the client certificate (rotateCertificates: true")
	d.awaitStatus("rotates the serving certificate (serverTLSBootstrap: true")
	n.expect(n.run([]string{"status"}), 4, "rotates the client certificate", "rotates the serving certificate")

	for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
		if asked := n.requestsBy(kind, true); len(asked) > 0 {
			t.Errorf("the agent has asked for another %s certificate than the kubelet's, which is good: %q", kind, asked)
		}
	}
	looks := &rotatorsLook{node: n, k: k}
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		looks.ages(kind)
		must(t, n.certDir().AskToRotate(kind))
	}
	enough := begin.Add(trialTime(0, 10*time.Minute))
	for _, what := range []string{"the node has its client certificate", "the node has its serving certificate", adopted} {
		looks.until(what, func() bool { return strings.Contains(d.log(), what) })
	}
	looks.until("it has been looked on for long enough", func() bool { return time.Now().After(enough) })
	looks.assertHarmless(d, begin)
}

// rotatorsLook is somebody who uses the node's files all the time.
type rotatorsLook struct {
	*node
	k     *kubelet
	looks int
}

// ages makes the certificate in use older, unless the kubelet is just putting another in its place.
func (l *rotatorsLook) ages(kind certdir.Kind) {
	l.t.Helper()
	eventually(l.t, "a certificate to be older", func() bool {
		pair, err := l.certDir().Read(kind)
		before := time.Now().Add(-time.Minute)
		return err == nil && os.Chtimes(pair.File, before, before) == nil
	})
}

// until looks on for as long as the two may take: each waits for the other one's turn.
func (l *rotatorsLook) until(what string, check func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(trialTime(90*time.Second, 11*time.Minute)); !check(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("not in time: %s", what)
		}
		l.look()
	}
}

// look finds two pairs that can be used, and with the client's the node. The kubelet takes its link away before it puts the next one in its
// place, so that the link may be missing for a moment.
func (l *rotatorsLook) look() {
	l.t.Helper()
	l.k.assertRuns(l.t)
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		pair, err := l.certDir().Read(kind)
		for deadline := time.Now().Add(time.Second); err != nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			pair, err = l.certDir().Read(kind)
		}
		must(l.t, err)
		if time.Now().After(pair.Leaf.NotAfter) {
			l.t.Fatalf("the %s certificate expired at %s", kind, pair.Leaf.NotAfter)
		}
	}
	if l.looks++; l.looks%20 == 1 {
		l.assertKubeadmFinds(l.name)
	}
}

// assertHarmless shows that each certificate of the kubelet's made the agent ask for one at most, that nobody was ever refused, and that it
// was said once.
func (l *rotatorsLook) assertHarmless(d *daemon, begin time.Time) {
	l.t.Helper()
	for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
		agents, kubelets := l.requestsBy(kind, true), l.requestsBy(kind, false)
		l.t.Logf("%s: %d requests of the kubelet's and %d of the agent's", kind, len(kubelets), len(agents))
		if len(agents) == 0 || len(agents) > len(kubelets)+1 { // one more, for this test has asked for one
			l.t.Errorf("%d %s requests of the agent's and %d of the kubelet's", len(agents), kind, len(kubelets))
		}
	}
	refused, err := l.cp.Requests("", controlplane.Since(begin), func(r controlplane.Request) bool {
		if r.Resource == "certificatesigningrequests" && strings.HasPrefix(r.UserAgent, "kubelet/") {
			return false // with its client of these the kubelet re-reads its certificate every 5 minutes only, and at 90 s it outlives it, agent or not
		}
		return r.Code == http.StatusUnauthorized || r.Code == http.StatusForbidden && strings.HasPrefix(r.User, "system:anonymous")
	})
	must(l.t, err)
	if len(refused) > 0 {
		l.t.Errorf("%d requests were refused, the first of them: %s", len(refused), refused[0])
	}
	if said := strings.Count(d.log(), "about=kubelet"); said != 1 {
		l.t.Errorf("it was said %d times that there are two rotators", said)
	}
	for _, trouble := range []string{"level=ERROR", "wrote a file again"} {
		if strings.Contains(d.log(), trouble) {
			l.t.Errorf("the agent says %q", trouble)
		}
	}
	if code, _ := d.stop(); code != 0 {
		l.t.Errorf("the agent ended with %d", code)
	}
}
