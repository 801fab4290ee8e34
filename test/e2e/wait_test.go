package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// wait runs the wait command.
func (n *node) wait(args ...string) result {
	n.t.Helper()
	return n.run([]string{"wait"}, args...)
}

// startWait starts it.
func (n *node) startWait(args ...string) *daemon {
	n.t.Helper()
	return n.begin(n.command(n.t.Context(), []string{"wait"}, args...))
}

// ends waits for the end of a command that was started, and fails the test unless it has this code.
func (d *daemon) ends(code int) {
	d.t.Helper()
	d.wait()
	if got := d.cmd.ProcessState.ExitCode(); got != code {
		d.t.Fatalf("exit code %d, expected %d:\n%s", got, code, d.log())
	}
}

func TestWaitRefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--for=serving", "--serving=off"}, "--serving=off"},
		{[]string{"--for=client,serving", "--serving=off"}, "--serving=off"},
		{[]string{"--for=server"}, `"server" is not one of client, serving`},
		{[]string{"--for="}, "--for is empty"},
		{[]string{"--timeout=-1s"}, "negative"},
		{[]string{"--timeout=soon"}, "--timeout"},
		{[]string{"--once"}, "--once"},
		{[]string{"client"}, "client"},
		{[]string{"--key-algorithm=rsa"}, "--key-algorithm"},
	} {
		r := n.wait(c.args...)
		n.expect(r, 2, c.says)
	}
	if left := n.files(); len(left) > 0 {
		t.Errorf("it made %q", left)
	}
}

// The timeout's exit code says whether waiting longer may do.
func TestWaitSaysWhatIsMissingAndWhetherAPersonMustAct(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.expect(n.wait("--timeout=2500ms"), 3, "waiting for the client certificate: no bootstrap credential", "put a bootstrap kubeconfig at "+n.bootstrapFile(),
		"serving certificate: it is asked for when the client certificate is there", "no agent runs on "+n.certDir().Path, "not there within 2.5s")
	n.bootstrap(n.secretToken())
	n.expect(n.wait("--timeout=10ms", "--for=client"), 1, "the agent is to ask for it", "systemctl start bootstrap-agent")
	n.expect(n.once("--serving-wait=0s"), 4)
	n.expect(n.wait("--for=client"), 0, "the client certificate is there, valid until "+n.until(certdir.Client))
	n.expect(n.wait("--serving=off"), 0, "the client certificate is there")
	name := n.csr(csr.Serving).Name
	n.expect(n.wait("--timeout=10ms"), 1, "kubectl certificate approve "+name)
	n.expect(n.wait("--timeout=10ms", "--hostname-override=another"), 3, "this machine is called another now")
	must(t, n.cp.Deny(t.Context(), name, "NotToday", "not today"))
	n.expect(n.once(), 4)
	n.expect(n.wait("--timeout=10ms", "--for=serving"), 3, name+": denied")
	must(t, os.Remove(n.kubeconfig()))
	n.expect(n.wait("--timeout=10ms", "--for=client"), 3, n.kubeconfig())
}

// until is when the certificate in use ends.
func (n *node) until(kind certdir.Kind) string {
	n.t.Helper()
	pair, err := n.certDir().Read(kind)
	must(n.t, err)
	return pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
}

func TestWaitEndsAsSoonAsAllIsThere(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	both, client := n.startWait(), n.startWait("--for=client")
	both.awaitLog("no bootstrap credential")
	n.start()
	n.bootstrap(n.secretToken())
	client.ends(0)
	both.awaitLog("kubectl certificate approve " + n.csr(csr.Serving).Name)
	n.approve(csr.Serving)
	both.ends(0)
	n.expect(n.wait("--for=serving,client,serving"), 0, "the serving certificate is there, valid until "+n.until(certdir.Serving))
	if count := strings.Count(both.log(), "no agent runs"); count > 1 {
		t.Errorf("%d times: no agent runs:\n%s", count, both.log())
	}
}

func TestWaitEndsAtOnceOnASignal(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		n := newNode(t, nil)
		d := n.startWait()
		d.awaitLog("waiting for the client certificate")
		begin := time.Now()
		must(t, d.cmd.Process.Signal(signal))
		d.ends(1)
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("%s: it took %s", signal, took)
		}
		d.awaitLog("interrupted while waiting for the client certificate")
	}
}

// It reads files only: no socket is made, and nothing is opened for writing.
func TestWaitChangesNothingAndAsksNobody(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	n.write(n.bootstrapFile(), []byte("token: m4nb6v.9k2jx7wq5zr4hf3t\n"), 0o600)
	n.keeps(n.bootstrapFile())
	before := n.contents()
	n.through = []string{"unshare", "--net"} // no address, not even loopback
	n.expect(n.wait("--timeout=100ms"), 3, "bootstrap kubeconfig")
	n.assertUnchanged(before)
}

func TestAnotherUserIsToldThatWaitingIsOfNoUse(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	n.becomeNobody()
	must(t, os.Mkdir(n.certDir().Path, 0o700))
	c := n.command(t.Context(), []string{"wait"})
	asNobody(c.SysProcAttr)
	n.expect(n.finish(c), 2, "run it as root")
}

// Shells complete the values of flags.
func TestShellsCompleteTheValuesOfFlags(t *testing.T) {
	t.Parallel()
	for _, c := range [][]string{
		{"client,serving", "wait", "--for", ""},
		{"serving", "rotate", ""},
		{"before-kubelet", "run", "--serving", ""},
		{"ecdsa-p384", "reset", "--key-algorithm", ""},
		{"json", "status", "--output", ""},
		{"debug", "wait", "--log-level", ""},
		{"reset", ""},
		{"wait", "w"},
	} {
		output, err := exec.CommandContext(t.Context(), agentProgram, append([]string{"__complete"}, c[1:]...)...).Output()
		if lines := strings.Split(string(output), "\n"); err != nil || !hasWord(lines, c[0]) {
			t.Errorf("%q: %q is not among %q (%v)", c[1:], c[0], lines, err)
		}
	}
}

func hasWord(lines []string, word string) bool {
	for _, line := range lines {
		if line == word || strings.HasPrefix(line, word+"\t") {
			return true
		}
	}
	return false
}
