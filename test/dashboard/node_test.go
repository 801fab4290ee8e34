package dashboard

import (
	"crypto/x509"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// node is a made-up node: what happens to its certificates is told to the agent's own metrics, at the moments when it would.
type node struct {
	name string
	life time.Duration // of its certificates
	// approve says what comes of a request, and after how long.
	approve func(certificate string, at time.Time) (result string, after time.Duration)
	// asks says with which failure a request ends before it is one, if it does.
	asks func(at time.Time) (failure rotate.Failure, reason string, code int)

	rand     *rand.Rand
	clock    *testingclock.FakePassiveClock
	metrics  *metrics.Metrics
	standing status.Standing
	todo     []event
	serial   int64
	failures map[string]int // in a row, by certificate
}

type event struct {
	at time.Time
	do func(at time.Time)
}

func (n *node) at(when time.Time, do func(at time.Time)) {
	n.todo = append(n.todo, event{when, do})
	slices.SortStableFunc(n.todo, func(a, b event) int { return a.at.Compare(b.at) })
}

// live goes through a node's life up to a moment, and says whether anything happened.
func (n *node) live(to time.Time) bool {
	happened := false
	for len(n.todo) > 0 && !n.todo[0].at.After(to) {
		next := n.todo[0]
		n.todo = n.todo[1:]
		n.clock.SetTime(next.at)
		next.do(next.at)
		happened = true
	}
	n.clock.SetTime(to)
	n.metrics.Stands(n.standing)
	return happened
}

// recorded is the node's history from its first moment until its agent is not heard from any more.
func (n *node) recorded(tb testing.TB, labels string, from, to time.Time) *history {
	tb.Helper()
	h := &history{labels: labels, from: from, series: map[string][]change{}}
	for at := from; !at.After(to); at = at.Add(scrapeEvery) {
		if n.live(at) || at.Equal(from) {
			h.scrape(tb, n.metrics)
		} else {
			h.again()
		}
	}
	return h
}

func (n *node) certificate(kind string) *status.CertificateStanding {
	if kind == "client" {
		return &n.standing.Client
	}
	return &n.standing.Serving
}

// join is a boot with a bootstrap credential: the client certificate is asked for, and a placeholder stands in for the other.
func (n *node) join(at time.Time) {
	n.standing.BootstrapToken = true
	n.standing.NotReady = "the node has no client certificate yet"
	n.clockIs(0)
	n.ask("client", at)
}

// leaf is the next certificate of the node, as far as it matters here. Signers let it begin 5 minutes in the past.
func (n *node) leaf(received time.Time, life time.Duration) *x509.Certificate {
	begins := received.Add(-5 * time.Minute)
	return &x509.Certificate{SerialNumber: big.NewInt(n.serial), NotBefore: begins, NotAfter: begins.Add(life)}
}

func (n *node) deadline(received time.Time, life time.Duration) time.Time {
	return rotate.Deadline(n.leaf(received, life), received, n.name)
}

// has makes an issued certificate the one in use.
func (n *node) has(kind string, received time.Time, life time.Duration) {
	leaf := n.leaf(received, life)
	c := n.certificate(kind)
	*c = status.CertificateStanding{NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, RotateAt: n.deadline(received, life), Received: received}
	n.serial++
	n.at(c.RotateAt, func(at time.Time) { n.ask(kind, at) })
	if kind == "client" {
		n.at(leaf.NotAfter, func(time.Time) {
			if n.standing.Client.NotAfter.Equal(leaf.NotAfter) {
				n.standing.NotReady = "the client certificate expired"
			}
		})
	}
}

// standIn makes a placeholder the serving certificate, and another one when its time has come.
func (n *node) standIn(at time.Time) {
	const life = 30 * day
	pending := n.standing.Serving.PendingSince
	n.standing.Serving = status.CertificateStanding{NotBefore: at, NotAfter: at.Add(life), SelfSigned: true, PendingSince: pending}
	n.takes(true)
	n.at(n.deadline(at, life), func(at time.Time) {
		if n.standing.Serving.SelfSigned {
			n.standIn(at)
		}
	})
}

// ask sends a certificate signing request, or fails to and tries again when the agent would.
func (n *node) ask(kind string, at time.Time) {
	if failure, reason, code := n.asks(at); failure != "" {
		n.metrics.Called("POST", code)
		n.metrics.Failed(status.Phase(kind), reason)
		n.at(at.Add(n.wait(kind, failure)), func(at time.Time) { n.ask(kind, at) })
		return
	}
	n.metrics.Called("POST", 201)
	n.metrics.Called("WATCH", 200)
	n.metrics.Requested(kind, "created")
	n.certificate(kind).PendingSince = at
	result, after := n.approve(kind, at)
	n.at(at.Add(after), func(now time.Time) { n.answered(kind, result, at, now) })
}

func (n *node) wait(kind string, failure rotate.Failure) time.Duration {
	n.failures[kind]++
	return rotate.Wait(failure, n.failures[kind]-1, n.rand.Float64(), 0)
}

// answered is the end of a request.
func (n *node) answered(kind, result string, asked, at time.Time) {
	n.metrics.Requested(kind, result)
	n.certificate(kind).PendingSince = time.Time{}
	if result != "issued" {
		n.metrics.Failed(status.Phase(kind), result)
		if !n.certificate(kind).Received.IsZero() {
			n.metrics.Rotated(kind, false)
		}
	}
	switch result {
	case "issued":
		n.metrics.Waited(kind, at.Sub(asked))
		n.issued(kind, at)
	case "denied":
		n.at(at.Add(n.wait(kind, rotate.Denied)), func(at time.Time) { n.ask(kind, at) })
	case "deleted": // by the cluster, after a day: it is sent again
		n.ask(kind, at)
	}
}

func (n *node) issued(kind string, at time.Time) {
	n.failures[kind] = 0
	first := n.certificate(kind).Received.IsZero()
	n.has(kind, at, n.life)
	if !first {
		n.metrics.Rotated(kind, true)
	}
	if kind == "serving" {
		n.takes(true)
		return
	}
	n.metrics.Called("POST", 201) // the proof
	n.standing.NotReady = ""
	n.standing.BootstrapToken = false
	if first {
		n.standIn(at)
		n.ask("serving", at)
	}
}

// takes is the kubelet's, of the serving certificate.
func (n *node) takes(taken bool) { n.standing.ServingTaken = &taken }

// clockIs is ahead of the API server's, on a node that asks it often enough to know: one that keeps its Node's addresses in sight.
func (n *node) clockIs(ahead time.Duration) {
	if n.pool() == "edge" || n.pool() == "batch" {
		n.standing.ClockSkew = &ahead
	}
}

func (n *node) pool() string {
	pool, _, _ := strings.Cut(n.name, "-")
	return pool
}
