package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// trials is how many nodes a test has, unless SOAK is set.
func trials(few, many int) int {
	if os.Getenv("SOAK") != "" {
		return many
	}
	return few
}

// troubled is a node whose agents are killed, and what happens to it between two of them.
type troubled struct {
	*node
	kills [2]tracer.Kill
	// approved: its requests are approved as they come, and not only after the kills.
	approved bool
	// replaced: another token, of another user, is put in the place of the first.
	replaced bool
	stop     func()
}

// TestTokensReplacedAndAnAPIServerRestartedBetweenTheKillsMakeNoOtherRequest has a control plane of its own, which approves no
// request of a token by itself.
func TestTokensReplacedAndAnAPIServerRestartedBetweenTheKillsMakeNoOtherRequest(t *testing.T) {
	t.Parallel()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Controllers: []string{"-certificatesigningrequest-approving-controller"}})
	must(t, err)
	t.Cleanup(cp.Stop)
	chance, toll := sample.Random(t), &deaths{}
	var nodes []*troubled
	for i := range trials(8, 40) {
		n := &troubled{node: newNode(t, cp), approved: i%2 == 0, replaced: i%4 < 2}
		n.program, n.name = plainProgram(t), fmt.Sprintf("troubled-%d", i)
		n.flags = []string{"--hostname-override=" + n.name, "--node-ip=192.0.2.10"}
		n.kills = [2]tracer.Kill{anywhere(chance, n.approved), again(chance)}
		n.bootstrap(n.secretToken())
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		n.begin(toll)
	}
	must(t, cp.RestartAPIServer(t.Context()))
	for _, n := range nodes {
		n.end(toll)
	}
	t.Logf("%d nodes, %d agents, %d kills, %d came too late for one; killed\n%s", len(nodes), toll.lives, len(toll.all), toll.spared, toll.histogram(death.String))
}

// anywhere is a kill at some call of a join, or of its part before the approval.
func anywhere(chance *rand.Rand, approved bool) tracer.Kill {
	if approved {
		return tracer.Kill{Call: 1 + chance.IntN(150), After: either(chance)}
	}
	return tracer.Kill{Call: 1 + chance.IntN(50), After: either(chance)}
}

// begin is the first life, and what becomes of the credential after it.
func (n *troubled) begin(toll *deaths) {
	n.stop = func() {}
	if n.approved {
		n.stop = n.approveAll()
	}
	n.live(toll, n.kills[0], "--timeout=2s")
	if _, err := os.Lstat(n.bootstrapFile()); err == nil && n.replaced { // it may be gone already, and the node have its identity
		n.bootstrap(n.secretToken())
	}
}

// end is the second life, and the third, which joins.
func (n *troubled) end(toll *deaths) {
	n.live(toll, n.kills[1], "--timeout=2s")
	if !n.approved {
		n.stop = n.approveAll()
	}
	defer n.stop()
	n.expect(n.once("--serving-wait=50s"), 0)
	n.assertWhole()
}

// approveAll approves the node's requests as they come, until it is stopped.
func (n *node) approveAll() (stop func()) {
	ctx, cancel := context.WithCancel(n.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			requests, _ := n.cp.CSRs(ctx, n.name) // the API server may be down
			for _, request := range requests {
				_ = n.cp.Approve(ctx, request.Name)
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	stop = func() {
		cancel()
		<-ended
	}
	n.t.Cleanup(stop)
	return stop
}

// The API server has the request, and its answer never comes; sooner or later the agent is killed; and all that once more.
func TestAnAnswerLostAndAKillMakeNoOtherRequest(t *testing.T) {
	t.Parallel()
	chance, toll := sample.Random(t), &deaths{}
	t.Run("nodes", func(t *testing.T) {
		for i := range trials(5, 60) {
			kills := []tracer.Kill{{Call: 18 + chance.IntN(45), After: either(chance)}, again(chance)}
			t.Run(fmt.Sprintf("lost-%d", i), func(t *testing.T) {
				t.Parallel()
				n := newVictim(t)
				lost := n.losingAnswers()
				for _, kill := range kills {
					n.live(toll, kill, "--timeout=2s")
				}
				if lost.Load() == 0 { // the kills came too early
					n.live(toll, tracer.Kill{}, "--timeout=5s")
				}
				if lost.Load() != 1 {
					t.Fatalf("%d answers that say that a request was made were lost, expected one", lost.Load())
				}
				n.expect(n.meanwhile(func() { n.approve(csr.Client); n.approve(csr.Serving) }, "--serving-wait=50s"), 0)
				n.assertWhole()
			})
		}
	})
	t.Logf("%d agents, %d kills, %d came too late for one; killed\n%s", toll.lives, len(toll.all), toll.spared, toll.histogram(death.String))
}

// losingAnswers bootstraps the node through something that hands every request on and loses the answers which say that an object
// was made. It is out of the way once the node has its certificate, which cannot pass through it.
func (n *node) losingAnswers() (lost *atomic.Int32) {
	n.t.Helper()
	proxy := n.behind(n.t)
	certificate, err := n.cp.ServingCertificate(controlplane.ServingOptions{})
	must(n.t, err)
	forward, err := proxy.Forward(n.cp.CA())
	must(n.t, err)
	lost = &atomic.Int32{}
	proxy.Handler(certificate, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "selfsubjectreviews") {
			proxy.Pass()
			return
		}
		if r.Method != http.MethodPost {
			forward.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		forward.ServeHTTP(answer, r.WithContext(context.WithoutCancel(r.Context()))) // also when nobody waits for it any more
		if answer.Code == http.StatusCreated {
			lost.Add(1)
			panic(http.ErrAbortHandler) // cuts the connection
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	n.bootstrapVia(proxy.URL(), n.staticToken(controlplane.Unapproved))
	return lost
}
