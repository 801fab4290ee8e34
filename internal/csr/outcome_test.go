package csr

import (
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func condition(kind certificatesv1.RequestConditionType, status corev1.ConditionStatus) certificatesv1.CertificateSigningRequestCondition {
	return certificatesv1.CertificateSigningRequestCondition{
		Type: kind, Status: status, Reason: "Because", Message: "of " + string(kind), LastTransitionTime: metav1.NewTime(noon),
	}
}

func TestTheOutcomeIsReadFromConditionsThatAreTrue(t *testing.T) {
	const approved, denied, failed = certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed
	const yes, no, unknown = corev1.ConditionTrue, corev1.ConditionFalse, corev1.ConditionUnknown
	type conditions = []certificatesv1.CertificateSigningRequestCondition
	for _, c := range []struct {
		name        string
		conditions  conditions
		certificate string
		result      Result
		approved    bool
	}{
		{"nothing yet", nil, "", Waiting, false},
		{"approved, and the signer has not answered", conditions{condition(approved, yes)}, "", Waiting, true},
		{"approved and issued", conditions{condition(approved, yes)}, "PEM", Issued, true},
		{"approved by an old client that sets no status", conditions{condition(approved, "")}, "PEM", Issued, true},
		{"a certificate that nobody approved", nil, "PEM", Waiting, false},
		{"an approval that is not true", conditions{condition(approved, no)}, "PEM", Waiting, false},
		{"an approval that nobody knows of", conditions{condition(approved, unknown)}, "PEM", Waiting, false},
		{"denied", conditions{condition(denied, yes)}, "", Denied, false},
		{"a denial that is not true", conditions{condition(denied, no)}, "", Waiting, false},
		{"a denial that is not true, and issued", conditions{condition(denied, no), condition(approved, yes)}, "PEM", Issued, true},
		{"approved and denied", conditions{condition(approved, yes), condition(denied, yes)}, "", Denied, true},
		{"approved, denied, and yet issued", conditions{condition(approved, yes), condition(denied, yes)}, "PEM", Denied, true},
		{"failed", conditions{condition(approved, yes), condition(failed, yes)}, "", Failed, true},
		{"failed, and yet issued", conditions{condition(approved, yes), condition(failed, yes)}, "PEM", Failed, true},
		{"a failure that is not true", conditions{condition(approved, yes), condition(failed, no)}, "PEM", Issued, true},
		{"denied and failed", conditions{condition(failed, yes), condition(denied, yes)}, "", Denied, false},
		{"a condition of another kind", conditions{condition("Audited", yes)}, "", Waiting, false},
	} {
		object := &certificatesv1.CertificateSigningRequest{Status: certificatesv1.CertificateSigningRequestStatus{Conditions: c.conditions, Certificate: []byte(c.certificate)}}
		outcome := outcomeOf(object)
		if outcome.Result != c.result || Approved(object) != c.approved {
			t.Errorf("%s: %s, approved %v, expected %s, %v", c.name, outcome.Result, Approved(object), c.result, c.approved)
		}
		if (string(outcome.CertificatePEM) == "PEM") != (c.result == Issued) {
			t.Errorf("%s: certificate %q", c.name, outcome.CertificatePEM)
		}
		told := outcome.Reason == "Because" && strings.EqualFold(outcome.Message, "of "+string(c.result)) && outcome.At.Equal(noon)
		if ended := c.result == Denied || c.result == Failed; ended != told {
			t.Errorf("%s: reason %q, message %q, at %s", c.name, outcome.Reason, outcome.Message, outcome.At)
		}
	}
}

func TestWhenItEndedIsTheConditionsTime(t *testing.T) {
	later := metav1.NewTime(noon.Add(time.Hour))
	for _, c := range []struct {
		transition, update metav1.Time
		at                 time.Time
	}{
		{metav1.NewTime(noon), later, noon},
		{metav1.Time{}, later, later.Time},
		{metav1.Time{}, metav1.Time{}, time.Time{}},
	} {
		denied := condition(certificatesv1.CertificateDenied, corev1.ConditionTrue)
		denied.LastTransitionTime, denied.LastUpdateTime = c.transition, c.update
		object := &certificatesv1.CertificateSigningRequest{}
		object.Status.Conditions = append(object.Status.Conditions, denied)
		if at := outcomeOf(object).At; !at.Equal(c.at) {
			t.Errorf("%s, expected %s", at, c.at)
		}
	}
}

func TestAnObjectIsOursOnlyIfItAsksForExactlyTheSame(t *testing.T) {
	p := newPending(t, servingWish)
	other := newPending(t, servingWish)
	for _, c := range []struct {
		name           string
		change         func(*certificatesv1.CertificateSigningRequestSpec)
		asNode, before bool // ours when sent as the node; with a bootstrap credential
	}{
		{"the same", func(*certificatesv1.CertificateSigningRequestSpec) {}, true, true},
		{"usages in another order", func(s *certificatesv1.CertificateSigningRequestSpec) {
			s.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageServerAuth, certificatesv1.UsageDigitalSignature}
		}, true, true},
		{"white space around the request", func(s *certificatesv1.CertificateSigningRequestSpec) { s.Request = append(s.Request, '\n', ' ') }, true, true},
		{"made with an earlier token", func(s *certificatesv1.CertificateSigningRequestSpec) { s.Username = "system:bootstrap:abcdef" }, false, true},
		{"made as another node", func(s *certificatesv1.CertificateSigningRequestSpec) { s.Username = "system:node:worker-2" }, false, true},
		{"another request", func(s *certificatesv1.CertificateSigningRequestSpec) { s.Request = other.RequestPEM }, false, false},
		{"no request", func(s *certificatesv1.CertificateSigningRequestSpec) { s.Request = nil }, false, false},
		{"another signer", func(s *certificatesv1.CertificateSigningRequestSpec) { s.SignerName = Client.Signer() }, false, false},
		{"a usage more", func(s *certificatesv1.CertificateSigningRequestSpec) {
			s.Usages = append(s.Usages, certificatesv1.UsageClientAuth)
		}, false, false},
		{"a usage less", func(s *certificatesv1.CertificateSigningRequestSpec) { s.Usages = s.Usages[1:] }, false, false},
		{"another usage", func(s *certificatesv1.CertificateSigningRequestSpec) {
			s.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}
		}, false, false},
		{"a usage twice", func(s *certificatesv1.CertificateSigningRequestSpec) {
			s.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageDigitalSignature}
		}, false, false},
		{"another life", func(s *certificatesv1.CertificateSigningRequestSpec) { *s.ExpirationSeconds = 7200 }, false, false},
		{"no life asked for", func(s *certificatesv1.CertificateSigningRequestSpec) { s.ExpirationSeconds = nil }, false, false},
	} {
		seconds := p.Wish.ExpirationSeconds
		object := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: append([]byte{}, p.RequestPEM...), SignerName: Serving.Signer(), Usages: p.Wish.Usages(),
			ExpirationSeconds: &seconds, Username: "system:node:worker-1",
		}}
		c.change(&object.Spec)
		if p.ours(object, true) != c.asNode || p.ours(object, false) != c.before {
			t.Errorf("%s: ours as the node %v, with a credential %v, expected %v, %v", c.name, p.ours(object, true), p.ours(object, false), c.asNode, c.before)
		}
	}
	plain := newPending(t, clientWish)
	object := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{Request: plain.RequestPEM, SignerName: Client.Signer(), Usages: plain.Wish.Usages()}}
	if !plain.ours(object, false) {
		t.Error("a request that asks for no certain life is not found again")
	}
}
