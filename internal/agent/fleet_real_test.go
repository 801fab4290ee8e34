package agent

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// realNode is the agent itself, with its files and its API client, in the simulated cluster: an HTTP server asks the same model what
// becomes of each call, and winds the clock on by the time that the call takes.
type realNode struct {
	t  *testing.T
	on *machine
	s  *settler

	mu sync.Mutex
	// asks is the node as the cluster sees it; the model of what an agent does has no part in it.
	asks    *simNode
	content map[string]*certificatesv1.CertificateSigningRequest
	until   time.Duration
}

// begin makes an agent that has lost its memory, on the node's disk.
func (r *realNode) begin() {
	r.s = newSettler(r.t, r.on, durable.Disk{})
	r.s.clock.SetTime(r.asks.now())
	r.s.agent.started = r.asks.now()
}

// end kills it.
func (r *realNode) end() {
	top := r.on.top
	r.on.top = "/nowhere" // the disk stays
	r.s.close()
	r.on.top = top
}

func newRealNode(t *testing.T, kind csr.Kind, cluster simCluster, until time.Duration) *realNode {
	t.Helper()
	w := newWorld(cluster)
	r := &realNode{t: t, on: newMachine(t), until: until, content: map[string]*certificatesv1.CertificateSigningRequest{}}
	r.asks = newSimNode(w, "worker-1", kind, newDice(6))
	r.on.cfg.Serving, r.on.cfg.KubeletAddress = "off", "127.0.0.1:1"
	if kind == csr.Serving {
		r.on.cfg.Serving = "before-kubelet"
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	certificate, key := theCA().serverPair()
	pair, err := tls.X509KeyPair(certificate, key)
	must(t, err)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert} // the time in which it is valid is simulated
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	r.on.write(t, r.on.cfg.BootstrapKubeconfig, bootstrapKubeconfig(server.URL, theCA().pem))
	return r
}

// pass winds the clock on, but not beyond the end of this life or of the simulation. It says whether all of d has passed.
func (r *realNode) pass(d time.Duration) bool {
	w := r.asks.world
	end := min(r.until, r.asks.crashAt)
	whole := w.at+d < end
	w.at = min(w.at+d, end)
	r.s.clock.SetTime(r.asks.now())
	return whole
}

// live lets the agent live until the end.
func (r *realNode) live() {
	r.begin()
	for r.asks.world.at < r.until {
		if r.asks.world.at >= r.asks.crashAt {
			r.end()
			r.asks.crashAt += crashLoop
			r.begin()
		}
		if !r.settle() {
			continue
		}
		r.sleep()
	}
	r.end()
}

// settle acts until nothing is under way, or the end of this life has come. It keeps the files' times, by which rotations are planned.
func (r *realNode) settle() bool {
	a := r.s.agent
	for {
		o := a.observe()
		a.noticeCredential(o)
		for a.act(r.s.ctx, o) {
			r.keepTime()
			o = a.observe()
		}
		a.report(o)
		if !a.client.running && !a.serving.running && !a.credential.running && !a.served.running {
			return true
		}
		if !r.await() {
			return false
		}
	}
}

// await waits for a report. Nobody but the asker, between two looks at the object, waits for the clock.
func (r *realNode) await() bool {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		select {
		case report := <-r.s.agent.events:
			report()
			return true
		case <-time.After(500 * time.Microsecond):
		}
		r.mu.Lock()
		ended := r.asks.world.at >= min(r.until, r.asks.crashAt)
		if !ended && r.s.clock.HasWaiters() {
			ended = !r.pass(250 * time.Millisecond)
		}
		r.mu.Unlock()
		if ended {
			return false
		}
	}
	r.t.Error("a task does not end")
	r.asks.world.at = r.until
	return false
}

// keepTime gives a new pair the simulated time.
func (r *realNode) keepTime() {
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		pair, err := r.on.dir.Read(kind)
		if err == nil && pair.ModTime.Sub(r.asks.now()) > 30*aDay { // the test runs after noon
			must(r.t, os.Chtimes(pair.File, r.asks.now(), r.asks.now()))
		}
	}
}

// sleep passes the time until the agent wants to look again for a reason, and not only because a minute has passed.
func (r *realNode) sleep() {
	a := r.s.agent
	var o status.Observed
	for o = a.observe(); o.Now.Before(r.asks.world.begin.Add(r.until)); {
		next := a.nextTime(o)
		if next.Sub(o.Now) != observeEvery {
			o.Now = next
			break
		}
		o.Now = next.Add(-time.Millisecond) // what is due just then is not left out
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pass(max(o.Now.Sub(r.asks.now()), time.Millisecond))
}

// simulatedBeside is how many simulated nodes the agent itself is compared with.
const simulatedBeside = 100

// simulatedCounts is what the model says about them.
func simulatedCounts(kind csr.Kind, cluster simCluster, crashEvery, until time.Duration) (requests, calls simTally) {
	w := newWorld(cluster)
	w.crashEvery = crashEvery
	simFleet{nodes: simulatedBeside, kind: kind}.liveTogether(w, 0, simulatedBeside, until, nil, func(_ int, n *simNode) {
		requests.add(n.objects)
		calls.add(n.calls)
	})
	return requests, calls
}

// realDay is for how much of a bad day the agent itself is compared, where there is no time for all of it.
func realDay(b badDay) time.Duration {
	switch {
	case wholeFleetToo() || b.cluster.verdict == denyAll || b.cluster.verdict == failAll:
		return aDay
	case b.cluster.unaccepted || b.cluster.verdict == answerNone:
		return time.Hour
	default:
		return 20 * time.Minute
	}
}

func TestASimulatedNodeDoesWhatTheRealAgentDoes(t *testing.T) {
	t.Parallel()
	crashing, lives := 16*time.Second, 2
	if wholeFleetToo() {
		crashing, lives = 10*time.Minute, 100
	}
	for _, b := range badDays {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			compareReal(t, b.kind, b.cluster, 0, realDay(b))
		})
		t.Run(b.name+", in a crash loop", func(t *testing.T) {
			t.Parallel()
			compareReal(t, b.kind, b.cluster, crashLoop, crashing)
		})
	}
	for _, life := range []time.Duration{10 * time.Minute, time.Hour} {
		t.Run(fmt.Sprintf("certificates of %s", lifeText(life)), func(t *testing.T) {
			t.Parallel()
			compareReal(t, csr.Client, simCluster{verdict: issueAll, life: life}, 0, time.Duration(lives)*life)
		})
	}
}

// compareReal holds what the agent asks for against what simulated nodes do.
func compareReal(t *testing.T, kind csr.Kind, cluster simCluster, crashEvery, until time.Duration) {
	t.Helper()
	requests, calls := simulatedCounts(kind, cluster, crashEvery, until)
	r := newRealNode(t, kind, cluster, until)
	r.asks.crashAt = neverAgain
	if crashEvery > 0 {
		r.asks.crashAt = r.asks.within(0, crashEvery)
	}
	r.live()
	t.Logf("%d requests and %d calls; simulated: %s and %s", r.asks.objects, r.asks.calls, requests, calls)
	if n := r.asks.objects; n < requests.least-requests.least/50 || n > requests.most+requests.most/50 {
		t.Errorf("%d requests, simulated: %s", n, requests)
	}
	slack := 1 + calls.most*15/100 // chance
	if n := r.asks.calls; n < calls.least-slack || n > calls.most+slack {
		t.Errorf("%d calls, simulated: %s", n, calls)
	}
}
