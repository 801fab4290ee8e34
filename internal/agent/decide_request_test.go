package agent

import (
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

func TestDecideRequest(t *testing.T) {
	wish := *newcomer().wish
	lasting := memory{differsSince: noon.Add(-30 * time.Second)}
	brief := memory{differsSince: noon.Add(-29 * time.Second)}
	running := func(m memory) memory { m.running = true; return m }
	failing := memory{retryAt: noon.Add(time.Minute)}
	for _, c := range []struct {
		name    string
		pending *csr.Pending
		m       memory
		expect  step
	}{
		{"none", nil, memory{}, makePending},
		{"none, and the disk is in trouble", nil, failing, waitRetry},
		{"one that is wanted", request(wish), memory{}, ask},
		{"one that is wanted, and was refused a moment ago", request(wish), failing, waitRetry},
		{"one that is wanted, under way", request(wish), running(memory{}), underWay},
		{"one that covers more than is wanted", request(wish, func(p *csr.Pending) { p.Wish.DNSNames = []string{"more"} }), lasting, ask},

		{"another one is wanted since a moment", request(wish, otherWish), brief, ask},
		{"another one is wanted since a moment, this one is under way", request(wish, otherWish), running(brief), underWay},
		{"another one is wanted for long enough", request(wish, otherWish), lasting, giveUp},
		{"another one is wanted for long enough, this one is under way", request(wish, otherWish), running(lasting), giveUp},
		{"another one is wanted since the configuration was changed", request(wish, otherWish, earlier), memory{}, giveUp},
		{"another one is wanted, and nobody noticed since when", request(wish, otherWish), memory{}, ask},
		{"the configuration was changed, and the same is wanted", request(wish, earlier), memory{}, ask},
		{"one was given up within the hour", request(wish, otherWish, earlier, justGivenUp), lasting, ask},
		{"one was given up an hour ago", request(wish, otherWish, earlier, longAgoGivenUp), memory{}, giveUp},
		{"a denied one, and another one is wanted", request(wish, otherWish, earlier, ended(csr.Denied, time.Second)), memory{}, giveUp},

		{"denied a moment ago", request(wish, ended(csr.Denied, time.Second)), memory{}, waitEnded},
		{"denied a quarter of an hour ago", request(wish, ended(csr.Denied, 15*time.Minute)), memory{}, makePending},
		{"denied just short of a quarter of an hour ago", request(wish, ended(csr.Denied, 15*time.Minute-1)), memory{}, waitEnded},
		{"failed four minutes ago", request(wish, ended(csr.Failed, 4*time.Minute)), memory{}, waitEnded},
		{"failed five minutes ago", request(wish, ended(csr.Failed, 5*time.Minute)), memory{}, makePending},
		{"refused five minutes ago", request(wish, ended(csr.Refused, 5*time.Minute)), memory{}, makePending},
		{"replaced a second ago", request(wish, ended(csr.Replaced, time.Second)), memory{}, makePending},
		{"replaced just now", request(wish, ended(csr.Replaced, 0)), memory{}, waitEnded},
	} {
		found := decideRequest(status.Certificate{Pending: c.pending}, noon, c.m, aim{wish: &wish, settings: current})
		if found != c.expect {
			t.Errorf("%s: %q, expected %q", c.name, found, c.expect)
		}
	}
}

// Each denial doubles the wait; the time counts from the denial and not from a restart.
func TestTheNextKeyComesLaterAfterEachRequestThatCameToNothing(t *testing.T) {
	for outcome, waits := range map[csr.Result][]time.Duration{
		csr.Denied:   {15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour, 6 * time.Hour},
		csr.Failed:   {5 * time.Minute, 10 * time.Minute, 20 * time.Minute},
		csr.Refused:  {5 * time.Minute, 10 * time.Minute, 20 * time.Minute},
		csr.Replaced: {time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second},
	} {
		for n, wait := range waits {
			p := request(*newcomer().wish, ended(outcome, time.Hour), func(p *csr.Pending) { p.Key = n })
			if next := nextKey(p); !next.Equal(p.Ended.At.Add(wait)) {
				t.Errorf("%s for the %d. time: next after %s, expected %s", outcome, n+1, next.Sub(p.Ended.At), wait)
			}
		}
	}
}

func TestEveryEndHasAPolicyARemedyAndAText(t *testing.T) {
	for _, outcome := range []csr.Result{csr.Denied, csr.Failed, csr.Refused, csr.Replaced} {
		if endings[outcome] == "" || remedies[outcome] == "" || failureOf[outcome] == "" && outcome != csr.Replaced {
			t.Errorf("%s: %q, %q, %q", outcome, endings[outcome], remedies[outcome], failureOf[outcome])
		}
	}
}

func TestAChangedWishCountsFromItsBeginningAndEndsWithIt(t *testing.T) {
	wish := newcomer().wish
	same, other := request(*wish), request(*wish, otherWish)
	var m memory
	for i, c := range []struct {
		pending *csr.Pending
		wish    *csr.Wish
		since   time.Time
	}{
		{same, wish, time.Time{}},
		{other, wish, noon.Add(time.Second)},
		{other, wish, noon.Add(time.Second)}, // the first time counts
		{other, nil, time.Time{}},            // nobody knows what is wanted
		{other, wish, noon.Add(4 * time.Second)},
		{nil, wish, time.Time{}},
	} {
		m.compareWish(c.pending, c.wish, noon.Add(time.Duration(i)*time.Second))
		if !m.differsSince.Equal(c.since) {
			t.Errorf("look %d: differs since %s, expected %s", i, m.differsSince, c.since)
		}
	}
}
