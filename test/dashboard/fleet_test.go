package dashboard

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// The month that the fleet's history covers. Nothing in it depends on when or where the test runs.
var (
	begin = time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
	now   = begin.Add(30 * day)
)

const day = 24 * time.Hour

// The API server was away for 8 hours.
var (
	outageBegin = begin.Add(18*day + 6*time.Hour)
	outageEnd   = outageBegin.Add(8 * time.Hour)
)

// pools of the fleet, 60 nodes: lifetimes as people have them.
var pools = []struct {
	name, cluster string
	nodes         int
	life          time.Duration
	joins         time.Duration // the first node joins then, the others a minute apart; 0: they were there before
}{
	{"worker", "east", 26, 365 * day, 0},
	{"fresh", "east", 4, 365 * day, 4*day + 9*time.Hour},
	{"batch", "east", 16, 30 * day, 0},
	{"edge", "west", 10, 7 * day, 11*day + 10*time.Hour},
	{"burst", "west", 4, day, 0},
}

// incidents are what happens to single nodes, by name. What stands at the end is what the tests of the answers count.
var incidents = map[string]func(*node){
	// whose request an approver denied once, at a rotation
	"batch-05": func(n *node) { n.deny("serving", begin, 1) },
	// who is denied since it tries to join, five hours before the end
	"fresh-03": func(n *node) {
		n.todo = nil
		n.deny("client", begin, 100)
		n.at(now.Add(-5*time.Hour), n.join)
	},
	// whose serving requests nobody approves, since they joined and since the last rotation
	"fresh-02": func(n *node) { n.forget("serving", begin) },
	"batch-02": func(n *node) { n.forget("serving", begin.Add(29*day+12*time.Hour)) },
	// whose identity's right to ask was taken away: its client certificate of a day expires
	"burst-02": func(n *node) {
		asks := n.asks
		n.asks = func(at time.Time) (rotate.Failure, string, int) {
			if at.After(begin.Add(28*day + 12*time.Hour)) {
				return rotate.Forbidden, "forbidden", 403
			}
			return asks(at)
		}
	},
	// whose machine was given another name
	"batch-09": func(n *node) {
		n.at(begin.Add(22*day), func(time.Time) {
			n.standing.NodeNameMismatch = true
			n.metrics.Failed(status.NodePhase, "mismatch")
		})
	},
	// whose bootstrap file lies on a read-only disk
	"worker-07": func(n *node) {
		n.at(begin, func(time.Time) { n.standing.BootstrapToken = true })
		for at := begin; at.Before(now); at = at.Add(day) {
			n.at(at, func(time.Time) { n.metrics.Failed(status.CredentialPhase, "disposal") })
		}
	},
	// whose clock goes wrong, a second every two and a half hours
	"edge-02": func(n *node) {
		for i := range 96 {
			n.at(now.Add(-time.Duration(96-i)*150*time.Minute), func(time.Time) { n.clockIs(time.Duration(i) * time.Second) })
		}
	},
	"batch-11": func(n *node) {
		n.at(begin, func(time.Time) { n.clockIs(-3 * time.Second) })
	},
	// whose kubelet is too old to read its serving certificate again
	"worker-03": func(n *node) {
		n.at(begin.Add(2*day), func(time.Time) {
			n.takes(false)
			n.standing.Restart = map[status.RestartReason]bool{status.OldKubelet: true}
			n.metrics.Failed(status.KubeletPhase, "not-reloaded")
		})
	},
}

// silentSince is when the agent of silentNode was last heard from.
const silentNode = "batch-14"

var silentSince = now.Add(-12 * time.Hour)

// fleet returns the nodes as they stand at the end, and everybody's history in the OpenMetrics text format.
func fleet(tb testing.TB) (nodes []*node, samples []byte) {
	tb.Helper()
	return nodesLike(tb, 0, func(string) bool { return true })
}

// nodesLike are those nodes of the fleet whose names are wanted, with a history that is moved in time.
func nodesLike(tb testing.TB, shift time.Duration, wanted func(name string) bool) (nodes []*node, samples []byte) {
	tb.Helper()
	number := 0
	samples = make([]byte, 0, 64<<20)
	for _, pool := range pools {
		for i := range pool.nodes {
			n := newNode(fmt.Sprintf("%s-%02d", pool.name, i), pool.life, uint64(number))
			number++
			if !wanted(n.name) {
				continue
			}
			from, to := begin, now
			if pool.joins == 0 {
				n.wasThere()
			} else {
				n.at(begin.Add(pool.joins+time.Duration(i)*time.Minute), n.join)
			}
			if n.pool() == "edge" { // until somebody installs an approver there, two days later
				n.approveFrom(begin.Add(13*day + 8*time.Hour))
			}
			if incident := incidents[n.name]; incident != nil {
				incident(n)
			}
			if pool.joins > 0 { // the first scrape is one before the node joins: increase() wants to see the counters at 0
				from = n.todo[0].at.Truncate(scrapeEvery)
			}
			if n.name == silentNode {
				to = silentSince
			}
			labels := fmt.Sprintf("cluster=%q,instance=%q,job=%q,node=%q", pool.cluster, fmt.Sprintf("10.20.0.%d:10261", number), "bootstrap-agent", n.name)
			recorded := n.recorded(tb, labels, from, to)
			recorded.shift = shift
			samples = recorded.openMetrics(samples)
			nodes = append(nodes, n)
		}
	}
	return nodes, append(samples, "# EOF\n"...)
}

func newNode(name string, life time.Duration, seed uint64) *node {
	clock := testingclock.NewFakePassiveClock(begin)
	build := metrics.Build{Version: "v0.6.0", GoVersion: "go1.26.8"}
	if strings.HasPrefix(name, "worker-0") {
		build = metrics.Build{Version: "v0.5.2", GoVersion: "go1.26.5"}
	}
	n := &node{
		name: name, life: life, clock: clock, metrics: metrics.New(clock, build, false), failures: map[string]int{},
		rand:     rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // to be repeated, not to be secret
		standing: status.Standing{NotReady: "the node has no client certificate yet"},
	}
	n.approve = func(certificate string, _ time.Time) (string, time.Duration) {
		if certificate == "client" { // by the cluster itself
			return "issued", time.Duration(150+n.rand.IntN(900)) * time.Millisecond
		}
		return "issued", time.Duration(3+n.rand.IntN(40)) * time.Second // by an approver
	}
	n.asks = func(at time.Time) (rotate.Failure, string, int) {
		if at.Before(outageBegin) || at.After(outageEnd) {
			return "", "", 0
		}
		if n.rand.IntN(4) == 0 {
			return rotate.NoAnswer, "timeout", 0
		}
		return rotate.NoAnswer, "unreachable", 0
	}
	return n
}

// wasThere gives a node certificates of an age, such that they are not to be rotated before the history begins.
func (n *node) wasThere() {
	n.standing = status.Standing{}
	n.clockIs(0)
	n.takes(true)
	for _, kind := range []string{"client", "serving"} {
		received := begin.Add(-n.life)
		for !n.deadline(received, n.life).After(begin) {
			received = begin.Add(-time.Duration(n.rand.Float64() * 0.9 * float64(n.life)))
		}
		n.has(kind, received, n.life)
	}
}

// deny makes the approver say no to the first requests for a certificate from a moment on.
func (n *node) deny(certificate string, from time.Time, times int) {
	approve := n.approve
	n.approve = func(kind string, at time.Time) (string, time.Duration) {
		if kind == certificate && !at.Before(from) && times > 0 {
			times--
			return "denied", 20 * time.Second
		}
		return approve(kind, at)
	}
}

// forget makes nobody answer requests for a certificate from a moment on: the cluster deletes each after a day.
func (n *node) forget(certificate string, from time.Time) {
	approve := n.approve
	n.approve = func(kind string, at time.Time) (string, time.Duration) {
		if kind == certificate && !at.Before(from) {
			return "deleted", day
		}
		return approve(kind, at)
	}
}

// approveFrom makes serving certificates wait for an approver that comes at a moment.
func (n *node) approveFrom(moment time.Time) {
	approve := n.approve
	n.approve = func(kind string, at time.Time) (string, time.Duration) {
		switch {
		case kind == "client" || !at.Before(moment):
			return approve(kind, at)
		case moment.Sub(at) >= day:
			return "deleted", day
		}
		return "issued", moment.Sub(at)
	}
}
