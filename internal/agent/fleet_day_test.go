package agent

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// badDay is a trouble that lasts for a day.
type badDay struct {
	name    string
	kind    csr.Kind
	cluster simCluster
	// most is how many requests a node may make in the day.
	most int
	// kubelet: there is a model of what a kubelet does.
	kubelet bool
}

const crashLoop = 5 * time.Second // RestartSec=5

var badDays = []badDay{
	{"an approver denies every client request", csr.Client, simCluster{verdict: denyAll}, 10, true},
	{"an approver denies every serving request", csr.Serving, simCluster{verdict: denyAll}, 10, true},
	{"the signer fails every request", csr.Client, simCluster{verdict: failAll}, 10, true},
	{"issued, and not accepted by the API server", csr.Client, simCluster{verdict: issueAll, unaccepted: true, life: year}, 10, false},
	{"nobody approves, the client's", csr.Client, simCluster{verdict: answerNone}, 1, true},
	{"nobody approves, the serving", csr.Serving, simCluster{verdict: answerNone}, 1, true},
	{"every request is deleted within two seconds", csr.Client, simCluster{verdict: deleteAll}, 80, true},
	{"the token is not accepted (401)", csr.Client, simCluster{verdict: issueAll, outage: noAccess(0, 2*aDay)}, 0, false},
	{"nothing listens", csr.Client, simCluster{verdict: issueAll, outage: noConnection(0, 2*aDay)}, 0, true},
	{"every packet is lost", csr.Client, simCluster{verdict: issueAll, outage: noAnswer(0, 2*aDay)}, 0, false},
}

// dayOf is what the nodes of a fleet did within a day.
type dayOf struct {
	badDay
	// requests are CertificateSigningRequests that were made, calls all calls that were tried.
	requests, calls         simTally
	crashRequests, crashAPI simTally
	// kubelets and crashKubelets are the requests of as many kubelets.
	kubelets, crashKubelets simTally
	// times are those of one node's requests.
	times []time.Duration
}

func (d dayOf) String() string {
	return fmt.Sprintf("%s: %s requests and %s calls a node, in a crash loop %s and %s (kubelet: %s, in a crash loop %s)",
		d.name, d.requests, d.calls, d.crashRequests, d.crashAPI, d.kubelets, d.crashKubelets)
}

func (b badDay) live(nodes, crashing int) dayOf {
	d := dayOf{badDay: b}
	var mu sync.Mutex
	f := simFleet{nodes: nodes, kind: b.kind}
	f.live(aDay, func() *simWorld { return newWorld(b.cluster) }, func(i int, n *simNode) {
		if i == 0 {
			n.created = func() { d.times = append(d.times, n.world.at) }
		}
	}, func(_ int, n *simNode) {
		mu.Lock()
		defer mu.Unlock()
		d.requests.add(n.objects)
		d.calls.add(n.calls)
	})
	f.nodes = crashing
	f.live(aDay, func() *simWorld { w := newWorld(b.cluster); w.crashEvery = crashLoop; return w }, nil, func(_ int, n *simNode) {
		mu.Lock()
		defer mu.Unlock()
		d.crashRequests.add(n.objects)
		d.crashAPI.add(n.calls)
	})
	if !b.kubelet {
		return d
	}
	for i := range nodes {
		k := simKubelet{dice: newDice(1<<31 + uint64(i)), verdict: b.cluster.verdict, outage: b.cluster.outage}
		d.kubelets.add(k.requests())
		if i < crashing {
			k.crashEvery = crashLoop
			d.crashKubelets.add(k.requests())
		}
	}
	return d
}

func TestATroubleThatLastsForADayMakesFewRequestsAlsoInACrashLoop(t *testing.T) {
	t.Parallel()
	for _, f := range fleets() {
		for _, d := range f.days {
			t.Logf("%d nodes, %d in a crash loop: %s", f.size.day, f.size.crashing, d)
			d.check(t)
		}
	}
}

func (d dayOf) check(t *testing.T) {
	t.Helper()
	if d.requests.most > d.most {
		t.Errorf("%s: %d requests by one node, expected at most %d", d.name, d.requests.most, d.most)
	}
	if d.crashRequests.most > d.most {
		t.Errorf("%s: %d requests by one node in a crash loop, expected at most %d", d.name, d.crashRequests.most, d.most)
	}
	if d.most > 0 && d.requests.least == 0 {
		t.Errorf("%s: a node makes no request at all", d.name)
	}
	if d.calls.most > 2*24*60 {
		t.Errorf("%s: %d calls by one node, more than two a minute", d.name, d.calls.most)
	}
}

// livesOf is how a fleet lives with certificates of one lifetime, for a day or for five of those lives.
type livesOf struct {
	life time.Duration
	// days is for how long all nodes together were looked at; requests and calls are all of theirs, but for the first certificate.
	days            float64
	requests, calls int
	leastGap        time.Duration
	kubelet         int
}

// aDayOf is how many there were of a node in a day.
func (s livesOf) aDayOf(n int) string { return fmt.Sprintf("%.4g", float64(n)/s.days) }

var lives = []time.Duration{10 * time.Minute, 11 * time.Minute, 15 * time.Minute, 20 * time.Minute, time.Hour, aDay, year, 10 * year}

func (s livesOf) String() string {
	return fmt.Sprintf("certificates of %s: %s requests and %s calls a node and day, never within %s of each other (kubelet: %s requests)",
		lifeText(s.life), s.aDayOf(s.requests), s.aDayOf(s.calls), s.leastGap.Round(time.Second), s.aDayOf(s.kubelet))
}

func liveWith(life time.Duration, nodes int) livesOf {
	until := max(aDay, 5*life)
	s := livesOf{life: life, leastGap: neverAgain, days: float64(until) / float64(aDay) * float64(nodes)}
	gaps := make([]time.Duration, nodes)
	f := simFleet{nodes: nodes, boot: time.Minute, kind: csr.Client}
	var mu sync.Mutex
	f.live(until, func() *simWorld { return newWorld(simCluster{verdict: issueAll, life: life}) }, func(i int, n *simNode) {
		last := time.Duration(-1)
		gaps[i] = neverAgain
		n.created = func() {
			if last >= 0 {
				gaps[i] = min(gaps[i], n.world.at-last)
			}
			last = n.world.at
		}
	}, func(_ int, n *simNode) {
		mu.Lock()
		defer mu.Unlock()
		s.requests += n.objects - 1 // the first is not a rotation
		s.calls += n.calls - 3
	})
	s.leastGap = slices.Min(gaps)
	dice := newDice(4)
	for range nodes {
		for at := kubeletDeadline(life, dice); at < until; at += kubeletDeadline(life, dice) {
			s.kubelet++
		}
	}
	return s
}

func TestShortAndLongCertificatesAreRotatedOnceForEachOfTheirLives(t *testing.T) {
	t.Parallel()
	for _, f := range fleets() {
		for _, s := range f.lives {
			t.Logf("%d nodes: %s", f.size.lives, s)
			const least, most = 0.9, 2.0 // 90 % of a life, and half of one
			inLives := float64(s.requests) / s.days / (float64(aDay) / float64(s.life))
			if inLives < least || inLives > most {
				t.Errorf("certificates of %s: %.2f requests in a life", lifeText(s.life), inLives)
			}
			if s.leastGap < s.life/2 {
				t.Errorf("certificates of %s: two requests within %s", lifeText(s.life), s.leastGap)
			}
			if s.calls > 3*s.requests+3*f.size.lives { // one may be under way at the end
				t.Errorf("certificates of %s: %d calls for %d requests, expected 3 for each (create, watch, proof)", lifeText(s.life), s.calls, s.requests)
			}
		}
	}
}
