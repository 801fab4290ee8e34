package doctor

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// clusterInfo is where the endpoint comes from that was found out.
const clusterInfo = "cluster-info"

// checkDiscovery finds out where the cluster of a discovery token is, as the agent does: nothing secret is sent. What comes of it the other
// checks look at, as they do at a bootstrap kubeconfig.
func checkDiscovery(ctx context.Context, p *Patient) []Result {
	token, n := p.Observed.Undiscovered, &p.network
	if n.begun.IsZero() {
		n.begun = p.Clock.Now()
	}
	switch {
	case token == nil:
		return nil
	case p.Observed.DiscoveryFile != nil: // discovery-token says what is wrong with it
		if endpoint, err := discovery.FromFile(*p.Observed.DiscoveryFile, p.Config.DiscoveryFile, p.Config.DiscoveryCACertHashes, p.Observed.Now); err == nil {
			p.leadTo(token.At(endpoint), p.Config.DiscoveryFile)
		}
		return nil
	case p.Observed.HasIdentity() && kubeconfig.IsSystemdCredential(token.Path, p.Config.CredentialsDirectory):
		return nil // nor does the agent
	}
	wish, err := discovery.NewWish(p.Config.Servers(), token.Credential.Token, p.Config.DiscoveryCACertHashes)
	if err != nil {
		return one(unknown("%v", err).with("mend the settings (bootstrap-agent config check)", ""))
	}
	limited, cancel := context.WithTimeout(ctx, discoveryLimit)
	defer cancel()
	found, err := discovery.Asker{UserAgent: p.UserAgent, Clock: p.Clock}.Discover(limited, wish)
	if err != nil {
		n.unfound = true
		return one(p.concealed(p.notFound(err, wish)))
	}
	p.leadTo(token.At(found.Endpoint), clusterInfo)
	results := one(ok("%s says, signed with the token %s, that the cluster is %s, which says the same under a CA that is pinned", found.Asked, wish.Token.ID, found.Endpoint.Server))
	for _, stranger := range found.Dropped {
		results = append(results, attention("cluster-info names a CA that is neither pinned nor signed by one that is, and is not trusted: %q with the key %s", words(stranger.Subject), stranger.Pin).
			with("if it is the cluster's, add that key to discoveryCACertHashes; if not, find out who has put it there; an administrator sees what it says", readClusterInfo))
	}
	return results
}

// leadTo makes a token that leads somewhere now the bootstrap credential.
func (p *Patient) leadTo(b *kubeconfig.Bootstrap, file string) {
	o := &p.Observed
	o.Bootstrap, o.Undiscovered, o.BootstrapErr = b, nil, nil
	p.network.leads = file
}

const readClusterInfo = "kubectl -n kube-public get configmap cluster-info -o yaml"

// notFound is why the cluster was not found, and what to do about it.
func (p *Patient) notFound(err error, wish discovery.Wish) Result {
	e := discovery.ErrorOf(err)
	verdict := Broken
	switch e.Reason {
	case discovery.NotSigned, discovery.Changed:
		verdict = Waiting
	case discovery.Reason(apiserver.Unreachable), discovery.Reason(apiserver.Timeout), discovery.Reason(apiserver.Throttled), discovery.Reason(apiserver.ServerError):
		verdict = Waiting
	}
	if p.Observed.HasIdentity() { // the token is not needed
		verdict = Attention
	}
	remedy, command := notFoundRemedy(e, wish)
	return say(verdict, "where the cluster is cannot be found out (%s): %s", e.Reason, inFull(e)).with(remedy, command)
}

// notFoundRemedy is what to do, with a command for this node where it is the way that is wrong, and for an administrator where it is what is
// said there.
func notFoundRemedy(e *discovery.Error, wish discovery.Wish) (remedy, command string) {
	switch e.Reason {
	case discovery.NotSigned:
		return "the token may be unknown there, have expired, or lack usage-bootstrap-signing, or kube-controller-manager runs without bootstrapsigner; an administrator sees it (without the secret)", lookAtToken(wish.Token.ID)
	case discovery.BadSignature:
		return "compare the token with the cluster's, on a kubeadm control plane node; if it is the same, somebody changes what the API server answers", "kubeadm token list"
	case discovery.NotPinned:
		return "compare discoveryCACertHashes with what a control plane node prints; if that is right, somebody else answers here", "bootstrap-agent join-config --ca-file=/etc/kubernetes/pki/ca.crt --print=ca-cert-hash"
	case discovery.NotPublished, discovery.Reason(apiserver.Forbidden), discovery.Reason(apiserver.Unauthorized):
		return "publish it, and let system:anonymous read it (docs/joining.md), or join with a bootstrap kubeconfig; what the cluster has", readClusterInfo
	case discovery.BadClusterInfo:
		return "an administrator corrects it", "kubectl -n kube-public edit configmap cluster-info"
	case discovery.Changed:
		return "it was changed between the two reads, or somebody changes what is answered here: the agent tries again; what the cluster has", readClusterInfo
	}
	remedy, _, _ = strings.Cut(e.Remedy, "; ")
	if remedy == "" {
		remedy = "it may pass; see what is wrong with the API server"
	}
	return remedy + "; what answers there, without a credential", "curl -skS --max-time 5 " + quoted(e.Server+clusterInfoPath)
}

// inFull is an error of ours on one line: what others have said in it is short already.
func inFull(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

const clusterInfoPath = "/api/v1/namespaces/kube-public/configmaps/cluster-info"

// blindSites are the API servers at which nothing was found out: of them name and connection can be looked at, and no more.
func (p *Patient) blindSites(needed bool) (sites []*site) {
	for _, server := range p.Config.Servers() {
		if _, err := url.Parse(server); err == nil {
			sites = append(sites, &site{endpoint: apiserver.Endpoint{Server: server}, files: []string{"apiServers"}, needed: needed, blind: true})
		}
	}
	return sites
}

// credential is what the bootstrap credential is called in a line.
func (p *Patient) credentialName() string {
	if b := p.Observed.Bootstrap; b != nil && b.Source == kubeconfig.DiscoveryToken {
		return "the discovery token"
	}
	return "the bootstrap kubeconfig"
}

// anotherToken is how to have a good bootstrap token used.
func (p *Patient) anotherToken() string {
	if file := p.Config.DiscoveryTokenFile; file != "" {
		return "put a good token at " + file
	}
	return fmt.Sprintf("put a bootstrap kubeconfig with a good token at %s", p.Config.BootstrapKubeconfig)
}
