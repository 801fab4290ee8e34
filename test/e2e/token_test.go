package e2e

import (
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// manual is a control plane where nobody approves but the test, however good the token is.
func manual(t *testing.T, flags ...string) *controlplane.ControlPlane {
	t.Helper()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{
		Controllers: []string{"-certificatesigningrequest-approving-controller"}, APIServerFlags: flags,
	})
	must(t, err)
	t.Cleanup(cp.Stop)
	return cp
}

// A token may end before a person has approved. Whoever puts a new one there goes on with the same request.
func TestANewTokenGoesOnWithTheRequestOfOneThatHasEnded(t *testing.T) {
	t.Parallel()
	n := newNode(t, manual(t))
	proxy := n.behind(t)
	proxy.Pass()
	old := n.secretToken()
	n.bootstrapVia(proxy.URL(), old)
	d := n.start()
	name := n.csr(csr.Client).Name
	n.expectVerbs(csr.Client, "create", "watch")
	d.awaitStatus("kubectl certificate approve " + name)
	before := n.bootstrapBytes()
	must(t, n.cp.DeleteBootstrapToken(t.Context(), old.Token))
	proxy.Pass() // the API server lets a watch live on

	d.awaitLog("reason=unauthorized")
	d.awaitStatus("client: unauthorized: read certificate signing request " + name)
	d.awaitStatus("is the token's Secret in kube-system, not expired")
	n.assertNothingLost(before)
	n.same(csr.Client, name)

	d.kill() // nor does a restart lose the request
	d = n.start()
	d.awaitStatus("client: unauthorized: read certificate signing request " + name)

	fresh := n.secretToken()
	n.bootstrapVia(proxy.URL(), fresh)
	d.awaitLog("a new bootstrap credential is there")
	d.awaitStatus("kubectl certificate approve " + name)
	n.approve(csr.Client)
	n.awaitJoined()
	n.awaitRid()
	n.same(csr.Client, name)
	if id, _, _ := strings.Cut(old.Token, "."); n.csr(csr.Client).Spec.Username != "system:bootstrap:"+id {
		t.Errorf("the request was made by %s, expected the first token", n.csr(csr.Client).Spec.Username)
	}
}
