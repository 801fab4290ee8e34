package agent

import (
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// call asks the API server something, and hands on what comes of it. what the call does there it does at once.
func (n *simNode) call(there func(), back func(error)) {
	takes, err := n.world.cluster.call(n)
	n.calls++
	if err == nil {
		n.answered++
		n.reached()
		there()
	}
	n.later(takes, func() { back(err) })
}

func (n *simNode) later(d time.Duration, then func()) { n.answerAt, n.answer = n.world.at+d, then }

// ask is csr.Asker: the request is sent, or read when it is known to be there, and then watched.
func (n *simNode) ask() {
	n.m.running = true
	p := n.certificate().Pending
	if p.UID == "" {
		exists := false
		n.call(func() { exists = !n.world.cluster.create(n, p.Name) }, func(err error) {
			if exists && err == nil { // 409
				n.call(func() {}, n.seen)
				return
			}
			n.seen(err)
		})
		return
	}
	n.call(func() {}, n.seen)
}

// seen deals with an object that was created or read.
func (n *simNode) seen(err error) {
	p, c := n.certificate().Pending, &n.world.cluster
	if err != nil {
		n.failed(err)
		return
	}
	o := c.read(n, p.Name)
	if o == nil {
		n.deleted(p)
		return
	}
	if n.m.accepted.IsZero() {
		n.m.accepted = n.now()
	}
	n.m.succeed()
	p.UID, p.Accepted = o.uid, n.world.begin.Add(o.created).Truncate(time.Second)
	if result := c.outcome(o, n.world.at); result != csr.Waiting {
		n.ended(p, o, result)
		return
	}
	n.watch(p, o)
}

// watchLasts is how long an API server keeps a watch of ours.
const watchLasts = 8 * time.Minute

// watch ends with the object's end, with the connection's, or in its time; then the object is read after a pause.
func (n *simNode) watch(p *csr.Pending, o *simObject) {
	at, out := n.world.at, n.world.cluster.outage
	until := min(o.ends, o.gone)
	closes := at + watchLasts
	if out.from >= at && out.cut < neverAgain {
		closes = min(closes, out.from+out.cut)
	}
	n.calls++
	n.answered++
	n.reached()
	switch {
	case until > closes:
		n.later(closes-at, n.again)
	case o.gone <= o.ends:
		n.later(until-at, func() { n.deleted(p) })
	default:
		n.later(until-at, func() { n.ended(p, o, n.world.cluster.outcome(o, n.world.at)) })
	}
}

// again reads the object after a pause, as the Asker does when a watch has ended.
func (n *simNode) again() {
	n.later(n.within(time.Second, 3*time.Second), func() {
		n.call(func() {}, n.seen)
	})
}

// failed is what Agent.failed does.
func (n *simNode) failed(err error) {
	n.m.running = false
	sorted := n.world.sort(err)
	n.retry(sorted.failure, sorted.asked)
}

// retry lets the agent's own memory count a failure, and draws the pause that it has decided upon anew with the node's dice: the
// kind of failure, how many there were and the table are its; only the chance can be repeated.
func (n *simNode) retry(failure rotate.Failure, asked time.Duration) {
	n.m.fail(failure, n.now(), asked, string(failure))
	n.m.retryAt = n.now().Add(rotate.Wait(n.m.failure, n.m.failures-1, n.dice.Float64(), asked))
}

// deleted is what Agent.deleted does.
func (n *simNode) deleted(p *csr.Pending) {
	n.m.running = false
	old := !p.Accepted.IsZero() && n.now().Sub(p.Accepted) > rotate.OldRequest && (n.m.resent.IsZero() || n.now().Sub(n.m.resent) > rotate.OldRequest)
	p.UID = ""
	if old {
		p.Deletions, p.AgainAt = 0, time.Time{}
		n.m.resent = n.now()
		return
	}
	p.AgainAt = n.now().Add(rotate.Wait(rotate.Deleted, p.Deletions, n.dice.Float64(), 0))
	p.Deletions++
}

// ended is what Agent.asked does with an answer.
func (n *simNode) ended(p *csr.Pending, o *simObject, result csr.Result) {
	n.m.running = false
	if result == csr.Issued {
		p.CertificatePEM = certificate
		return
	}
	n.end(p, result, n.world.begin.Add(o.ends).Truncate(time.Second))
}

func (n *simNode) end(p *csr.Pending, result csr.Result, at time.Time) {
	p.Ended = &csr.Ended{Outcome: result, At: endedAt(at, p.Made, n.now())}
	n.m.ended = p.Ended
}

// prove is what Agent.prove and Agent.proved do.
func (n *simNode) prove() {
	n.m.running = true
	n.call(func() {}, func(err error) {
		p := n.certificate().Pending
		n.m.running = false
		switch {
		case err != nil:
			n.failed(err)
		case !n.world.cluster.unaccepted:
			n.m.succeed()
			n.m.provedLeaf = leafBytes(p.CertificatePEM)
		default:
			if p.RefusedSince.IsZero() {
				p.RefusedSince = n.now()
			}
			if n.now().Sub(p.RefusedSince) >= rotate.GiveUpProof {
				n.end(p, csr.Refused, n.now())
				return
			}
			n.retry(rotate.Unproved, 0)
		}
	})
}

// commit is what commitClient and commitServing do.
func (n *simNode) commit() {
	n.certificate().Pending = nil
	n.become(n.world.begin.Add(n.world.cluster.until(n.world.at)), n.kind)
	n.m.succeed()
	n.m.provedLeaf = nil
}

// become gives the node a certificate of a kind that it has received now, and with the client's its kubeconfig.
func (n *simNode) become(until time.Time, kind csr.Kind) {
	pair := simPair(n.name, n.now(), until, n.dice)
	if kind == csr.Serving {
		n.o.Serving.Pair, n.o.Serving.PairErr, n.o.Serving.Linked = pair, nil, true
		return
	}
	n.o.Client.Pair, n.o.Client.PairErr = pair, nil
	n.o.Kubelet, n.o.KubeletErr, n.o.ClientCA = &theKubelet, nil, theClientCA
	n.o.Bootstrap, n.o.BootstrapErr = nil, errNone // disposed of
}
