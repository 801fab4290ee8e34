package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// keepingProofs are those of a node that has its certificates.
var keepingProofs = map[string]proof{
	"rotation-denied":             proveRotationDenied,
	"rotation-without-api-server": proveRotationWithoutAPIServer,
	"identity-refused":            proveIdentityRefused,
	"identity-expired":            proveIdentityExpired,
	"identity-of-another-name":    proveIdentityOfAnotherName,
	"kubelet-kubeconfig-lost":     proveKubeconfigLost,
	"clock-ahead":                 proveClockAhead,
	"certificates-short-lived":    proveShortLived,
	"kubelet-restart-needed":      proveRestartNeeded,
}

// dueFor lays a pair of which a hundredth is left, whose rotation was due weeks ago by whatever part of the life it is planned after.
func (n *node) dueFor(name string, kind csr.Kind, from *node) {
	n.t.Helper()
	n.lay(name, from.pair(kind, n.name, days{-100, 1}))
	received := time.Now().AddDate(0, 0, -100)
	must(n.t, os.Chtimes(n.path("pki", name), received, received))
}

func (n *node) current(kind certdir.Kind) []byte {
	n.t.Helper()
	return n.text(n.certDir().Current(kind))
}

func proveRotationDenied(t *testing.T, row scenarios.Scenario) {
	n := member(t, shared(t))
	n.dueFor(found.ServingPair, csr.Serving, n)
	n.expect(n.once(), row.OnceExit) // which rotates nothing
	before := n.current(certdir.Serving)
	d := n.start()
	request := n.csr(csr.Serving)
	must(t, n.cp.Deny(t.Context(), request.Name, "Unknown", "not in the inventory"))
	d.awaitLog(row.Says)
	d.awaitStatus(row.Says + ": " + request.Name)
	time.Sleep(aWhile())
	n.same(csr.Serving, request.Name)
	if !bytes.Equal(before, n.current(certdir.Serving)) {
		t.Error("the certificate in use has gone")
	}
	d.shows(row, scenarios.Waits)
	d.showsSigns(row)
}

func proveRotationWithoutAPIServer(t *testing.T, row scenarios.Scenario) {
	n := member(t, shared(t))
	n.dueFor(found.ClientPair, csr.Client, n)
	n.dueFor(found.ServingPair, csr.Serving, n)
	proxy := n.behind(t)
	there := n.text(n.kubeconfig())
	n.write(n.kubeconfig(), bytes.Replace(there, []byte(n.cp.Server()), []byte(proxy.URL()), 1), 0o600)
	proxy.Down()
	n.expect(n.once(), row.OnceExit)
	before := n.current(certdir.Client)
	d := n.start()
	d.awaitLog("reason=" + row.Says)
	d.showsSigns(row)
	d.kill() // the looks make the pauses longer
	d = n.start()
	d.awaitLog("reason=" + row.Says)
	d.awaitStatus(row.Says)
	d.awaitReady()
	if !bytes.Equal(before, n.current(certdir.Client)) {
		t.Error("the certificate in use has gone")
	}
	n.approveServing(0)
	proxy.Pass()
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		eventually(t, "the next certificate is in use", func() bool {
			pair, err := n.certDir().Read(kind)
			return err == nil && time.Since(pair.ModTime) < time.Hour && n.pending(kind) == nil
		})
	}
	n.csr(csr.Client)
	n.csr(csr.Serving)
	d.shows(row, scenarios.GoesOn)
}

func proveIdentityRefused(t *testing.T, row scenarios.Scenario) {
	n, stranger := member(t, shared(t)), newNode(t, split(t))
	n.dueFor(found.ClientPair, csr.Client, stranger)
	n.expect(n.once(), row.OnceExit)
	d := n.start()
	d.awaitLog("reason=" + row.Says)
	d.awaitStatus(row.Says)
	d.showsSigns(row) // that a credential ends it shows another test, with a faster clock
	d.shows(row, scenarios.GoesOn)
}

func proveIdentityExpired(t *testing.T, row scenarios.Scenario) {
	n := member(t, shared(t))
	n.expire()
	n.expect(n.once(), row.OnceExit, "put a bootstrap kubeconfig at "+n.bootstrapFile())
	d := n.start()
	d.awaitStatus(row.Says)
	d.awaitReady()
	d.showsSigns(row)
	n.bootstrap(n.secretToken())
	n.awaitIdentity()
	n.csr(csr.Client)
	d.shows(row, scenarios.GoesOn)
}

func proveIdentityOfAnotherName(t *testing.T, row scenarios.Scenario) {
	n := member(t, shared(t))
	old, before := n.name, n.current(certdir.Client)
	n.flags[0] += "-new"
	n.expect(n.once(), row.OnceExit)
	d := n.start()
	d.awaitLog(row.Says + old)
	d.awaitStatus(row.Says + old)
	time.Sleep(aWhile())
	if len(n.csrs(csr.Client)) > 0 || !bytes.Equal(before, n.current(certdir.Client)) {
		t.Error("the identity was given up")
	}
	d.shows(row, scenarios.Waits)
	d.showsSigns(row)
}

func proveKubeconfigLost(t *testing.T, row scenarios.Scenario) {
	n := member(t, shared(t))
	must(t, os.Remove(n.kubeconfig()))
	before := n.current(certdir.Client)
	n.expect(n.once("--timeout=3s"), row.OnceExit, row.Says)
	d := n.start()
	d.awaitStatus(row.Says)
	d.showsSigns(row)
	n.bootstrap(n.secretToken())
	n.awaitJoined()
	if len(n.csrs(csr.Client)) > 0 || !bytes.Equal(before, n.current(certdir.Client)) {
		t.Error("the identity was asked for anew")
	}
	d.shows(row, scenarios.GoesOn)
}

// proveClockAhead has an API server whose clock is behind: which of the two is wrong nobody can tell from here.
func proveClockAhead(t *testing.T, row scenarios.Scenario) {
	l := newLiar(t, nil, nil, skewed{clock.RealClock{}, -20 * time.Minute})
	d := l.start()
	l.awaitJoinedBy(l.first(csr.Client))
	l.awaitServing()
	d.showsSigns(row)
	d.shows(row, scenarios.GoesOn)
}

func proveShortLived(t *testing.T, row scenarios.Scenario) {
	short := lives(15*time.Minute, 15*time.Minute)
	once := newLiar(t, short, nil)
	once.expect(once.once(), row.OnceExit, row.Says)

	l := newLiar(t, short, nil)
	d := l.start()
	l.awaitJoinedBy(l.first(csr.Client))
	l.awaitServing()
	d.awaitLog(row.Says)
	d.showsSigns(row)
	d.shows(row, scenarios.GoesOn)
}

func proveRestartNeeded(t *testing.T, row scenarios.Scenario) {
	n := member(t, shared(t))
	n.expect(n.once(), row.OnceExit)
	n.runKubelet()
	time.Sleep(1100 * time.Millisecond) // what is written in the second after its start it may have read
	now := time.Now()
	must(t, os.Chtimes(n.kubeconfig(), now, now))
	d := n.start()
	d.showsSigns(row)
	d.shows(row, scenarios.GoesOn)
}

// runKubelet runs a process that is a kubelet of this node to whoever looks at it, and does nothing.
func (n *node) runKubelet() {
	n.t.Helper()
	n.write(n.path("idle"), []byte("read _"), 0o600)
	k := exec.Command("/bin/sh")
	k.Args = []string{
		"kubelet", n.path("idle"), "--kubeconfig=" + n.kubeconfig(), "--cert-dir=" + n.certDir().Path, "--hostname-override=" + n.name,
		"--rotate-certificates=false", "--client-ca-file=" + n.certDir().ClientCA(),
	}
	k.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	_, err := k.StdinPipe()
	must(n.t, err)
	must(n.t, k.Start())
	n.t.Cleanup(func() {
		_ = k.Process.Kill()
		_ = k.Wait()
	})
}
