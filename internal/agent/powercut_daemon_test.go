package agent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// What is shown of joining holds for all that a daemon does afterwards: it rotates, moves, heals.

// daysAPI is a stand-in whose certificates are not to be followed by others while a test goes on.
func daysAPI(t *testing.T) *apiStandIn {
	t.Helper()
	api := newAPIStandIn(t)
	api.validity = 24 * time.Hour
	return api
}

func TestAPowerCutAtAnyMomentOfARotationOrARecoveryLosesNothing(t *testing.T) {
	t.Parallel()
	api, random := daysAPI(t), sample.Random(t)
	var all tally
	for _, w := range draw(rotations(), random, 6) {
		t.Run(w.name, func(t *testing.T) {
			count := record(t, api, w, nil).replay(random, some(1, 1<<30))
			count.log(t)
			all.add(count)
		})
	}
	all.log(t)
}

// draw is some of the ways to write, in another order each time; all with SOAK.
func draw(rows []writing, random *rand.Rand, daily int) []writing {
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows[:some(daily, len(rows))]
}

// What a killed agent had not synced, and what could not be synced, is there to see and may still be lost.
func TestAPowerCutAfterAKillOrAFailedSyncOfARotationLosesNothing(t *testing.T) {
	t.Parallel()
	api, random := daysAPI(t), sample.Random(t)
	var all tally
	for i, w := range draw(rotations(), random, 3) {
		t.Run(w.name, func(t *testing.T) {
			syncs := record(t, api, w, nil).syncs()
			if !soak() {
				syncs = []int{syncs[random.IntN(len(syncs))]}
			}
			for n, k := range syncs {
				if failed := (i+n)%2 == 0; failed || soak() || w.stays.meanwhile != nil {
					all.add(record(t, api, w, failAt(k)).replay(random, some(1, 10)))
				}
				if killed := (i+n)%2 == 1; (killed || soak()) && w.stays.meanwhile == nil { // a restart remembers nothing of what it is to heal
					all.add(record(t, api, w, crashAt(k), nil).replay(random, some(1, 10)))
				}
			}
		})
	}
	all.log(t)
}

// end is what a life comes to at one of its operations.
type end struct {
	name  string
	lives func(k int, random *rand.Rand) []func(int, durable.Op) error
}

var ends = []end{
	{"killed", func(k int, _ *rand.Rand) []func(int, durable.Op) error {
		return []func(int, durable.Op) error{crashAt(k), nil}
	}},
	{"killed, and killed again", func(k int, random *rand.Rand) []func(int, durable.Op) error {
		return []func(int, durable.Op) error{crashAt(k), crashAt(random.IntN(40)), nil}
	}},
	{"failed", func(k int, _ *rand.Rand) []func(int, durable.Op) error {
		return []func(int, durable.Op) error{failAt(k)}
	}},
}

// An agent that is killed, or whose disk refuses, at any operation of whatever it does to a node that has joined: the identity can be used
// at that moment, and in the end the node has what it should, by as many requests as without.
func TestACrashOrAFailureAtAnyOperationOfARotationLosesNothingAndAsksForNothingTwice(t *testing.T) {
	t.Parallel()
	api, random := daysAPI(t), sample.Random(t)
	lives, operations := map[string]int{}, 0
	rows := draw(rotations(), random, 3)
	for _, w := range rows {
		t.Run(w.name, func(t *testing.T) {
			length := record(t, api, w, nil).ops.Len()
			operations += length
			for _, e := range ends {
				if w.stays.meanwhile != nil && e.name != "failed" { // a restart remembers nothing of what it is to heal
					continue
				}
				for _, k := range random.Perm(length)[:some(1, length)] {
					r := record(t, api, w, e.lives(k, random)...)
					r.report(fmt.Sprintf("%s at operation %d", e.name, k))
					lives[e.name]++
					os.RemoveAll(r.top)
				}
			}
		})
	}
	t.Logf("%d operations in %d ways to write; %v", operations, len(rows), lives)
	if lives["failed"] == 0 {
		t.Error("something was not tried")
	}
}
