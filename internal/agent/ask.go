package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// ask sends a request, or finds it again, and waits for its end.
func (a *Agent) ask(ctx context.Context, m *memory, p *csr.Pending, api *apiserver.Client) {
	m.asNode = a.identity != nil && a.identity.api == api
	if !a.foundSynced(m) {
		return
	}
	bootstrap := !m.asNode
	request := *p // the loop goes on with its own copy from the disk
	a.task(ctx, m, func(ctx context.Context) func() {
		asker := &csr.Asker{
			API: api, Clock: a.Clock, AsNode: p.AsNode || p.Wish.Kind == csr.Serving,
			Accepted: func(object *certificatesv1.CertificateSigningRequest) {
				a.send(ctx, func() {
					a.noteTime(api) // it may wait for days from now on, and a clock that is wrong is seen meanwhile
					a.accepted(m, object)
				})
			},
			Unwatchable: func(err error) {
				a.log.Warn("the certificate signing request cannot be watched, so it is read again and again; bind system:node-bootstrapper",
					"certificate", m.name, "csr", request.Name, "err", err)
			},
		}
		outcome, err := asker.Ask(ctx, &request)
		if bootstrap {
			api.Close()
		}
		return func() {
			a.noteTime(api)
			a.asked(m, outcome, err)
		}
	})
}

// accepted notes that the API server has the request: from now on a restart reads it instead of sending it again.
func (a *Agent) accepted(m *memory, object *certificatesv1.CertificateSigningRequest) {
	p := a.pending(m)
	if p == nil { // it cannot be read: what is asked for must be known when the answer comes
		m.abandon()
		return
	}
	if p.Name != object.Name {
		return
	}
	if m.asNode {
		a.heardAsNode(nil)
	}
	if m.accepted.IsZero() {
		m.accepted = a.Clock.Now()
		a.log.Info("the API server has the certificate signing request", "certificate", m.name, "csr", p.Name, "created", object.CreationTimestamp.UTC().Format(time.RFC3339))
	}
	if m.failure != rotate.LocalTrouble { // the disk may still be in trouble, and has a pause that grows
		m.succeed()
	}
	switch approved := csr.Approved(object); {
	case !approved:
		m.approved = time.Time{}
	case m.approved.IsZero():
		m.approved = a.Clock.Now()
	}
	if p.UID == string(object.UID) {
		return
	}
	if p.UID == "" {
		m.created = m.accepted
		a.Metrics.Requested(string(m.name), "created")
	}
	p.UID, p.Accepted = string(object.UID), object.CreationTimestamp.Time
	if !a.disk(m, "store the certificate signing request's uid", func() error { return a.store(p) }) {
		m.abandon() // the same request is sent again, and found
	}
}

// pending reads the request under way: the disk is what counts, not what is remembered of it.
func (a *Agent) pending(m *memory) *csr.Pending {
	content, err := a.dir.ReadPending(prefixOf(m.name))
	if err != nil || content == nil {
		return nil
	}
	p, err := csr.DecodePending(content)
	if err != nil {
		return nil
	}
	return p
}

// asked deals with the answer to a request.
func (a *Agent) asked(m *memory, outcome csr.Outcome, err error) {
	p := a.pending(m)
	switch {
	case err != nil && p != nil && p.UID != "" && apiserver.ReasonOf(err) == apiserver.Forbidden:
		// it was allowed once: an API server that has just started has not loaded its roles yet
		a.retry(m, rotate.NoAnswer, string(apiserver.Forbidden), err, apiserver.Forbidden.Remedy())
	case err != nil:
		a.failed(m, err)
	case p == nil:
		return
	case outcome.Result == csr.Issued:
		a.issued(m, p, outcome)
	case outcome.Result == csr.Deleted:
		a.deleted(m, p)
	default:
		outcome.At = a.byOurClock(outcome.At) // the condition's
		a.end(m, p, outcome)
	}
}

// issued puts the certificate into the pending file before anything else happens to it.
func (a *Agent) issued(m *memory, p *csr.Pending, outcome csr.Outcome) {
	p.CertificatePEM = outcome.CertificatePEM
	leaf, err := p.Check()
	if err != nil {
		p.CertificatePEM = nil
		a.end(m, p, csr.Outcome{Result: csr.Refused, Reason: "WrongCertificate", Message: err.Error(), At: a.Clock.Now()})
		return
	}
	if !a.disk(m, "store the issued certificate", func() error { return a.store(p) }) {
		return
	}
	a.Metrics.Requested(string(m.name), string(csr.Issued))
	a.Metrics.Waited(string(m.name), a.waited(m, p))
	a.log.Info("the certificate was issued", "certificate", m.name, "csr", p.Name,
		"issuer", leaf.Issuer.String(), "until", leaf.NotAfter.UTC().Format(time.RFC3339))
}

// deleted deals with an object that is gone: the same request is sent again, at once when the cluster's own clean-up took it.
func (a *Agent) deleted(m *memory, p *csr.Pending) {
	now := a.Clock.Now()
	old := !p.Accepted.IsZero() && a.serverTime().Sub(p.Accepted) > rotate.OldRequest && (m.resent.IsZero() || now.Sub(m.resent) > rotate.OldRequest)
	p.UID = ""
	a.Metrics.Requested(string(m.name), string(csr.Deleted))
	if old {
		p.Deletions, p.AgainAt = 0, time.Time{}
	} else {
		p.AgainAt = now.Add(rotate.Wait(rotate.Deleted, p.Deletions, rand.Float64(), 0))
		p.Deletions++
	}
	stored := a.disk(m, "store that the request is gone", func() error { return a.store(p) })
	if old && stored {
		m.resent = now
		a.log.Info("the cluster has cleaned up the certificate signing request; sending it again", "certificate", m.name, "csr", p.Name)
		return
	}
	m.ended = &csr.Ended{Outcome: csr.Deleted, At: now}
	a.Metrics.Failed(phaseOf(m.name), string(csr.Deleted))
	if stored {
		m.retryAt = p.AgainAt
	}
	text, remedy := fmt.Sprintf("certificate signing request %s was deleted before it was answered", p.Name), "the same one will be sent again"
	m.trouble = fmt.Sprintf("%s: %s; %s", csr.Deleted, text, remedy)
	a.log.Warn("will try again", "certificate", m.name, "reason", csr.Deleted, "err", text, "remedy", remedy, "at", p.AgainAt.UTC().Format(time.RFC3339Nano))
}

// end notes how a request came to nothing. The next one has another key, and waits as the policy says.
func (a *Agent) end(m *memory, p *csr.Pending, outcome csr.Outcome) {
	ended := &csr.Ended{Outcome: outcome.Result, Reason: csr.Plain(outcome.Reason), Message: csr.Plain(outcome.Message), At: endedAt(outcome.At, p.Made, a.Clock.Now())}
	p.Ended, m.ended = ended, ended
	a.disk(m, "store how the request ended", func() error { return a.store(p) })
	a.countEnd(m, ended.Outcome)
	m.trouble = a.endedText(p)
	a.log.Error("the request came to nothing", "certificate", m.name, "csr", p.Name, "why", endings[outcome.Result], "reason", ended.Reason, "message", ended.Message,
		"next", nextKey(p).UTC().Format(time.RFC3339), "remedy", remedies[outcome.Result])
}

// endedAt is when a request ended, as far as that can be believed: not before it was made, and not later than now. By a condition of
// 1970 the next request would be due at once, and so would each one after it; by one of 9999 none ever would.
func endedAt(said, made, now time.Time) time.Time {
	switch {
	case said.IsZero(), said.After(now), made.After(now):
		return now
	case said.Before(made):
		return made
	}
	return said
}

var endings = map[csr.Result]string{
	csr.Denied:   "the certificate signing request was denied",
	csr.Failed:   "the signer cannot issue the certificate",
	csr.Replaced: "another object stands under the name of the certificate signing request",
	csr.Refused:  "the issued certificate cannot be used",
}

var remedies = map[csr.Result]string{
	csr.Denied:   "find out why its approver said no and mend that; a new request follows",
	csr.Failed:   "look at the signer's log (kube-controller-manager) for the reason; a new request follows",
	csr.Replaced: "a new request with a new key follows; find out who makes requests in this node's name",
	csr.Refused:  "compare the signer's configuration with what the request asks for; a new request follows",
}

func (a *Agent) endedText(p *csr.Pending) string {
	text := fmt.Sprintf("%s: %s", endings[p.Ended.Outcome], p.Name)
	if p.Ended.Reason != "" || p.Ended.Message != "" {
		text += fmt.Sprintf(" (%s: %s)", p.Ended.Reason, p.Ended.Message)
	}
	return fmt.Sprintf("%s; %s at %s (to ask at once: remove %s and restart the agent)", text, remedies[p.Ended.Outcome],
		nextKey(p).UTC().Format(time.RFC3339), a.dir.PendingFile(prefixOf(p.Wish.Kind)))
}

// failed plans the next attempt after a request that brought no answer, or the wrong one.
func (a *Agent) failed(m *memory, err error) {
	reason := apiserver.ReasonOf(err)
	remedy := reason.Remedy()
	switch {
	case m.asNode:
		remedy = reason.RemedyAsNode()
		a.heardAsNode(err)
	case reason == apiserver.Unauthorized && a.credential.usedID != "":
		remedy += fmt.Sprintf(" It is bootstrap-token-%s; when it is good again, or another token is put in its place, the same request goes on", a.credential.usedID)
	}
	a.retry(m, failureFor(reason), string(reason), err, remedy)
}

// retry plans the next attempt and says so.
func (a *Agent) retry(m *memory, failure rotate.Failure, reason string, err error, remedy string) {
	a.Metrics.Failed(a.phase(m, reason), metricReason(reason, err))
	text := csr.Plain(err.Error()) // whoever answers has a say in it
	trouble := fmt.Sprintf("%s: %s", reason, text)
	if remedy != "" {
		trouble += "; " + remedy
	}
	now := a.Clock.Now()
	at := m.fail(failure, now, a.asLongAsItLives(m, apiserver.RetryAfter(err)), trouble)
	if limit := now.Add(max(a.asLongAsItLives(m, at.Sub(now)), time.Second)); limit.Before(at) {
		m.retryAt, at = limit, limit
	}
	a.log.Warn("will try again", "certificate", m.name, "reason", reason, "err", text, "remedy", remedy, "at", at.UTC().Format(time.RFC3339Nano))
}

// asLongAsItLives bounds a pause before the next attempt, also one that a server asks for (Retry-After), by a tenth of what is left of
// the certificate: it must not expire because a load balancer said "in an hour", or after an outage that ended before it did.
func (a *Agent) asLongAsItLives(m *memory, asked time.Duration) time.Duration {
	k := a.keptOf(m)
	if k.pair == nil || !a.Clock.Now().Before(k.pair.Leaf.NotAfter) {
		return asked
	}
	left := k.pair.Leaf.NotAfter.Sub(a.Clock.Now())
	return min(asked, max(left/10, 0))
}

// keptOf is what is remembered of the certificate in use.
func (a *Agent) keptOf(m *memory) kept {
	if m.name == csr.Serving {
		return a.keep.serving
	}
	return a.keep.client
}

// tokenID is the part of a bootstrap token by which an administrator finds it, and which everybody may know; "" for any other token.
func tokenID(token string) string {
	parsed, err := discovery.ParseToken(token)
	if err != nil {
		return ""
	}
	return parsed.ID
}

// failureFor sorts the reasons of failed requests into the rows of the retry policy.
func failureFor(reason apiserver.Reason) rotate.Failure {
	switch reason {
	case apiserver.Unauthorized:
		return rotate.Unauthorized
	case apiserver.Throttled:
		return rotate.Throttled
	case apiserver.Forbidden, apiserver.Redirected, apiserver.Invalid, apiserver.NotFound:
		return rotate.Forbidden
	default:
		return rotate.NoAnswer
	}
}
