package rotate

import (
	"slices"
	"testing"
	"time"
)

// waits is the table as it is promised: the least and the most before each of the first tries, and the most ever.
var waits = map[Failure]struct {
	newKey      bool
	least, most []time.Duration
	last        time.Duration
}{
	NoAnswer:     {false, seconds(0, 0, 0, 0), seconds(1, 2, 4, 8), 5 * time.Minute},
	Throttled:    {false, seconds(1, 1, 1, 1), seconds(2, 4, 8, 16), 5 * time.Minute},
	Unauthorized: {false, seconds(0.5, 0.5, 0.5), seconds(1, 2, 4), 5 * time.Minute},
	Forbidden:    {false, seconds(30, 30, 30, 30, 30), seconds(30, 60, 120, 240, 300), 5 * time.Minute},
	Denied:       {true, seconds(900, 1800, 3600, 7200, 14400, 21600), seconds(900, 1800, 3600, 7200, 14400, 21600), 6 * time.Hour},
	Failed:       {true, seconds(300, 600, 1200), seconds(300, 600, 1200), 6 * time.Hour},
	Refused:      {true, seconds(300, 600, 1200), seconds(300, 600, 1200), 6 * time.Hour},
	Deleted:      {false, seconds(60, 60, 60), seconds(60, 120, 240), time.Hour},
	Unproved:     {false, seconds(30, 30, 30), seconds(30, 60, 120), 5 * time.Minute},
	NotInWindow:  {false, seconds(30, 30, 30), seconds(30, 30, 30), 30 * time.Second},
	Taken:        {false, seconds(30, 30, 30, 30, 30), seconds(30, 60, 120, 240, 300), 5 * time.Minute},
	LocalTrouble: {false, seconds(1, 1, 1), seconds(1, 2, 4), time.Minute},
}

func seconds(all ...float64) []time.Duration {
	var durations []time.Duration
	for _, s := range all {
		durations = append(durations, time.Duration(s*float64(time.Second)))
	}
	return durations
}

// almostOne is the largest jitter there is.
const almostOne = 1 - 1.0/(1<<53)

func TestEveryFailureIsTriedAgainAsThePolicySays(t *testing.T) {
	for failure, row := range Policy {
		expected, ok := waits[failure]
		if !ok {
			t.Errorf("%s is in the policy and in no test", failure)
			continue
		}
		if row.Why == "" || row.NewKey != expected.newKey {
			t.Errorf("%s: new key %v, expected %v; why: %q", failure, row.NewKey, expected.newKey, row.Why)
		}
		for n := range expected.most {
			if least := Wait(failure, n, 0, 0); least != expected.least[n] {
				t.Errorf("%s, try %d: at least %s, expected %s", failure, n, least, expected.least[n])
			}
			if most := Wait(failure, n, almostOne, 0); most > expected.most[n] || most < expected.most[n]-time.Microsecond {
				t.Errorf("%s, try %d: at most %s, expected %s", failure, n, most, expected.most[n])
			}
		}
	}
	if len(Policy) != len(waits) {
		t.Errorf("%d rows in the policy, %d expected", len(Policy), len(waits))
	}
}

func TestTheWaitGrowsToACapAndStaysThereForEver(t *testing.T) {
	for failure := range Policy {
		before := time.Duration(0)
		for _, n := range []int{0, 1, 2, 3, 5, 8, 13, 18, 19, 20, 21, 31, 32, 62, 63, 64, 65, 127, 128, 1e3, 1e6} {
			for _, jitter := range []float64{0, 0.5, almostOne} {
				if wait := Wait(failure, n, jitter, 0); wait < 0 || wait > waits[failure].last {
					t.Errorf("%s, try %d, jitter %v: %s, expected 0 to %s", failure, n, jitter, wait, waits[failure].last)
				}
			}
			most := Wait(failure, n, almostOne, 0)
			if most < before {
				t.Errorf("%s, try %d: %s is less than before (%s)", failure, n, most, before)
			}
			before = most
		}
		if before < waits[failure].last-time.Microsecond {
			t.Errorf("%s: the wait stops growing at %s, expected %s", failure, before, waits[failure].last)
		}
	}
}

func TestNoNumberOfFailuresOverflows(t *testing.T) {
	for failure := range Policy {
		for n := 0; n <= 1e6; n += 1 + n/100 { // each of the first hundred, and thousands after them
			if wait := Wait(failure, n, 0.999, 0); wait < 0 || wait > 6*time.Hour {
				t.Fatalf("%s, try %d: %s", failure, n, wait)
			}
		}
	}
}

// The number may come from a damaged file.
func TestANegativeNumberOfFailuresCountsAsNone(t *testing.T) {
	for failure := range Policy {
		if wait := Wait(failure, -7, 0, 0); wait != Wait(failure, 0, 0, 0) {
			t.Errorf("%s: %s", failure, wait)
		}
	}
}

func TestAFleetDoesNotComeBackInStep(t *testing.T) {
	var tenths [10]int
	for i := range 1000 {
		wait := Wait(NoAnswer, 8, float64(i)/1000, 0)
		tenths[int(wait*10/(256*time.Second))]++
	}
	if slices.Min(tenths[:]) < 95 || slices.Max(tenths[:]) > 105 {
		t.Errorf("not evenly over the whole range: %v", tenths)
	}
}

func TestTheServerMayAskForMoreTimeUpToAnHour(t *testing.T) {
	for _, c := range []struct {
		failure        Failure
		asked, expects time.Duration
	}{
		{Throttled, 0, time.Second},
		{Throttled, time.Millisecond, time.Second},
		{Throttled, 7 * time.Second, 7 * time.Second},
		{NoAnswer, 42 * time.Second, 42 * time.Second}, // 503 from a load balancer
		{Throttled, time.Hour, time.Hour},
		{Throttled, 365 * 24 * time.Hour, time.Hour},
		{Throttled, 1<<63 - 1, time.Hour},
		{Throttled, -time.Hour, time.Second},
		{Denied, time.Second, 15 * time.Minute},
	} {
		if wait := Wait(c.failure, 0, 0, c.asked); wait != c.expects {
			t.Errorf("%s, asked for %s: %s, expected %s", c.failure, c.asked, wait, c.expects)
		}
	}
	if wait := Wait(Throttled, 20, almostOne, 7*time.Second); wait < 4*time.Minute {
		t.Errorf("%s: what the server asks for is a lower bound and not the wait itself", wait)
	}
}
