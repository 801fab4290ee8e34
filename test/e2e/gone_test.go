package e2e

import (
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

func proveDeletedDuringWait(t *testing.T, row scenarios.Scenario) {
	once := newNode(t, shared(t))
	once.bootstrap(once.staticToken(controlplane.Unapproved))
	once.keeps(once.bootstrapFile())
	name := ""
	r := once.meanwhile(func() {
		name = once.csr(csr.Client).Name
		must(t, once.cp.Delete(t.Context(), name))
	}, "--timeout=4s")
	once.expect(r, row.OnceExit, name+" "+row.Says)

	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	d := n.start()
	name = n.csr(csr.Client).Name
	n.expectVerbs(csr.Client, "create", "watch")
	must(t, n.cp.Delete(t.Context(), name))
	proveSentAgain(n, d, row, name)
}

func proveDeletedWhileDown(t *testing.T, row scenarios.Scenario) {
	once := newNode(t, shared(t))
	once.bootstrap(once.staticToken(controlplane.Unapproved))
	once.keeps(once.bootstrapFile())
	once.expect(once.once("--timeout=2s"), 1)
	name := once.csr(csr.Client).Name
	must(t, once.cp.Delete(t.Context(), name))
	once.expect(once.once("--timeout=2s"), row.OnceExit, name+" "+row.Says)
	once.expectVerbs(csr.Client, "create", "watch", "get")

	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	d := n.start()
	d.awaitLog("the API server has the certificate signing request")
	name = n.csr(csr.Client).Name
	d.kill()
	must(t, n.cp.Delete(t.Context(), name))
	proveSentAgain(n, n.start(), row, name)
}

// proveSentAgain shows that the daemon does not insist at once on a request that somebody has deleted, and sends the very same
// one a minute later, whether it is started again or not.
func proveSentAgain(n *node, d *daemon, row scenarios.Scenario, name string) {
	n.t.Helper()
	d.awaitLog(name + " " + row.Says)
	d.awaitStatus(name + " " + row.Says)
	d.showsSigns(row)
	time.Sleep(2 * time.Second)
	if again := n.csrs(csr.Client); len(again) != 0 {
		n.t.Fatalf("%s was sent again at once", again[0].Name)
	}
	if aWhile() > time.Minute { // the policy's own minute
		time.Sleep(aWhile())
	} else {
		d.kill()
		d = n.start() // which does not make it come sooner
		time.Sleep(2 * time.Second)
		if again := n.csrs(csr.Client); len(again) != 0 {
			n.t.Fatalf("%s was sent again by a restart", again[0].Name)
		}
		d.kill()
		n.rewritePending(certdir.Client, func(p *csr.Pending) { p.AgainAt = time.Now() })
		d = n.start()
	}
	n.same(csr.Client, name)
	n.approve(csr.Client)
	n.awaitJoined()
	n.same(csr.Client, name)
	d.shows(row, scenarios.GoesOn)
}

func proveCleanedUp(t *testing.T, row scenarios.Scenario) {
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	aDayLater := func(name string) {
		n.rewritePending(certdir.Client, func(p *csr.Pending) { p.Accepted = p.Accepted.Add(-25 * time.Hour) })
		must(t, n.cp.Delete(t.Context(), name))
	}
	n.expect(n.once("--timeout=2s"), 1)
	name := n.csr(csr.Client).Name
	aDayLater(name)
	n.expect(n.once("--timeout=2s"), row.OnceExit, row.Says)
	n.same(csr.Client, name)

	aDayLater(name)
	d := n.start()
	d.awaitLog(row.Says)
	n.same(csr.Client, name)
	d.showsSigns(row)
	n.approve(csr.Client)
	n.awaitJoined()
	n.same(csr.Client, name)
	n.expectVerbs(csr.Client, "create", "watch", "get", "create", "watch", "get", "create", "watch")
	d.shows(row, scenarios.GoesOn)
}

func proveNameTaken(t *testing.T, row scenarios.Scenario) {
	// the name is known only once the pending file is written: that is before anything is sent
	take := func(n *node) string {
		eventually(t, "a pending request", func() bool { return n.pending(certdir.Client) != nil })
		return foreignRequest(n, n.pending(certdir.Client).Name)
	}
	once := newNode(t, shared(t))
	proxy := once.behind(t)
	proxy.Down()
	once.bootstrapVia(proxy.URL(), once.secretToken())
	once.approveServing(0)
	taken := ""
	r := once.meanwhile(func() {
		taken = take(once)
		proxy.Pass()
	})
	once.expect(r, row.OnceExit, row.Says, taken)
	once.assertJoined()

	n := newNode(t, shared(t))
	proxy = n.behind(t)
	proxy.Down()
	n.bootstrapVia(proxy.URL(), n.secretToken())
	d := n.start()
	taken = take(n)
	proxy.Pass()
	n.awaitJoined()
	d.awaitLog(row.Says)
	d.everSaid(row.Says)
	d.saidOnce(row.Says)
	if own := n.csr(csr.Client); own.Name == taken {
		t.Error("the agent has taken the other object for its own")
	}
	if _, err := n.cp.AdminClient().CertificatesV1().CertificateSigningRequests().Get(t.Context(), taken, metav1.GetOptions{}); err != nil {
		t.Errorf("the other object is gone: %v", err)
	}
	n.approveServing(0)
	n.awaitServing()
	d.awaitStatus("serving: valid until")
	d.showsSigns(row)
	d.shows(row, scenarios.GoesOn)
}

// foreignRequest makes a request by the name that this node's agent has chosen, for somebody else and with another key.
func foreignRequest(n *node, name string) string {
	n.t.Helper()
	other, err := csr.New(csr.Wish{Kind: csr.Client, NodeName: "somebody-else", KeyAlgorithm: "ecdsa-p256"}, apiserver.Endpoint{})
	must(n.t, err)
	_, err = n.cp.AdminClient().CertificatesV1().CertificateSigningRequests().Create(n.t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: other.RequestPEM, SignerName: csr.Client.Signer(), Usages: other.Wish.Usages(),
		},
	}, metav1.CreateOptions{})
	must(n.t, err)
	return name
}
