package agent

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

const year = 365 * aDay

// spread is how the first rotations of a fleet that booted in one minute fall.
type spread struct {
	life time.Duration
	bins *simBins
	// most is the limit of the fullest bin, as a multiple of the mean, for a fleet that is large enough for one.
	most float64
	// kubelet is how those of as many kubelets fall, from their first to their last.
	kubelet *simBins
	// late is by how much a rotation came later than its deadline, at most.
	late time.Duration
}

func (s spread) String() string {
	t := s.bins.tally()
	return fmt.Sprintf("certificates of %s: %d first rotations in %d bins of %s: least %d, mean %.0f, most %d, %.2f of the mean (kubelet %.2f)",
		lifeText(s.life), t.sum, len(s.bins.count), s.bins.width.Round(time.Second), t.least, t.mean(), t.most, s.bins.fullest(), s.kubelet.fullest())
}

// firstRotations simulates a fleet from its boot to the last first rotation.
func firstRotations(nodes int, limit rotationLimit) spread {
	life := limit.life
	at, late := make([]time.Duration, nodes), make([]time.Duration, nodes)
	f := simFleet{nodes: nodes, boot: time.Minute, kind: csr.Client}
	f.live(life, func() *simWorld {
		return newWorld(simCluster{verdict: issueAll, life: life})
	}, func(i int, n *simNode) {
		n.created = func() {
			if n.objects == 2 {
				at[i], n.done = n.world.at, true
				late[i] = n.now().Sub(rotate.Deadline(n.o.Client.Pair.Leaf, n.o.Client.Pair.ModTime, n.name))
			}
		}
	}, nil)
	s := spread{life: life, bins: limit.bins(at), most: limit.most, kubelet: between(kubeletRotations(nodes, life))}
	for _, d := range late {
		s.late = max(s.late, d.Abs())
	}
	return s
}

func kubeletRotations(nodes int, life time.Duration) []time.Duration {
	dice := newDice(1)
	at := make([]time.Duration, nodes)
	for i := range at {
		at[i] = time.Duration(dice.Float64()*float64(time.Minute)) + kubeletDeadline(life, dice)
	}
	return at
}

// between puts times into 100 equal bins from the first to the last of them.
func between(at []time.Duration) *simBins {
	first, last := at[0], at[0]
	for _, t := range at {
		first, last = min(first, t), max(last, t)
	}
	b := newBins(first, last+time.Second, 100)
	for _, t := range at {
		b.add(t)
	}
	return b
}

func TestAFleetThatBootsInAMinuteRotatesSpreadOverTheWindow(t *testing.T) {
	t.Parallel()
	for _, f := range fleets() {
		for _, s := range f.spreads {
			t.Logf("%d nodes: %s", f.size.spread, s)
			if count := s.bins.tally().sum; count != f.size.spread {
				t.Errorf("certificates of %s: %d of %d nodes have rotated in the window", lifeText(s.life), count, f.size.spread)
			}
			if s.late > time.Millisecond {
				t.Errorf("certificates of %s: a node has rotated %s off its deadline", lifeText(s.life), s.late)
			}
			most := s.most
			if f.size == partOfFleet {
				most = mostOfPart
			}
			if s.bins.fullest() > most {
				t.Errorf("certificates of %s: the fullest bin has %.2f times the mean, expected at most %.1f", lifeText(s.life), s.bins.fullest(), most)
			}
		}
	}
}

// All of the fleet also where only a part of it is simulated: that nodes rotate at their deadlines is shown by the part.
func TestTheDeadlinesOfAFleetThatBootsInAMinuteAreSpreadOverTheWindow(t *testing.T) {
	t.Parallel()
	for _, c := range rotationLimits {
		dice := newDice(3)
		at := make([]time.Duration, wholeFleet.spread)
		for i := range at {
			boot := time.Duration(dice.Float64() * float64(time.Minute))
			pair := simPair("node-"+strconv.Itoa(i), noon.Add(boot), noon.Add(boot+c.life), dice)
			at[i] = rotate.Deadline(pair.Leaf, pair.ModTime, "node-"+strconv.Itoa(i)).Sub(noon)
		}
		bins := c.bins(at)
		t.Logf("certificates of %s: %d deadlines in 100 bins: least %d, mean %.0f, most %d, %.2f of the mean",
			lifeText(c.life), len(at), bins.tally().least, bins.tally().mean(), bins.tally().most, bins.fullest())
		if bins.tally().sum != len(at) {
			t.Errorf("certificates of %s: %d of %d deadlines lie in the window", lifeText(c.life), bins.tally().sum, len(at))
		}
		if bins.fullest() > c.most {
			t.Errorf("certificates of %s: the fullest bin has %.2f times the mean, expected at most %.1f", lifeText(c.life), bins.fullest(), c.most)
		}
	}
}

// rotationLimit is the window in which a fleet that boots within a minute rotates first, cut into 100 bins, and how full one may be: a
// multiple of the mean.
type rotationLimit struct {
	life, from, to time.Duration
	most           float64
}

// DESIGN: 70 to 90 % of a year; 42 to 50 minutes of an hour, and the minute of the boots.
var rotationLimits = []rotationLimit{
	{year, year * 7 / 10, year*9/10 + 2*time.Minute, 1.2},
	{time.Hour, 42 * time.Minute, 51*time.Minute + 3*time.Second, 1.3},
}

// mostOfPart is how full a bin may be where only a part of the fleet is simulated, and a bin holds a few nodes.
const mostOfPart = 4

func (l rotationLimit) bins(at []time.Duration) *simBins {
	b := newBins(l.from, l.to, 100)
	for _, t := range at {
		b.add(t)
	}
	return b
}

// newDice returns a source of chance of its own for each purpose, the same in every run.
func newDice(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(fleetSeed, 1<<32+purpose)) }
