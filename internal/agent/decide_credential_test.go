package agent

import (
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func TestDecideCredential(t *testing.T) {
	b := &kubeconfig.Bootstrap{Path: "/bootstrap.kubeconfig"}
	fingerprint := b.Fingerprint()
	nothing := func(*scene, *credentialMemory) {}
	same := func(_ *scene, m *credentialMemory) { m.sameCluster = fingerprint }
	and := func(changes ...func(*scene, *credentialMemory)) func(*scene, *credentialMemory) {
		return func(s *scene, m *credentialMemory) {
			for _, change := range changes {
				change(s, m)
			}
		}
	}
	retry := func(_ *scene, m *credentialMemory) { m.retryAt = noon.Add(time.Second) }
	running := func(_ *scene, m *credentialMemory) { m.running = true }
	aside := func(s *scene, _ *credentialMemory) { s.o.Aside = []string{"/bootstrap.kubeconfig"} }
	noKubeconfig := func(s *scene, _ *credentialMemory) { s.o.Kubelet, s.o.KubeletErr = nil, errBad }

	for _, c := range []struct {
		name   string
		change func(*scene, *credentialMemory)
		keep   bool
		expect step
	}{
		{"one beside a working identity: is it for the same cluster?", nothing, false, compare},
		{"one that is to be kept: its server and CA may be new", nothing, true, compare},
		{"one whose server does not answer", retry, false, waitRetry},
		{"one that is being compared", running, false, underWay},
		{"one that was used, or is for the same cluster", same, false, dispose},
		{"one that was used, and is to be kept", same, true, rest},
		{"one that was used, and cannot be deleted just now", and(same, retry), false, waitRetry},
		{"one that stays, as was said", and(same, func(_ *scene, m *credentialMemory) { m.settled = fingerprint }), false, rest},
		{"another one than that which was used", func(_ *scene, m *credentialMemory) { m.sameCluster, m.settled = "another", "another" }, false, compare},
		{"no credential", func(s *scene, _ *credentialMemory) { s.o.Bootstrap = nil }, false, rest},
		{"no identity yet", func(s *scene, _ *credentialMemory) { s.o.Client.Pair = nil }, false, rest},
		{"the identity has expired: it is needed again", func(s *scene, _ *credentialMemory) { s.o.Client.Pair = pairFor(nodeUser, 0) }, false, rest},
		{"a client request is not at its end", and(same, func(s *scene, _ *credentialMemory) { s.o.Client.Pending = request(*s.wish) }), false, rest},
		{"it may be for the new name", and(same, func(s *scene, _ *credentialMemory) { s.o.Node = "worker-2" }), false, rest},
		{"one lies aside", aside, false, settle},
		{"one lies aside, and there is nothing else", and(aside, func(s *scene, _ *credentialMemory) { s.o.Bootstrap, s.o.Client.Pair = nil, nil }), true, settle},
		{"one lies aside, and cannot be put back just now", and(aside, retry), false, waitRetry},
		{"the kubeconfig is lost: the credential's server and CA are all that is left", noKubeconfig, false, compare},
		{"the kubeconfig was lost after it was used", and(same, noKubeconfig), false, compare},
		{"the kubeconfig was lost after it was used and kept", and(same, noKubeconfig), true, compare},
		{"the kubeconfig was lost after all was said about it", and(same, noKubeconfig, func(_ *scene, m *credentialMemory) { m.settled = fingerprint }), false, compare},
	} {
		s := member()
		s.o.Bootstrap, s.o.BootstrapErr = b, nil
		m := credentialMemory{}
		c.change(s, &m)
		if found := decideCredential(s.o, m, c.keep); found != c.expect {
			t.Errorf("%s: %q, expected %q", c.name, found, c.expect)
		}
	}
}
