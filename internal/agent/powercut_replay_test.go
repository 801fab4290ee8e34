package agent

import (
	"math/rand/v2"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// tally counts what was tried.
type tally struct{ operations, cuts, restarts, mostPending int }

// replay lets the power go in every way in which it can. Each disk is looked at; on so many of them, drawn with random, an agent is
// started.
func (r *recording) replay(random *rand.Rand, restarts int) tally {
	r.t.Helper()
	cuts := r.cuts(random)
	count := tally{operations: r.ops.Len() - r.first, cuts: len(cuts)}
	if len(cuts) <= 2*restarts {
		restarts = len(cuts) // all of few
	}
	chosen := map[int]bool{}
	for len(chosen) < min(restarts, len(cuts)) {
		chosen[random.IntN(len(cuts))] = true
	}
	for i, cut := range cuts {
		count.mostPending = max(count.mostPending, r.ops.Pending(cut.After))
		r.after(cut)
		r.expectSafe()
		if r.t.Failed() {
			r.t.Fatalf("%s; then the disk holds:\n%s", cut, cut.Disk())
		}
		if chosen[i] {
			count.restarts++
			r.restart()
			r.report(cut.String())
		}
	}
	return count
}

// some is a number for every day, and one for a soak.
func some(daily, soaking int) int {
	if soak() {
		return soaking
	}
	return daily
}

func (c *tally) add(other tally) {
	c.operations += other.operations
	c.cuts += other.cuts
	c.restarts += other.restarts
	c.mostPending = max(c.mostPending, other.mostPending)
}

func (c tally) log(t *testing.T) {
	t.Helper()
	t.Logf("%d operations, %d disks (at most %d effects not synced), %d of them lived on", c.operations, c.cuts, c.mostPending, c.restarts)
	if c.cuts == 0 || c.restarts == 0 {
		t.Error("nothing was tried")
	}
}

func TestAPowerCutAtAnyMomentLosesNothing(t *testing.T) {
	t.Parallel()
	api, random := newAPIStandIn(t), sample.Random(t)
	var all tally
	rows := writings(t)
	for _, w := range draw(rows, random, (len(rows)+1)/2) {
		t.Run(w.name, func(t *testing.T) {
			count := record(t, api, w, nil).replay(random, some(2, 1<<30))
			count.log(t)
			all.add(count)
		})
	}
	all.log(t)
}

// What a killed agent had not synced is on the disk for the next one to see, and may still be lost.
func TestAPowerCutAfterAKillLosesNothing(t *testing.T) {
	afterEachSync(t, func(k int) []func(int, durable.Op) error { return []func(int, durable.Op) error{crashAt(k), nil} })
}

// What could not be synced is there to see, too.
func TestAPowerCutAfterASyncThatFailedLosesNothing(t *testing.T) {
	afterEachSync(t, func(k int) []func(int, durable.Op) error { return []func(int, durable.Op) error{failAt(k)} })
}

// afterEachSync replays what happens when a sync of a folder, the k-th operation, did not come to be made: an eighth of them for the
// first way to write, some for an eighth of the others; all with SOAK.
func afterEachSync(t *testing.T, lives func(k int) []func(int, durable.Op) error) {
	t.Helper()
	t.Parallel()
	api, random := newAPIStandIn(t), sample.Random(t)
	var all tally
	for i, w := range writings(t) {
		if i > 0 && !soak() && random.IntN(8) > 0 {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			syncs := record(t, api, w, nil).syncs()
			for n, k := range syncs {
				if i == 0 && random.IntN(8) == 0 || soak() || random.IntN(2*len(syncs)) == 0 || n == 0 {
					all.add(record(t, api, w, lives(k)...).replay(random, some(1, 20)))
				}
			}
		})
	}
	all.log(t)
}

// syncs are the operations that sync a folder.
func (r *recording) syncs() []int {
	var syncs []int
	for k := range r.ops.Len() {
		if r.ops.Call(k) == "fsync-dir" {
			syncs = append(syncs, k)
		}
	}
	return syncs
}
