package agent

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// taken is a machine that waits, because another one is worker-1.
func taken(t *testing.T, change func(*machine)) *newMember {
	t.Helper()
	n := joins(t, thisMachine, change)
	n.api.hold(nodeIs(corev1.ConditionTrue, otherMachine))
	n.look(t)
	if !n.waits() || n.agent.client.failure != rotate.Taken {
		t.Fatalf("it does not wait:\n%s", n.log.String())
	}
	return n
}

// heldByWorker1 is the API server's answer for worker-1 only.
func heldByWorker1(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("name") == "worker-1" {
		nodeIs(corev1.ConditionTrue, otherMachine)(w, r)
		return
	}
	noNode(w, r)
}

func TestAMachineThatIsGivenAnotherNameJoinsUnderThatOne(t *testing.T) {
	t.Parallel()
	n := taken(t, nil)
	n.api.hold(heldByWorker1)
	n.on.cfg.HostnameOverride = "worker-2"
	n.clock.SetTime(n.clock.Now().Add(time.Minute))
	n.restart(t)
	n.look(t)
	if o := n.observe(); !n.joined() || o.Client.Pair.Leaf.Subject.CommonName != otherUser {
		t.Fatalf("it has not joined under its new name:\n%s", n.log.String())
	}
	if first, second := n.requests(), n.api.requestsOf("worker-2", csr.Client); first != 1 || second != 1 {
		t.Errorf("%d requests for the old name, %d for the new one; expected one each", first, second)
	}
	if !strings.Contains(n.log.String(), "kubectl delete csr worker-1-kubelet-client-") {
		t.Errorf("it does not say what is left in the cluster:\n%s", n.log.String())
	}
}

func TestWithTheFlagTheNextStartTakesTheNodeOverWithTheSameCertificate(t *testing.T) {
	t.Parallel()
	n := taken(t, nil)
	n.on.cfg.AllowNodeTakeover = true
	n.restart(t)
	n.look(t)
	if !n.joined() || n.requests() != 1 {
		t.Errorf("joined %t with %d requests:\n%s", n.joined(), n.requests(), n.log.String())
	}
}

func TestACredentialForAnotherClusterTakesTheMachineThere(t *testing.T) {
	t.Parallel()
	n := taken(t, nil)
	other := newAPIStandInOf(t, newAuthority())
	other.now = n.clock.Now
	n.clock.SetTime(n.clock.Now().Add(time.Minute))
	n.on.write(t, n.on.cfg.BootstrapKubeconfig, bootstrapKubeconfig(other.url, other.ca.pem))
	n.look(t)
	if k := n.observe().Kubelet; !n.joined() || k.Endpoint.Server != other.url || other.requestsOf("worker-1", csr.Client) != 1 {
		t.Errorf("it has not joined the other cluster:\n%s", n.log.String())
	}
}

// Once the certificate is in use nobody is asked any more: a node is not given up because another machine comes up under its name.
func TestACommittedIdentityIsNotGivenUpAndItsRotationAsksNobody(t *testing.T) {
	t.Parallel()
	n := joins(t, thisMachine, nil)
	var looked atomic.Int32
	n.api.hold(func(w http.ResponseWriter, r *http.Request) {
		looked.Add(1)
		noNode(w, r)
	})
	n.look(t)
	if !n.joined() || looked.Load() != 1 {
		t.Fatalf("joined %t, looked %d times, expected once:\n%s", n.joined(), looked.Load(), n.log.String())
	}
	looked.Store(0)
	n.api.hold(func(w http.ResponseWriter, r *http.Request) {
		looked.Add(1)
		nodeIs(corev1.ConditionTrue, otherMachine)(w, r)
	})
	n.restart(t)
	n.look(t)
	before := n.observe().Client.Pair.Leaf
	must(t, n.on.dir.AskToRotate(certdir.Client))
	n.clock.SetTime(n.clock.Now().Add(time.Minute))
	n.look(t)
	if after := n.observe(); !n.joined() || after.Client.Pair.Leaf.Equal(before) || n.requests() != 2 || looked.Load() != 0 {
		t.Errorf("joined %t, rotated %t, %d requests, looked %d times:\n%s", n.joined(), !after.Client.Pair.Leaf.Equal(before), n.requests(), looked.Load(), n.log.String())
	}
}

func TestAnIdentityThatHasExpiredIsRenewedWhoeverIsTheNode(t *testing.T) {
	t.Parallel()
	n := joins(t, thisMachine, nil)
	n.look(t)
	n.close()
	n.on.write(t, n.on.cfg.BootstrapKubeconfig, append(bootstrapKubeconfig(n.api.url, n.api.ca.pem), "# another one\n"...))
	n.api.hold(nodeIs(corev1.ConditionTrue, otherMachine))
	expired := n.observe().Client.Pair.Leaf
	n.settler = n.start(t, expired.NotAfter.Add(time.Second))
	n.look(t)
	if o := n.observe(); !n.joined() || o.Client.Pair.Leaf.Equal(expired) {
		t.Errorf("it is not back:\n%s", n.log.String())
	}
}

// The 15 minutes after which a certificate is given up that the API server does not accept begin anew when it was accepted in between.
func TestWaitingForANameIsNoRefusal(t *testing.T) {
	m := newMaterial(t)
	s, p := asking(t, m, "issued", func(p *csr.Pending) { p.RefusedSince = noon.Add(-14 * time.Minute) })
	user := apiserver.User{Name: nodeUser, Groups: []string{csr.NodesGroup}}
	s.agent.proved(p, leafOf(t, p), user, nodeHolder{ours: thisMachine, node: apiserver.Node{Ready: "True", MachineID: otherMachine}}, nil)
	if after := s.pending(t); !after.RefusedSince.IsZero() || s.agent.client.failure != rotate.Taken || s.agent.client.provedLeaf != nil {
		t.Errorf("refused since %s, %q, proved %t", after.RefusedSince, s.agent.client.failure, s.agent.client.provedLeaf != nil)
	}
}

func TestOnceEndsWithThreeWhenAnotherMachineIsTheNode(t *testing.T) {
	t.Parallel()
	n := taken(t, func(on *machine) { on.cfg.Once = true })
	done, err := n.agent.verdict(n.agent.observe())
	var end *ExitError
	if !done || !errors.As(err, &end) || end.Code != 3 || !strings.Contains(err.Error(), "--allow-node-takeover") {
		t.Errorf("done %t: %v", done, err)
	}
}

// Between any two operations on the disk the machine may lose power: it waits afterwards as before, with the same request.
func TestAKillAnywhereInTheWaitLeavesTheSameRequestWaiting(t *testing.T) {
	t.Parallel()
	n := taken(t, nil)
	before, err := os.ReadFile(n.on.dir.PendingFile(certdir.Client))
	must(t, err)
	for range 3 {
		n.restart(t)
		n.look(t)
		n.lookAgain(t)
		if after, err := os.ReadFile(n.on.dir.PendingFile(certdir.Client)); err != nil || string(after) != string(before) {
			t.Fatalf("the request on the disk has changed (%v)", err)
		}
	}
	if n.requests() != 1 || !n.waits() {
		t.Errorf("%d requests, waits %t", n.requests(), n.waits())
	}
}
