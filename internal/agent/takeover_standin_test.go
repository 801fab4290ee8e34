package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Two machines, as machine-id(5) has them.
const (
	thisMachine  = "0123456789abcdef0123456789abcdef"
	otherMachine = "fedcba9876543210fedcba9876543210"
)

// node answers a node for its own name only, as the node authorizer does.
func (s *apiStandIn) node(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	switch holder := s.holder.Load(); {
	case user(r) != "system:node:"+name:
		refuse(w, apierrors.NewForbidden(corev1.Resource("nodes"), name, nil))
	case holder != nil:
		(*holder)(w, r)
	default:
		noNode(w, r)
	}
}

func (s *apiStandIn) hold(answer http.HandlerFunc) { s.holder.Store(&answer) }

// The ways in which an API server answers for a Node.
func noNode(w http.ResponseWriter, r *http.Request) {
	refuse(w, apierrors.NewNotFound(corev1.Resource("nodes"), r.PathValue("name")))
}

func mayNotSee(w http.ResponseWriter, r *http.Request) {
	refuse(w, apierrors.NewForbidden(corev1.Resource("nodes"), r.PathValue("name"), nil))
}

func brokenDown(w http.ResponseWriter, _ *http.Request) {
	refuse(w, apierrors.NewInternalError(fmt.Errorf("by a test")))
}

func overloaded(w http.ResponseWriter, _ *http.Request) {
	refuse(w, apierrors.NewTooManyRequests("by a test", 1))
}

func unauthorized(w http.ResponseWriter, _ *http.Request) {
	refuse(w, apierrors.NewUnauthorized("by a test"))
}

func hungUp(http.ResponseWriter, *http.Request)             { panic(http.ErrAbortHandler) }
func otherPage(w http.ResponseWriter, r *http.Request)      { http.NotFound(w, r) }
func nonsenseAnswer(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "good morning") }

// nodeIs is a Node with this condition Ready, empty for none, of the machine.
func nodeIs(ready corev1.ConditionStatus, machineID string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		node := corev1.Node{TypeMeta: metav1.TypeMeta{Kind: "Node", APIVersion: "v1"}, ObjectMeta: metav1.ObjectMeta{Name: r.PathValue("name")}}
		node.Status.NodeInfo.MachineID = machineID
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionTrue}}
		if ready != "" {
			node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{Type: corev1.NodeReady, Status: ready})
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(node)
	}
}

// newMember drives an agent that joins at the stand-in, by a clock that the test sets.
type newMember struct {
	*settler
	on  *machine
	api *apiStandIn
	ids string
	log lockedBuffer
}

// joins is a machine that is about to join as worker-1. ids is what stands in its machine-id file; empty: it has none.
func joins(t *testing.T, ids string, change func(*machine)) *newMember {
	t.Helper()
	n := &newMember{on: newMachine(t), api: newAPIStandIn(t)}
	n.ids = filepath.Join(n.on.top, "machine-id")
	if ids != "" {
		n.on.write(t, n.ids, []byte(ids+"\n"))
	}
	n.on.cfg.Serving = "off"
	n.on.write(t, n.on.cfg.BootstrapKubeconfig, bootstrapKubeconfig(n.api.url, n.api.ca.pem))
	if change != nil {
		change(n.on)
	}
	n.settler = n.start(t, time.Now())
	t.Cleanup(func() { n.close() })
	return n
}

func (n *newMember) start(t *testing.T, now time.Time) *settler {
	t.Helper()
	clock := testingclock.NewFakeClock(now)
	n.api.now = clock.Now
	a := New(Options{Config: n.on.cfg, Clock: clock, Log: slog.New(slog.NewTextHandler(&n.log, nil)), MachineIDFile: n.ids})
	a.started = now
	ctx, cancel := context.WithCancel(t.Context())
	must(t, a.open())
	return &settler{t: t, agent: a, clock: clock, ctx: ctx, close: func() {
		cancel()
		a.tasks.Wait()
		a.lock.Close()
	}}
}

// restart ends the agent and begins another on the same disk, at the same time.
func (n *newMember) restart(t *testing.T) {
	t.Helper()
	n.close()
	n.settler = n.start(t, n.clock.Now())
}

// look settles until the agent has nothing more to do.
func (n *newMember) look(t *testing.T) {
	t.Helper()
	for range 3 { // a join has more steps than one settling looks at
		if n.settle() {
			return
		}
	}
	t.Fatalf("the agent never comes to rest:\n%s", n.log.String())
}

// lookAgain moves the clock to the next attempt.
func (n *newMember) lookAgain(t *testing.T) {
	t.Helper()
	n.clock.SetTime(n.agent.client.retryAt)
	n.look(t)
}

func (n *newMember) observe() status.Observed { return status.Observe(n.on.cfg, n.clock.Now()) }

// waits says whether the certificate lies on the disk, issued, and is not in use.
func (n *newMember) waits() bool {
	o := n.observe()
	return o.Client.Pair == nil && o.Client.Pending != nil && len(o.Client.Pending.CertificatePEM) > 0 && o.Client.Pending.Ended == nil
}

func (n *newMember) joined() bool {
	o := n.observe()
	return o.HasIdentity() && o.Client.Pending == nil
}

func (n *newMember) requests() int { return n.api.requestsOf("worker-1", csr.Client) }
