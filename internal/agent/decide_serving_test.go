package agent

import (
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

func TestDecideServing(t *testing.T) {
	standIn := pairFor("worker-1@bootstrap-agent-placeholder", time.Hour)
	pending := func(changes ...func(*csr.Pending)) func(*scene) {
		return func(s *scene) {
			wish := *joined().wish
			s.o.Serving.Pending = request(wish, changes...)
		}
	}
	running := func(s *scene) { s.m.running = true }
	waiting := func(s *scene) { s.m.retryAt = noon.Add(time.Second) }
	inUse := func(s *scene) { committed(&s.o.Serving) }
	missing := func(s *scene) { s.o.Serving.Pair, s.o.Serving.PairErr, s.o.Serving.Linked = nil, errNoPair, false }
	damaged := func(s *scene) { s.o.Serving.Pair, s.o.Serving.PairErr = nil, errBad }
	expired := func(s *scene) { s.o.Serving.Pair = pairFor(nodeUser, 0) }
	unlinked := func(s *scene) { s.o.Serving.Linked = false }
	adopted := func(s *scene) { missing(s); s.o.Serving.Adopted = pairFor("worker-1@1772366400", time.Hour) }
	alsoAdopted := func(s *scene) { s.o.Serving.Linked, s.o.Serving.Adopted = false, standIn }
	noIdentity := func(s *scene) { s.o.Client.Pair, s.o.Client.PairErr = nil, errNoPair }
	noKubeconfig := func(s *scene) { s.o.Kubelet, s.o.KubeletErr = nil, errBad }
	joining := func(s *scene) { s.joining = true }
	noAddress := func(s *scene) { s.wish = nil }

	for _, c := range []struct {
		name   string
		from   func() *scene
		given  []func(*scene)
		expect step
	}{
		// the end of a commit
		{"its certificate is in use and linked, the end of the commit is missing", joined, []func(*scene){pending(issued), inUse}, commit},
		{"its certificate is in use, the client's has expired", joined, []func(*scene){pending(issued), inUse, noIdentity}, commit},
		{"its certificate is in use and not linked", joined, []func(*scene){pending(issued), inUse, unlinked}, link},
		{"its certificate is in use, the disk is in trouble", joined, []func(*scene){pending(issued), inUse, waiting}, waitRetry},

		// the client comes first
		{"nothing, and the node is not joining", newcomer, nil, waitClient},
		{"a placeholder, and the identity is gone", joined, []func(*scene){noIdentity}, waitClient},
		{"a placeholder, and the kubeconfig is gone", joined, []func(*scene){noKubeconfig}, waitClient},
		{"issued, and the identity is gone", joined, []func(*scene){noIdentity, pending(issued)}, waitClient},

		// something to serve
		{"nothing, and the node is joining", newcomer, []func(*scene){joining}, placeholder},
		{"nothing, and the node has joined", joined, []func(*scene){missing}, placeholder},
		{"nothing, and the disk is in trouble", joined, []func(*scene){missing, waiting}, waitRetry},
		{"damaged", joined, []func(*scene){damaged}, placeholder},
		{"expired", joined, []func(*scene){expired}, placeholder},
		{"expired, and the next one is issued", joined, []func(*scene){expired, pending(issued)}, placeholder},
		{"nothing, while a request is under way", joined, []func(*scene){missing, pending(accepted), running}, underWay},
		{"a placeholder that the kubelet does not find", joined, []func(*scene){unlinked}, link},
		{"a certificate that the kubelet does not find", member, []func(*scene){unlinked}, link},
		{"a certificate beside a pair of the kubelet's own", member, []func(*scene){alsoAdopted}, link},
		{"a placeholder beside a pair of the kubelet's own, which serves as well", joined, []func(*scene){alsoAdopted}, makePending},
		{"a pair of the kubelet's own while the node is joining", newcomer, []func(*scene){adopted, joining}, waitClient},

		// what was asked for
		{"issued", joined, []func(*scene){pending(issued)}, commit},
		{"issued, and not valid yet", joined, []func(*scene){pending(issued), waiting}, waitRetry},
		{"issued, beside a pair of the kubelet's own", joined, []func(*scene){adopted, pending(issued)}, commit},
		{"issued, and refused for good", joined, []func(*scene){pending(issued, ended(csr.Refused, time.Second))}, waitEnded},

		// what can be used as it is
		{"a certificate", member, nil, rest},
		{"a certificate, and nobody knows the address", member, []func(*scene){noAddress}, rest},
		{"a certificate that is not valid yet: the clock may be wrong", member, []func(*scene){func(s *scene) { s.o.Serving.Pair.Leaf.NotBefore = noon.Add(time.Minute) }}, rest},

		// what must be asked for
		{"a placeholder while the node is joining", newcomer, []func(*scene){joining, func(s *scene) { s.o.Serving.Pair, s.o.Serving.Linked = standIn, true }}, waitClient},
		{"a placeholder, and nobody knows the address", joined, []func(*scene){noAddress}, waitAddress},
		{"a placeholder, and nobody knows the address any more of a request under way", joined, []func(*scene){noAddress, pending(accepted), running}, waitAddress},
		{"a placeholder", joined, nil, makePending},
		{"a pair of the kubelet's own", joined, []func(*scene){adopted}, makePending},
		{"a placeholder, and a damaged request", joined, []func(*scene){func(s *scene) { s.o.Serving.PendingErr = errBad }}, makePending},
		{"a request", joined, []func(*scene){pending()}, ask},
		{"a request under way", joined, []func(*scene){pending(accepted), running}, underWay},
		{"a request for other names since the configuration was changed", joined, []func(*scene){pending(earlier, func(p *csr.Pending) { p.Wish.IPAddresses = []string{"192.0.2.9"} })}, giveUp},
		{"a denied request", joined, []func(*scene){pending(accepted, ended(csr.Denied, time.Minute))}, waitEnded},
		{"a request that was denied long ago", joined, []func(*scene){pending(accepted, ended(csr.Denied, time.Hour))}, makePending},
	} {
		s := c.from()
		for _, change := range c.given {
			change(s)
		}
		if found := decideServing(s.o, s.m, s.joining, s.aim()); found != c.expect {
			t.Errorf("%s: %q, expected %q", c.name, found, c.expect)
		}
	}
}
