package e2e

import (
	"net/http"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// wrongClock is the node's own, as a machine has it that takes the hardware's local time for UTC and has not heard of NTP yet.
func wrongClock(by time.Duration) *hurriedClock {
	c := hurry(1)
	c.wrong = by
	return c
}

func lives(client, serving time.Duration) func(*issue) {
	return func(i *issue) {
		i.template.NotAfter = time.Now().Add(client)
		if i.kind == csr.Serving {
			i.template.NotAfter = time.Now().Add(serving)
		}
	}
}

// A certificate that lives for an hour is long over by a clock that is two hours ahead. Taken for the node's, it would be followed
// by a request for another one, and that by the next: an object in the cluster each time.
func TestAClockThatIsAheadOfTheCertificateMakesOneRequestAndWaits(t *testing.T) {
	t.Parallel()
	for kind, twist := range map[csr.Kind]func(*issue){
		csr.Client: lives(time.Hour, time.Hour), csr.Serving: lives(12*time.Hour, time.Hour),
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, twist, nil)
			d := l.startHurried(wrongClock(2 * time.Hour))
			d.awaitStatus(string(kind) + ": clock: the issued certificate")
			d.awaitLog("timedatectl")
			time.Sleep(aWhile())
			d.end()
			if n := len(l.taken(kind)); n != 1 {
				t.Fatalf("%d %s requests were sent within %s", n, kind, aWhile())
			}
			l.start() // the clock is right now
			if kind == csr.Serving {
				l.awaitServing()
			}
			l.awaitJoinedBy(l.first(csr.Client))
			if n := len(l.taken(kind)); n != 1 {
				t.Errorf("%d %s requests were sent", n, kind)
			}
		})
	}
}

// After a restart the API server's time is not known until it is asked something. The node's own clock does not stand in for it.
func TestAfterARestartAClockThatIsBehindDoesNotHoldBackTheProof(t *testing.T) {
	t.Parallel()
	l := newLiar(t, nil, func(w http.ResponseWriter, _ *http.Request) {
		answerStatus(w, http.StatusInternalServerError, "InternalError")
	})
	d := l.startHurried(wrongClock(-time.Hour))
	d.awaitStatus("client: server-error: ")
	d.end()
	l.tell(nil, nil)
	l.startHurried(wrongClock(-time.Hour))
	l.awaitJoinedBy(l.first(csr.Client))
	if n := len(l.taken(csr.Client)); n != 1 {
		t.Errorf("%d requests were sent", n)
	}
}

// A machine that was switched off between issue and proof has a certificate that will never be valid again.
func TestACertificateThatHasExpiredBeforeItWasProvedIsFollowedByAnother(t *testing.T) {
	t.Parallel()
	l := newLiar(t, lives(2*time.Second, time.Hour), func(w http.ResponseWriter, _ *http.Request) {
		answerStatus(w, http.StatusInternalServerError, "InternalError")
	})
	before := l.bootstrapBytes()
	l.expect(l.once("--timeout=1s"), 1, "server-error: ")
	l.assertNotStored(before)
	time.Sleep(2 * time.Second)
	l.tell(nil, nil)
	l.expect(l.once("--timeout=10s"), 3, "was valid until", l.first(csr.Client))
	l.assertNotStored(before)

	const factor = 100
	begin := time.Now()
	l.startHurried(hurry(factor))
	eventually(t, "another request", func() bool { return len(l.taken(csr.Client)) == 2 })
	if took := time.Since(begin); took < 4*time.Minute/factor {
		t.Errorf("another request came after %s, expected about five minutes", took*factor)
	}
	l.awaitJoinedBy(l.taken(csr.Client)[1])
}

// The wait after a denial is counted from the API server's time of it. By a clock that is an hour ahead it would be over at once,
// and so would the next.
func TestAClockThatIsAheadOfADenialMakesOneRequestAndWaits(t *testing.T) {
	t.Parallel()
	l := newLiar(t, func(i *issue) { i.denied = true }, nil, skewed{clock.RealClock{}, -time.Hour})
	before := l.bootstrapBytes()
	d := l.start()
	for range 2 {
		d.awaitStatus("client: the certificate signing request was denied: " + l.first(csr.Client))
		time.Sleep(aWhile())
		l.assertNotStored(before)
		d.kill()
		d = l.start()
	}
}
