package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// forbidReview refuses a SelfSubjectReview in the words of the API server, which tell whom it took the client for.
func forbidReview(user string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusForbidden, map[string]any{
			"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": http.StatusForbidden,
			"details": map[string]any{"group": "authentication.k8s.io", "kind": "selfsubjectreviews"},
			"message": fmt.Sprintf("selfsubjectreviews.authentication.k8s.io is forbidden: User %q cannot create resource %q in API group %q at the cluster scope",
				user, "selfsubjectreviews", "authentication.k8s.io"),
		})
	}
}

func TestARefusedReviewThatNamesTheNodeProvesTheCertificate(t *testing.T) {
	t.Parallel()
	l := newLiar(t, nil, nil)
	l.tell(nil, forbidReview("system:node:"+l.name))
	l.expect(l.once("--timeout=10s"), 0)
	l.awaitJoinedBy(l.first(csr.Client))
}

func TestARefusedReviewThatNamesSomebodyElseProvesNothing(t *testing.T) {
	t.Parallel()
	l := newLiar(t, nil, nil)
	before := l.bootstrapBytes()
	l.tell(nil, forbidReview("system:node:another"))
	l.expect(l.once("--timeout=10s"), 3, `takes the new client certificate for user "system:node:another"`)
	l.assertNotStored(before)
}

// A failure says nothing about the certificate.
func TestAProofThatFailsIsTriedAgainAndTheCertificateKept(t *testing.T) {
	t.Parallel()
	for reason, lie := range map[string]http.HandlerFunc{
		"server-error": func(w http.ResponseWriter, _ *http.Request) {
			answerStatus(w, http.StatusInternalServerError, "InternalError")
		},
		"not-found": http.NotFound,
		"forbidden": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "a firewall", http.StatusForbidden) },
		"bad-answer": func(w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, http.StatusOK, map[string]string{"status": "ok"})
		},
		"redirect":    http.RedirectHandler("https://127.0.0.1:1/", http.StatusFound).ServeHTTP,
		"unreachable": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, nil, lie)
			before := l.bootstrapBytes()
			r := l.once("--timeout=3s") // a busy machine may take one to get to the proof
			l.expect(r, 1, reason+": ask "+l.proxy.URL()+" who we are")
			l.assertNotStored(before)
			if pending := l.pending("kubelet-client"); len(pending.CertificatePEM) == 0 {
				t.Error("the issued certificate was not kept")
			}
			l.tell(nil, nil)
			l.expect(l.once("--timeout=10s"), 0)
			l.awaitJoinedBy(l.first(csr.Client))
			if n := len(l.taken(csr.Client)); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

// API servers may learn of a signer late. After a quarter of an hour the certificate is given up, and later another is asked for.
func TestACertificateThatIsNeverAcceptedIsFollowedByAnotherInItsTime(t *testing.T) {
	t.Parallel()
	const factor = 200
	l := newLiar(t, nil, func(w http.ResponseWriter, _ *http.Request) { answerStatus(w, http.StatusUnauthorized, "Unauthorized") })
	before := l.bootstrapBytes()
	d := l.startHurried(hurry(factor))
	d.awaitStatus("client: the issued certificate cannot be used: " + l.first(csr.Client))
	l.assertNotStored(before)
	proofs := l.proofs()
	lasted := proofs[len(proofs)-1].Sub(proofs[0]) * factor
	if lasted < 14*time.Minute || lasted > 25*time.Minute || len(proofs) > 20 {
		t.Errorf("%d proofs were tried within %s, expected some within a quarter of an hour", len(proofs), lasted)
	}
	given := proofs[len(proofs)-1] // by the answer to the last one
	l.tell(nil, nil)
	eventually(t, "another request", func() bool { return len(l.taken(csr.Client)) == 2 })
	if took := time.Since(given) * factor; took < 4*time.Minute {
		t.Errorf("another request came %s after the first was given up, expected about five minutes", took)
	}
	l.awaitJoinedBy(l.taken(csr.Client)[1])
}

// A signer that issues something wrong will do so again, until somebody mends it.
func TestARefusedCertificateIsFollowedByAnotherInItsTime(t *testing.T) {
	t.Parallel()
	const factor = 200
	l := newLiar(t, func(i *issue) { i.template.Subject.CommonName = "somebody" }, nil)
	before := l.bootstrapBytes()
	d := l.startHurried(hurry(factor))
	for i, least := range []time.Duration{5 * time.Minute, 10 * time.Minute} {
		eventually(t, "a refusal", func() bool { return strings.Count(d.log(), "the request came to nothing") == i+1 })
		l.assertNothingLost(before)
		refused := time.Now()
		if i == 1 {
			l.tell(nil, nil)
		}
		eventually(t, "another request", func() bool { return len(l.taken(csr.Client)) == i+2 })
		if took := time.Since(refused) * factor; took < least-time.Minute {
			t.Errorf("request %d came %s after the one before was refused, expected about %s", i+2, took, least)
		}
	}
	l.awaitJoinedBy(l.taken(csr.Client)[2])
}
