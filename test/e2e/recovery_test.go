package e2e

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
)

// member returns a node that has everything, all of it laid there by the test.
func member(t *testing.T, cp *controlplane.ControlPlane) *node {
	t.Helper()
	n := newNode(t, cp)
	n.furnish(found.Joined)
	return n
}

// expire has the node's client certificate be over.
func (n *node) expire() {
	n.t.Helper()
	n.lay(found.ClientPair, n.pair(csr.Client, n.name, yesterday))
}

func TestAnExpiredIdentityIsFollowedByAnotherAtOnceWhereThereIsACredential(t *testing.T) {
	t.Parallel()
	n := member(t, shared(t))
	n.expire()
	n.bootstrap(n.secretToken())
	d := n.start()
	n.awaitIdentity()
	n.csr(csr.Client)
	if len(n.csrs(csr.Serving)) > 0 {
		t.Error("the serving certificate, which is good, was followed by another")
	}
	n.assertGone(n.bootstrapFile())
	d.awaitStatus("client: valid until")
}

// awaitIdentity waits for a client pair of the node's that is not over, and shows that it works.
func (n *node) awaitIdentity() {
	n.t.Helper()
	eventually(n.t, "there is an identity", func() bool {
		pair, err := n.certDir().Read(certdir.Client)
		return err == nil && pair.Leaf.Subject.CommonName == "system:node:"+n.name && time.Now().Before(pair.Leaf.NotAfter)
	})
	n.awaitJoined()
}

// noticedIn is how soon a new credential must be in use. The race detector and a busy machine have their share in it, so the best of
// three counts: what the agent waits for by itself, it waits for each time.
const noticedIn = time.Second

// A node that was switched off for longer than its certificate was good for waits, and says so; a credential that comes in whatever way
// is used within a second, without a restart.
func TestACredentialThatComesInWhateverWayIsUsedWithinASecond(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(n *node, path string, content []byte) error{
		"written": func(_ *node, path string, content []byte) error { return os.WriteFile(path, content, 0o600) },
		"written in two parts": func(_ *node, path string, content []byte) error {
			err := os.WriteFile(path, content[:len(content)/2], 0o600)
			time.Sleep(300 * time.Millisecond) // so that half a file is seen
			return errors.Join(err, os.WriteFile(path, content, 0o600))
		},
		"renamed": func(_ *node, path string, content []byte) error {
			return errors.Join(os.WriteFile(path+".new", content, 0o600), os.Rename(path+".new", path))
		},
		"linked": func(n *node, path string, content []byte) error {
			return errors.Join(os.WriteFile(path+".real", content, 0o600), os.Symlink(filepath.Base(path)+".real", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var took []time.Duration
			for len(took) == 0 || len(took) < 3 && slices.Min(took) > noticedIn {
				n := member(t, shared(t))
				path := n.bootstrapFile()
				if name != "linked" { // a folder that is not there yet
					path = n.path("not", "yet", "bootstrap.kubeconfig")
				}
				took = append(took, n.comesBack(path, put))
			}
			if slices.Min(took) > noticedIn {
				t.Errorf("it was in use %s after it was there", took)
			}
		})
	}
}

// comesBack has a node whose certificate is over get a credential at path, and says how soon that is in use.
func (n *node) comesBack(path string, put func(n *node, path string, content []byte) error) time.Duration {
	n.t.Helper()
	n.expire()
	n.flags = append(n.flags, "--bootstrap-kubeconfig="+path)
	d := n.start()
	d.awaitReady()
	d.awaitStatus("the client certificate expired at")
	d.everSaid("put a bootstrap kubeconfig at " + path)
	content, err := n.cp.Kubeconfig(n.cp.Server(), n.secretToken())
	must(n.t, err)
	n.tell(path, content)
	must(n.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(n.t, put(n, path, content))
	begin := time.Now()
	eventually(n.t, "a request is made", func() bool { return n.pending(certdir.Client) != nil || len(n.csrs(csr.Client)) > 0 })
	took := time.Since(begin)
	n.awaitIdentity()
	n.csr(csr.Client)
	eventually(n.t, "the credential is gone", func() bool { _, err := os.Lstat(path); return err != nil })
	n.t.Logf("in use after %s, both certificates and the credential gone after %s", took.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
	return took
}

// A bootstrap kubeconfig whose server does not answer may be for another cluster: it stays, and so does everything else.
func TestABootstrapKubeconfigWhoseServerDoesNotAnswerStays(t *testing.T) {
	t.Parallel()
	n := member(t, shared(t))
	n.bootstrapVia("https://"+freeAddress(t), n.secretToken())
	n.keeps(n.bootstrapFile())
	before := n.text(n.kubeconfig())
	d := n.start()
	d.awaitLog("a bootstrap kubeconfig beside a working identity was not touched")
	d.awaitReady()
	time.Sleep(aWhile())
	n.assertThere(n.bootstrapFile())
	if !bytes.Equal(before, n.text(n.kubeconfig())) || len(n.csrs(csr.Client)) > 0 {
		t.Error("the kubeconfig was changed, or something was asked for")
	}
	d.saidOnce("a bootstrap kubeconfig beside a working identity was not touched")
}

// inBoot gives the node's agents the runtime folder of a boot, which the next one does not have.
func (n *node) inBoot(name string) (marker string) {
	n.t.Helper()
	folder := n.path("boots", name)
	must(n.t, os.MkdirAll(folder, 0o700))
	n.through = []string{"/usr/bin/env", "RUNTIME_DIRECTORY=" + folder}
	return filepath.Join(folder, "ready")
}

// A bootstrap kubeconfig for another cluster moves the node there only before the kubelet was let start: with the next boot.
func TestANodeGoesToAnotherClusterWithABootAndNotBefore(t *testing.T) {
	t.Parallel()
	from, to := split(t), shared(t)
	n := member(t, from)
	n.lay("kubelet-client-ca.crt", to.CA())
	marker := n.inBoot("first")
	d := n.start()
	d.awaitReady()
	eventually(t, "the boot is marked", func() bool { _, err := os.Lstat(marker); return err == nil })
	clientBefore, servingBefore := n.text(n.certDir().Current(certdir.Client)), n.text(n.certDir().Current(certdir.Serving))

	n.cp = to
	n.bootstrap(n.secretToken())
	n.keeps(n.bootstrapFile())
	d.awaitLog("to move the node there: drain it, and reboot")
	d.kill()
	d = n.start() // in the same boot
	d.awaitLog("to move the node there: drain it, and reboot")
	if len(n.csrs(csr.Client)) > 0 || !bytes.Equal(clientBefore, n.text(n.certDir().Current(certdir.Client))) {
		t.Fatal("the node has begun to move while a kubelet may be running")
	}
	d.kill()

	marker = n.inBoot("second")
	n.approveServing(0)
	d = n.start()
	eventually(t, "a client certificate of the other cluster", func() bool {
		content, err := os.ReadFile(n.certDir().Current(certdir.Client))
		return err == nil && !bytes.Equal(content, clientBefore)
	})
	n.awaitJoined()
	eventually(t, "a serving certificate of the other cluster", func() bool {
		content, err := os.ReadFile(n.certDir().Current(certdir.Serving))
		return err == nil && !bytes.Equal(content, servingBefore)
	})
	n.csr(csr.Client)
	n.csr(csr.Serving)
	kubelet, err := kubeconfig.LoadKubelet(n.kubeconfig())
	must(t, err)
	if kubelet.Endpoint.Server != to.Server() {
		t.Errorf("the kubelet is led to %s, not to %s", kubelet.Endpoint.Server, to.Server())
	}
	d.awaitReady()
	eventually(t, "the boot is marked, the credential gone, nothing asked for any more", func() bool {
		_, marked := os.Lstat(marker)
		_, there := os.Lstat(n.bootstrapFile())
		return marked == nil && there != nil && !n.certDir().AskedToRotate(certdir.Serving)
	})
}

// A machine that has another name keeps its identity, whatever it is called; a credential that is there a minute later is for the new one.
func TestAnotherNodeNameNeedsACredentialAndAMinute(t *testing.T) {
	t.Parallel()
	n := member(t, shared(t))
	old, before := n.name, n.text(n.certDir().Current(certdir.Client))
	n.name += "-new"
	n.flags[0] = "--hostname-override=" + n.name
	d := n.startHurried(hurry(40))
	d.awaitStatus("the identity is system:node:" + old)
	eventually(t, "more than a minute has passed", func() bool { return time.Since(d.started) > 2*time.Second })
	if len(n.csrs(csr.Client)) > 0 || !bytes.Equal(before, n.text(n.certDir().Current(certdir.Client))) {
		t.Fatal("the identity was given up without a credential")
	}
	n.approveServing(0)
	n.bootstrap(n.secretToken())
	n.awaitIdentity()
	eventually(t, "the serving certificate is for the new name", func() bool {
		pair, err := n.certDir().Read(certdir.Serving)
		return err == nil && pair.Leaf.Subject.CommonName == "system:node:"+n.name
	})
	n.csr(csr.Client)
	n.csr(csr.Serving)
}

// A cluster that does not accept the identity of its own node any more gives it another one, if there is a credential; the old one stays
// until the new one is proved.
func TestAnIdentityThatItsOwnClusterRefusesIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	n := member(t, shared(t))
	stranger := newNode(t, split(t))
	stranger.name = n.name
	n.lay(found.ClientPair, stranger.pair(csr.Client, n.name, today))
	before := n.text(n.certDir().Current(certdir.Client))
	d := n.startHurried(hurry(20))
	d.awaitReady()
	n.bootstrap(n.staticToken(controlplane.Unapproved))
	d.awaitLog("does not accept its identity any more")
	request := n.csr(csr.Client)
	time.Sleep(aWhile())
	if !bytes.Equal(before, n.text(n.certDir().Current(certdir.Client))) {
		t.Error("the old identity was given up before there is a new one")
	}
	must(t, n.cp.Approve(t.Context(), request.Name))
	eventually(t, "another identity is in use", func() bool { return !bytes.Equal(before, n.text(n.certDir().Current(certdir.Client))) })
	n.awaitJoined()
	n.csr(csr.Client)
	if strings.Count(d.log(), "does not accept its identity any more") != 1 {
		t.Error("it is not said once")
	}
}
