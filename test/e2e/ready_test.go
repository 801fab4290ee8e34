package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

const complete = "everything that the kubelet needs is on the disk"

func TestWithoutACredentialTheKubeletStartsAtOnceAndALaterOneIsNoticed(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	user := n.secretToken()
	d := n.start()
	if took := d.awaitReady(); took > 2*time.Second {
		t.Errorf("READY after %s, expected at once", took)
	}
	d.awaitLog("there is nothing to bootstrap with")
	d.awaitStatus("put a bootstrap kubeconfig at " + n.bootstrapFile())
	put := time.Now()
	n.bootstrap(user)
	n.awaitJoined()
	if noticed := n.asked(csr.Client)[0].Time.Sub(put); noticed > 4*time.Second {
		t.Errorf("the credential was used %s after it was put there, expected about 2 s", noticed)
	}
	eventually(t, "the credential is deleted", func() bool { _, err := os.Lstat(n.bootstrapFile()); return os.IsNotExist(err) })
	d.awaitStatus("client: valid until")
}

func TestTheKubeletIsHeldBackForServingWaitCountedFromTheAcceptanceOfTheRequest(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{0, time.Second, 4 * time.Second} {
		t.Run(wait.String(), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, shared(t))
			n.bootstrap(n.secretToken())
			d := n.start("--serving-wait=" + wait.String())
			ready := d.started.Add(d.awaitReady())
			accepted := n.asked(csr.Serving)
			if len(accepted) == 0 {
				t.Fatal("READY came before the serving request was sent")
			}
			if held := ready.Sub(accepted[0].Time); held < wait || held > wait+2500*time.Millisecond {
				t.Errorf("READY came %s after the API server had the serving request, expected %s", held, wait)
			}
			d.awaitLog(complete)
			n.assertStartable()
		})
	}
}

func TestTheKubeletIsHeldBackForStartHoldWhileTheAPIServerIsDownAndNoLonger(t *testing.T) {
	t.Parallel()
	const hold = 2 * time.Second
	n := newNode(t, shared(t))
	proxy := n.behind(t)
	proxy.Down()
	n.bootstrapVia(proxy.URL(), n.secretToken())
	n.approveServing(0)
	d := n.start("--start-hold=" + hold.String())
	// the agent's clock starts a little after the process
	if took := d.awaitReady(); took < hold || took > hold+2*time.Second {
		t.Errorf("READY after %s, expected %s", took, hold)
	}
	d.awaitLog("--start-hold is over")
	d.awaitNotified("EXTEND_TIMEOUT_USEC=30000000")
	proxy.Pass()
	n.awaitJoined()
	n.awaitServing()
}

// The kubelet opens each of these when it starts. A folder in the place of a file cannot be replaced by it, so the file is not
// there until the folder goes.
func TestTheKubeletIsHeldBackUntilEveryFileThatItOpensIsThere(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"kubelet.kubeconfig", "pki/kubelet-client-current.pem", "pki/kubelet-apiserver-ca.crt", "pki/kubelet-client-ca.crt",
		"pki/kubelet-server-current.pem", "pki/kubelet.crt", "pki/kubelet.key",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, shared(t))
			must(t, os.Mkdir(n.certDir().Path, 0o700))
			must(t, os.Mkdir(n.path(name), 0o700))
			n.bootstrap(n.secretToken())
			n.approveServing(0)
			n.keeps(n.bootstrapFile()) // with a credential there is something to wait for
			d := n.start("--serving-wait=0s", "--keep-bootstrap-kubeconfig")
			d.awaitStatus("cannot ")
			time.Sleep(2 * time.Second)
			if after, ready := d.ready(); ready {
				t.Fatalf("READY after %s without %s", after, name)
			}
			must(t, os.Remove(n.path(name)))
			d.awaitReady()
			n.assertStartable()
			d.awaitLog(complete)
		})
	}
}

// assertStartable shows that all that the kubelet opens when it starts is there.
func (n *node) assertStartable() {
	n.t.Helper()
	for _, name := range []string{"kubelet-client-current.pem", "kubelet-apiserver-ca.crt", "kubelet-client-ca.crt", "kubelet.crt", "kubelet.key"} {
		info, err := os.Stat(n.path("pki", name)) // through the links
		if err != nil || info.Size() == 0 {
			n.t.Errorf("READY, and the kubelet cannot use %s: %v", name, err)
		}
	}
	n.assertJoined()
}

func TestAnIdentityThatLacksAFileIsNotCalledComplete(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	n.expect(n.once(), 0)
	for _, path := range []string{n.kubeconfig(), n.certDir().ServerCA()} {
		must(t, os.Rename(path, path+".away"))
		d := n.start()
		d.awaitReady() // for the kubelet is not held back when there is nothing to wait for
		d.awaitLog("there is nothing to bootstrap with")
		d.kill()
		must(t, os.Rename(path+".away", path))
	}
	must(t, os.Remove(n.certDir().ClientCA())) // which the kubeconfig's CA, since it signed the identity, can take the place of
	d := n.start()
	d.awaitReady()
	d.awaitLog(complete)
	n.assertThere(n.certDir().ClientCA())
}

// plain is the agent as it is shipped, without the race detector, which makes everything several times slower.
var plain struct {
	once    sync.Once
	program string
	err     error
}

func plainProgram(t *testing.T) string {
	t.Helper()
	plain.once.Do(func() {
		plain.program = filepath.Join(filepath.Dir(agentProgram), "bootstrap-agent-plain")
		output, err := exec.Command("go", "build", "-o", plain.program, "../../cmd/bootstrap-agent").CombinedOutput()
		if err != nil {
			plain.err = fmt.Errorf("build the agent: %w\n%s", err, output)
		}
	})
	must(t, plain.err)
	return plain.program
}

func TestWithAnIdentityOnTheDiskTheKubeletStartsAtOnceWhateverTheNetworkDoes(t *testing.T) {
	t.Parallel()
	issued, standIn := newNode(t, shared(t)), newNode(t, shared(t))
	issued.approveServing(0)
	silent := joinAndFallSilent(t, issued, 0)
	joinAndFallSilent(t, standIn, 4) // a placeholder that was there before is as good
	for _, build := range []struct {
		name, program string
		limit         time.Duration
	}{{"with the race detector", agentProgram, time.Second}, {"as shipped", plainProgram(t), 200 * time.Millisecond}} {
		for name, n := range map[string]*node{"both certificates": issued, "a placeholder": standIn} {
			n.program = build.program
			if took := n.quickestReady("everything that the kubelet needs is on the disk"); took > build.limit {
				t.Errorf("%s, %s: READY after %s, expected at most %s", name, build.name, took, build.limit)
			}
		}
	}
	if asked := silent.Connections(); asked != 0 {
		t.Errorf("with both certificates on the disk the agent made %d connections to the API server, expected none", asked)
	}
}

// joinAndFallSilent gives a node its identity from an API server that does not answer any more afterwards.
func joinAndFallSilent(t *testing.T, n *node, code int) *faultproxy.Recording {
	t.Helper()
	proxy := n.behind(t)
	n.bootstrapVia(proxy.URL(), n.secretToken())
	n.expect(n.once("--serving-wait=2s"), code)
	return proxy.Hang()
}

// quickestReady is the best of three starts: other tests run beside this one.
func (n *node) quickestReady(why string) time.Duration {
	n.t.Helper()
	best := time.Hour
	for range 3 {
		d := n.start()
		best = min(best, d.awaitReady())
		d.awaitLog(why)
		if code, _ := d.stop(); code != 0 {
			n.t.Errorf("the daemon ended with %d", code)
		}
	}
	return best
}
