package agent

import (
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// The clean-up takes a request that nobody answers after a day. It is sent again, the same, within seconds; and no more often.
func TestARequestThatTheClusterCleansUpIsSentAgainOnceADay(t *testing.T) {
	t.Parallel()
	const days = 5
	for _, crashEvery := range []time.Duration{0, 10 * time.Minute} {
		f := simFleet{nodes: 20, kind: csr.Serving, boot: time.Hour}
		f.live(days*aDay, func() *simWorld {
			w := newWorld(simCluster{verdict: answerNone})
			w.crashEvery = crashEvery
			return w
		}, func(i int, n *simNode) {
			gone := neverAgain
			n.created = func() {
				if late := n.world.at - gone; late > 10*time.Second {
					t.Errorf("node %d: sent again %s after it was cleaned up", i, late)
				}
				gone = n.object.gone
			}
		}, func(i int, n *simNode) {
			if n.objects != days || n.keys != 1 {
				t.Errorf("node %d, killed every %s: %d objects of %d requests in %d days, expected one a day of the same", i, crashEvery, n.objects, n.keys, days)
			}
		})
	}
}

// Certificates end no later than their signer's own: the last of them live shorter and shorter.
func TestASignerThatEndsMakesNoStorm(t *testing.T) {
	t.Parallel()
	const most = 30
	for _, life := range []time.Duration{time.Hour, year} {
		var sum simTally
		simFleet{nodes: 20, kind: csr.Client}.liveTogether(newWorld(simCluster{verdict: issueAll, life: life, ends: 23 * time.Hour}), 0, 20, aDay, func(_ int, n *simNode) {
			last := -rotate.Spacing
			n.created = func() {
				if n.world.at-last < rotate.Spacing {
					t.Errorf("two requests within %s", n.world.at-last)
				}
				last = n.world.at
			}
		}, func(_ int, n *simNode) { sum.add(n.objects) })
		t.Logf("certificates of %s, from a signer that ends: %s requests a node and day", lifeText(life), sum)
		if limit := most + int(aDay*2/life); sum.most > limit || sum.least < 3 {
			t.Errorf("certificates of %s: %s requests, expected at most %d", lifeText(life), sum, limit)
		}
	}
}

// A fleet that is larger than what the API server takes is told to come again (429), and all of it gets through.
func TestAFleetThatIsToldToComeAgainGetsThrough(t *testing.T) {
	t.Parallel()
	const nodes, perSecond = 1000, 25
	w := newWorld(simCluster{verdict: issueAll, life: year, perSecond: perSecond})
	joined, last, calls := 0, time.Duration(0), 0
	simFleet{nodes: nodes, kind: csr.Client, boot: time.Minute}.liveTogether(w, 0, nodes, time.Hour, func(_ int, n *simNode) {
		n.reached = func() { last = max(last, n.world.at) }
	}, func(_ int, n *simNode) {
		if n.o.Client.Pair != nil {
			joined++
		}
		calls += n.calls
	})
	t.Logf("%d nodes booted within a minute, the API server takes %d calls a second: all have joined after %s, with %.1f calls each", nodes, perSecond, last.Round(time.Second), float64(calls)/nodes)
	if joined != nodes {
		t.Errorf("%d of %d nodes have joined", joined, nodes)
	}
	if last > 30*time.Minute || calls > 20*nodes {
		t.Errorf("the last one after %s, with %d calls in all", last, calls)
	}
}
