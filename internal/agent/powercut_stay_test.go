package agent

import (
	"bytes"
	"crypto/tls"
	"os"
	"path/filepath"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// stay is a way to write of an agent that stays: what it finds is not to be finished only, but to be kept fresh.
type stay struct {
	// asks are the requests that it takes, and no more; for each of them the certificate is another one at the end.
	asks map[csr.Kind]int
	// again are more of them that each restart on the way may cost.
	again map[csr.Kind]int
	// meanwhile is what somebody does to the disk, one after the other, each when the agent has come to rest.
	meanwhile []func(r *recording, disk durable.Disk)
	// hurts: what is done meanwhile leaves the node without something that it needs.
	hurts bool
	// moves: the identity is not followed by another of its own kind, but by one elsewhere, or under another name.
	moves bool
}

// keepings is what a daemon's node had, and what somebody did to it.
type keepings struct {
	pairs    map[csr.Kind]*certdir.Pair
	clientCA []byte
	// replayed: the power has gone.
	replayed bool
	// recovering: what was hurt is to be mended by somebody who remembers nothing.
	recovering bool
	// hurtFrom and hurtTo are the operations before and after which what somebody did was still to be mended.
	hurtFrom, hurtTo int
}

var bothKinds = []csr.Kind{csr.Client, csr.Serving}

// remember notes what the node has before the agent begins.
func (r *recording) remember() {
	r.kept.pairs = map[csr.Kind]*certdir.Pair{}
	r.kept.clientCA, _ = r.dir.ReadCA(r.dir.ClientCA())
	for _, kind := range bothKinds {
		if pair, err := r.dir.Read(prefixOf(kind)); err == nil {
			r.kept.pairs[kind] = pair
		}
	}
}

// hurtAt says whether the node lacked, after so many operations, what somebody had taken from it.
func (r *recording) hurtAt(after int) bool {
	return r.writing.stays != nil && r.writing.stays.hurts && after > r.kept.hurtFrom && after < r.kept.hurtTo
}

// asks is how many requests it takes from here: none, when the power goes before somebody does what they are made for.
func (r *recording) asks(kind csr.Kind) int {
	if r.kept.replayed && r.writing.stays.meanwhile != nil && r.at <= r.kept.hurtFrom {
		return 0
	}
	return r.writing.stays.asks[kind]
}

// takesAtMost is, by the agent's clock, more than anything here takes: a credential that the disk did not let go is tried again in an hour.
const takesAtMost = 65 * time.Minute

// boot is a daemon's start; its clock goes on when it is told to.
func (r *recording) boot(before func(durable.Op) error) (s *settler, end func()) {
	r.t.Helper()
	s = newSettlerAt(r.t, r.joiner, testingclock.NewFakeClock(time.Now()), before)
	s.agent.RuntimeDirectory = filepath.Join(r.top, "run")
	s.ctx = r.t.Context()
	if err := s.agent.open(); err != nil {
		return nil, nil
	}
	s.agent.findStarted()
	return s, func() {
		s.agent.client.abandon()
		s.agent.serving.abandon()
		s.agent.credential.abandon()
		s.agent.served.abandon()
		s.agent.tasks.Wait()
		s.agent.disconnect()
		s.agent.lock.Close()
	}
}

// stay lets a daemon live until nothing is left to do, to which it must come unless it is killed. What others do to the disk is not
// kept from it, and only recorded.
func (r *recording) stay(before, record func(durable.Op) error, killed func() bool) {
	r.t.Helper()
	s, end := r.boot(before)
	for ; s == nil; s, end = r.boot(before) { // a service manager starts it again
		if killed() {
			return
		}
	}
	defer end()
	r.goOn(s, killed, r.writing.stays.meanwhile == nil)
	r.kept.hurtFrom = r.ops.Len()
	for i, change := range r.writing.stays.meanwhile {
		if killed() {
			return
		}
		change(r, durable.Disk{Before: record})
		r.goOn(s, killed, i == len(r.writing.stays.meanwhile)-1)
	}
	r.kept.hurtTo = r.ops.Len()
	if !killed() {
		r.tidy(s)
		r.expectFresh(false)
		r.report("at the end of a life")
	}
}

// tidy is the sweep of a start that finds what was left a minute ago.
func (r *recording) tidy(s *settler) {
	s.clock.Step(2 * time.Minute)
	s.agent.sweep(s.agent.observe())
}

// goOn lets the agent do what there is to do. With finish, there must be an end to it, unless it is killed.
func (r *recording) goOn(s *settler, killed func() bool, finish bool) {
	r.t.Helper()
	until := s.clock.Now().Add(time.Minute)
	if finish {
		until = s.clock.Now().Add(takesAtMost)
	}
	s.rests(s.settle())
	s.agent.sweep(s.agent.observe())
	for !killed() && !r.t.Failed() && !r.reached(s) {
		if s.clock.Now().After(until) {
			if finish {
				r.t.Errorf("%s later the node has not what it should: %s", takesAtMost, r.lacks(s))
				r.report("a life")
			}
			return
		}
		s.rests(s.later(0))
	}
}

func (r *recording) reached(s *settler) bool { return r.lacks(s) == "" }

// lacks says what is missing for nothing to be left to do.
func (r *recording) lacks(s *settler) string {
	o := s.agent.observe()
	switch {
	case !o.HasIdentity() || o.ServerCA == nil || o.ClientCA == nil:
		return "an identity"
	case !o.Serving.Issued() || !o.Serving.Usable(o.Now) || !o.Serving.Linked:
		return "a serving certificate"
	case o.Client.Pending != nil || o.Serving.Pending != nil:
		return "the end of a request"
	case o.Client.RotateNow || o.Serving.RotateNow:
		return "a rotation that somebody asks for"
	case o.Bootstrap != nil || len(o.Aside) > 0:
		return "the disposal of the credential"
	}
	if s.agent.files.failure != "" {
		return "a file that is durable, too"
	}
	for _, kind := range bothKinds {
		if old := r.kept.pairs[kind]; r.asks(kind) > 0 && old != nil && !r.kept.recovering {
			if pair, err := r.dir.Read(prefixOf(kind)); err != nil || pair.Leaf.Equal(old.Leaf) {
				return "another " + string(kind) + " certificate"
			}
		}
	}
	return ""
}

// expectKept looks at a disk before an agent does: the old identity is usable on it, or the new one, whole; and so is a serving pair.
func (r *recording) expectKept() {
	r.t.Helper()
	if pair, err := tls.LoadX509KeyPair(filepath.Join(r.cfg.CertDir, "kubelet.crt"), filepath.Join(r.cfg.CertDir, "kubelet.key")); err != nil && !r.writing.harmed {
		r.t.Errorf("the kubelet has no pair to serve: %v", err)
	} else if err == nil && time.Now().After(pair.Leaf.NotAfter) {
		r.t.Errorf("the kubelet's serving pair expired at %s", pair.Leaf.NotAfter)
	}
	if r.writing.stays.moves { // there is a way on, which is looked at elsewhere
		r.expectServingFollows()
		return
	}
	pair, err := r.dir.Read(certdir.Client)
	if err != nil {
		if older := r.dir.Older(certdir.Client); !r.writing.harmed || len(older) == 0 { // which the next start takes
			r.t.Errorf("there is no identity: %v", err)
		}
		return
	}
	if time.Now().After(pair.Leaf.NotAfter) || pair.Leaf.Subject.CommonName != "system:node:"+r.node || pair.Leaf.CheckSignatureFrom(r.api.ca.cert) != nil {
		r.t.Errorf("the identity is for %s until %s", pair.Leaf.Subject.CommonName, pair.Leaf.NotAfter)
	}
	if old := r.kept.pairs[csr.Client]; old != nil && old.Leaf.Equal(pair.Leaf) && !old.ModTime.Equal(pair.ModTime) {
		r.t.Errorf("the identity has lost the time by which its rotation is planned: %s, was %s", pair.ModTime, old.ModTime)
	}
	r.expectCluster()
}

// expectServingFollows shows that a node which is in another cluster now knows, after whatever restart, that it is still to get its
// serving certificate there.
func (r *recording) expectServingFollows() {
	r.t.Helper()
	here := func(kind certdir.Kind) bool {
		pair, err := r.dir.Read(kind)
		return err == nil && pair.Leaf.CheckSignatureFrom(r.api.ca.cert) == nil
	}
	if r.exists(r.dir.PendingFile(certdir.Client)) || !here(certdir.Client) || here(certdir.Serving) {
		return
	}
	if !r.dir.AskedToRotate(certdir.Serving) && !r.exists(r.dir.PendingFile(certdir.Serving)) {
		r.t.Error("the node is in another cluster, and nothing says that its serving certificate is not of there")
	}
}

// expectCluster shows that kubeconfig and CA files are those of the node's cluster.
func (r *recording) expectCluster() {
	r.t.Helper()
	k, err := kubeconfig.LoadKubelet(r.cfg.Kubeconfig)
	if err != nil || k.Endpoint.Server != r.api.url {
		r.t.Errorf("the kubelet's kubeconfig does not lead to the cluster: %v", err)
	}
	for _, path := range []string{r.dir.ServerCA(), r.dir.ClientCA()} {
		expected := r.api.ca.pem
		if chosen := r.kept.clientCA; path == r.dir.ClientCA() && bytes.HasSuffix(chosen, r.api.ca.pem) {
			expected = chosen
		}
		if bundle, err := r.dir.ReadCA(path); err != nil || !bytes.Equal(bundle, expected) {
			r.t.Errorf("%s is not the cluster's CA (%v)", path, err)
		}
	}
}

// restartToStay is a daemon's next life. Memory is lost with the one before: what somebody has hurt, and nobody remembers, takes a
// credential to mend.
func (r *recording) restartToStay() {
	r.t.Helper()
	hurt := r.hurtAt(r.at)
	r.kept.recovering, r.kept.replayed = hurt, true
	s, end := r.boot(func(op durable.Op) error { return nil })
	if s == nil {
		r.t.Fatal("a restart does not begin")
	}
	expectKubeletUnharmed(r.t, r.machine)
	if hurt {
		s.rests(s.settle())
		if !r.reached(s) {
			r.write(r.t, r.cfg.BootstrapKubeconfig, bootstrapKubeconfig(r.api.url, r.api.ca.pem))
		}
	}
	r.goOn(s, func() bool { return false }, true)
	r.tidy(s)
	end()
	r.expectFresh(hurt)
}

// expectFresh is how a daemon must leave its node: with one client and one serving pair, at most one client pair from before, and no more
// requests than it takes; one more of each where what was needed to do without is lost.
func (r *recording) expectFresh(hurt bool) {
	r.t.Helper()
	r.expectCluster()
	expectKubeletUnharmed(r.t, r.machine)
	for _, kind := range bothKinds {
		pair, err := r.dir.Read(prefixOf(kind))
		if err != nil {
			r.t.Errorf("no %s pair: %v", kind, err)
			return
		}
		if pair.Leaf.Subject.CommonName != "system:node:"+r.node || pair.Leaf.CheckSignatureFrom(r.api.ca.cert) != nil {
			r.t.Errorf("the %s certificate is for %s", kind, pair.Leaf.Subject.CommonName)
		}
		least, most := r.asks(kind), r.asks(kind)+r.writing.stays.again[kind]*(r.orphans+1)
		if hurt {
			least, most = 0, most+1
		}
		if count := r.api.requestsOf(r.node, kind); count < least || count > most {
			r.t.Errorf("%d %s requests were made, expected %d to %d", count, kind, least, most)
		}
		if old := r.kept.pairs[kind]; old != nil && most == 0 && (!pair.Leaf.Equal(old.Leaf) || !pair.ModTime.Equal(old.ModTime)) {
			r.t.Errorf("the %s certificate, or its time, is another one", kind)
		}
	}
	pair, err := r.dir.Read(certdir.Serving)
	if lacks := serving.Lacks(pair.Leaf, serving.Names{DNS: []string{r.node}, IPs: []string{r.cfg.NodeIP}}); err != nil || len(lacks) > 0 {
		r.t.Errorf("the serving certificate lacks %q (%v)", lacks, err)
	}
	if content, err := os.ReadFile(r.cfg.BootstrapKubeconfig); err == nil {
		r.t.Errorf("a credential of %d bytes is left", len(content))
	}
	r.expectNothingElse()
}
