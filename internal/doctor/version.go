package doctor

import (
	"context"
	"net/http"
	"strings"

	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// oldestServer is the first with SelfSubjectReview v1, by which the agent proves an identity.
const oldestServer = "1.28.0"

func checkVersion(ctx context.Context, p *Patient) []Result {
	return each(p.network.sites, func(site *site) []Result { return one(p.serverVersion(ctx, site)) })
}

func (p *Patient) serverVersion(ctx context.Context, site *site) Result {
	if down := site.stopped(); down != "" {
		return notLooked(down)
	}
	server, seen := site.endpoint.Server, site.sight
	switch {
	case seen.Version != "":
		return judgeVersion(site, seen.Version)
	case seen.Cut != nil:
		site.stop("%s does not end what it begins to answer", server)
		return say(site.atMost(Waiting), "the answer of %s broke off: %s", server, words(innermost(seen.Cut))).
			with("see what is wrong with the API server, or with what stands in front of it; where kubectl works", "kubectl get --raw '/readyz?verbose'")
	case seen.Status == 0 || seen.Status == http.StatusUnauthorized || seen.Status == http.StatusForbidden: // it does not talk to strangers
		return p.versionForNode(ctx, site)
	case seen.Status >= 300 && seen.Status < 400:
		site.stop("%s answers with a redirect", server)
		return say(site.atMost(Broken), "%s answers with a redirect (%d), which is refused: the credential would be sent along", server, seen.Status).
			with("server in "+site.named()+" must be the API server itself; where it leads to", "curl -skI --max-time 5 "+quoted(server+"/version"))
	case seen.Status >= http.StatusInternalServerError || seen.Status == http.StatusTooManyRequests:
		return say(site.atMost(Waiting), "%s answers %d to a question about its version", server, seen.Status).
			with("see what is wrong with the API server; where kubectl works", "kubectl get --raw '/readyz?verbose'")
	}
	site.stop("what answers at %s is no API server", server)
	return say(site.atMost(Broken), "what answers at %s is no API server: it says %d to a question about its version", server, seen.Status).
		with("correct host, port and path of server in "+site.named()+"; what an API server says", "kubectl get --raw /version")
}

// versionForNode asks with the node's certificate. The bootstrap credential is not sent for that.
func (p *Patient) versionForNode(ctx context.Context, site *site) Result {
	w := p.network.way(true)
	if w == nil || w.site != site {
		return unknown("%s does not tell its version to somebody without a credential", site.endpoint.Server).
			with("the agent needs 1.28 or later; where kubectl works", "kubectl version")
	}
	var version string
	err := w.ask(ctx, func(ctx context.Context, api *apiserver.Client) (err error) {
		version, err = api.Version(ctx)
		return err
	})
	if err != nil {
		return unknown("%s does not tell its version: %s", site.endpoint.Server, words(innermost(err))).
			with("the agent needs 1.28 or later; where kubectl works", "kubectl version")
	}
	return judgeVersion(site, version)
}

func judgeVersion(site *site, told string) Result {
	server, version := site.endpoint.Server, strings.TrimSpace(told)
	parsed, err := utilversion.ParseGeneric(version)
	if err != nil {
		return unknown("%s says that its version is %q", server, version).with("the agent needs 1.28 or later; where kubectl works", "kubectl version")
	}
	if parsed.LessThan(utilversion.MustParseGeneric(oldestServer)) {
		return say(site.atMost(Broken), "%s is an API server of version %s; the agent needs 1.28 or later (SelfSubjectReview)", server, version).
			with("upgrade the control plane; on a kubeadm control plane node", "kubeadm upgrade plan")
	}
	return ok("%s is an API server of version %s", server, version)
}
