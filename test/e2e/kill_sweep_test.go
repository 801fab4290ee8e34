package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// sweep is a way to join, or to go on, in which agents are killed at every system call.
type sweep struct {
	// begin makes a node that is ready to join.
	begin func(t *testing.T) *node
	// flags of the agents that are killed; ends is the exit code of one that is not.
	flags []string
	ends  int
	// done, of agents that stay, is when there is nothing left for them to do.
	done func(n *node) bool
	// between looks at the node after each life.
	between func(n *node)
	// finish has the node join, after all the kills.
	finish func(n *node)
	// sample is how many nodes there are, unless SOAK is set.
	sample int
	// accepted are the files that are written a second time when the API server has the request.
	accepted []string
	// phases are those in which agents die.
	phases []string
	// heard are the API server's last requests before a death.
	heard []string
}

func (s sweep) live(n *node, toll *deaths, kill tracer.Kill) (code int, trace tracer.Trace) {
	n.t.Helper()
	if s.done == nil {
		return n.live(toll, kill, s.flags...)
	}
	return n.liveUntil(func() bool { return s.done(n) }, toll, kill, s.flags...)
}

// beforeApproval has nobody approve anything until the kills are over.
var beforeApproval = sweep{
	begin: func(t *testing.T) *node {
		n := newVictim(t)
		n.bootstrap(n.staticToken(controlplane.Unapproved))
		return n
	},
	flags: []string{"--timeout=2s"},
	ends:  1,
	finish: func(n *node) {
		n.expect(n.meanwhile(func() { n.approve(csr.Client); n.approve(csr.Serving) }, "--serving-wait=50s"), 0)
	},
	sample: 12, accepted: []string{"kubelet-client.pending.pem"},
	phases: []string{"no client request", "client request stored", "client request accepted"},
	heard:  []string{"nothing", "create client request", "watch client request", "get client request"},
}

// approved has everything approved as it comes, so that the kills go on to the end of the join.
var approved = sweep{
	begin:  newcomer,
	flags:  []string{"--serving-wait=50s"},
	ends:   0,
	finish: func(n *node) { n.expect(n.once("--serving-wait=50s"), 0) },
	sample: 20, accepted: []string{"kubelet-client.pending.pem", "kubelet-server.pending.pem"},
	phases: []string{
		"no client request", "client request stored", "client request accepted", "client certificate issued",
		"no serving request", "serving request stored", "serving request accepted", "serving certificate issued", "complete",
	},
	heard: []string{
		"nothing", "create client request", "watch client request", "get client request", "create selfsubjectreviews",
		"create serving request", "watch serving request", "get serving request",
	},
}

// newVictim is a node whose agents will be killed; they are as they are shipped, since there are many.
func newVictim(t *testing.T) *node {
	t.Helper()
	n := newNode(t, shared(t))
	n.program = plainProgram(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("its agents said:\n%s", n.said.String())
		}
	})
	return n
}

func TestAKillAtAnySystemCallBeforeTheApprovalCostsNothingAndAsksForNothingTwice(t *testing.T) {
	t.Parallel()
	beforeApproval.run(t)
}

func TestAKillAtAnySystemCallOfAJoinCostsNothingAndAsksForNothingTwice(t *testing.T) {
	t.Parallel()
	approved.run(t)
}

// plan are the kills of one node's agents, one each.
type plan []tracer.Kill

// run sweeps: every call, before, after, and once more with a second kill during the recovery; or a sample of that.
func (s sweep) run(t *testing.T) {
	t.Helper()
	chance, toll := sample.Random(t), &deaths{}
	whole := s.undisturbed(t)
	var plans []plan
	for k := 1; k <= len(whole)+10; k++ { // the number of calls differs a little from run to run
		plans = append(plans, plan{{Call: k}}, plan{{Call: k, After: true}}, plan{{Call: k, After: either(chance)}, again(chance)})
	}
	for k := 1; k <= 12; k++ { // what a resumed agent says to the API server and hears from it
		for _, file := range s.accepted {
			accepted := tracer.Kill{Point: "renameat " + file, Call: 2, After: true}
			plans = append(plans, plan{accepted, {Point: "read tcp", Call: k, After: true}}, plan{accepted, {Point: "write tcp", Call: k, After: true}})
		}
	}
	if os.Getenv("SOAK") == "" {
		chance.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
		plans = append(afterRenames(whole, chance), plans...)[:s.sample]
	}
	s.kill(t, "kills", toll, plans)
	if os.Getenv("SOAK") != "" { // since their numbers differ, some calls were hit less often than others
		s.kill(t, "more", toll, missed(whole, toll))
	}
	s.report(t, whole, toll, len(plans))
}

// afterRenames are plans for kills right after a name has appeared, one for each: where everything is decided.
func afterRenames(whole []string, chance *rand.Rand) []plan {
	times := map[string]int{}
	for _, point := range whole {
		if strings.HasPrefix(point, "renameat") {
			times[point]++
		}
	}
	var plans []plan
	for _, point := range slices.Sorted(maps.Keys(times)) {
		plans = append(plans, plan{{Point: point, Call: 1 + chance.IntN(times[point]), After: true}})
	}
	return plans
}

// kill has a node join for each of the plans, against these odds.
func (s sweep) kill(t *testing.T, group string, toll *deaths, plans []plan) {
	t.Helper()
	t.Run(group, func(t *testing.T) {
		for i, kills := range plans {
			t.Run(fmt.Sprintf("kill-%d-at-%d", i, kills[0].Call), func(t *testing.T) {
				t.Parallel()
				n := s.begin(t)
				for _, kill := range kills {
					if code, _ := s.live(n, toll, kill); code != -1 && code != s.ends {
						t.Fatalf("an agent that was not killed ended with %d, expected %d", code, s.ends)
					}
					if s.between != nil {
						s.between(n)
					}
				}
				s.finish(n)
				n.assertWhole()
			})
		}
	})
}

// often is how often each point is to be hit.
const often = 3

// missed are plans that hit the points which were not hit often enough.
func missed(whole []string, toll *deaths) []plan {
	hits := map[string]int{}
	for _, d := range toll.all {
		hits[d.point]++
	}
	var plans []plan
	for _, point := range whole {
		for ; hits[point] < often && point != topFolder; hits[point]++ {
			plans = append(plans, plan{{Point: point, Call: 1, After: hits[point]%2 == 0}})
		}
	}
	return plans
}

// again is a kill during the recovery, which is shorter.
func again(chance *rand.Rand) tracer.Kill {
	return tracer.Kill{Call: 1 + chance.IntN(60), After: either(chance)}
}

// undisturbed is a join without a kill: the points that can be hit, in their order.
func (s sweep) undisturbed(t *testing.T) (points []string) {
	t.Helper()
	n := s.begin(t)
	code, trace := s.live(n, &deaths{}, tracer.Kill{})
	if code != s.ends {
		t.Fatalf("without a kill the agent ended with %d, expected %d", code, s.ends)
	}
	s.finish(n)
	n.assertWhole()
	for _, call := range trace.Calls {
		points = append(points, n.point(call))
	}
	return points
}

// report prints where the agents were killed, and with SOAK shows that it was everywhere.
func (s sweep) report(t *testing.T, whole []string, toll *deaths, nodes int) {
	t.Helper()
	requests, err := shared(t).Requests("", controlplane.ByUserAgent("bootstrap-agent/"))
	must(t, err)
	slices.SortFunc(requests, func(a, b controlplane.Request) int { return cmp.Compare(a.Time.UnixNano(), b.Time.UnixNano()) })
	t.Logf("an undisturbed agent makes %d calls; %d nodes, %d agents, %d kills, %d came too late for one", len(whole), nodes, toll.lives, len(toll.all), toll.spared)
	t.Logf("killed\n%s", toll.histogram(death.String))
	t.Logf("when the API server had last heard\n%s", toll.histogram(func(d death) string { return heard(requests, d) }))
	if os.Getenv("SOAK") != "" {
		s.assertEverywhere(t, whole, toll, requests)
	}
}

// assertEverywhere shows that each kind of call was hit, and each phase, with the network in it.
func (s sweep) assertEverywhere(t *testing.T, whole []string, toll *deaths, requests []controlplane.Request) {
	t.Helper()
	hits := map[string]int{}
	for _, d := range toll.all {
		hits[d.point]++
		hits[d.phase]++
		hits["heard "+heard(requests, d)]++
	}
	expected := slices.Clone(s.phases)
	expected = append(expected, whole...)
	for _, last := range s.heard {
		expected = append(expected, "heard "+last)
	}
	for _, what := range expected {
		if hits[what] < often {
			t.Errorf("%q was hit %d times, expected at least %d", what, hits[what], often)
		}
	}
	if toll.spared == 0 {
		t.Error("no kill came too late: the sweep has not reached the end")
	}
}
