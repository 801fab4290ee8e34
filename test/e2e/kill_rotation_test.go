package e2e

import (
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// rotating has a node that has joined follow both its certificates by others.
var rotating = sweep{
	begin: func(t *testing.T) *node {
		n := newcomer(t)
		n.flags = append(n.flags, "--kubelet-address=127.0.0.1:1") // nobody is there
		n.expect(n.once("--serving-wait=50s"), 0)
		n.assertWhole()
		n.ageFiles() // or it would be too soon for another request
		for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
			must(t, n.certDir().AskToRotate(kind))
		}
		return n
	},
	done:    (*node).rotated,
	between: func(n *node) { n.assertIsNode() },
	finish: func(n *node) {
		n.liveUntil(n.rotated, &deaths{}, tracer.Kill{})
		n.assertIsNode()
	},
	sample: 12, accepted: []string{"kubelet-client.pending.pem", "kubelet-server.pending.pem"},
	// the serving certificate is followed at the same time, so that its phases are not told apart from these
	phases: []string{"client request stored", "client request accepted", "client certificate issued", "complete"},
	heard: []string{
		"create client request", "watch client request", "get client request", "create selfsubjectreviews",
		"create serving request", "watch serving request", "get serving request",
	},
}

// rotated says whether both rotations that were asked for are over: what asks for one goes when the request is on the disk, and that
// when its certificate is in use.
func (n *node) rotated() bool {
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		if pending, err := n.certDir().ReadPending(kind); err != nil || pending != nil || n.certDir().AskedToRotate(kind) {
			return false
		}
	}
	return true
}

// assertIsNode shows that a kubelet which starts now is this node, and has a pair to serve.
func (n *node) assertIsNode() {
	n.t.Helper()
	if who := n.whoAmI(); who != "system:node:"+n.name {
		n.t.Fatalf("the API server takes the holder of the kubelet's kubeconfig for %s", who)
	}
	if pair, err := n.certDir().Read(certdir.Serving); err != nil || !n.servingIssued() || !n.certDir().Linked() {
		n.t.Fatalf("the kubelet has no issued serving certificate: %v, %v", pair, err)
	}
}

// Each of the agents is killed once or twice, and one that is not goes on: by one more request for each certificate, with an identity
// that can be used all the time.
func TestAKillAtAnySystemCallOfARotationCostsNothingAndAsksForNothingTwice(t *testing.T) {
	t.Parallel()
	rotating.run(t)
}
