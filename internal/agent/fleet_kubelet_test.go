package agent

import (
	"math/rand/v2"
	"testing"
	"time"
)

// simKubelet is what a kubelet with rotateCertificates: true does about one certificate (kubelet and client-go 1.36): each attempt makes
// a new key and another CertificateSigningRequest; a failed one is repeated after 2, 4, 8 and 16 s and a tenth at random, and from then
// on every 32 s; an unanswered request is waited for for 15 minutes; and a restart begins anew. The client's manager also ends the process
// when there was no certificate for 5 minutes, which begins the fast attempts again and is left out here, in the kubelet's favour.
type simKubelet struct {
	dice    *rand.Rand
	verdict simVerdict
	// outage: the API server cannot be reached; the attempt makes no request.
	outage     simOutage
	crashEvery time.Duration
	created    func(at time.Duration)
	// called hears of each call that the API server is there for.
	called func(at time.Duration)
}

const kubeletWaits = 15 * time.Minute

// pause returns the one after the n-th failed attempt of a life: wait.ExponentialBackoff, then wait.PollInfinite.
func (k *simKubelet) pause(n int) time.Duration {
	if n >= 4 {
		return 32 * time.Second
	}
	d := 2 * time.Second << n
	return d + time.Duration(k.dice.Float64()*0.1*float64(d))
}

// live simulates it from a time until another, or until it has its certificate.
func (k *simKubelet) live(from, until time.Duration) {
	crash := neverAgain
	if k.crashEvery > 0 {
		crash = from + time.Duration(k.dice.Float64()*float64(k.crashEvery))
	}
	for at, n := from, 0; at < until; {
		next := at + k.takes(at) + k.pause(n)
		n++
		if !k.outage.lasts(at) && k.verdict == issueAll {
			return
		}
		if k.outage.lasts(next) && n > 4 && crash == neverAgain { // every 32 s until it ends
			period := k.outage.takes + k.pause(n)
			next += (k.outage.to - next).Truncate(period)
		}
		if next > crash {
			next, n = crash, 0
			crash += k.crashEvery
		}
		at = next
	}
}

// takes makes one attempt and says how long it is before it has come to nothing.
func (k *simKubelet) takes(at time.Duration) time.Duration {
	if k.outage.lasts(at) {
		return k.outage.takes
	}
	k.called(at)
	k.created(at)
	if k.verdict == answerNone {
		return kubeletWaits
	}
	return 200 * time.Millisecond
}

func (k *simKubelet) within(most time.Duration) time.Duration {
	return time.Duration(k.dice.Float64() * float64(most))
}

// kubeletDeadline is the part of a certificate's life after which a kubelet rotates it, drawn anew in each of its lives: 70 to 90 % of the
// time from notBefore to notAfter.
func kubeletDeadline(life time.Duration, dice *rand.Rand) time.Duration {
	total := life + backdated
	return time.Duration((0.7+0.2*dice.Float64())*float64(total)) - backdated
}

// requests is how many requests one kubelet makes within a day.
func (k simKubelet) requests() int {
	count := 0
	k.created, k.called = func(time.Duration) { count++ }, func(time.Duration) {}
	k.live(0, aDay)
	return count
}

func TestTheModelOfTheKubeletAsksAsOneThatWasMeasured(t *testing.T) {
	t.Parallel()
	var times []float64
	k := simKubelet{dice: newDice(2), verdict: denyAll, called: func(time.Duration) {}}
	k.created = func(at time.Duration) { times = append(times, at.Seconds()) }
	k.live(0, time.Hour)
	for i, measured := range []float64{0, 2.2, 6.3, 14.5, 30.8, 62.8, 94.8, 126.8} { // of kubelet 1.36.3, denied
		if diff := times[i] - measured; diff < -2 || diff > 4 {
			t.Errorf("request %d after %.1f s, measured: %.1f s", i+1, times[i], measured)
		}
	}
	hourly := 0
	k.created = func(time.Duration) { hourly++ }
	k.live(0, 10*time.Hour)
	if hourly /= 10; hourly < 110 || hourly > 114 {
		t.Errorf("%d requests an hour, measured: 112", hourly)
	}
	k.verdict = answerNone
	if n := k.requests(); n < 92 || n > 97 {
		t.Errorf("%d requests in a day that nobody answers, measured: 96", n)
	}
}
