package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// restartProofs are those of the group "stopping and starting".
var restartProofs = map[string]proof{
	"killed-while-waiting": proveKilledWhileWaiting,
	"node-ip-mended":       proveNodeIPMended,
	"second-agent":         proveSecondAgent,
	"interrupted":          proveInterrupted,
}

func proveKilledWhileWaiting(t *testing.T, row scenarios.Scenario) {
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	client := n.killAndRestart(csr.Client, nil)
	r := n.meanwhile(func() {
		n.expectVerbs(csr.Client, "create", "watch", "get", "watch", "get", "watch")
		n.approve(csr.Client)
		n.approve(csr.Serving)
	})
	n.expect(r, row.OnceExit, row.Says)
	n.same(csr.Client, client)
	n.csr(csr.Serving)
	n.assertSentBy(csr.Client, string(controlplane.Unapproved))

	n = newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	serving := n.killAndRestart(csr.Serving, func(d *daemon) { d.showsSigns(row) })
	d := n.start()
	n.approve(csr.Serving)
	n.awaitServing()
	n.same(csr.Serving, serving)
	n.csr(csr.Client)
	n.assertSentBy(csr.Serving, "system:node:"+n.name)
	d.shows(row, scenarios.GoesOn)
}

// killAndRestart has an agent wait for the approval of a request, kills it, starts it later, and kills it again. The request stays
// the same, and is read and not sent once more. It returns the request's name.
func (n *node) killAndRestart(kind csr.Kind, then func(*daemon)) (name string) {
	n.t.Helper()
	d := n.start()
	name = n.csr(kind).Name
	d.awaitStatus("kubectl certificate approve " + name)
	n.expectVerbs(kind, "create", "watch")
	d.kill()
	time.Sleep(aWhile())
	d = n.start()
	d.awaitStatus("kubectl certificate approve " + name)
	n.expectVerbs(kind, "create", "watch", "get", "watch")
	n.same(kind, name)
	if then != nil {
		then(d)
	}
	d.kill()
	return name
}

// assertSentBy shows who the API server took the agent for in all requests of a kind.
func (n *node) assertSentBy(kind csr.Kind, user string) {
	n.t.Helper()
	for _, r := range n.asked(kind) {
		if r.User != user {
			n.t.Errorf("expected user %s: %s", user, r)
		}
	}
}

// The API server has the request, and the agent dies before it has noted that.
func TestARequestWhoseAnswerWasLostIsFoundAgain(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	n.approveServing(0)
	d := n.start()
	d.awaitLog("the API server has the certificate signing request")
	name := n.csr(csr.Client).Name
	n.expectVerbs(csr.Client, "create", "watch")
	d.kill()
	n.rewritePending(certdir.Client, func(p *csr.Pending) { p.UID, p.Accepted = "", time.Time{} })
	r := n.meanwhile(func() {
		n.expectVerbs(csr.Client, "create", "watch", "create", "get", "watch")
		n.approve(csr.Client)
	})
	n.expect(r, 0)
	n.same(csr.Client, name)
	n.assertJoined()
}

func proveNodeIPMended(t *testing.T, row scenarios.Scenario) {
	once := newNode(t, shared(t))
	once.bootstrap(once.secretToken())
	once.expect(once.once("--serving-wait=2s"), 4)
	old := once.csr(csr.Serving).Name
	once.mendNodeIP("192.0.2.11")
	r := once.meanwhile(func() { must(t, once.cp.Approve(t.Context(), once.otherServing(old))) })
	once.expect(r, row.OnceExit, row.Says, "kubectl delete csr "+old)

	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	d := n.start()
	old = n.csr(csr.Serving).Name
	d.awaitStatus("kubectl certificate approve " + old)
	d.kill()
	n.mendNodeIP("192.0.2.11")
	d = n.start()
	d.awaitLog(row.Says)
	d.awaitLog("kubectl delete csr " + old)
	mended := n.otherServing(old)
	d.awaitStatus("kubectl certificate approve " + mended)
	d.saidOnce(row.Says)
	d.showsSigns(row)
	d.kill()

	// another change within the hour is one too many: each request is an object that somebody may have to look at
	n.mendNodeIP("192.0.2.12")
	d = n.start()
	d.awaitStatus("kubectl certificate approve " + mended)
	time.Sleep(aWhile())
	if all := n.csrs(csr.Serving); len(all) != 2 {
		t.Fatalf("%d serving requests after a second change, expected the two of before", len(all))
	}
	d.kill()

	n.mendNodeIP("192.0.2.11")
	d = n.start()
	must(t, n.cp.Approve(t.Context(), mended))
	n.awaitServing()
	pair, err := n.certDir().Read(certdir.Serving)
	must(t, err)
	if ips := pair.Leaf.IPAddresses; len(ips) != 1 || ips[0].String() != "192.0.2.11" {
		t.Errorf("the serving certificate is for %v, expected 192.0.2.11", ips)
	}
	n.csr(csr.Client)
	d.shows(row, scenarios.GoesOn)
}

// mendNodeIP gives the agents that are started from now on another --node-ip.
func (n *node) mendNodeIP(ip string) {
	n.rewritePending(certdir.Serving, func(p *csr.Pending) { p.Made = p.Made.Add(-rotate.Spacing) }) // two requests are not made in one moment
	n.flags = slices.DeleteFunc(n.flags, func(flag string) bool { return strings.HasPrefix(flag, "--node-ip=") })
	n.flags = append(n.flags, "--node-ip="+ip)
}

// otherServing waits for the second of the node's serving requests and returns its name.
func (n *node) otherServing(first string) string {
	n.t.Helper()
	eventually(n.t, "a second serving request", func() bool { return len(n.csrs(csr.Serving)) == 2 })
	for _, request := range n.csrs(csr.Serving) {
		if request.Name != first {
			return request.Name
		}
	}
	n.t.Fatal("two requests have one name")
	return ""
}

func proveSecondAgent(t *testing.T, row scenarios.Scenario) {
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	first := n.start()
	first.awaitStatus("kubectl certificate approve")
	holder := fmt.Sprintf("%s %d:", row.Says, first.cmd.Process.Pid)
	n.expect(n.once(), row.OnceExit, holder)
	second := n.start()
	if code := second.wait(); code != row.OnceExit {
		t.Errorf("the second daemon ended with %d, expected %d", code, row.OnceExit)
	}
	second.awaitLog(holder)
	second.shows(row, scenarios.Ends)
	if _, ready := second.ready(); ready {
		t.Error("the second daemon let the kubelet start")
	}
	first.showsSigns(row)
	n.approve(csr.Client) // the first one has not noticed
	n.awaitJoined()
	n.expectVerbs(csr.Client, "create", "watch")
	first.kill()
	n.approveServing(0)
	n.expect(n.once(), 0) // the lock goes with its holder
}

func proveInterrupted(t *testing.T, row scenarios.Scenario) {
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	for _, run := range []struct {
		args []string
		code int
	}{{[]string{"--once"}, row.OnceExit}, {nil, 0}} {
		d := n.start(run.args...)
		d.awaitStatus("kubectl certificate approve")
		code, took := d.stop()
		if code != run.code || took > 5*time.Second {
			t.Errorf("run %v ended %s after SIGTERM with %d, expected %d within 5 s", run.args, took, code, run.code)
		}
		d.awaitLog(row.Says)
		d.awaitNotified("STOPPING=1")
		d.shows(row, scenarios.Ends)
		if run.args == nil {
			d.showsSigns(row)
		}
	}
	n.approveServing(0)
	r := n.meanwhile(func() {
		n.expectVerbs(csr.Client, "create", "watch", "get", "watch", "get", "watch")
		n.approve(csr.Client)
	})
	n.expect(r, 0)
	n.csr(csr.Client)
}

// awaitNotified waits until the service manager was told text.
func (d *daemon) awaitNotified(text string) {
	d.t.Helper()
	eventually(d.t, "the service manager is told "+text, func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return slices.ContainsFunc(d.notified, func(n notification) bool { return n.text == text })
	})
}

func TestSIGTERMEndsTheDaemonWithinFiveSecondsWhateverItWaitsFor(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(t *testing.T, n *node) *daemon{
		"for a credential": func(_ *testing.T, n *node) *daemon {
			return n.startUntil("put a bootstrap kubeconfig")
		},
		"for an API server that refuses connections": func(t *testing.T, n *node) *daemon {
			proxy := n.behind(t)
			proxy.Down()
			n.bootstrapVia(proxy.URL(), n.secretToken())
			return n.startUntil("unreachable")
		},
		"for an API server that never answers": func(t *testing.T, n *node) *daemon {
			proxy := n.behind(t)
			silent := proxy.Hang()
			n.bootstrapVia(proxy.URL(), n.secretToken())
			d := n.start()
			eventually(t, "a connection", func() bool { return silent.Connections() > 0 })
			return d
		},
		"for an exec plugin that never answers": func(t *testing.T, n *node) *daemon {
			pidFile := n.path("plugin.pid")
			n.bootstrap(n.execPlugin("echo $$ > " + pidFile + "; exec sleep 60"))
			d := n.start()
			endProcessOf(t, pidFile)
			return d
		},
		"for a serving certificate": func(_ *testing.T, n *node) *daemon {
			n.bootstrap(n.secretToken())
			return n.startUntil("kubectl certificate approve")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, shared(t))
			n.keeps(n.bootstrapFile())
			if code, took := wait(t, n).stop(); code != 0 || took > 5*time.Second {
				t.Errorf("ended %s after SIGTERM with %d, expected 0 within 5 s", took, code)
			}
		})
	}
}

// startUntil starts the daemon and waits until STATUS= holds text.
func (n *node) startUntil(text string) *daemon {
	n.t.Helper()
	d := n.start()
	d.awaitStatus(text)
	return d
}

// endProcessOf waits until a process has written its pid into a file, and ends it when the test does.
func endProcessOf(t *testing.T, pidFile string) {
	t.Helper()
	var pid int
	eventually(t, "a process that writes "+pidFile, func() bool {
		content, err := os.ReadFile(pidFile)
		if err == nil {
			_, err = fmt.Sscan(string(content), &pid)
		}
		return err == nil
	})
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
}
