// Package sample draws what a test tries when there is no time for all of it, and prints how to draw the same again.
package sample

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// Random returns the source of what a test draws: of the seed in SEED, which it prints, or else of another one in each run.
func Random(tb testing.TB) *rand.Rand {
	tb.Helper()
	return From(tb, rand.Uint64())
}

// From is Random with the seed that is taken where SEED names none.
func From(tb testing.TB, seed uint64) *rand.Rand {
	tb.Helper()
	if text := os.Getenv("SEED"); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			tb.Fatalf("SEED: %v", err)
		}
		seed = given
	}
	tb.Logf("to draw the same again: SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // to be repeated, not to be secret
}
