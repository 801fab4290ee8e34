package csr

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

// Result is how a request stands.
type Result string

const (
	// Waiting: neither approved nor denied, or approved and not issued yet. However long it takes, it is no error.
	Waiting Result = "waiting"
	// Issued: the signer has answered with a certificate.
	Issued Result = "issued"
	// Denied by an approver: final for this object.
	Denied Result = "denied"
	// Failed: the signer cannot issue it: final for this object.
	Failed Result = "failed"
	// Deleted: the object is gone, e.g. by the cluster's clean-up after 24 hours. The same request may be sent again.
	Deleted Result = "deleted"
	// Replaced: an object that is not ours stands under the name.
	Replaced Result = "replaced"
	// Refused: what was issued is not what was asked for, or the API server does not accept it.
	Refused Result = "refused"
)

// Outcome is what the API server said about a request.
type Outcome struct {
	Result Result
	// CertificatePEM is set when Issued.
	CertificatePEM []byte
	// Reason and Message are the approver's or signer's words, when Denied or Failed, or ours.
	Reason, Message string
	// At is when it was decided: the time of the condition, by the API server's clock.
	At time.Time
}

// outcomeOf reads the object. It looks at each condition's status, which client-go does not.
func outcomeOf(object *certificatesv1.CertificateSigningRequest) Outcome {
	for _, ending := range []struct {
		condition certificatesv1.RequestConditionType
		result    Result
	}{{certificatesv1.CertificateDenied, Denied}, {certificatesv1.CertificateFailed, Failed}} {
		if c := conditionOf(object, ending.condition); c != nil {
			at := c.LastTransitionTime.Time
			if at.IsZero() {
				at = c.LastUpdateTime.Time
			}
			return Outcome{Result: ending.result, Reason: c.Reason, Message: c.Message, At: at}
		}
	}
	if Approved(object) && len(object.Status.Certificate) > 0 {
		return Outcome{Result: Issued, CertificatePEM: object.Status.Certificate}
	}
	return Outcome{Result: Waiting}
}

// Plain makes words of others fit to be kept in the pending file, logged, shown in STATUS= and printed on a terminal. The API server bounds
// neither their length nor what they consist of, and a pending file that is too large to be read is a request that is lost.
func Plain(words string) string {
	words = strings.ToValidUTF8(words[:min(len(words), 1<<10)], "")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, words)
}

// Approved says whether an approver has agreed, so that only the signer's work is missing.
func Approved(object *certificatesv1.CertificateSigningRequest) bool {
	return conditionOf(object, certificatesv1.CertificateApproved) != nil
}

func conditionOf(object *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) *certificatesv1.CertificateSigningRequestCondition {
	for i, c := range object.Status.Conditions {
		if c.Type == kind && (c.Status == corev1.ConditionTrue || c.Status == "") {
			return &object.Status.Conditions[i]
		}
	}
	return nil
}

// ours says whether object is the one that p describes. Who created it may have changed with a new bootstrap token; only a
// request sent as the node must have been created by it.
func (p *Pending) ours(object *certificatesv1.CertificateSigningRequest, asNode bool) bool {
	spec := object.Spec
	seconds := int32(0)
	if spec.ExpirationSeconds != nil {
		seconds = *spec.ExpirationSeconds
	}
	usages := p.Wish.Usages()
	return bytes.Equal(bytes.TrimSpace(spec.Request), bytes.TrimSpace(p.RequestPEM)) &&
		spec.SignerName == p.Wish.Kind.Signer() &&
		seconds == p.Wish.ExpirationSeconds &&
		len(spec.Usages) == len(usages) &&
		!slices.ContainsFunc(usages, func(u certificatesv1.KeyUsage) bool { return !slices.Contains(spec.Usages, u) }) &&
		(!asNode || spec.Username == p.Wish.CommonName())
}
