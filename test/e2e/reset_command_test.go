package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/util/certificate"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// reset runs the reset command.
func (n *node) reset(args ...string) result {
	n.t.Helper()
	c := n.command(n.t.Context(), []string{"reset"}, args...)
	c.Env = append(c.Environ(), "RUNTIME_DIRECTORY="+n.path("run"))
	return n.finish(c)
}

// expectNothingOfOurs fails the test if anything is left of a node.
func (n *node) expectNothingOfOurs() {
	n.t.Helper()
	for _, name := range n.files() {
		if name != "pki" && name != "run" {
			n.t.Errorf("%s is left", name)
		}
	}
	n.expect(n.reset(), 0)
}

// An agent that finds its identity gone while it runs takes that for a reset too; the command does not try, so that nothing is half gone.
func TestResetRefusesWhileAnAgentRunsAndAfterItTheNodeJoinsAnewOrWaits(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.approveServing(0)
	n.bootstrap(n.secretToken())
	d := n.start()
	n.awaitIdentity()
	d.awaitLog("the node has its serving certificate")
	before := n.contents()
	pid := fmt.Sprintf("pid %d", d.cmd.Process.Pid)
	n.expect(n.reset("--yes"), 1, "nothing was changed", pid, "systemctl stop bootstrap-agent")
	n.expect(n.reset("--yes", "--keep-identity"), 1, "nothing was changed", pid)
	n.expect(n.reset(), 4, "would remove "+n.kubeconfig(), "an agent runs ("+pid+")", "nothing was changed; give --yes")
	n.assertUnchanged(before)
	d.stop()
	must(t, os.Mkdir(n.path("run"), 0o700))
	must(t, os.WriteFile(n.path("run", "ready"), nil, 0o600))
	n.expect(n.reset(), 4, "would remove "+n.path("run", "ready"))
	n.expect(n.reset("--yes"), 0, "remove "+n.certDir().Current(certdir.Client), "cloud-init clean")
	n.expectNothingOfOurs()

	d = n.start()
	d.awaitStatus("put a bootstrap kubeconfig")
	if requests := len(n.csrs(csr.Client)); requests != 1 {
		t.Fatalf("%d requests, expected the first one only", requests)
	}
	n.bootstrap(n.secretToken())
	n.awaitIdentity()
	d.awaitLog("the node has its serving certificate")
	n.assertJoined()
}

// What the package does when it is removed: the kubelet goes on, rotates itself, and an agent that comes back takes over without a request.
func TestAResetThatKeepsTheIdentityLeavesAllThatTheKubeletNeedsToGoOnByItself(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.approveServing(0)
	n.bootstrap(n.secretToken())
	n.expect(n.once(), 0)
	must(t, n.certDir().WritePending(certdir.Serving, []byte("a request with a key")))
	served := n.servedPair()
	n.expect(n.reset("--keep-identity"), 4, "would make files of the links")
	n.expect(n.reset("--keep-identity", "--yes"), 0, "remove "+n.certDir().PendingFile(certdir.Serving))
	n.expect(n.reset("--keep-identity", "--yes"), 0)
	n.assertJoined()
	if now := n.servedPair(); string(now.Certificate[0]) != string(served.Certificate[0]) {
		t.Error("the kubelet finds another serving certificate")
	}
	for _, name := range []string{"kubelet.crt", "kubelet.key"} {
		if info, err := os.Lstat(n.path("pki", name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v, expected a file for nobody else", name, info.Mode(), err)
		}
	}
	n.assertGone(n.path("pki", ".bootstrap-agent.lock"))
	n.expect(n.once(), 0)
	if client, serving := len(n.csrs(csr.Client)), len(n.csrs(csr.Serving)); client != 1 || serving != 1 || !n.certDir().Linked() {
		t.Errorf("an agent that comes back makes %d and %d requests in all, expected one each; linked: %t", client, serving, n.certDir().Linked())
	}
	n.expect(n.reset("--keep-identity", "--yes"), 0)
	n.kubeletRotates(certdir.Client)
	n.kubeletRotates(certdir.Serving)
}

// servedPair is what a kubelet without tlsCertFile serves.
func (n *node) servedPair() tls.Certificate {
	n.t.Helper()
	pair, err := tls.LoadX509KeyPair(n.path("pki", "kubelet.crt"), n.path("pki", "kubelet.key"))
	must(n.t, err)
	return pair
}

// kubeletRotates has the kubelet's own store read the pair and put another one in its place.
func (n *node) kubeletRotates(kind certdir.Kind) {
	n.t.Helper()
	store, err := certificate.NewFileStore(string(kind), n.path("pki"), n.path("pki"), "", "")
	must(n.t, err)
	pair, err := store.Current()
	must(n.t, err)
	kinds := map[certdir.Kind]csr.Kind{certdir.Client: csr.Client, certdir.Serving: csr.Serving}
	crt, key := halves(n.pair(kinds[kind], n.name, today))
	_, err = store.Update(crt, key)
	must(n.t, err)
	after, err := store.Current()
	must(n.t, err)
	if after.Leaf.SerialNumber.Cmp(pair.Leaf.SerialNumber) == 0 {
		n.t.Errorf("the kubelet finds its old %s", kind)
	}
}

func TestResetRefusesWhatCannotBeAndChangesNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	must(t, os.Mkdir(n.certDir().Path, 0o700))
	n.write(n.bootstrapFile(), []byte("token: m4nb6v.9k2jx7wq5zr4hf3t\n"), 0o600)
	n.keeps(n.bootstrapFile())
	before := n.contents()
	n.expect(n.reset("client"), 2, "client")
	n.expect(n.reset("--force"), 2, "--force")
	n.expect(n.reset("--yes", "--key-algorithm=rsa"), 2, "--key-algorithm")
	n.assertUnchanged(before)
	must(t, os.Chmod(n.certDir().Path, 0o777))
	before = n.contents()
	n.expect(n.reset("--yes"), 2, "cert-dir", "chmod go-w")
	n.assertUnchanged(before)
	must(t, os.Chmod(n.certDir().Path, 0o700))
	n.expect(n.reset("--yes"), 0, "remove "+n.bootstrapFile())
	must(t, os.Remove(n.certDir().Path))
	n.expect(n.reset("--yes"), 0)
	n.assertGone(n.certDir().Path)
}

func TestResetWarnsOfAKubeletThatRunsFromTheFiles(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	ctx := t.Context()
	c := exec.CommandContext(ctx, "/bin/sh")
	c.Args = []string{"kubelet", "-c", "read -r _", "--kubeconfig=" + n.kubeconfig()}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := c.StdinPipe()
	must(t, err)
	must(t, c.Start())
	t.Cleanup(func() { stdin.Close(); _ = c.Wait() })
	says := fmt.Sprintf("a kubelet (pid %d) runs from these files", c.Process.Pid)
	eventually(t, "the warning", func() bool { return strings.Contains(n.reset().stderr, says) })
	if r := n.reset("--keep-identity"); strings.Contains(r.stderr, says) {
		t.Error("it warns of what is meant to go on")
	}
	if r := n.run([]string{"reset"}, "--kubeconfig="+n.path("another")); strings.Contains(r.stderr, says) {
		t.Error("it warns of another node's kubelet")
	}
}

// A pair that was there before the agent is the kubelet's again, byte for byte.
func TestResetPutsThePairBackThatWasThereBefore(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.approveServing(0)
	must(t, os.Mkdir(n.certDir().Path, 0o700))
	crt, key := halves(n.pair(csr.Serving, "another", today))
	crt = append([]byte("somebody wrote this\n"), crt...)
	n.lay("kubelet.crt", crt)
	n.lay("kubelet.key", key)
	n.bootstrap(n.secretToken())
	n.expect(n.once(), 0)
	n.assertThere(n.path("pki", "kubelet.crt.orig"))
	n.expect(n.reset("--yes"), 0, "put back the pair that was there before")
	if string(n.text(n.path("pki", "kubelet.crt"))) != string(crt) || string(n.text(n.path("pki", "kubelet.key"))) != string(key) {
		t.Error("it is another pair")
	}
	left, err := filepath.Glob(n.path("pki", "*"))
	must(t, err)
	if len(left) != 2 {
		t.Errorf("%q are left", left)
	}
	if took := n.reset().elapsed; took > 5*time.Second {
		t.Errorf("to say that there is nothing to do takes %s", took)
	}
}
