package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	machine "github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

const otherMachine = "fedcba9876543210fedcba9876543210"

// twin is another machine of the node's name. id is its machine ID: its agents see it at the place of this machine's own; empty: this one's.
func (n *node) twin(id string) *node {
	n.t.Helper()
	twin := newNode(n.t, n.cp)
	twin.name, twin.flags = n.name, append(slices.Clone(n.flags), "--serving=off")
	if id != "" {
		must(n.t, os.WriteFile(twin.path("machine-id"), []byte(id+"\n"), 0o444))
		twin.through = []string{"unshare", "--mount", "sh", "-c", `mount --bind "$1" ` + machine.MachineIDFile + ` && shift && exec "$@"`, "sh", twin.path("machine-id")}
	}
	twin.bootstrap(twin.secretToken())
	return twin
}

// object is the node's Node.
func (n *node) object() *corev1.Node {
	n.t.Helper()
	object, err := n.cp.AdminClient().CoreV1().Nodes().Get(n.t.Context(), n.name, metav1.GetOptions{})
	must(n.t, err)
	return object
}

// setReady changes the Node's condition Ready, as its kubelet does, or kube-controller-manager when that is silent.
func (n *node) setReady(status corev1.ConditionStatus) {
	n.t.Helper()
	object := n.object()
	object.Status.Conditions = slices.DeleteFunc(object.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady })
	object.Status.Conditions = append(object.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeReady, Status: status, LastHeartbeatTime: metav1.Now()})
	_, err := n.cp.AdminClient().CoreV1().Nodes().UpdateStatus(n.t.Context(), object, metav1.UpdateOptions{})
	must(n.t, err)
}

// isRegisteredByAKubelet has a real kubelet make the node's Node, and ends it: what it has said stays.
func (n *node) isRegisteredByAKubelet() {
	n.t.Helper()
	k := n.startKubelet(freeAddress(n.t), "")
	n.t.Cleanup(func() {
		err := n.cp.AdminClient().CoreV1().Nodes().Delete(context.WithoutCancel(n.t.Context()), n.name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			n.t.Error(err)
		}
	})
	eventually(n.t, "the kubelet has registered its Node", func() bool { k.assertRuns(n.t); return n.isRegistered() })
	must(n.t, k.cmd.Process.Kill())
	<-k.ended
}

// looks are the answers to the agent's questions who is the node, asked as the node.
func (n *node) looks() (codes []int) {
	n.t.Helper()
	requests, err := n.cp.Requests("system:node:"+n.name, controlplane.ByUserAgent("bootstrap-agent/"))
	must(n.t, err)
	for _, r := range requests {
		if r.Resource == "nodes" {
			codes = append(codes, r.Code)
		}
	}
	return codes
}

// TestALiveNodeIsNotTakenOverByAnotherMachineOfItsName has a real kubelet register the Node, and other machines come with its name.
func TestALiveNodeIsNotTakenOverByAnotherMachineOfItsName(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.expect(n.once("--serving-wait=0s"), 4)
	if looks := n.looks(); !slices.Equal(looks, []int{http.StatusNotFound}) { // allowed, though there is none yet
		t.Fatalf("before there was a Node the answers were %v, expected one 404", looks)
	}
	n.isRegisteredByAKubelet()
	ours, err := machine.MachineID(machine.MachineIDFile)
	must(t, err)
	if theirs := n.object().Status.NodeInfo.MachineID; theirs != ours {
		t.Fatalf("the kubelet's machine ID is %q, ours %q: they cannot be compared", theirs, ours)
	}
	n.setReady(corev1.ConditionTrue)
	before := n.object().ResourceVersion

	twin := n.twin(otherMachine)
	twin.flags = append(twin.flags, measured...)
	content := twin.bootstrapBytes()
	for life := range 3 { // a kill changes nothing
		d := twin.start()
		d.awaitLog("reason=node-taken")
		d.awaitStatus("another machine, with the machine ID " + ours + ", is node " + n.name)
		d.awaitMetric(`errors_total{phase="client",reason="node-taken"} > 0`)
		if now := twin.bootstrapBytes(); !bytes.Equal(now.content, content.content) {
			t.Fatal("the credential was touched")
		}
		twin.assertGone(twin.kubeconfig())
		twin.assertGone(twin.certDir().Current(certdir.Client))
		if pending := twin.pending(certdir.Client); pending == nil || len(pending.CertificatePEM) == 0 {
			t.Fatal("the certificate is not kept")
		}
		if life < 2 {
			d.kill()
			continue
		}
		d.stop()
	}
	twin.expect(twin.once(), 3, "--allow-node-takeover", "--hostname-override")
	if after := n.object().ResourceVersion; after != before {
		t.Errorf("the other machine's Node has changed:\n%+v", n.object())
	}
	n.assertJoined() // and its identity works as before

	looked := len(n.looks())
	forced := n.twin(otherMachine)
	forced.expect(forced.once("--allow-node-takeover"), 0)
	forced.assertJoined()
	if looks := n.looks(); len(looks) != looked {
		t.Errorf("with the flag it has asked nevertheless: %v", looks[looked:])
	}
	same := n.twin("")
	same.expect(same.once(), 0)
	same.assertJoined()

	d := twin.start()
	d.awaitLog("reason=node-taken")
	n.setReady(corev1.ConditionUnknown) // as kube-controller-manager does 40 to 50 s after the kubelet was last heard of
	if os.Getenv("SOAK") == "" {
		d.kill() // else it looks again by itself, half a minute later
		twin.start()
	} else {
		time.Sleep(30 * time.Second) // and a moment more, below
	}
	twin.awaitJoined()
	twin.assertGone(twin.bootstrapFile())
	if count := len(n.csrs(csr.Client)); count != 4 {
		t.Errorf("%d requests of four machines that have joined as %s, expected one each", count, n.name)
	}
}
