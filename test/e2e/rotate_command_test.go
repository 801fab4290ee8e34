package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// rotate runs the rotate command.
func (n *node) rotate(args ...string) result {
	n.t.Helper()
	return n.run(append([]string{"rotate"}, args...))
}

// serial is that of the certificate in use.
func (n *node) serial(kind certdir.Kind) string {
	n.t.Helper()
	pair, err := n.certDir().Read(kind)
	must(n.t, err)
	return pair.Leaf.SerialNumber.String()
}

// age makes the certificate in use one that has been here for a minute, so that another may be asked for at once.
func (n *node) age(kind certdir.Kind) {
	n.t.Helper()
	pair, err := n.certDir().Read(kind)
	must(n.t, err)
	before := time.Now().Add(-time.Minute)
	must(n.t, os.Chtimes(pair.File, before, before))
}

// awaitRotated waits for another certificate than before, and shows that it took one request and that nothing else is left to do.
func (n *node) awaitRotated(kind csr.Kind, prefix certdir.Kind, before string, requests int) {
	n.t.Helper()
	eventually(n.t, "another "+string(kind)+" certificate", func() bool { return n.serial(prefix) != before })
	eventually(n.t, "the "+string(kind)+" request is done with", func() bool { return n.pending(prefix) == nil })
	n.assertGone(n.certDir().RotateFile(prefix))
	if found := n.csrs(kind); len(found) != requests {
		n.t.Fatalf("%d %s requests, expected %d", len(found), kind, requests)
	}
	n.assertJoined()
}

// refuses fails the test unless the command ends with code, says this, and changes nothing.
func (n *node) refuses(code int, args []string, says ...string) {
	n.t.Helper()
	before := n.contents()
	n.expect(n.rotate(args...), code, says...)
	n.assertUnchanged(before)
}

func TestRotateRefusesWhatCannotBeAndChangesNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	n.refuses(2, nil, "cert-dir", n.certDir().Path, "no such file")
	must(t, os.Mkdir(n.certDir().Path, 0o700))
	for _, c := range []struct {
		code int
		args []string
		says string
	}{
		{1, nil, "there is no client certificate yet"},
		{1, nil, "there is no serving certificate yet"},
		{1, []string{"client"}, "there is no client certificate yet"},
		{1, []string{"serving"}, "there is no serving certificate yet"},
		{2, []string{"client", "--rotate-certificates=false"}, "--rotate-certificates=false"},
		{2, []string{"serving", "--rotate-server-certificates=false"}, "--rotate-server-certificates=false"},
		{2, []string{"serving", "--serving=off"}, "--serving=off"},
		{2, []string{"--rotate-certificates=false", "--rotate-server-certificates=false"}, "--rotate-server-certificates=false"},
		{2, []string{"server"}, "server"},
		{2, []string{"client", "serving"}, "at most 1 arg"},
		{2, []string{"--nod-ip=192.0.2.1"}, "--nod-ip"},
		{2, []string{"--key-algorithm=rsa"}, "--key-algorithm"},
	} {
		n.refuses(c.code, c.args, c.says)
	}
	n.write(n.certDir().Current(certdir.Client), []byte("damaged"), 0o600)
	n.refuses(1, []string{"client"}, "there is no client certificate to rotate", n.certDir().Current(certdir.Client))
	must(t, os.Chmod(n.certDir().Path, 0o777))
	n.refuses(2, nil, "cert-dir", "chmod go-w")
}

func TestRotateAsAnotherUserThanRootIsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	n.becomeNobody()
	must(t, os.Mkdir(n.certDir().Path, 0o700))
	before := n.contents()
	c := n.command(t.Context(), []string{"rotate"})
	asNobody(c.SysProcAttr)
	n.expect(n.finish(c), 2, "cert-dir", n.certDir().Path, "permission denied")
	n.assertUnchanged(before)
}

func TestARotationThatIsAskedForTakesSecondsAndOneRequestEach(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.expect(n.once("--serving-wait=0s"), 4)
	n.refuses(1, []string{"serving"}, "self-signed placeholder")
	n.approve(csr.Serving)
	n.expect(n.once(), 0)
	n.approveServing(0)
	n.refuses(2, []string{"client", "--rotate-certificates=false"}, "--rotate-certificates=false")
	n.refuses(2, []string{"serving", "--serving=off"}, "--serving=off")

	n.age(certdir.Client)
	n.age(certdir.Serving)
	client, serving := n.serial(certdir.Client), n.serial(certdir.Serving)
	n.expect(n.rotate(), 0, "asked for a new client certificate: no agent runs on "+n.certDir().Path, "asked for a new serving certificate: no agent runs")
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		info, err := os.Lstat(n.certDir().RotateFile(kind))
		must(t, err)
		if info.Mode() != 0o600 || info.Size() > 0 {
			t.Errorf("%s: %s, %d bytes, expected an empty file for nobody else", info.Name(), info.Mode(), info.Size())
		}
	}
	d := n.start()
	n.awaitRotated(csr.Client, certdir.Client, client, 2)
	n.awaitRotated(csr.Serving, certdir.Serving, serving, 2)

	n.age(certdir.Client)
	client, serving = n.serial(certdir.Client), n.serial(certdir.Serving)
	begin := time.Now()
	n.expect(n.rotate("client"), 0, fmt.Sprintf("asked for a new client certificate: the agent (pid %d) acts at once", d.cmd.Process.Pid))
	n.awaitRotated(csr.Client, certdir.Client, client, 3)
	t.Logf("another client certificate after %s", time.Since(begin).Round(time.Millisecond))
	if now := n.serial(certdir.Serving); now != serving || len(n.csrs(csr.Serving)) != 2 {
		t.Errorf("the serving certificate is %s, was %s: nobody asked for another", now, serving)
	}
}

// The clock goes 20 times as fast: the spacing of 20 s is one here.
func TestTwoRotationsThatAreAskedForAreSpaced(t *testing.T) {
	t.Parallel()
	const factor, spacing = 10, 20 * time.Second
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.expect(n.once("--serving=off"), 0)
	n.age(certdir.Client)
	clock := hurry(factor)
	n.startHurried(clock, "--serving=off").awaitReady()
	first := n.serial(certdir.Client)
	n.expect(n.rotate("client", "--serving=off"), 0, fmt.Sprintf("(pid %d)", os.Getpid()))
	n.awaitRotated(csr.Client, certdir.Client, first, 2)
	pair, err := n.certDir().Read(certdir.Client)
	must(t, err)
	begin, now := time.Now(), clock.Now() // the file's time is of the kernel's clock, of which the agent's is ahead by then
	must(t, os.Chtimes(pair.File, now, now))
	second := n.serial(certdir.Client)
	n.expect(n.rotate("client", "--serving=off"), 0)
	eventually(t, "the second request", func() bool { return len(n.csrs(csr.Client)) == 3 })
	if took := time.Since(begin); took < spacing/factor {
		t.Errorf("the second request came %s of the agent's time after the first certificate", took*factor)
	}
	n.awaitRotated(csr.Client, certdir.Client, second, 3)
}
