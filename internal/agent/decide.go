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
func decideClient(o status.Observed, m memory, wish *csr.Wish, settings string) step {
	c := o.Client
	issued := c.Pending != nil && len(c.Pending.CertificatePEM) > 0 && c.Pending.Ended == nil
	switch {
	case c.Unread != nil:
		return whenDue(unread, m, o.Now)
	case c.Committed():
		return whenDue(commit, m, o.Now)
	case issued && m.running:
		return underWay
	case issued && c.Usable(o.Now) && o.Node != "" && !o.ForOtherNode() && c.Pending.Wish.NodeName != o.Node:
		return whenDue(forget, m, o.Now) // the machine had another name for a while, and has the identity for the one that it has
	case issued && m.proved(c.Pending):
		return whenDue(commit, m, o.Now)
	case issued:
		return whenDue(prove, m, o.Now)
	case c.Usable(o.Now) && (!o.ForOtherNode() || o.Bootstrap == nil || !m.mismatched(o.Now)):
		if c.Pending != nil && !o.ForOtherNode() && !o.Now.Before(m.retryAt) {
			return forget // the machine had another name for a while
		}
		return rest
	case !c.Usable(o.Now) && c.Older != nil && o.Now.Before(c.Older.Leaf.NotAfter):
		return whenDue(useOlder, m, o.Now)
	case o.NodeErr != nil:
		return waitName
	case o.Bootstrap == nil && m.running:
		return underWay // the credential went while it was in use; what was sent goes on, and nothing else can begin
	case o.Bootstrap == nil:
		return waitCredential
	}
	return decideRequest(c, o.Now, m, wish, settings)
}

// decideServing says what to do next about the serving certificate. The placeholder comes as soon as the node is joining, and
// the request as soon as it can be sent with the node's own identity.
func decideServing(o status.Observed, m memory, joining bool, wish *csr.Wish, settings string) step {
	c := o.Serving
	issued := c.Pending != nil && len(c.Pending.CertificatePEM) > 0 && c.Pending.Ended == nil
	switch {
	case c.Unread != nil:
		return whenDue(unread, m, o.Now)
	case c.Committed() && c.Linked:
		return whenDue(commit, m, o.Now)
	case !o.HasIdentity() && !joining:
		return waitClient
	case !c.Usable(o.Now) && c.Adopted == nil:
		return whenDue(placeholder, m, o.Now)
	case c.Usable(o.Now) && !c.Linked && (c.Adopted == nil || c.Issued()):
		return whenDue(link, m, o.Now)
	case issued && !(c.Issued() && c.Usable(o.Now) && c.Pending.Wish.NodeName != nodeOf(o)):
		return whenDue(commit, m, o.Now)
	case c.Issued() && c.Usable(o.Now) && c.Pending != nil:
		return whenDue(forget, m, o.Now)
	case c.Issued() && c.Usable(o.Now):
		return rest
	case !o.HasIdentity():
		return waitClient
	case wish == nil:
		return waitAddress
	}
	return decideRequest(c, o.Now, m, wish, settings)
}

// decideRequest is the part that both certificates share: one request for one wish, for as long as it lives.
func decideRequest(c status.Certificate, now time.Time, m memory, wish *csr.Wish, settings string) step {
	p := c.Pending
	switch {
	case p == nil:
		return whenDue(makePending, m, now)
	case m.failure == rotate.LocalTrouble && now.Before(m.retryAt):
		return waitRetry
	case !p.Wish.Covers(*wish) && mayGiveUp(p, m, settings, now):
		return giveUp
	case p.Ended != nil && now.Before(nextKey(p)):
		return waitEnded
	case p.Ended != nil:
		return makePending
	case m.running:
		return underWay
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

const (
	differenceLasts = 30 * time.Second
	giveUpEvery     = time.Hour
)

// mayGiveUp limits how often a wish may change its mind: a person's change of the configuration counts at once, the machine's
// own (an address that comes and goes) when it has lasted, and both at most once an hour, for every new request is an object
// that somebody may have to look at.
func mayGiveUp(p *csr.Pending, m memory, settings string, now time.Time) bool {
	if now.Sub(p.GivenUp) < giveUpEvery {
		return false
	}
	return p.Settings != settings || !m.differsSince.IsZero() && now.Sub(m.differsSince) >= differenceLasts
}

// nextKey is when a request that came to nothing is followed by another, counted from its end and not from a restart.
func nextKey(p *csr.Pending) time.Time {
	if p.Ended.Outcome == csr.Replaced {
		return p.Ended.At.Add(rotate.Wait(rotate.NoAnswer, p.Key, 1, 0))
	}
	return p.Ended.At.Add(rotate.Wait(failureOf[p.Ended.Outcome], p.Key, 0, 0))
}

var failureOf = map[csr.Result]rotate.Failure{csr.Denied: rotate.Denied, csr.Failed: rotate.Failed, csr.Refused: rotate.Refused}

// decideCredential says what to do about the bootstrap kubeconfig once the node has its identity. It is judged by use: only a
// file that leads to the cluster which knows this node is deleted.
func decideCredential(o status.Observed, m credentialMemory, keep bool) step {
	switch {
	case len(o.Aside) > 0:
		return whenDue(settle, m.memory, o.Now)
	case o.Bootstrap == nil || !o.Client.Usable(o.Now) || o.Client.Pending != nil || o.Client.Unread != nil || o.ForOtherNode():
		return rest
	case o.Kubelet == nil: // its server and CA are all that is left of them
		return whenDue(compare, m.memory, o.Now)
	case m.settled == o.Bootstrap.Fingerprint():
		return rest
	case m.sameCluster == o.Bootstrap.Fingerprint() && keep:
		return rest
	case m.sameCluster == o.Bootstrap.Fingerprint():
		return whenDue(dispose, m.memory, o.Now)
	}
	return whenDue(compare, m.memory, o.Now)
}
