package agent

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// A fleet is simulated: many nodes, whose every choice is made by the agent's own decisions, failures sorted and counted by its own
// code, and whose waits come from its own tables; years pass in fake time. What a step does to the files and what the cluster makes of a
// request is a model (fleet_model_test.go, fleet_cluster_test.go), and TestASimulatedNodeDoesWhatTheRealAgentDoes holds it against the
// agent itself.

const aDay = 24 * time.Hour

// neverAgain is later than anything that is simulated.
const neverAgain = time.Duration(1<<63 - 1)

// world is what the nodes of a fleet live in. One goroutine moves it.
type simWorld struct {
	cluster simCluster
	// crashEvery: each agent is killed this often and begins anew with what is on its disk; 0: never.
	crashEvery time.Duration
	// begin is the time at which the simulation starts; at is now, counted from then.
	begin time.Time
	at    time.Duration
	// failures are the errors of the API client as the agent sorts them.
	failures map[error]sortedError
}

func newWorld(c simCluster) *simWorld {
	return &simWorld{cluster: c, begin: noon, failures: map[error]sortedError{}}
}

// sortedError is the row of the retry policy that an error belongs to, and the pause that the server has asked for.
type sortedError struct {
	failure rotate.Failure
	asked   time.Duration
}

func (w *simWorld) sort(err error) sortedError {
	sorted, known := w.failures[err]
	if !known {
		sorted = sortedError{failureFor(apiserver.ReasonOf(err)), apiserver.RetryAfter(err)}
		w.failures[err] = sorted
	}
	return sorted
}

func (w *simWorld) now() time.Time { return w.begin.Add(w.at) }

// simAgenda is a heap of nodes by the time at which they are next.
type simAgenda []*simNode

func (a simAgenda) Len() int           { return len(a) }
func (a simAgenda) Less(i, j int) bool { return a[i].next < a[j].next }
func (a simAgenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *simAgenda) Push(x any)        { *a = append(*a, x.(*simNode)) }
func (a *simAgenda) Pop() any          { panic("no node leaves") }

// run lets the nodes live until a time.
func (w *simWorld) run(nodes []*simNode, until time.Duration) {
	order := simAgenda(nodes)
	heap.Init(&order)
	for order[0].next < until {
		n := order[0]
		w.at = n.next
		n.wake()
		heap.Fix(&order, 0)
	}
}

// fleet is a number of nodes that boot within a time, at random.
type simFleet struct {
	nodes int
	boot  time.Duration
	kind  csr.Kind
}

// simBatch is how many nodes live side by side. Nodes whose cluster answers each of them alike know nothing of each other, so that the
// memory for a few is enough, and more than one processor can do the work.
const simBatch = 500

// live simulates the fleet in worlds of its own until a time. Each node is handed to began before it begins, to ended when all is over,
// both with its number; calls for different nodes come at the same time.
func (f simFleet) live(until time.Duration, newWorld func() *simWorld, began, ended func(i int, n *simNode)) {
	var group sync.WaitGroup
	batches := make(chan int)
	for range 2 {
		group.Go(func() {
			for first := range batches {
				f.liveTogether(newWorld(), first, min(first+simBatch, f.nodes), until, began, ended)
			}
		})
	}
	for first := 0; first < f.nodes; first += simBatch {
		batches <- first
	}
	close(batches)
	group.Wait()
}

// liveTogether simulates nodes of the fleet in one world.
func (f simFleet) liveTogether(w *simWorld, first, last int, until time.Duration, began, ended func(i int, n *simNode)) {
	nodes := make([]*simNode, 0, last-first)
	for i := first; i < last; i++ {
		n := newSimNode(w, "node-"+strconv.Itoa(i), f.kind, rand.New(rand.NewPCG(fleetSeed, uint64(i))))
		n.next = n.within(0, f.boot)
		n.crashAt = neverAgain
		if w.crashEvery > 0 {
			n.crashAt = n.next + n.within(0, w.crashEvery)
		}
		if began != nil {
			began(i, n)
		}
		nodes = append(nodes, n)
	}
	w.run(nodes, until)
	for i, n := range nodes {
		if ended != nil {
			ended(first+i, n)
		}
	}
}

// simTally is what a number differs by over the nodes of a fleet.
type simTally struct {
	nodes, sum, least, most int
}

func (t *simTally) add(n int) {
	if t.nodes == 0 {
		t.least, t.most = n, n
	}
	t.nodes, t.sum, t.least, t.most = t.nodes+1, t.sum+n, min(t.least, n), max(t.most, n)
}

func (t simTally) mean() float64 { return float64(t.sum) / float64(max(t.nodes, 1)) }

// String is a row's cell: the mean, and the range where there is one.
func (t simTally) String() string {
	if t.least == t.most {
		return fmt.Sprint(t.least)
	}
	return fmt.Sprintf("%.0f (%d–%d)", t.mean(), t.least, t.most)
}

// bins counts times in equal parts of a range.
type simBins struct {
	from, width time.Duration
	count       []int
}

func newBins(from, to time.Duration, parts int) *simBins {
	return &simBins{from: from, width: (to - from) / time.Duration(parts), count: make([]int, parts)}
}

// add says whether the time lies in the range.
func (b *simBins) add(at time.Duration) bool {
	i := int((at - b.from) / b.width)
	if at < b.from || i >= len(b.count) {
		return false
	}
	b.count[i]++
	return true
}

func (b *simBins) tally() simTally {
	var t simTally
	for _, n := range b.count {
		t.add(n)
	}
	return t
}

// fullest is the share of the fullest bin in the mean.
func (b *simBins) fullest() float64 { return float64(b.tally().most) / b.tally().mean() }

func TestABinHoldsWhatBelongsIntoIt(t *testing.T) {
	t.Parallel()
	b := newBins(time.Minute, 2*time.Minute, 60)
	for _, c := range []struct {
		at time.Duration
		in bool
	}{{59 * time.Second, false}, {time.Minute, true}, {90 * time.Second, true}, {2*time.Minute - 1, true}, {2 * time.Minute, false}} {
		if b.add(c.at) != c.in {
			t.Errorf("%s: in the bins %t", c.at, !c.in)
		}
	}
	if b.count[0] != 1 || b.count[30] != 1 || b.count[59] != 1 || b.fullest() != 20 {
		t.Errorf("%v, the fullest %.1f times the mean", b.count, b.fullest())
	}
}

// lifeText is a duration as people say it.
func lifeText(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{year, "year"}, {aDay, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		switch n := d / unit.length; {
		case d%unit.length != 0:
		case n == 1:
			return "1 " + unit.name
		case n > 1:
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return d.String()
}
