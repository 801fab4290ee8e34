package agent

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// asking is an agent whose client request lies on the disk in this state.
func asking(t *testing.T, m *material, pending string, change func(*csr.Pending)) (*settler, *csr.Pending) {
	t.Helper()
	s, _ := start(t, m, disk{client: "missing", older: "missing", clientPending: pending, serving: "missing", servingPending: "none", bootstrap: true}, durable.Disk{})
	t.Cleanup(s.close)
	p := s.pending(t)
	if change != nil {
		change(p)
		must(t, s.agent.store(p))
	}
	return s, p
}

// pending is the client's request as it is on the disk.
func (s *settler) pending(t *testing.T) *csr.Pending {
	t.Helper()
	content, err := s.agent.dir.ReadPending(certdir.Client)
	must(t, err)
	p, err := csr.DecodePending(content)
	must(t, err)
	return p
}

// wait is how long the client waits before it tries again.
func (s *settler) wait() time.Duration {
	if s.agent.client.retryAt.IsZero() {
		return 0
	}
	return s.agent.client.retryAt.Sub(s.clock.Now())
}

func TestAnIssuedCertificateGoesToTheDiskBeforeAnythingElseHappensToIt(t *testing.T) {
	m := newMaterial(t)
	s, p := asking(t, m, "sent", nil)
	certificate := theCA().issue(p, noon.Add(-time.Minute))
	s.agent.asked(&s.agent.client, csr.Outcome{Result: csr.Issued, CertificatePEM: certificate}, nil)
	if after := s.pending(t); string(after.CertificatePEM) != string(certificate) || after.Ended != nil {
		t.Errorf("on the disk: %s, ended %+v", after.CertificatePEM, after.Ended)
	}
}

func TestACertificateThatWasNotAskedForIsRefusedAndNeverStored(t *testing.T) {
	m := newMaterial(t)
	s, p := asking(t, m, "sent", nil)
	foreign := theCA().issue(m.request(t, p.Wish), noon)
	s.agent.asked(&s.agent.client, csr.Outcome{Result: csr.Issued, CertificatePEM: foreign}, nil)
	after := s.pending(t)
	if after.Ended == nil || after.Ended.Outcome != csr.Refused || len(after.CertificatePEM) > 0 || !strings.Contains(after.Ended.Message, "another key") {
		t.Errorf("%+v with %q", after.Ended, after.CertificatePEM)
	}
	if _, err := s.agent.dir.Read(certdir.Client); err == nil {
		t.Error("it is in use")
	}
}

func TestTheEndOfARequestIsKeptOverRestartsAndSaysWhatToDo(t *testing.T) {
	m := newMaterial(t)
	for _, outcome := range []csr.Result{csr.Denied, csr.Failed, csr.Replaced} {
		s, _ := asking(t, m, "sent", nil)
		s.agent.asked(&s.agent.client, csr.Outcome{Result: outcome, Reason: "Policy", Message: "no", At: noon.Add(-10 * time.Second)}, nil)
		after := s.pending(t)
		if after.Ended == nil || after.Ended.Outcome != outcome || after.Ended.Reason != "Policy" || !after.Ended.At.Equal(noon.Add(-10*time.Second)) {
			t.Errorf("%s: on the disk %+v", outcome, after.Ended)
		}
		for _, text := range []string{endings[outcome], "(Policy: no)", remedies[outcome], after.Name} {
			if !strings.Contains(s.agent.client.trouble, text) {
				t.Errorf("%s: %q does not say %q", outcome, s.agent.client.trouble, text)
			}
		}
	}
	s, _ := asking(t, m, "sent", nil)
	s.agent.asked(&s.agent.client, csr.Outcome{Result: csr.Failed}, nil)
	if after := s.pending(t); !after.Ended.At.Equal(noon) {
		t.Errorf("a signer that gives no time: ended at %s, expected now", after.Ended.At)
	}
}

func TestADeletedRequestIsSentAgainAtOnceOnlyIfTheClusterCleanedItUp(t *testing.T) {
	m := newMaterial(t)
	for _, c := range []struct {
		name        string
		accepted    time.Time
		least, most time.Duration
	}{
		{"after ten minutes: somebody deleted it", noon.Add(-10 * time.Minute), time.Minute, time.Minute},
		{"after 23 hours", noon.Add(-23 * time.Hour), time.Minute, time.Minute},
		{"after a day: the cluster cleaned up", noon.Add(-24 * time.Hour), 0, 0},
		{"nobody knows when it was made", time.Time{}, time.Minute, time.Minute},
	} {
		s, p := asking(t, m, "sent", func(p *csr.Pending) { p.Accepted = c.accepted })
		s.agent.asked(&s.agent.client, csr.Outcome{Result: csr.Deleted}, nil)
		after := s.pending(t)
		if after.UID != "" || after.Name != p.Name || string(after.RequestPEM) != string(p.RequestPEM) {
			t.Errorf("%s: %+v on the disk, expected the same request, to be sent again", c.name, after)
		}
		if wait := s.wait(); wait < c.least || wait > c.most {
			t.Errorf("%s: sent again after %s, expected %s to %s", c.name, wait, c.least, c.most)
		}
	}
}

func TestAnAnswerToARequestThatIsGoneChangesNothing(t *testing.T) {
	m := newMaterial(t)
	s, _ := asking(t, m, "sent", nil)
	must(t, s.agent.dir.RemovePending(certdir.Client))
	s.agent.asked(&s.agent.client, csr.Outcome{Result: csr.Denied}, nil)
	s.agent.accepted(&s.agent.client, &certificatesv1.CertificateSigningRequest{})
	if content, err := s.agent.dir.ReadPending(certdir.Client); content != nil || err != nil {
		t.Errorf("%q, %v on the disk", content, err)
	}
}

func TestFromAcceptanceOnARestartReadsTheObjectInsteadOfSendingIt(t *testing.T) {
	m := newMaterial(t)
	s, p := asking(t, m, "fresh", nil)
	s.agent.client.fail(rotate.NoAnswer, noon, 0, "unreachable")
	object := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: p.Name, UID: "uid-1", CreationTimestamp: metav1.NewTime(noon)}}
	s.agent.accepted(&s.agent.client, object)
	if after := s.pending(t); after.UID != "uid-1" || !after.Accepted.Equal(noon) {
		t.Errorf("%q since %s on the disk", after.UID, after.Accepted)
	}
	if s.agent.client.trouble != "" || !s.agent.client.accepted.Equal(noon) || !s.agent.client.approved.IsZero() {
		t.Errorf("trouble %q, accepted %s, approved %s", s.agent.client.trouble, s.agent.client.accepted, s.agent.client.approved)
	}
	object.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: "True"}}
	s.agent.accepted(&s.agent.client, object)
	if !s.agent.client.approved.Equal(noon) {
		t.Error("the approval was not noticed")
	}
	other := object.DeepCopy()
	other.Name, other.UID = "another", "uid-2"
	s.agent.accepted(&s.agent.client, other)
	if after := s.pending(t); after.UID != "uid-1" {
		t.Errorf("another object's uid %s is on the disk", after.UID)
	}
}

func TestEachFailureIsTriedAgainAsThePolicySays(t *testing.T) {
	m := newMaterial(t)
	status := func(code int) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: "Failure", Code: int32(code), Message: "by a test"}}
	}
	for _, c := range []struct {
		name        string
		err         error
		least, most time.Duration
	}{
		{"unauthorized: the token's Secret may be a moment late", status(http.StatusUnauthorized), 500 * time.Millisecond, time.Second},
		{"forbidden: a role binding is missing", status(http.StatusForbidden), 30 * time.Second, 30 * time.Second},
		{"not found: no API server of ours", status(http.StatusNotFound), 30 * time.Second, 30 * time.Second},
		{"invalid", status(http.StatusUnprocessableEntity), 30 * time.Second, 30 * time.Second},
		{"redirected", apiserver.ErrRedirect, 30 * time.Second, 30 * time.Second},
		{"overloaded", apierrors.NewTooManyRequests("by a test", 7), 7 * time.Second, 7 * time.Second},
		{"server error", status(http.StatusInternalServerError), 0, time.Second},
		{"nonsense", errors.New("invalid character"), 0, time.Second},
	} {
		s, _ := asking(t, m, "fresh", nil)
		s.agent.asked(&s.agent.client, csr.Outcome{}, c.err)
		if wait := s.wait(); wait < c.least || wait > c.most {
			t.Errorf("%s: tried again after %s, expected %s to %s", c.name, wait, c.least, c.most)
		}
		if !strings.Contains(s.agent.client.trouble, c.err.Error()) {
			t.Errorf("%s: %q", c.name, s.agent.client.trouble)
		}
	}
}

func TestFailuresOfOneKindInARowCount(t *testing.T) {
	var m memory
	var waits []time.Duration
	for _, kind := range []rotate.Failure{rotate.Forbidden, rotate.NotInWindow, rotate.Deleted, rotate.Deleted, rotate.Deleted, rotate.Deleted} {
		m.fail(kind, noon, 0, "trouble")
		waits = append(waits, m.retryAt.Sub(noon).Truncate(time.Minute))
	}
	if m.failures != 4 || m.trouble != "trouble" || slices.Max(waits) > 8*time.Minute {
		t.Errorf("%d failures, %q, waits %v", m.failures, m.trouble, waits)
	}
	m.succeed()
	if m.failures != 0 || m.trouble != "" || !m.retryAt.IsZero() {
		t.Errorf("after a success: %+v", m)
	}
}

func TestA403OnARequestThatWasAcceptedIsTriedAgainSoon(t *testing.T) {
	s, _ := asking(t, newMaterial(t), "sent", nil)
	s.agent.asked(&s.agent.client, csr.Outcome{}, &apierrors.StatusError{ErrStatus: metav1.Status{Status: "Failure", Code: http.StatusForbidden}})
	if wait := s.wait(); wait > time.Second {
		t.Errorf("tried again after %s: an API server that has just started has not loaded its roles yet", wait)
	}
}
