package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// approvalProofs are those of the group "the request and its approval".
var approvalProofs = map[string]proof{
	"approval-delayed":        proveServingApprovalDelayed,
	"client-approval-delayed": proveClientApprovalDelayed,
	"client-denied": func(t *testing.T, row scenarios.Scenario) {
		proveClientEnded(t, row, (*controlplane.ControlPlane).Deny)
	},
	"client-failed": func(t *testing.T, row scenarios.Scenario) {
		proveClientEnded(t, row, (*controlplane.ControlPlane).Fail)
	},
	"serving-denied":             proveServingDenied,
	"csr-deleted-during-wait":    proveDeletedDuringWait,
	"csr-deleted-while-down":     proveDeletedWhileDown,
	"csr-cleaned-up-after-a-day": proveCleanedUp,
	"csr-name-taken":             proveNameTaken,
	"api-server-restarted":       proveAPIServerRestarted,
	"watch-forbidden":            proveWatchForbidden,
	"watch-ended-at-once":        proveWatchEndedAtOnce,
}

func proveServingApprovalDelayed(t *testing.T, row scenarios.Scenario) {
	once := newNode(t, shared(t))
	once.bootstrap(once.secretToken())
	r := once.once("--serving-wait=2s")
	request := once.csr(csr.Serving)
	once.expect(r, row.OnceExit, row.Says+" "+request.Name)
	once.approve(csr.Serving)
	once.expect(once.once(), 0)
	once.same(csr.Serving, request.Name)

	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	d := n.start()
	request = n.csr(csr.Serving)
	d.awaitLog(row.Says + " " + request.Name)
	d.awaitStatus(row.Says + " " + request.Name)
	placeholder := n.servingFile()
	time.Sleep(aWhile())
	n.expectVerbs(csr.Serving, "create", "watch")
	d.showsSigns(row)
	n.approve(csr.Serving)
	n.awaitServing()
	d.awaitStatus("serving: valid until")
	n.assertGone(placeholder)
	n.assertGone(n.certDir().PendingFile(certdir.Serving))
	n.same(csr.Serving, request.Name)
	d.shows(row, scenarios.GoesOn)
}

func proveClientApprovalDelayed(t *testing.T, row scenarios.Scenario) {
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	r := n.once("--timeout=3s")
	request := n.csr(csr.Client)
	n.expect(r, row.OnceExit, row.Says+" "+request.Name)
	n.expectVerbs(csr.Client, "create", "watch")

	d := n.start()
	d.awaitLog(row.Says + " " + request.Name)
	d.awaitStatus(row.Says + " " + request.Name)
	time.Sleep(aWhile())
	n.expectVerbs(csr.Client, "create", "watch", "get", "watch")
	d.showsSigns(row)
	n.approve(csr.Client)
	n.awaitJoined()
	n.same(csr.Client, request.Name)
	d.shows(row, scenarios.GoesOn)
}

// proveClientEnded is for an approver or a signer who says no, for good.
func proveClientEnded(t *testing.T, row scenarios.Scenario, end ender) {
	const reason, message = "NotOnTheList", "this machine is not in the inventory"
	once := newNode(t, shared(t))
	once.bootstrap(once.staticToken(controlplane.Unapproved))
	once.keeps(once.bootstrapFile())
	r := once.meanwhile(func() { must(t, end(once.cp, t.Context(), once.csr(csr.Client).Name, reason, message)) })
	once.expect(r, row.OnceExit, row.Says, once.csr(csr.Client).Name, reason, message)
	once.expect(once.once(), row.OnceExit, row.Says) // the wait is counted from the end, not from a restart
	once.expectVerbs(csr.Client, "create", "watch")

	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	n.keeps(n.bootstrapFile())
	d := n.start()
	request := n.csr(csr.Client)
	must(t, end(n.cp, t.Context(), request.Name, reason, message))
	for attempt := range 2 { // the second time after a kill
		d.awaitLog(row.Says)
		for _, text := range []string{row.Says, request.Name, reason, message} {
			d.awaitStatus(text)
		}
		time.Sleep(aWhile())
		n.expectVerbs(csr.Client, "create", "watch")
		n.same(csr.Client, request.Name)
		d.shows(row, scenarios.Waits)
		if attempt == 0 {
			d.showsSigns(row)
			d.kill()
			d = n.start()
		}
	}
}

func proveServingDenied(t *testing.T, row scenarios.Scenario) {
	const message = "not in the inventory"
	once := newNode(t, shared(t))
	once.bootstrap(once.secretToken())
	deny := func(n *node) { must(t, n.cp.Deny(t.Context(), n.csr(csr.Serving).Name, "Unknown", message)) }
	r := once.meanwhile(func() { deny(once) }, "--serving-wait=50s")
	once.expect(r, row.OnceExit, row.Says, once.csr(csr.Serving).Name, message)
	if r.elapsed > 30*time.Second {
		t.Errorf("run --once waited %s for a certificate that was denied", r.elapsed)
	}

	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	d := n.start("--serving-wait=50s")
	deny(n)
	request := n.csr(csr.Serving)
	d.awaitLog(row.Says)
	d.awaitStatus(row.Says + ": " + request.Name)
	if took := d.awaitReady(); took > 30*time.Second {
		t.Errorf("the kubelet was held back for %s by a request that was denied", took)
	}
	time.Sleep(aWhile())
	n.expectVerbs(csr.Serving, "create", "watch")
	n.same(csr.Serving, request.Name)
	n.assertJoined()
	if n.servingIssued() {
		t.Error("there is an issued serving certificate, which was denied")
	}
	d.showsSigns(row)
	d.shows(row, scenarios.Waits)
}

// A denied request is dead. The next one comes a quarter of an hour after the approver's word, with another key.
func TestADeniedRequestIsFollowedByOneWithAnotherKeyInItsTime(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	r := n.meanwhile(func() { must(t, n.cp.Deny(t.Context(), n.csr(csr.Client).Name, "No", "no")) })
	n.expect(r, 3)
	denied := n.pending(certdir.Client)

	n.rewritePending(certdir.Client, func(p *csr.Pending) { p.Ended.At = time.Now().Add(-14 * time.Minute) })
	n.expect(n.once(), 3)
	n.same(csr.Client, denied.Name)

	n.rewritePending(certdir.Client, func(p *csr.Pending) { // all of it a while ago
		p.Ended.At, p.Made = time.Now().Add(-16*time.Minute), time.Now().Add(-17*time.Minute)
	})
	n.approveServing(0)
	r = n.meanwhile(func() {
		eventually(t, "a second client request", func() bool { return len(n.csrs(csr.Client)) == 2 })
		if next := n.pending(certdir.Client); slices.Equal(next.KeyPEM, denied.KeyPEM) {
			t.Error("the next request has the same key")
		}
		for _, request := range n.csrs(csr.Client) {
			if request.Name != denied.Name {
				must(t, n.cp.Approve(t.Context(), request.Name))
			}
		}
	})
	n.expect(r, 0)
	n.assertJoined()
}

func TestOnceSendsTheServingRequestHoweverShortTheWait(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.expect(n.once("--serving-wait=0s"), 4, "kubectl certificate approve")
	n.csr(csr.Serving)
}
