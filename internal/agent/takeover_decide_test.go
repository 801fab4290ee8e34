package agent

import (
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// What a person is told to do must help: another name, another cluster. And an identity that is in use is not lost meanwhile.
func TestWhatIsDoneWhileAnotherMachineIsTheNode(t *testing.T) {
	wanted := csr.Wish{Kind: csr.Client, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"}
	pending := func(changes ...func(*csr.Pending)) func(*scene) {
		return func(s *scene) { s.o.Client.Pending = request(wanted, append(changes, issued)...) }
	}
	since := func(d time.Duration) func(*scene) {
		return func(s *scene) { s.m.differsSince, s.m.mismatchSince = noon.Add(-d), noon.Add(-d) }
	}
	renamed := func(s *scene) { s.o.Node, s.wish.NodeName = "worker-2", "worker-2" }
	noCredential := func(s *scene) { s.o.Bootstrap, s.o.BootstrapErr = nil, errNone }
	waiting := func(s *scene) { s.m.retryAt = noon.Add(time.Second) }
	running := func(s *scene) { s.m.running = true }
	elsewhere := func(s *scene) {
		s.o.Bootstrap = &kubeconfig.Bootstrap{Endpoint: apiserver.Endpoint{Server: "https://elsewhere:6443", CA: theCA().pem}}
	}
	otherAddress := func(s *scene) {
		elsewhere(s)
		s.o.Client.Pending.Endpoint = apiserver.Endpoint{Server: "https://here:6443", CA: theCA().pem}
	}
	justMade := func(p *csr.Pending) { p.Made = noon.Add(-time.Second) }
	// the identity that is in use is of another name: this machine was called worker-9 when it joined
	other := func(s *scene) {
		s.o.Client.Pair = pairFor("system:node:worker-9", time.Hour)
		s.o.Bootstrap = &kubeconfig.Bootstrap{}
	}
	due := func(s *scene) { s.o.Client.RotateNow = true }
	lostWay := func(s *scene) { s.o.Kubelet = nil }
	refused := func(s *scene) { s.replaces = true }
	for _, c := range []struct {
		name   string
		from   func() *scene
		given  []func(*scene)
		expect step
	}{
		{"it looks again", newcomer, []func(*scene){pending()}, prove},
		{"it has just looked", newcomer, []func(*scene){pending(), waiting}, waitRetry},
		{"it is looking", newcomer, []func(*scene){pending(), running}, underWay},
		{"the credential is gone", newcomer, []func(*scene){pending(), noCredential}, prove},

		{"the machine was given another name by its settings", newcomer, []func(*scene){pending(earlier), renamed}, giveUp},
		{"the same, and it has just looked", newcomer, []func(*scene){pending(earlier), renamed, waiting}, giveUp},
		{"the machine was given another name a moment ago", newcomer, []func(*scene){pending(), renamed, since(29 * time.Second)}, prove},
		{"the machine was given another name", newcomer, []func(*scene){pending(), renamed, since(30 * time.Second)}, giveUp},
		{"the same, and the last time was within the hour", newcomer, []func(*scene){pending(justGivenUp), renamed, since(time.Minute)}, prove},
		{"the same, and the last time was an hour ago", newcomer, []func(*scene){pending(longAgoGivenUp), renamed, since(time.Minute)}, giveUp},
		{"another name, and nothing to ask for it with", newcomer, []func(*scene){pending(earlier), renamed, noCredential, since(time.Hour)}, prove},
		{"another key is wanted, which is no way out", newcomer, []func(*scene){pending(earlier), func(s *scene) { s.wish.KeyAlgorithm = "rsa-2048" }, since(time.Hour)}, prove},

		{"a credential for another cluster was put there", newcomer, []func(*scene){pending(), elsewhere}, giveUp},
		{"the same, a moment after the request was made", newcomer, []func(*scene){pending(justMade), elsewhere}, prove},
		{"the same, the last time was within the hour", newcomer, []func(*scene){pending(justGivenUp), elsewhere}, prove},
		{"a credential for another address of the same cluster", newcomer, []func(*scene){pending(), otherAddress}, prove},

		{"beside an identity of another name", member, []func(*scene){other, pending(), since(time.Hour)}, prove},
		{"the identity is to be rotated", member, []func(*scene){other, pending(), since(time.Hour), due}, forget},
		{"the identity is to be rotated, and it has just looked", member, []func(*scene){other, pending(), since(time.Hour), due, waiting}, rest},
		{"the identity is to be rotated, and it is not known where", member, []func(*scene){other, pending(), since(time.Hour), due, lostWay}, prove},
		{"the identity is to be rotated, and its cluster does not know it", member, []func(*scene){other, pending(), since(time.Hour), due, refused}, prove},
		{"the request has gone, and the identity is rotated first", member, []func(*scene){other, since(time.Hour), due, func(s *scene) { s.wish.NodeName = "worker-9" }}, makePending},
	} {
		s := c.from()
		s.m.failure = rotate.Taken
		for _, change := range c.given {
			change(s)
		}
		if found := decideClient(s.o, s.m, s.aim()); found != c.expect {
			t.Errorf("%s: %q, expected %q", c.name, found, c.expect)
		}
	}
}

func TestOnlyTheMachineThatWasTheNodeBeforeIsNotAsked(t *testing.T) {
	here, there := apiserver.Endpoint{Server: "https://here:6443", CA: theCA().pem}, apiserver.Endpoint{Server: "https://there:6443", CA: []byte("another")}
	for _, c := range []struct {
		name   string
		change func(o *status.Observed, p *csr.Pending)
		before bool
	}{
		{"nothing on the disk", func(o *status.Observed, _ *csr.Pending) { o.Client.Pair = nil }, false},
		{"an identity of the same name, which is replaced", func(*status.Observed, *csr.Pending) {}, true},
		{"an expired identity of the same name", func(o *status.Observed, _ *csr.Pending) { o.Client.Pair = pairFor(nodeUser, -time.Hour) }, true},
		{"an expired identity, and the kubeconfig is lost", func(o *status.Observed, _ *csr.Pending) {
			o.Client.Pair, o.Kubelet = pairFor(nodeUser, -time.Hour), nil
		}, true},
		{"an identity of another name", func(o *status.Observed, _ *csr.Pending) { o.Client.Pair = pairFor(otherUser, time.Hour) }, false},
		{"an identity in another cluster", func(_ *status.Observed, p *csr.Pending) { p.Endpoint = there }, false},
		{"another address of the same cluster", func(_ *status.Observed, p *csr.Pending) { p.Endpoint.Server = there.Server }, true},
	} {
		o := member().o
		o.Kubelet = &kubeconfig.Kubelet{Endpoint: here}
		p := &csr.Pending{Wish: csr.Wish{Kind: csr.Client, NodeName: "worker-1"}, Endpoint: here}
		c.change(&o, p)
		if provedBefore(o, p) != c.before {
			t.Errorf("%s: was this node before: %t", c.name, !c.before)
		}
	}
}
