package agent

import (
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// The request for the new name may wait for as long as nobody approves it; the identity that there is must not expire meanwhile.
func TestAnIdentityThatIsDueIsRotatedBeforeItIsReplacedForANewName(t *testing.T) {
	t.Parallel()
	renamed := func(s *scene) {
		s.o.Node, s.o.Bootstrap, s.o.BootstrapErr = "worker-9", &kubeconfig.Bootstrap{Path: "/bootstrap.kubeconfig"}, nil
		s.m.mismatchSince = noon.Add(-time.Hour)
	}
	isDue := func(s *scene) { s.o.Client.Pair = pairFor(nodeUser, time.Minute) }
	waiting := func(s *scene) {
		s.o.Client.Pending = request(csr.Wish{Kind: csr.Client, NodeName: "worker-9", KeyAlgorithm: "ecdsa-p256"}, accepted)
	}
	for _, c := range []struct {
		name   string
		change []func(*scene)
		expect step
	}{
		{"renamed, and not due", []func(*scene){renamed}, makePending},
		{"renamed, and the new name is asked for", []func(*scene){renamed, waiting}, ask},
		{"renamed, asked for and due", []func(*scene){renamed, waiting, isDue}, forget},
		{"renamed and due", []func(*scene){renamed, isDue}, makePending},
	} {
		s := member()
		for _, change := range c.change {
			change(s)
		}
		bootstrapping := isBootstrapping(s.o, s.m, s.aim())
		name := map[bool]string{true: "worker-9", false: "worker-1"}[bootstrapping]
		s.wish = &csr.Wish{Kind: csr.Client, NodeName: name, KeyAlgorithm: "ecdsa-p256"}
		if found := decideClient(s.o, s.m, s.aim()); found != c.expect {
			t.Errorf("%s: %q, expected %q", c.name, found, c.expect)
		}
		if bootstrapping == due(s.o, s.o.Client) {
			t.Errorf("%s: with the bootstrap credential %v", c.name, bootstrapping)
		}
	}
}
