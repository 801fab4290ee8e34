package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// ender is how an approver or a signer says no.
type ender func(cp *controlplane.ControlPlane, ctx context.Context, name, reason, message string) error

// aWhile is for how long a test lets nothing happen: long enough for a second request to show, were there one. With SOAK set
// it is longer than any period of the agent's.
func aWhile() time.Duration {
	if os.Getenv("SOAK") != "" {
		return 65 * time.Second
	}
	return 2 * time.Second
}

// meanwhile runs run --once, and act beside it.
func (n *node) meanwhile(act func(), args ...string) result {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	results := make(chan result, 1)
	go func() {
		defer close(results)
		results <- n.finish(n.command(ctx, []string{"run", "--once"}, args...))
	}()
	defer func() { cancel(); <-results }()
	act()
	r, ended := <-results
	if !ended {
		n.t.FailNow() // finish has said why
	}
	return r
}

// shows fails the test unless the daemon did what the row says, as this proof has seen it do.
func (d *daemon) shows(row scenarios.Scenario, reaction scenarios.Reaction) {
	d.t.Helper()
	if row.Daemon != reaction {
		d.t.Errorf("the row says that the daemon %q, what was seen is %q", row.Daemon, reaction)
	}
	if d.running() == (reaction == scenarios.Ends) {
		d.t.Errorf("the daemon %q, and it runs: %t", reaction, d.running())
	}
}

// everSaid fails the test unless some STATUS= held text.
func (d *daemon) everSaid(text string) {
	d.t.Helper()
	if !slices.ContainsFunc(d.statuses(), func(status string) bool { return strings.Contains(status, text) }) {
		d.t.Errorf("no STATUS= says %q: %q", text, d.statuses())
	}
}

// saidOnce fails the test unless the log holds text exactly once.
func (d *daemon) saidOnce(text string) {
	d.t.Helper()
	if times := strings.Count(d.log(), text); times != 1 {
		d.t.Errorf("the log says %q %d times, expected once", text, times)
	}
}

// asked are the agent's requests about this node's CSRs of a kind, as the API server's audit log has them.
func (n *node) asked(kind csr.Kind) []controlplane.Request {
	n.t.Helper()
	requests, err := n.cp.Requests("", controlplane.ByUserAgent("bootstrap-agent/"), func(r controlplane.Request) bool {
		return strings.HasPrefix(r.Name, n.name+"-kubelet-"+string(kind)+"-")
	})
	must(n.t, err)
	return requests
}

// verbs are what the agent's requests about this node's CSRs of a kind were.
func (n *node) verbs(kind csr.Kind) []string {
	n.t.Helper()
	var verbs []string
	for _, r := range n.asked(kind) {
		verbs = append(verbs, r.Verb)
	}
	return verbs
}

// expectVerbs waits until the last of the requests was made, and fails the test unless they are exactly these.
func (n *node) expectVerbs(kind csr.Kind, expected ...string) {
	n.t.Helper()
	eventually(n.t, "the API server sees "+strings.Join(expected, ", "), func() bool { return len(n.verbs(kind)) >= len(expected) })
	if verbs := n.verbs(kind); !slices.Equal(verbs, expected) {
		n.t.Fatalf("the %s request took %v, expected %v", kind, verbs, expected)
	}
}

// count returns how many of the words are word.
func count(words []string, word string) int {
	n := 0
	for _, w := range words {
		if w == word {
			n++
		}
	}
	return n
}

// same fails the test unless the node's only request of a kind is this object.
func (n *node) same(kind csr.Kind, name string) {
	n.t.Helper()
	if found := n.csr(kind); found.Name != name {
		n.t.Fatalf("the %s request is %s, expected %s as before", kind, found.Name, name)
	}
}

// pending reads the request under way, nil if there is none.
func (n *node) pending(kind certdir.Kind) *csr.Pending {
	n.t.Helper()
	content, err := n.certDir().ReadPending(kind)
	must(n.t, err)
	if content == nil {
		return nil
	}
	p, err := csr.DecodePending(content)
	must(n.t, err)
	return p
}

// rewritePending changes what the agent, which must not run, will remember of the request under way.
func (n *node) rewritePending(kind certdir.Kind, change func(*csr.Pending)) {
	n.t.Helper()
	p := n.pending(kind)
	change(p)
	content, err := p.Encode()
	must(n.t, err)
	must(n.t, n.certDir().WritePending(kind, content))
}

// servingFile is the file that the kubelet would serve.
func (n *node) servingFile() string {
	n.t.Helper()
	file, err := filepath.EvalSymlinks(n.certDir().Current(certdir.Serving))
	must(n.t, err)
	return file
}

// servingIssued says whether the serving certificate is one that the cluster has issued.
func (n *node) servingIssued() bool {
	pair, err := n.certDir().Read(certdir.Serving)
	return err == nil && !serving.SelfSigned(pair.Leaf)
}

// awaitJoined waits until the agent has all of the client's files in place, and shows that they work. The credential goes right
// after that: it is given a moment, so that a test which ends here does not end in between.
func (n *node) awaitJoined() {
	n.t.Helper()
	eventually(n.t, "the node has joined", func() bool {
		_, err := os.Lstat(n.kubeconfig())
		return err == nil && n.pending(certdir.Client) == nil
	})
	n.assertJoined()
	for until := time.Now().Add(3 * time.Second); time.Now().Before(until) && len(n.secretsLeft()) > 0; {
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitServing waits for the issued serving certificate.
func (n *node) awaitServing() {
	n.t.Helper()
	eventually(n.t, "the serving certificate is issued", n.servingIssued)
}

// behind puts a proxy between the node's agent, whose bootstrap kubeconfig leads there, and the API server.
func (n *node) behind(t *testing.T) *faultproxy.Proxy {
	t.Helper()
	proxy, err := faultproxy.New(strings.TrimPrefix(n.cp.Server(), "https://"))
	must(t, err)
	t.Cleanup(func() { _ = proxy.Close() })
	return proxy
}
