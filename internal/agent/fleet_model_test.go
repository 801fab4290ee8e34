package agent

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// simNode is a node of which one certificate is looked at. o is its disk, m what its agent remembers.
type simNode struct {
	world *simWorld
	name  string
	kind  csr.Kind
	dice  *rand.Rand
	o     status.Observed
	m     memory
	aim   aim

	// next is when something happens to it again; answer what happens then if it waits for the API server, at answerAt.
	next, answerAt, crashAt time.Duration
	answer                  func()

	// object is its last one in the cluster; objects and keys are how many there were.
	object        *simObject
	objects, keys int
	// calls are those that were made, answered those that an API server was there for.
	calls, answered int
	// created hears of each object that is made for it, reached of each call that the API server is there for. done: what was to be
	// seen of it has been.
	created, reached func()
	done             bool
}

// newSimNode returns one that is about to ask for its first certificate of a kind.
func newSimNode(w *simWorld, name string, kind csr.Kind, dice *rand.Rand) *simNode {
	n := &simNode{
		world: w, name: name, kind: kind, dice: dice, m: memory{name: kind}, answerAt: neverAgain, created: func() {}, reached: func() {},
		aim: aim{
			wish:     &csr.Wish{Kind: kind, NodeName: name, KeyAlgorithm: "ecdsa-p256", DNSNames: []string{name}, IPAddresses: []string{"192.0.2.10"}},
			settings: current, rotates: true, started: true,
		},
		o: status.Observed{
			Node: name, Bootstrap: &theBootstrap, KubeletErr: errBad,
			Client:  status.Certificate{Kind: csr.Client, PairErr: errNoPair},
			Serving: status.Certificate{Kind: csr.Serving, PairErr: errNoPair},
		},
	}
	if kind == csr.Serving { // of a node that has joined and serves with a placeholder
		n.become(w.begin.AddDate(30, 0, 0), csr.Client)
		n.o.Serving.Pair, n.o.Serving.PairErr, n.o.Serving.Linked = simPair(name, w.begin, w.begin.AddDate(30, 0, 0), dice), nil, true
		n.o.Serving.Pair.Leaf.Subject.CommonName = name + "@bootstrap-agent-placeholder"
	}
	return n
}

var (
	theBootstrap = kubeconfig.Bootstrap{Path: "/bootstrap.kubeconfig"}
	theKubelet   = kubeconfig.Kubelet{}
	theClientCA  = []byte("a CA")
)

func simPair(name string, from, until time.Time, dice *rand.Rand) *certdir.Pair {
	serial := new(big.Int).SetUint64(dice.Uint64())
	return &certdir.Pair{ModTime: from, Leaf: &x509.Certificate{
		Subject: pkix.Name{CommonName: "system:node:" + name}, SerialNumber: serial.Lsh(serial, 62), NotBefore: from.Add(-backdated), NotAfter: until,
	}}
}

func (n *simNode) now() time.Time { return n.world.now() }

// within draws a time.
func (n *simNode) within(least, most time.Duration) time.Duration {
	return least + time.Duration(n.dice.Float64()*float64(most-least))
}

// certificate is the one that is looked at.
func (n *simNode) certificate() *status.Certificate {
	if n.kind == csr.Client {
		return &n.o.Client
	}
	return &n.o.Serving
}

// wake is one round of the agent's loop.
func (n *simNode) wake() {
	at := n.world.at
	if at >= n.crashAt {
		n.m, n.answer, n.answerAt = memory{name: n.kind}, nil, neverAgain
		n.crashAt += n.world.crashEvery
	}
	if at >= n.answerAt {
		answer := n.answer
		n.answer, n.answerAt = nil, neverAgain
		answer()
	}
	for rounds := 0; n.act(); rounds++ {
		if rounds > 10 {
			panic(n.name + " does not come to rest")
		}
	}
	n.next = n.nextTime()
	if n.done {
		n.next = neverAgain
	}
}

// nextTime is when a decision may change by itself.
func (n *simNode) nextTime() time.Duration {
	at, next := n.world.at, min(n.answerAt, n.crashAt)
	earlier := func(t time.Time) {
		if d := t.Sub(n.world.begin); d > at && d < next {
			next = d
		}
	}
	earlier(n.m.retryAt)
	c := n.certificate()
	if p := c.Pending; p != nil {
		earlier(p.Made.Add(rotate.Spacing))
		earlier(p.AgainAt)
		if p.Ended != nil {
			earlier(nextKey(p))
		}
	}
	if c.Pair != nil && c.Issued() {
		earlier(n.o.RotateAt(c.Pair))
		earlier(c.Pair.ModTime.Add(rotate.Spacing))
		earlier(c.Pair.Leaf.NotAfter)
	}
	return next
}

func (n *simNode) decide() step {
	n.o.Now = n.now()
	if n.kind == csr.Client {
		return decideClient(n.o, n.m, n.aim)
	}
	return decideServing(n.o, n.m, false, n.aim)
}

// act does the next step, as actClient and actServing do, and says whether it changed something.
func (n *simNode) act() bool {
	switch s := n.decide(); s {
	case makePending:
		n.make()
	case ask:
		n.ask()
		return false
	case prove:
		n.prove()
		return false
	case commit:
		n.commit()
	case rest, underWay, waitRetry, waitEnded, waitSpacing, waitCredential:
		return false
	default:
		panic(fmt.Sprintf("%s: the model has no %q", n.name, s))
	}
	return true
}

// make is what makePending does: another try of the same wish counts the keys.
func (n *simNode) make() {
	c := n.certificate()
	n.keys++
	p := &csr.Pending{
		Wish: *n.aim.wish, Settings: n.aim.settings, Made: n.now(), Name: n.name + "-kubelet-" + string(n.kind) + "-" + strconv.Itoa(n.keys),
		AsNode: n.kind == csr.Serving || n.o.Client.Usable(n.o.Now),
	}
	if c.Pending != nil {
		p.GivenUp, p.Key = c.Pending.GivenUp, c.Pending.Key+1
	}
	c.Pending = p
	n.m.succeed()
	n.m.accepted, n.m.approved, n.m.provedLeaf, n.m.ended = time.Time{}, time.Time{}, nil, nil
}
