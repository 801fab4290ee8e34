package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// answerProofs are those of the group "what comes back".
var answerProofs = map[string]proof{
	"certificate-for-another-key": refused(func(i *issue) {
		if other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			i.key = other.Public()
		}
	}),
	"certificate-for-another-node":       refused(func(i *issue) { i.template.Subject.CommonName = "system:node:another" }),
	"certificate-without-the-usage":      refused(func(i *issue) { i.template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }),
	"certificate-not-yet-valid":          proveNotYetValid,
	"serving-certificate-without-a-name": proveServingWithoutName,
	"proof-unauthorized": unproved("Unauthorized", func(w http.ResponseWriter, _ *http.Request) {
		answerStatus(w, http.StatusUnauthorized, "Unauthorized")
	}),
	"proof-as-somebody-else": unproved("system:anonymous", func(w http.ResponseWriter, _ *http.Request) {
		answerReview(w, "system:anonymous", "system:unauthenticated")
	}),
	"kubelet-client-ca-unknown": proveClientCAUnknown,
}

// refused is for a certificate that is not what was asked for: it is not even tried.
func refused(twist func(*issue)) proof {
	return func(t *testing.T, row scenarios.Scenario) {
		once := newLiar(t, twist, nil)
		before := once.bootstrapBytes()
		for range 2 {
			r := once.once("--timeout=10s")
			once.expect(r, row.OnceExit, row.Says, once.first(csr.Client))
			once.assertNotStored(before)
		}
		if watches := times(once.seen, http.MethodGet); len(watches) != 1 {
			t.Errorf("the second agent has asked again for what the first one knew: %v", once.seen.Requests())
		}

		l := newLiar(t, twist, nil)
		before = l.bootstrapBytes()
		d := l.start()
		for attempt := range 2 {
			d.awaitLog(row.Says)
			d.awaitStatus("client: the issued certificate cannot be used: " + l.first(csr.Client))
			d.awaitStatus(row.Says)
			time.Sleep(aWhile())
			l.assertNotStored(before)
			d.shows(row, scenarios.Waits)
			if attempt == 0 {
				d.showsSigns(row)
			}
			d.kill()
			d = l.start()
		}
		d.awaitStatus(row.Says)
		if n := len(l.proofs()); n != 0 {
			t.Errorf("the certificate was used %d times", n)
		}
		d.shows(row, scenarios.Waits)
	}
}

// assertNotStored shows that what came back is nobody's identity, that one request was made, and that it and the credential are
// still there.
func (l *liar) assertNotStored(before theFile) {
	l.t.Helper()
	name := l.assertNothingLost(before)
	if taken := l.taken(csr.Client); len(taken) != 1 || taken[0] != name {
		l.t.Errorf("requests %v were sent, expected only %s", taken, name)
	}
}

// awaitJoinedBy waits until the node has the client certificate that the liar has issued for this request, and is rid of its credential.
func (l *liar) awaitJoinedBy(name string) {
	l.t.Helper()
	eventually(l.t, "the node has joined", func() bool {
		_, err := l.certDir().Read(certdir.Client)
		return err == nil && l.pending(certdir.Client) == nil
	})
	pair, err := l.certDir().Read(certdir.Client)
	must(l.t, err)
	if err := pair.Leaf.CheckSignatureFrom(l.ca); err != nil || pair.Leaf.Subject.CommonName != "system:node:"+l.name {
		l.t.Errorf("the client pair is for %s: %v", pair.Leaf.Subject, err)
	}
	l.assertThere(l.kubeconfig())
	if taken := l.taken(csr.Client); taken[len(taken)-1] != name {
		l.t.Errorf("requests %v were sent, expected %s to be the last", taken, name)
	}
	l.awaitRid()
}

func proveNotYetValid(t *testing.T, row scenarios.Scenario) {
	inAnHour := func(i *issue) { i.template.NotBefore = time.Now().Add(time.Hour) }
	once := newLiar(t, inAnHour, nil)
	before := once.bootstrapBytes()
	for range 2 {
		once.expect(once.once("--timeout=2s"), row.OnceExit, "clock: ", row.Says)
		once.assertNotStored(before)
	}

	l := newLiar(t, inAnHour, nil)
	before = l.bootstrapBytes()
	d := l.start()
	for range 2 {
		d.awaitLog("reason=clock")
		d.awaitStatus(row.Says)
		l.assertNotStored(before)
		d.showsSigns(row)
		d.kill()
		d = l.start()
	}
	d.kill()
	proveBecomesValid(t, row)
}

// proveBecomesValid shows that the time of the API server counts, which is an hour behind here. By the local clock the certificate
// is long since valid.
func proveBecomesValid(t *testing.T, row scenarios.Scenario) {
	c := hurry(10)
	l := newLiar(t, nil, nil, skewed{c, -time.Hour})
	l.tell(func(i *issue) {
		i.template.NotBefore, i.template.NotAfter = l.clock.Now().Add(45*time.Second), l.clock.Now().Add(12*time.Hour)
	}, nil)
	before := l.bootstrapBytes()
	d := l.startHurried(c)
	d.awaitStatus(row.Says)
	l.assertNotStored(before)
	if n := len(l.proofs()); n != 0 {
		t.Errorf("the certificate was used %d times before it was valid", n)
	}
	l.awaitJoinedBy(l.first(csr.Client))
	if n := len(l.taken(csr.Client)); n != 1 {
		t.Errorf("%d requests were sent", n)
	}
	d.shows(row, scenarios.GoesOn)
}

// skewed is a clock that is ahead of another.
type skewed struct {
	clock.PassiveClock
	ahead time.Duration
}

func (s skewed) Now() time.Time { return s.PassiveClock.Now().Add(s.ahead) }

func proveServingWithoutName(t *testing.T, row scenarios.Scenario) {
	dropName := func(i *issue) {
		if i.kind == csr.Serving {
			i.template.DNSNames = nil
		}
	}
	once := newLiar(t, dropName, nil)
	for range 2 {
		r := once.once("--timeout=10s")
		once.expect(r, row.OnceExit, row.Says, once.first(csr.Serving))
		once.assertPlaceholder()
	}

	l := newLiar(t, dropName, nil)
	d := l.start()
	l.awaitJoinedBy(l.first(csr.Client))
	for attempt := range 2 {
		d.awaitLog(row.Says)
		d.awaitStatus("serving: the issued certificate cannot be used: " + l.first(csr.Serving))
		d.awaitStatus(row.Says)
		time.Sleep(aWhile())
		l.assertPlaceholder()
		d.shows(row, scenarios.Waits)
		if attempt == 0 {
			d.showsSigns(row)
		}
		d.kill()
		d = l.start()
	}
	d.awaitStatus(row.Says)
	d.shows(row, scenarios.Waits)
}

// assertPlaceholder shows that the node has its identity, by one request, and serves its own placeholder.
func (l *liar) assertPlaceholder() {
	l.t.Helper()
	pair, err := l.certDir().Read(certdir.Serving)
	must(l.t, err)
	if l.servingIssued() || pair.Leaf.CheckSignatureFrom(l.ca) == nil {
		l.t.Errorf("the serving certificate is %s of %s", pair.Leaf.Subject, pair.Leaf.Issuer)
	}
	if client, serving := l.taken(csr.Client), l.taken(csr.Serving); len(client) != 1 || len(serving) != 1 {
		l.t.Errorf("requests %v and %v were sent, expected one of each", client, serving)
	}
	l.assertGone(l.bootstrapFile())
}

// unproved is for a certificate that is as it should be, and which the API server takes for another's, or nobody's, for a time.
func unproved(cameBack string, lie http.HandlerFunc) proof {
	return func(t *testing.T, row scenarios.Scenario) {
		once := newLiar(t, nil, lie)
		before := once.bootstrapBytes()
		for range 2 {
			once.expect(once.once("--timeout=10s"), row.OnceExit, row.Says, "refused: ", once.proxy.URL(), cameBack, "--client-ca-file")
			once.assertNotStored(before)
		}

		l := newLiar(t, nil, lie)
		before = l.bootstrapBytes()
		d := l.start()
		for attempt := range 2 {
			d.awaitLog("reason=refused")
			d.awaitStatus("client: refused: ")
			d.awaitStatus(row.Says)
			time.Sleep(aMoment)
			l.assertNotStored(before)
			if n := len(l.proofs()); n != attempt+1 {
				t.Errorf("%d proofs were tried by %d agents, each for a moment; expected one each", n, attempt+1)
			}
			d.showsSigns(row)
			d.kill()
			d = l.start()
		}
		d.kill()

		const factor = 20
		h := l.startHurried(hurry(factor))
		eventually(t, "a proof, and another", func() bool { return len(l.proofs()) >= 5 })
		assertApart(t, "proof", l.proofs()[3:], 30*time.Second/factor)
		l.assertNotStored(before)
		l.tell(nil, nil)
		l.awaitJoinedBy(l.first(csr.Client))
		if n := len(l.taken(csr.Client)); n != 1 {
			t.Errorf("%d requests were sent", n)
		}
		h.shows(row, scenarios.GoesOn)
	}
}
