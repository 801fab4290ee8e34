package agent

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// holding is one way in which somebody may have the node's name, seen by a machine that wants it.
type holding struct {
	answer string
	ready  corev1.ConditionStatus
	theirs string
	// ours is what stands in this machine's file.
	ours   string
	allows bool
}

func (h holding) String() string {
	return fmt.Sprintf("%s, Ready %q, machine %q, this one %q, takeover allowed: %t", h.answer, h.ready, h.theirs, h.ours, h.allows)
}

// answers are those that say nothing about a Node.
var answers = map[string]http.HandlerFunc{
	"none": noNode, "forbidden": mayNotSee, "broken down": brokenDown, "overloaded": overloaded, "hung up": hungUp,
	"another page": otherPage, "nonsense": nonsenseAnswer, "unauthorized": unauthorized,
}

func (h holding) handler() http.HandlerFunc {
	if handler := answers[h.answer]; handler != nil {
		return handler
	}
	return nodeIs(h.ready, h.theirs)
}

// everyHolding is all that there can be.
func everyHolding() (all []holding) {
	for _, allows := range yesNo {
		for _, ours := range []string{thisMachine, "", "uninitialized", otherMachine[:31]} {
			for answer := range answers {
				all = append(all, holding{answer: answer, ours: ours, allows: allows})
			}
			for _, ready := range []corev1.ConditionStatus{corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown, ""} {
				for _, theirs := range []string{thisMachine, otherMachine, ""} {
					all = append(all, holding{answer: "a Node", ready: ready, theirs: theirs, ours: ours, allows: allows})
				}
			}
		}
	}
	return all
}

// blocks says whether the machine must not become the node now.
func (h holding) blocks() bool {
	compares := h.ours == thisMachine && !h.allows
	switch h.answer {
	case "none", "forbidden":
		return false
	case "a Node":
		return compares && h.ready == corev1.ConditionTrue && h.theirs == otherMachine
	}
	return compares // what is not known for certain is waited for
}

// TestALiveNodeOfAnotherMachineIsNeverTakenOverAndTheWaitEndsByItself drives a join in each state, through a restart, until the other
// machine is gone.
func TestALiveNodeOfAnotherMachineIsNeverTakenOverAndTheWaitEndsByItself(t *testing.T) {
	t.Parallel()
	all := everyHolding()
	if os.Getenv("SOAK") == "" { // all in which IDs are compared, and some of the others
		compared := func(h holding) bool { return h.ours == thisMachine && !h.allows }
		others := slices.DeleteFunc(slices.Clone(all), compared)
		all = slices.DeleteFunc(all, func(h holding) bool { return !compared(h) })
		random := sample.Random(t)
		random.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		taken := holding{answer: "a Node", ready: corev1.ConditionTrue, theirs: otherMachine, ours: thisMachine, allows: true}
		all = append(append(all, others[:4]...), taken)
	}
	for _, h := range all {
		t.Run(h.String(), func(t *testing.T) {
			t.Parallel()
			n := joins(t, h.ours, func(on *machine) { on.cfg.AllowNodeTakeover = h.allows })
			n.api.hold(h.handler())
			n.look(t)
			if h.blocks() {
				expectWaits(t, n, h)
				n.api.hold(map[bool]http.HandlerFunc{true: noNode, false: nodeIs(corev1.ConditionUnknown, otherMachine)}[len(h.String())%2 == 0])
				n.lookAgain(t)
			}
			if !n.joined() || n.requests() != 1 {
				t.Errorf("joined %t with %d requests:\n%s", n.joined(), n.requests(), n.log.String())
			}
		})
	}
}

// expectWaits shows that the certificate waits on the disk, over attempts and a restart, and that nothing else is asked for.
func expectWaits(t *testing.T, n *newMember, h holding) {
	t.Helper()
	for attempt := range 4 {
		if !n.waits() || n.requests() != 1 || n.agent.client.provedLeaf != nil {
			t.Fatalf("attempt %d: it waits %t, %d requests:\n%s", attempt, n.waits(), n.requests(), n.log.String())
		}
		if !n.on.exists(n.on.cfg.BootstrapKubeconfig) || n.on.exists(n.on.cfg.Kubeconfig) {
			t.Fatalf("attempt %d: the credential went, or the kubelet's kubeconfig came, before it is known who the node is", attempt)
		}
		if wait := n.agent.client.retryAt.Sub(n.clock.Now()); h.answer == "a Node" && (wait < 30*time.Second || wait > 5*time.Minute) {
			t.Errorf("attempt %d: it looks again after %s", attempt, wait)
		}
		if attempt == 1 {
			n.restart(t)
			n.look(t)
			continue
		}
		n.lookAgain(t)
	}
	if said := n.log.String(); h.answer == "a Node" {
		for _, text := range []string{"reason=node-taken", otherMachine, thisMachine, "--hostname-override", "--allow-node-takeover", "worker-1"} {
			if !strings.Contains(said, text) {
				t.Errorf("it does not say %q:\n%s", text, said)
			}
		}
		if n.agent.client.failure != rotate.Taken || !strings.Contains(n.agent.clientLine(n.agent.observe()).text, "another machine") {
			t.Errorf("STATUS= says %q", n.agent.clientLine(n.agent.observe()).text)
		}
	}
}
