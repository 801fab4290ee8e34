package agent

import (
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// cleanedUp is what kube-controller-manager's csrcleaner does about a request, by its published times: an hour after a decision that
// was carried out, 24 hours after one that was not, or after the creation when there is none.
func cleanedUp(condition certificatesv1.RequestConditionType, certificate string, age, sinceCondition time.Duration) bool {
	switch condition {
	case "":
		return age > 24*time.Hour
	case certificatesv1.CertificateApproved:
		return certificate == "expired" || certificate != "" && sinceCondition > time.Hour || sinceCondition > 24*time.Hour
	default:
		return sinceCondition > time.Hour
	}
}

// The fourteen cases of TestCleanerWithApprovedExpiredCSR, and what an agent does that has not looked for so long and finds its
// request gone: it sends the same one again, at once when the cluster's clock for unanswered requests has run out, else after a
// minute. What was denied or failed is an end that it has noted; the object is not missed.
func TestARequestThatTheClusterCleansUpIsNeverFollowedByAnotherKey(t *testing.T) {
	const approved, denied, failed = certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed
	const minute, hour = time.Minute, time.Hour
	m := newMaterial(t)
	for _, c := range []struct {
		name        string
		age         time.Duration
		condition   certificatesv1.RequestConditionType
		since       time.Duration
		certificate string
		deleted     bool
		// again is how long the agent waits before it sends the same request again.
		again time.Duration
	}{
		{"approved and issued 50 minutes ago", minute, approved, 50 * minute, "valid", false, 0},
		{"approved 50 minutes ago, not issued", minute, approved, 50 * minute, "", false, 0},
		{"approved and issued two hours ago", 2 * hour, approved, 2 * hour, "valid", true, minute},
		{"denied 50 minutes ago", minute, denied, 50 * minute, "", false, 0},
		{"denied two hours ago", 2 * hour, denied, 2 * hour, "", true, 0},
		{"failed 50 minutes ago", 2 * hour, failed, 50 * minute, "", false, 0},
		{"failed two hours ago", 2 * hour, failed, 2 * hour, "", true, 0},
		{"not answered for five hours", 5 * hour, "", 0, "", false, 0},
		{"not answered for 25 hours", 25 * hour, "", 0, "", true, 0},
		{"approved 25 hours ago, not issued", 25 * hour, approved, 25 * hour, "", true, 0},
		{"approved five hours ago, not issued", 5 * hour, approved, 5 * hour, "", false, 0},
		{"approved 50 minutes ago, and the certificate is valid still", minute, approved, 50 * minute, "valid", false, 0},
		{"approved 50 minutes ago, and the certificate has expired", 50 * minute, approved, 50 * minute, "expired", true, minute},
		{"approved two hours ago, and what was issued means nothing", 2 * hour, approved, 2 * hour, "garbage", true, minute},
	} {
		if cleanedUp(c.condition, c.certificate, c.age, c.since) != c.deleted {
			t.Errorf("%s: the cluster cleans it up: %v, expected %v", c.name, !c.deleted, c.deleted)
		}
		if !c.deleted {
			continue
		}
		s, p := asking(t, m, "sent", func(p *csr.Pending) { p.Accepted = noon.Add(-c.age) })
		if c.condition == denied || c.condition == failed {
			outcome := map[certificatesv1.RequestConditionType]csr.Result{denied: csr.Denied, failed: csr.Failed}[c.condition]
			s.agent.asked(&s.agent.client, csr.Outcome{Result: outcome, At: noon.Add(-c.since)}, nil)
			if after := s.pending(t); after.Ended == nil || after.Name != p.Name {
				t.Errorf("%s: %+v of %s is on the disk, expected the end of %s", c.name, after.Ended, after.Name, p.Name)
			}
			continue
		}
		s.agent.asked(&s.agent.client, csr.Outcome{Result: csr.Deleted}, nil)
		after := s.pending(t)
		if after.Name != p.Name || string(after.KeyPEM) != string(p.KeyPEM) || after.UID != "" || after.Ended != nil {
			t.Errorf("%s: %s with uid %q, ended %v, expected the same request, to be sent again", c.name, after.Name, after.UID, after.Ended)
		}
		if wait := s.wait(); wait != c.again {
			t.Errorf("%s: sent again after %s, expected %s", c.name, wait, c.again)
		}
	}
}
