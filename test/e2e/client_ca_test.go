package e2e

import (
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// proveClientCAUnknown has the real thing: signers with a CA of their own, which the kubeconfig does not tell of.
func proveClientCAUnknown(t *testing.T, row scenarios.Scenario) {
	once := newNode(t, split(t))
	once.bootstrap(once.secretToken())
	once.approveServing(0)
	for range 2 {
		once.expect(once.once("--timeout=20s"), row.OnceExit, row.Says)
		once.assertGone(once.certDir().ClientCA())
		once.assertGone(once.bootstrapFile())
		once.assertJoined() // the identity is as good as any
	}
	once.write(once.path("ca.crt"), once.cp.CA(), 0o644)
	once.expect(once.once("--kubelet-client-ca-file="+once.path("ca.crt")), 0)
	once.assertClientCA()

	n := newNode(t, split(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	d := n.start()
	n.awaitJoined()
	for range 2 {
		d.awaitLog(row.Says)
		d.awaitStatus(row.Says)
		time.Sleep(aWhile())
		n.assertGone(n.certDir().ClientCA())
		d.shows(row, scenarios.Waits)
		d.showsSigns(row)
		d.kill()
		d = n.start()
	}
	d.kill()
	n.write(n.path("ca.crt"), n.cp.CA(), 0o644)
	d = n.start("--kubelet-client-ca-file=" + n.path("ca.crt"))
	d.awaitStatus("client: valid until")
	n.assertClientCA()
	n.csr(csr.Client)
}

// assertClientCA shows who may call the kubelet.
func (n *node) assertClientCA() {
	n.t.Helper()
	if bundle, err := n.certDir().ReadCA(n.certDir().ClientCA()); err != nil || string(bundle) != string(n.cp.CA()) {
		n.t.Errorf("%s is not the CA that was given: %v", n.certDir().ClientCA(), err)
	}
}
