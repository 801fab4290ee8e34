package agent

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// comeback is how a fleet comes back to an API server that was away for two hours.
type comeback struct {
	name  string
	nodes int
	// bins are the first calls that were answered, in equal parts of the longest pause of the retry policy.
	bins *simBins
	last time.Duration
	// kubelet are those of as many kubelets, nil where nothing is known of them.
	kubelet *simBins
}

const away = 2 * time.Hour

// comebackWindow is the longest pause of the retry policy, so that all who wait have asked once by then.
var comebackWindow = rotate.Policy[rotate.NoAnswer].Last

func (c comeback) String() string {
	t := c.bins.tally()
	return fmt.Sprintf("%s: %d of %d are back within %s, in %d bins of %s: least %d, mean %.0f, most %d, %.2f of the mean; the last after %s",
		c.name, t.sum, c.nodes, lifeText(comebackWindow), len(c.bins.count), c.bins.width, t.least, t.mean(), t.most, c.bins.fullest(), (c.last - away).Round(time.Second))
}

// comebacks are the four ways into an outage: booted during it, or waiting for an approver when it began; and its two kinds.
func comebacks(nodes, parts int) []comeback {
	const began = 2 * time.Minute
	return []comeback{
		comeBack("booted while nothing listened", nodes, parts, false, noConnection(0, away)),
		comeBack("booted while every packet was lost", nodes, parts, false, noAnswer(0, away)),
		comeBack("waited for approval, then nothing listened", nodes, parts, true, noConnection(began, away)),
		comeBack("waited for approval, then every packet was lost", nodes, parts, true, noAnswer(began, away)),
	}
}

func comeBack(name string, nodes, parts int, waits bool, out simOutage) comeback {
	c := comeback{name: name, nodes: nodes, bins: newBins(away, away+comebackWindow, parts)}
	at := make([]time.Duration, nodes)
	f := simFleet{nodes: nodes, boot: time.Minute, kind: csr.Client}
	cluster := simCluster{verdict: issueAll, life: year, outage: out}
	if waits {
		f.kind, cluster.verdict = csr.Serving, answerNone
	}
	f.live(away+2*comebackWindow, func() *simWorld { return newWorld(cluster) }, func(i int, n *simNode) {
		n.reached = func() {
			if n.world.at >= away {
				at[i], n.done = n.world.at, true
			}
		}
	}, nil)
	for _, t := range at {
		c.bins.add(t)
		c.last = max(c.last, t)
	}
	if errors.Is(out.err, errDial) && !waits {
		c.kubelet = kubeletsComeBack(nodes, parts, out)
	}
	return c
}

func kubeletsComeBack(nodes, parts int, out simOutage) *simBins {
	b := newBins(away, away+comebackWindow, parts)
	for i := range nodes {
		k := simKubelet{dice: newDice(1<<31 + uint64(i)), verdict: issueAll, outage: out, created: func(time.Duration) {}}
		k.called = func(at time.Duration) { b.add(at) }
		k.live(k.within(time.Minute), away+comebackWindow)
	}
	return b
}

func TestAFleetComesBackSpreadOverFiveMinutesAfterAnOutageOfTwoHours(t *testing.T) {
	t.Parallel()
	for _, f := range fleets() {
		for _, c := range f.comebacks {
			t.Log(c)
			if c.bins.tally().sum < c.nodes*99/100 {
				t.Errorf("%s: only %d of %d nodes are back within %s", c.name, c.bins.tally().sum, c.nodes, comebackWindow)
			}
			if c.bins.fullest() > 5 {
				t.Errorf("%s: the fullest bin has %.2f times the mean, expected at most 5", c.name, c.bins.fullest())
			}
			if c.last == 0 || c.last > away+comebackWindow+time.Minute {
				t.Errorf("%s: the last node comes back %s after the API server", c.name, c.last-away)
			}
		}
	}
}
