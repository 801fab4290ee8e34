package doctor

import (
	"context"
	"fmt"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
)

// caFollowing looks at what the CA of the API server follows, where it does.
func caFollowing(_ context.Context, p *Patient) []Result {
	path := p.Config.CAFile
	switch {
	case p.Config.CAFromClusterInfo:
		return one(ok("the CA of the API server follows kube-public/cluster-info: one is added that is pinned, or signed by one that is trusted already"))
	case path == "":
		return nil
	}
	cas, err := certdir.ReadAuthorities(path, p.Observed.Now)
	switch {
	case certdir.Unread(err):
		return one(p.unread(problem(err), "find out what keeps root from reading it (owner, mode, SELinux, AppArmor, the disk)"))
	case err != nil:
		err = fmt.Errorf("the CA of the API server does not follow caFile: %w", err)
		return one(fromError(Attention, err, "put the cluster's CA there, one certificate behind the other, or change caFile; until then the node goes on with the one that it has"))
	}
	again := func() (remedy, command string) { return "put the cluster's CA there", "" }
	found := one(p.bundle(path, cas, again))
	if inUse := parse(p.Observed.ServerCA); inUse != nil && !discovery.SameBundle(cas, inUse) {
		found = append(found, attention("%s is not yet what is in use (%s): the agent takes it over as soon as the API server has answered this node under it", path, certdir.Dir{Path: p.Config.CertDir}.ServerCA()).
			with("what keeps it from that", agentLog))
	}
	return found
}
