package e2e

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/certificate"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
)

// long is the life of a certificate that was received ten days ago, and is good for another.
var long = days{-10, 1}

// overdue lays pairs that ought to have been followed by others some hours ago.
func (n *node) overdue() {
	n.t.Helper()
	for name, kind := range map[string]csr.Kind{found.ClientPair: csr.Client, found.ServingPair: csr.Serving} {
		n.lay(name, n.pair(kind, n.name, long))
		received := time.Now().AddDate(0, 0, -10)
		must(n.t, os.Chtimes(n.path("pki", name), received, received))
	}
}

// planned are the rotations that the status command shows, and its exit code.
func (n *node) planned() (at map[csr.Kind]time.Time, code int) {
	n.t.Helper()
	r := n.run([]string{"status"}, "-o", "json")
	var report struct{ Certificates []status.CertificateReport }
	must(n.t, json.Unmarshal([]byte(r.stdout), &report))
	at = map[csr.Kind]time.Time{}
	for _, c := range report.Certificates {
		if c.RotateAt != nil {
			at[c.Certificate] = *c.RotateAt
		}
	}
	return at, r.code
}

// With rotation switched off the kubelet rotates: the agent asks for nothing, however overdue it is, says so, and takes what a kubelet
// stores for the node's, planned by its file's time. Switched on again it does at once what is overdue.
func TestWithRotationSwitchedOffTheAgentWatchesAndAdoptsWhatAKubeletStores(t *testing.T) {
	t.Parallel()
	n := member(t, shared(t))
	n.overdue()
	off := []string{"--rotate-certificates=false", "--rotate-server-certificates=false"}
	d := n.start(off...)
	d.awaitReady()
	time.Sleep(aWhile())
	if asked := len(n.csrs(csr.Client)) + len(n.csrs(csr.Serving)); asked > 0 {
		t.Fatalf("%d requests, and rotation is switched off", asked)
	}
	n.expect(n.run([]string{"status"}, off...), 4, "due for rotation since")

	for prefix, kind := range map[certdir.Kind]csr.Kind{certdir.Client: csr.Client, certdir.Serving: csr.Serving} {
		p := n.issue(n.request(kind, n.name), today)
		store, err := certificate.NewFileStore(string(prefix), n.certDir().Path, n.certDir().Path, "", "")
		must(t, err)
		stored, err := store.Update(p.CertificatePEM, p.KeyPEM)
		must(t, err)
		d.awaitLog("adopted a certificate that somebody else has put in place\" certificate=" + string(kind))
		pair, err := n.certDir().Read(prefix)
		must(t, err)
		at, _ := n.planned()
		if expected := rotate.Deadline(stored.Leaf, pair.ModTime, n.name); !pair.Leaf.Equal(stored.Leaf) || at[kind].Sub(expected).Abs() > time.Second {
			t.Errorf("%s: planned for %s, expected %s by the file's time", kind, at[kind], expected)
		}
	}
	d.stop()

	n.overdue() // in the files of before, which nothing leads to now
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		name := map[certdir.Kind]string{certdir.Client: found.ClientPair, certdir.Serving: found.ServingPair}[kind]
		must(t, n.certDir().Use(kind, &certdir.Pair{File: n.path("pki", name)}))
	}
	n.approveServing(0)
	before := n.text(n.certDir().Current(certdir.Serving))
	n.start()
	eventually(t, "both are followed by others", func() bool {
		now, err := os.ReadFile(n.certDir().Current(certdir.Serving))
		return err == nil && string(now) != string(before) && len(n.csrs(csr.Client)) == 1 && n.pending(certdir.Client) == nil
	})
	n.assertJoined()
	n.csr(csr.Client)
	n.csr(csr.Serving)
	pair, err := tls.LoadX509KeyPair(n.path("pki", "kubelet.crt"), n.path("pki", "kubelet.key"))
	must(t, err)
	if current, err := n.certDir().Read(certdir.Serving); err != nil || !current.Leaf.Equal(pair.Leaf) {
		t.Errorf("kubelet.crt and kubelet.key do not lead to the new pair (%v)", err)
	}
}

// An agent whose lock file is another's now is not alone with the cert-dir, and ends.
func TestAnAgentWhoseLockAnotherHasTakenEnds(t *testing.T) {
	t.Parallel()
	n := member(t, shared(t))
	d := n.start()
	d.awaitReady()
	other := certdir.Dir{Path: n.path("other")}
	must(t, os.Mkdir(other.Path, 0o700))
	lock, err := other.Lock("another agent")
	must(t, err)
	defer lock.Close()
	const name = ".bootstrap-agent.lock"
	must(t, os.Rename(filepath.Join(other.Path, name), n.path("pki", name)))
	if code := d.wait(); code != 1 || !strings.Contains(d.log(), "another agent") {
		t.Errorf("it ended with %d", code)
	}
}

// An agent whose lock file is merely gone makes another, and stays alone with the cert-dir.
func TestALockFileThatIsRemovedIsMadeAnew(t *testing.T) {
	t.Parallel()
	n := member(t, shared(t))
	d := n.start()
	d.awaitReady()
	must(t, os.Remove(n.path("pki", ".bootstrap-agent.lock")))
	d.awaitLog("the lock is taken anew")
	n.expect(n.run([]string{"run"}), 1, "held by pid")
	if !d.running() {
		t.Error("the first agent has ended")
	}
}

// A name that the configuration adds is asked for once it has been wanted for half a minute, and one request is enough.
func TestANameThatIsAddedLeadsToOneRequest(t *testing.T) {
	t.Parallel()
	n := member(t, shared(t))
	n.approveServing(0)
	d := n.startHurried(hurry(15), "--node-ip=192.0.2.11")
	d.awaitLog("the serving certificate lacks names")
	eventually(t, "the name is in the certificate", func() bool {
		pair, err := n.certDir().Read(certdir.Serving)
		return err == nil && slices.ContainsFunc(pair.Leaf.IPAddresses, net.IPv4(192, 0, 2, 11).Equal)
	})
	if took := time.Since(d.started); took < 30*time.Second/15 {
		t.Errorf("it was asked for %s after the start, before the half minute was over", took*15)
	}
	time.Sleep(aWhile())
	n.csr(csr.Serving)
}

// With after-node-registered the names are the Node's, whose addresses may come late: some seconds after they are there they are asked for.
func TestTheAddressesOfTheNodeAreAskedForSecondsAfterTheyAreThere(t *testing.T) {
	t.Parallel()
	n := member(t, shared(t))
	must(t, errors.Join(os.Remove(n.certDir().Current(certdir.Serving)), os.Remove(n.path("pki", found.ServingPair))))
	must(t, errors.Join(os.Remove(n.path("pki", "kubelet.crt")), os.Remove(n.path("pki", "kubelet.key"))))
	d := n.start("--serving=after-node-registered")
	d.awaitReady()
	d.awaitStatus("waits for the Node object")
	n.register()
	nodes := n.cp.AdminClient().CoreV1().Nodes()
	d.awaitStatus("waits for an address of the Node object")
	registered, err := nodes.Get(t.Context(), n.name, metav1.GetOptions{})
	must(t, err)
	registered.Status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: n.name}, {Type: corev1.NodeInternalIP, Address: "192.0.2.77"}, {Type: corev1.NodeExternalDNS, Address: "late.example.com"},
	}
	_, err = nodes.UpdateStatus(t.Context(), registered, metav1.UpdateOptions{})
	must(t, err)
	begin := time.Now()
	request := n.csr(csr.Serving)
	took := time.Since(begin)
	asked, err := controlplane.ParseRequest(&request)
	must(t, err)
	if len(asked.IPAddresses) != 1 || asked.IPAddresses[0].String() != "192.0.2.77" || !slices.Equal(asked.DNSNames, []string{"late.example.com", n.name}) {
		t.Errorf("asked for %v %v", asked.DNSNames, asked.IPAddresses)
	}
	if took > 8*time.Second {
		t.Errorf("it took %s", took)
	}
	t.Logf("asked for %s after the Node had its addresses", took.Round(time.Millisecond))
}
