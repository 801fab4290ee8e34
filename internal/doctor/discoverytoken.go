package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// tokenPath is where the discovery token is looked for; empty: nowhere.
func (p *Patient) tokenPath() string {
	return kubeconfig.WhereToken(p.Config.DiscoveryTokenFile, p.Config.CredentialsDirectory)
}

// discovers says whether the node is to join with a discovery token: there is one, or a place for it, and no bootstrap kubeconfig, which wins.
func (p *Patient) discovers() bool {
	o, path := p.Observed, p.tokenPath()
	return path != "" && p.Config.Discovers() && (o.NoCredential() || o.Undiscovered != nil || o.Bootstrap == nil && o.BootstrapFile == path)
}

// checkDiscoveryToken looks at the token and at what says where its cluster is. Nobody is asked.
func checkDiscoveryToken(_ context.Context, p *Patient) []Result {
	path := p.tokenPath()
	switch {
	case path == "" && !p.Config.Discovers():
		return nil
	case path == "":
		return one(attention("the settings say where the cluster is found out, and there is no discovery token for it: discoveryTokenFile is not set, and the unit has no credential %s", kubeconfig.SystemdTokenCredential).
			with("set discoveryTokenFile, or take away apiServers or discoveryFile; then, "+asRoot, restartAgent))
	case !p.Config.Discovers(): // a systemd credential: a file would be an error of the settings
		return one(attention("%s is a discovery token, and nothing says where its cluster is: it is not used", path).
			with("set apiServers and discoveryCACertHashes, or discoveryFile; then, "+asRoot, restartAgent))
	}
	token, err := kubeconfig.LoadToken(path)
	switch {
	case errors.Is(err, kubeconfig.ErrNoCredential):
		return append(one(p.noCredential(path)), p.whereabouts()...)
	case err != nil:
		return one(p.badCredential(err))
	}
	found := p.private(token)
	id, _, _ := strings.Cut(token.Credential.Token, ".")
	switch {
	case !p.discovers():
		found = append(found, ok("%s is left alone as long as there is a bootstrap kubeconfig, which wins: %s", path, p.Observed.BootstrapFile))
	case !p.Observed.HasIdentity():
		found = append(found, ok("%s has a bootstrap token with the ID %s; until when it is good only its Secret says", path, id))
	default:
		found = append(found, p.beside(token))
	}
	return append(found, p.whereabouts()...)
}

// whereabouts judges what says where the cluster is, while that is needed.
func (p *Patient) whereabouts() []Result {
	cfg := p.Config
	switch {
	case p.Observed.HasIdentity():
		return nil
	case cfg.DiscoveryFile == "":
		return one(ok("its cluster is found out at %s, by a CA with the key %s", strings.Join(cfg.Servers(), ", "), words(strings.Join(cfg.DiscoveryCACertHashes, " or "))))
	}
	endpoint, err := kubeconfig.LoadDiscovery(cfg.DiscoveryFile)
	if certdir.Unread(err) {
		return one(p.unread(problem(err), "find out what keeps root from reading it (owner, mode, SELinux, AppArmor, the disk)"))
	}
	if err == nil {
		endpoint, err = discovery.FromFile(endpoint, cfg.DiscoveryFile, cfg.DiscoveryCACertHashes, p.Observed.Now)
	}
	if err != nil {
		return one(fromError(Broken, err, "correct discoveryFile, which is a kubeconfig with server and CA and without a credential, or put another one there; it is taken up at once"))
	}
	again := func() (remedy, command string) { return "put the cluster's CA into it; it is taken up at once", "" }
	return []Result{ok("%s says that its cluster is %s", cfg.DiscoveryFile, endpoint.Server), p.bundle(cfg.DiscoveryFile, parse(endpoint.CA), again)}
}
