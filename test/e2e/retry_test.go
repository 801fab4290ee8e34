package e2e

import (
	"net/http"
	"slices"
	"testing"
	"time"
)

// Retries wait for a time drawn anew from 0 to 1, 2, 4, 8, 16, … seconds. A fleet that lost its API server must neither hurry it nor
// come back in step.
func TestRetriesWaitLongerEachTimeAndNotInStep(t *testing.T) {
	t.Parallel()
	const nodes, waits, factor = 6, 5, 5
	var ways []*way
	for range nodes {
		w := newWay(t, (*way).fail)
		w.keeps(w.bootstrapFile())
		w.startHurried(hurry(factor))
		ways = append(ways, w)
	}
	var late time.Duration   // the fourth and fifth waits of all nodes
	var places []float64     // of each wait in its interval
	for _, w := range ways { // all at once: each has begun by now
		eventually(t, "six attempts", func() bool { return len(w.seen.Requests()) > waits })
		attempts := times(w.seen, http.MethodPost)
		for n := 2; n < waits; n++ { // shorter ones are too much the machine's own time
			wait := attempts[n+1].Sub(attempts[n]) * factor
			places = append(places, wait.Seconds()/float64(int(1)<<n))
			if n >= 3 {
				late += wait
			}
		}
	}
	if late < 16*time.Second { // 72 s are to be expected, less than 16 s once in seven million times
		t.Errorf("the fourth and fifth waits of %d nodes were %s together", nodes, late)
	}
	if spread := slices.Max(places) - slices.Min(places); spread < 0.2 {
		t.Errorf("the waits are all alike: %.2f", places)
	}
}
