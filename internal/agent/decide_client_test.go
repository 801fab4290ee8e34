package agent

import (
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func TestDecideClient(t *testing.T) {
	pending := func(changes ...func(*csr.Pending)) func(*scene) {
		return func(s *scene) { s.o.Client.Pending = request(*s.wish, changes...) }
	}
	running := func(s *scene) { s.m.running = true }
	waiting := func(s *scene) { s.m.retryAt = noon.Add(time.Second) }
	due := func(s *scene) { s.m.retryAt = noon }
	inUse := func(s *scene) { committed(&s.o.Client) }
	proved := func(s *scene) { s.m.provedLeaf = leafBytes(certificate) }
	noCredential := func(s *scene) { s.o.Bootstrap, s.o.BootstrapErr = nil, errNone }
	credential := func(s *scene) { s.o.Bootstrap = &kubeconfig.Bootstrap{} }
	noName := func(s *scene) { s.o.Node, s.o.NodeErr, s.wish = "", errBad, nil }
	expired := func(s *scene) { s.o.Client.Pair = pairFor(nodeUser, 0) }
	damaged := func(s *scene) { s.o.Client.Pair, s.o.Client.PairErr = nil, errBad }
	older := func(s *scene) { s.o.Client.Older = pairFor(nodeUser, time.Hour) }
	olderExpired := func(s *scene) { s.o.Client.Older = pairFor(nodeUser, -2*time.Hour) }
	renamed := func(s *scene) { s.o.Node, s.wish.NodeName = "worker-2", "worker-2" }
	since := func(d time.Duration) func(*scene) { return func(s *scene) { s.m.mismatchSince = noon.Add(-d) } }

	for _, c := range []struct {
		name   string
		from   func() *scene
		given  []func(*scene)
		expect step
	}{
		// what is on the disk and only needs finishing
		{"its certificate is in use, the end of the commit is missing", newcomer, []func(*scene){pending(issued), inUse}, commit},
		{"its certificate is in use, the disk was in trouble a moment ago", newcomer, []func(*scene){pending(issued), inUse, waiting}, waitRetry},
		{"its certificate is in use, and the credential is gone", newcomer, []func(*scene){pending(issued), inUse, noCredential}, commit},
		{"its certificate is in use and has expired since", newcomer, []func(*scene){pending(issued), inUse, func(s *scene) { s.o.Client.Pair.Leaf.NotAfter = noon }}, commit},
		{"issued", newcomer, []func(*scene){pending(issued)}, prove},
		{"issued, and the credential is gone", newcomer, []func(*scene){pending(issued), noCredential}, prove},
		{"issued, and the machine has lost its name", newcomer, []func(*scene){pending(issued), noName}, prove},
		{"issued, beside an identity that can be used", member, []func(*scene){pending(issued)}, prove},
		{"issued, beside an older pair", newcomer, []func(*scene){pending(issued), older}, prove},
		{"being proved", newcomer, []func(*scene){pending(issued), running}, underWay},
		{"not accepted by the API server yet", newcomer, []func(*scene){pending(issued), waiting}, waitRetry},
		{"proved", newcomer, []func(*scene){pending(issued), proved}, commit},
		{"proved, the disk is in trouble", newcomer, []func(*scene){pending(issued), proved, waiting}, waitRetry},
		{"another one was proved", newcomer, []func(*scene){pending(issued), func(s *scene) { s.m.provedLeaf = []byte("another") }}, prove},
		{"issued, and refused for good", newcomer, []func(*scene){pending(issued, ended(csr.Refused, time.Second))}, waitEnded},

		// what can be used as it is
		{"an identity", member, nil, rest},
		{"an identity, and a credential", member, []func(*scene){credential}, rest},
		{"an identity that is not valid yet: the clock may be wrong", member, []func(*scene){func(s *scene) { s.o.Client.Pair.Leaf.NotBefore = noon.Add(time.Hour) }}, rest},
		{"an identity on a machine without a name", member, []func(*scene){noName}, rest},
		{"an identity, and a trouble of before", member, []func(*scene){waiting}, rest},
		{"an identity of another name, and nothing to get one with", member, []func(*scene){renamed, since(time.Hour)}, rest},
		{"an identity of another name since a moment", member, []func(*scene){renamed, credential, since(59 * time.Second)}, rest},
		{"an identity of another name that was not noticed yet", member, []func(*scene){renamed, credential}, rest},
		{"an identity of another name since a minute, and a credential", member, []func(*scene){renamed, credential, since(time.Minute)}, makePending},
		{"a request under way for the new name", member, []func(*scene){renamed, credential, since(time.Hour), pending(), running}, underWay},
		{"a request for a name that the machine had for a while", member, []func(*scene){credential, pending(accepted, otherWish)}, forget},
		{"a request for a name that the machine had for a while, under way", member, []func(*scene){credential, pending(accepted, otherWish), running}, forget},
		{"a request for a name that the machine had for a while, and the disk is in trouble", member, []func(*scene){credential, pending(otherWish), waiting}, rest},
		{"a request for the new name, which the machine has had for less than a minute", member, []func(*scene){renamed, credential, since(time.Second), pending()}, rest},
		{"damaged, with an older pair", member, []func(*scene){damaged, older}, useOlder},
		{"damaged, with an older pair and a credential", member, []func(*scene){damaged, older, credential}, useOlder},
		{"damaged, with an older pair, on a machine without a name", member, []func(*scene){damaged, older, noName}, useOlder},
		{"damaged, with an older pair that could not be taken just now", member, []func(*scene){damaged, older, waiting}, waitRetry},

		// what must be asked for
		{"nothing, and no name", newcomer, []func(*scene){noName}, waitName},
		{"nothing, no name and no credential", newcomer, []func(*scene){noName, noCredential}, waitName},
		{"nothing, and no credential", newcomer, []func(*scene){noCredential}, waitCredential},
		{"a bad credential", newcomer, []func(*scene){func(s *scene) { s.o.Bootstrap, s.o.BootstrapErr = nil, errBad }}, waitCredential},
		{"expired, and no credential", member, []func(*scene){expired}, waitCredential},
		{"damaged, and no credential", member, []func(*scene){damaged}, waitCredential},
		{"a request, and no credential any more", newcomer, []func(*scene){noCredential, pending(accepted)}, waitCredential},
		{"a denied request, and no credential any more", newcomer, []func(*scene){noCredential, pending(ended(csr.Denied, 24*time.Hour))}, waitCredential},
		{"the credential went while the request is under way", newcomer, []func(*scene){noCredential, pending(accepted), running}, underWay},
		{"the credential went while a request is under way that is not wanted any more", newcomer, []func(*scene){noCredential, pending(otherWish, earlier), running}, underWay},
		{"the credential and the request went while it was under way", newcomer, []func(*scene){noCredential, running}, underWay},
		{"a credential", newcomer, nil, makePending},
		{"a credential, and a damaged request", newcomer, []func(*scene){func(s *scene) { s.o.Client.PendingErr = errBad }}, makePending},
		{"a credential, and trouble with the disk", newcomer, []func(*scene){waiting}, waitRetry},
		{"a credential, and trouble with the disk that is over", newcomer, []func(*scene){due}, makePending},
		{"expired, and a credential", member, []func(*scene){expired, credential}, makePending},
		{"expired, and an older pair, which is valid for longer", member, []func(*scene){expired, older, credential}, useOlder},
		{"expired, and an older pair, which expired before", member, []func(*scene){expired, olderExpired, credential}, makePending},
		{"damaged, and a credential", member, []func(*scene){damaged, credential}, makePending},
		{"a request", newcomer, []func(*scene){pending()}, ask},
		{"a request that the API server has", newcomer, []func(*scene){pending(accepted)}, ask},
		{"a request under way", newcomer, []func(*scene){pending(accepted), running}, underWay},
		{"a request that could not be sent", newcomer, []func(*scene){pending(), waiting}, waitRetry},
	} {
		s := c.from()
		for _, change := range c.given {
			change(s)
		}
		if found := decideClient(s.o, s.m, s.aim()); found != c.expect {
			t.Errorf("%s: %q, expected %q", c.name, found, c.expect)
		}
	}
}

func TestAMismatchOfNamesCountsFromItsBeginningAndEndsWithIt(t *testing.T) {
	var m memory
	for _, c := range []struct {
		mismatch bool
		at       time.Duration
		lasting  bool
	}{{true, 0, false}, {true, 59 * time.Second, false}, {true, time.Minute, true}, {false, 61 * time.Second, false}, {true, 62 * time.Second, false}, {true, 2 * time.Minute, false}, {true, 122 * time.Second, true}} {
		m.noteMismatch(c.mismatch, noon.Add(c.at))
		if m.mismatched(noon.Add(c.at)) != c.lasting {
			t.Errorf("after %s: lasting %v", c.at, !c.lasting)
		}
	}
}
