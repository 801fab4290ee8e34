package agent

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// nextNode is a name that no other node has.
func nextNode() string {
	nodes.Lock()
	defer nodes.Unlock()
	nodes.made++
	return fmt.Sprintf("cut-%d", nodes.made)
}

// TestAResetThatIsCutOffAnywhereIsFinishedByTheNextOneAndAnAgentLivesOn has, of some machines or with SOAK of all, every kind of reset, with
// the power going after each of its operations, with one of them killed, and with one of them refused.
func TestAResetThatIsCutOffAnywhereIsFinishedByTheNextOneAndAnAgentLivesOn(t *testing.T) {
	t.Parallel()
	api, random := newAPIStandIn(t), sample.Random(t)
	disks, lived := 0, 0
	for _, w := range draw(machinesToReset(t), random, 3) {
		t.Run(w.name, func(t *testing.T) {
			l := newLeaving(t, api, w)
			for _, keep := range []bool{true, false} {
				t.Run(map[bool]string{false: "everything goes", true: "the identity stays"}[keep], func(t *testing.T) {
					length := l.expectFinishes(t, keep)
					disks += l.replay(random, some(10, 1<<30))
					l.expectRefusalsTold(t, keep, random.Perm(length)[:some(min(3, length), length)])
					for _, k := range random.Perm(length)[:some(min(1, length), length)] { // what a killed one had not synced may still come back
						l.leave(t, keep, crashAt(k), nil)
						disks += l.replay(random, some(5, 50))
					}
					l.leave(t, keep, crashAt(random.IntN(length+1)))
					if !keep || soak() {
						l.expectJoins()
						lived++
					}
				})
			}
		})
	}
	t.Logf("%d disks, on %d an agent lived on without another reset", disks, lived)
	if disks == 0 || lived == 0 {
		t.Error("nothing was tried")
	}
}

// expectFinishes resets the machine, and again: then there is nothing more to do. It returns how many operations it takes.
func (l *leaving) expectFinishes(t *testing.T, keep bool) int {
	t.Helper()
	l.leave(t, keep, nil)
	l.expectReset()
	length := l.ops.Len()
	must(t, l.reset(nil))
	for k := length; k < l.ops.Len(); k++ {
		if call := l.ops.Call(k); call != "fsync-dir" && call != "unlink" || l.ops.Len()-length > 5 { // of the lock file
			t.Errorf("a second reset makes a %s", call)
		}
	}
	l.expectReset()
	l.report("after a reset")
	l.leave(t, keep, nil)
	return length
}

// replay lets the power go in every way in which it can, or some of them, and looks at the disk; then the reset is made again.
func (l *leaving) replay(random *rand.Rand, most int) (disks int) {
	l.t.Helper()
	cuts := l.cuts(random)
	random.Shuffle(len(cuts), func(i, j int) { cuts[i], cuts[j] = cuts[j], cuts[i] })
	for _, cut := range cuts[:min(len(cuts), most)] {
		l.after(cut)
		l.expectUnharmed()
		must(l.t, resetOnce(l.without(nil), l.keep))
		l.expectReset()
		disks++
		if l.t.Failed() {
			l.report(fmt.Sprintf("%s; then the disk holds:\n%s", cut, cut.Disk()))
		}
	}
	return disks
}

// expectRefusalsTold has operations fail, one each time; the rest of the parts goes on, and the next reset finishes.
func (l *leaving) expectRefusalsTold(t *testing.T, keep bool, operations []int) {
	t.Helper()
	for _, k := range operations {
		l.leave(t, keep)
		n, refused := 0, false
		err := resetOnce(l.without(func(durable.Op) error {
			if n++; n == k+1 {
				refused = true
				return os.ErrPermission
			}
			return nil
		}), keep)
		if (err == nil) == refused {
			t.Errorf("operation %d was refused: %t; said: %v", k, refused, err)
		}
		l.expectUnharmed()
		must(t, resetOnce(l.without(nil), keep))
		l.expectReset()
		l.report(fmt.Sprintf("operation %d failed", k))
	}
}
