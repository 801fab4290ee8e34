package e2e

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// chaosLife is what certificates live in the chaos. They are followed by others after 150 to 180 s, so that two minutes are left when
// an outage begins at the worst moment: four times the longest.
const chaosLife = 5 * time.Minute

const (
	longestOutage = 30 * time.Second
	// longestDamage is how long what stands in the place of a file may stay there.
	longestDamage = 8 * time.Second
)

// turn is one thing that goes wrong: after a rest, for a while.
type turn struct {
	rest, lasts time.Duration
	what        string
	// file and damage are those of what.
	file, damage string
}

func (s turn) String() string {
	if s.file != "" {
		return strings.TrimSpace(s.what + ": " + s.file + " " + s.damage)
	}
	return s.what
}

// drawOutage is what becomes of the control plane and the network, one thing at a time.
func drawOutage(chance *rand.Rand) turn {
	return turn{rest: between(chance, 8*time.Second, 25*time.Second), lasts: between(chance, 2*time.Second, longestOutage), what: pickOne(chance, sortedKeys(outages))}
}

// shares are how many of all mishaps are of a kind, other than one.
var shares = map[string]int{"agent killed while it rotates": 4, "rotate now": 4, damaged: 8}

const damaged = "damaged"

// drawMishap is what becomes of the node, one thing at a time. It may come together with any outage.
func drawMishap(chance *rand.Rand) turn {
	var kinds []string
	for _, kind := range sortedKeys(mishaps) {
		kinds = append(kinds, slices.Repeat([]string{kind}, max(1, shares[kind]))...)
	}
	s := turn{rest: between(chance, time.Second, 6*time.Second), lasts: between(chance, 0, longestDamage), what: pickOne(chance, kinds)}
	switch s.what {
	case "rotate now":
		s.file = pickOne(chance, sortedKeys(prefixes))
	case damaged:
		s.file = pickOne(chance, sortedKeys(fragile))
		s.damage = pickOne(chance, fragile[s.file].damages)
	}
	return s
}

func between(chance *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(chance.Int64N(int64(most-least)))
}

func pickOne[T any](chance *rand.Rand, all []T) T { return all[chance.IntN(len(all))] }

// assertPlan shows that what is drawn is what the chaos is said to be, and the same for the same seed.
func assertPlan(t *testing.T) {
	t.Helper()
	const turns = 4000
	seed := sample.Random(t).Uint64()
	draw := func(one func(*rand.Rand) turn) (drawn []turn) {
		for chance := rand.New(rand.NewPCG(seed, 0)); len(drawn) < turns; { //nolint:gosec // to be repeated
			drawn = append(drawn, one(chance))
		}
		return drawn
	}
	seen := map[string]int{}
	for name, one := range map[string]func(*rand.Rand) turn{"outages": drawOutage, "mishaps": drawMishap} {
		all := draw(one)
		if !slices.Equal(all, draw(one)) {
			t.Errorf("%s: the same seed draws others", name)
		}
		for _, s := range all {
			seen[s.String()]++
			if s.rest < time.Second || s.lasts > longestOutage || name == "mishaps" && s.lasts > longestDamage {
				t.Errorf("%s: a rest of %s and then %s of %s", name, s.rest, s.lasts, s)
			}
		}
	}
	expected := append(sortedKeys(outages), sortedKeys(mishaps)...)
	expected = slices.DeleteFunc(expected, func(what string) bool { return what == damaged || what == "rotate now" })
	expected = append(expected, "rotate now: client", "rotate now: serving")
	for file, f := range fragile {
		for _, damage := range f.damages {
			expected = append(expected, damaged+": "+file+" "+damage)
		}
	}
	for _, what := range expected {
		if seen[what] == 0 {
			t.Errorf("%q is not among %d turns", what, turns)
		}
	}
	if len(seen) != len(expected) {
		t.Errorf("%d kinds were drawn, expected %d", len(seen), len(expected))
	}
	t.Logf("%d outages and %d mishaps drawn, of %d kinds", turns, turns, len(seen))
}
