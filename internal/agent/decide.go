package agent

import (
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// step is the next thing to do about one certificate or the credential.
type step string

const (
	rest           step = "rest"          // all is as it should be
	underWay       step = "under way"     // a task is asking; its answer will wake the loop
	waitName       step = "wait: name"    // the machine has no name yet
	waitCredential step = "wait: cred"    // nothing to bootstrap with
	waitClient     step = "wait: client"  // the serving certificate comes after the client's
	waitAddress    step = "wait: address" // the names of the serving certificate are not known yet
	waitRetry      step = "wait: retry"   // an attempt failed; the next one has a time
	waitEnded      step = "wait: ended"   // the request was denied or failed; a new one has a time
	unread         step = "unread"        // a file cannot be read now: what is not seen is not gone
	waitHeal       step = "wait: heal"    // a file is damaged or gone; it is written again from memory in a moment
	waitSpacing    step = "wait: spacing" // the last request was a moment ago
	waitBoot       step = "wait: boot"    // the identity in another cluster comes into use before the kubelet does
	useOlder       step = "use older"     // the current pair is unusable, an older one is good
	settle         step = "settle"        // a credential lies aside
	makePending    step = "make"          // a key and a request, to the disk
	giveUp         step = "give up"       // what is asked is not what is wanted any more
	forget         step = "forget"        // nothing needs to be asked any more
	ask            step = "ask"           // send the request, wait for its end
	prove          step = "prove"         // use the issued certificate once
	commit         step = "commit"        // make it the current one
	placeholder    step = "placeholder"   // the kubelet needs some serving pair
	link           step = "link"          // the kubelet's own names must lead to the serving pair
	dispose        step = "dispose"       // delete the used credential
	compare        step = "compare"       // is the bootstrap file for the cluster that we are in?
)

// nameMismatch is how long another node name must last before a bootstrap credential is used for it.
const nameMismatch = time.Minute

// decideClient says what to do next about the client certificate. First what is on the disk and only needs finishing, then what
// can be used as it is, then what must be asked for.
func decideClient(o status.Observed, m memory, aim aim) step {
	c := o.Client
	issued := c.Pending != nil && len(c.Pending.CertificatePEM) > 0 && c.Pending.Ended == nil
	switch {
	case c.Unread != nil:
		return whenDue(unread, m, o.Now)
	case m.healing:
		return waitHeal
	case c.Committed():
		return whenDue(commit, m, o.Now)
	case issued && m.running:
		return underWay
	case issued && c.Usable(o.Now) && aim.started && pendingElsewhere(o):
		return decideRotation(o, m, aim)
	case issued && c.Usable(o.Now) && o.Node != "" && !o.ForOtherNode() && c.Pending.Wish.NodeName != o.Node:
		return whenDue(forget, m, o.Now) // the machine had another name for a while, and has the identity for the one that it has
	case issued && m.proved(c.Pending):
		return whenDue(commit, m, o.Now)
	case issued && m.failure == rotate.Taken:
		if next, ok := decideTaken(o, m, aim); ok {
			return next
		}
		return whenDue(prove, m, o.Now)
	case issued:
		return whenDue(prove, m, o.Now)
	case !isBootstrapping(o, m, aim):
		return decideRotation(o, m, aim)
	case !c.Usable(o.Now) && c.Older != nil && o.Now.Before(c.Older.Leaf.NotAfter):
		return whenDue(useOlder, m, o.Now)
	case o.NodeErr != nil:
		return waitName
	case o.Bootstrap == nil && m.running:
		return underWay // the credential went while it was in use; what was sent goes on, and nothing else can begin
	case o.Bootstrap == nil:
		return waitCredential
	}
	return decideRequest(c, o.Now, m, aim)
}

// decideRotation is for an identity in use: it asks for its own successor. A request that was made for that goes on until it has an
// end; one that a bootstrap credential was meant for has no use any more, unless a successor is due anyway.
func decideRotation(o status.Observed, m memory, aim aim) step {
	c := o.Client
	wanted := aim.rotates && due(o, c) && o.Kubelet != nil
	switch p := c.Pending; {
	case p != nil && pendingElsewhere(o) && !wanted && (o.Bootstrap != nil || len(p.CertificatePEM) > 0):
		return waitBoot
	case p != nil && !pendingElsewhere(o) && p.Wish.NodeName == nodeOf(o) && (wanted || p.AsNode && aim.rotates && o.Kubelet != nil):
		return decideRequest(c, o.Now, m, aim)
	case p != nil && p.Replaces && aim.unjudged && !wanted:
		return rest // whether it is needed still is found out first
	case p != nil && o.Kubelet == nil && (m.healingWay || p.AsNode && aim.rotates && p.Wish.NodeName == nodeOf(o)):
		return rest // it goes on when it is known again where the cluster is
	case p != nil && (!o.ForOtherNode() || p.AsNode || wanted):
		if m.running || !o.Now.Before(m.retryAt) {
			return forget
		}
		return rest
	case !wanted:
		return rest
	}
	return decideRequest(c, o.Now, m, aim)
}

// decideServing says what to do next about the serving certificate. The placeholder comes as soon as the node is joining, and
// the request as soon as it can be sent with the node's own identity.
func decideServing(o status.Observed, m memory, joining bool, aim aim) step {
	c := o.Serving
	issued := c.Pending != nil && len(c.Pending.CertificatePEM) > 0 && c.Pending.Ended == nil
	switch {
	case c.Unread != nil:
		return whenDue(unread, m, o.Now)
	case m.healing:
		return waitHeal
	case c.Committed() && c.Linked:
		return whenDue(commit, m, o.Now)
	case !o.HasIdentity() && !joining:
		return waitClient
	case !c.Usable(o.Now) && c.Older != nil && c.Adopted == nil:
		return whenDue(useOlder, m, o.Now)
	case !c.Usable(o.Now) && c.Adopted == nil && aim.lookingUp:
		return waitAddress // a moment, or the kubelet would begin with a placeholder that lacks the address, and have another one soon
	case !c.Usable(o.Now) && c.Adopted == nil:
		return whenDue(placeholder, m, o.Now)
	case c.Usable(o.Now) && !c.Linked && (c.Adopted == nil || c.Issued()):
		return ofTheDisk(link, m, o.Now)
	case issued && !(c.Issued() && c.Usable(o.Now) && c.Pending.Wish.NodeName != nodeOf(o)):
		return whenDue(commit, m, o.Now)
	case c.Issued() && c.Usable(o.Now):
		return decideServingRotation(o, m, aim)
	case c.Usable(o.Now) && (!o.Now.Before(o.RotateAt(c.Pair)) || m.lacksName(o.Now)) && !o.Now.Before(m.retryAt):
		return placeholder // also while a request is under way, which may take longer than a placeholder lives
	case !o.HasIdentity():
		return waitClient
	case aim.wish == nil:
		return waitAddress
	}
	return decideRequest(c, o.Now, m, aim)
}

// decideServingRotation is for an issued serving certificate in use. Its successor is asked for when its time has come, when it lacks a
// name that is wanted, or when it is for another node than the identity.
func decideServingRotation(o status.Observed, m memory, aim aim) step {
	c := o.Serving
	otherNode := c.Pair.Leaf.Subject.CommonName != "system:node:"+nodeOf(o)
	wanted := otherNode || aim.rotates && (due(o, c) || aim.lacks)
	needless := !wanted && aim.wish != nil && !aim.lacksNow // one that was denied for a name which is still missing keeps its pause
	switch p := c.Pending; {
	case p != nil && (p.Wish.NodeName != nodeOf(o) || !aim.rotates && !otherNode || p.Ended != nil && needless):
		return whenDue(forget, m, o.Now)
	case p == nil && !wanted, !o.HasIdentity():
		return rest
	case aim.wish == nil:
		return waitAddress
	}
	return decideRequest(c, o.Now, m, aim)
}

// decideRequest is the part that both certificates share: one request for one wish, for as long as it lives.
func decideRequest(c status.Certificate, now time.Time, m memory, aim aim) step {
	p := c.Pending
	switch {
	case p == nil && tooSoon(c, now):
		return waitSpacing
	case p == nil:
		return whenDue(makePending, m, now)
	case m.failure == rotate.LocalTrouble && now.Before(m.retryAt):
		return waitRetry
	case !p.Wish.Covers(*aim.wish) && mayGiveUp(p, m, aim.settings, now):
		return giveUp
	case p.Ended != nil && now.Before(nextKey(p)):
		return waitEnded
	case p.Ended != nil && tooSoon(c, now): // somebody else has just put another certificate in place
		return waitSpacing
	case p.Ended != nil:
		return makePending
	case m.running:
		return underWay
	case p.UID == "" && now.Before(p.AgainAt) && p.AgainAt.Sub(now) <= rotate.Policy[rotate.Deleted].Last: // else the clock was set back
		return waitRetry
	}
	return whenDue(ask, m, now)
}

func whenDue(s step, m memory, now time.Time) step {
	if m.running {
		return underWay
	}
	if now.Before(m.retryAt) {
		return waitRetry
	}
	return s
}

// ofTheDisk is whenDue for what needs no answer: the kubelet may start at any moment, and a request may be under way, or wait for its
// next attempt, for days.
func ofTheDisk(s step, m memory, now time.Time) step {
	if m.failure == rotate.LocalTrouble && now.Before(m.retryAt) {
		return waitRetry
	}
	return s
}

const (
	differenceLasts = 30 * time.Second
	giveUpEvery     = time.Hour
)

// mayGiveUp limits how often a wish may change its mind: a person's change of the configuration counts at once, the machine's
// own (an address that comes and goes) when it has lasted, and both at most once an hour, for every new request is an object
// that somebody may have to look at.
func mayGiveUp(p *csr.Pending, m memory, settings string, now time.Time) bool {
	if now.Sub(p.GivenUp) < giveUpEvery || rotate.TooSoon(p.Made, now) {
		return false
	}
	return p.Settings != settings || !m.differsSince.IsZero() && now.Sub(m.differsSince) >= differenceLasts
}

// nextKey is when a request that came to nothing is followed by another, counted from its end and not from a restart.
func nextKey(p *csr.Pending) time.Time {
	next := p.Ended.At.Add(rotate.Wait(failureOf[p.Ended.Outcome], p.Key, 0, 0))
	if p.Ended.Outcome == csr.Replaced {
		next = p.Ended.At.Add(rotate.Wait(rotate.NoAnswer, p.Key, 1, 0))
	}
	spaced := p.Made.Add(rotate.Spacing)
	if limit := p.Ended.At.Add(rotate.Spacing); spaced.After(limit) { // the clock was set back
		spaced = limit
	}
	if next.Before(spaced) {
		return spaced
	}
	return next
}

var failureOf = map[csr.Result]rotate.Failure{csr.Denied: rotate.Denied, csr.Failed: rotate.Failed, csr.Refused: rotate.Refused}

// decideCredential says what to do about the bootstrap kubeconfig once the node has its identity. It is judged by use: only a
// file that leads to the cluster which knows this node is deleted.
func decideCredential(o status.Observed, m credentialMemory, keep bool) step {
	switch {
	case len(o.Aside) > 0:
		return whenDue(settle, m.memory, o.Now)
	case o.Bootstrap == nil || !o.Client.Usable(o.Now) || o.Client.Unread != nil || o.ForOtherNode():
		return rest
	case o.Client.Pending != nil && !o.Client.Pending.AsNode && !o.Client.Pending.Replaces && !pendingElsewhere(o): // what it is good for is not known before that has an end
		return rest
	case o.Kubelet == nil && m.healingWay: // and if a person has taken it away, the rest may follow
		return rest
	case o.Kubelet == nil: // its server and CA are all that is left of them
		return whenDue(compare, m.memory, o.Now)
	case m.settled == o.Bootstrap.Fingerprint(), m.replacesBy == o.Bootstrap.Fingerprint():
		return rest
	case m.sameCluster == o.Bootstrap.Fingerprint() && keep:
		return rest
	case m.sameCluster == o.Bootstrap.Fingerprint():
		return whenDue(dispose, m.memory, o.Now)
	}
	return whenDue(compare, m.memory, o.Now)
}
