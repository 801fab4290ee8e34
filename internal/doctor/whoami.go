package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// anonymous is whom the API server takes somebody for who shows nothing that it looks at.
const anonymous = "system:anonymous"

func checkWhoAmI(ctx context.Context, p *Patient) []Result {
	if len(p.network.sites) > 0 && len(p.network.ways) == 0 {
		return one(unknown("not looked at: there is neither an identity of the node nor a bootstrap credential").
			with("put "+status.Credentials(p.Config, ""), ""))
	}
	return distinct(each(p.network.ways, func(w *way) []Result { return one(p.whoAmI(ctx, w)) }))
}

// distinct leaves out what is said already: two credentials for one site are in the same way not looked at.
func distinct(results []Result) []Result {
	var left []Result
	for _, r := range results {
		if !slices.Contains(left, r) {
			left = append(left, r)
		}
	}
	return left
}

func (p *Patient) whoAmI(ctx context.Context, w *way) Result {
	user, err := w.me(ctx)
	switch {
	case errors.Is(err, errNotAsked) && w.unused != "":
		return unknown("not looked at: %s", w.unused).with("nothing has to be done; the agent does not need it now", "")
	case errors.Is(err, errNotAsked):
		return notLooked(w.stopped())
	case err != nil && apiserver.ReasonOf(err) == apiserver.Unauthorized:
		return p.refused(ctx, w)
	case err != nil:
		return w.noAnswer(err)
	case user.Name == anonymous:
		return say(w.atMost(Broken), "%s takes this node for %s: it has not looked at %s", w.endpoint.Server, anonymous, w).
			with("something in between (a load balancer that ends TLS) keeps it from the API server: have it pass TLS through; what the API server sees, where kubectl works", "kubectl auth whoami")
	case w.asNode:
		return p.whoIsNode(w, user)
	}
	return ok("%s takes the bootstrap credential for %s%s", w.endpoint.Server, words(user.Name), inGroups(user))
}

func inGroups(user apiserver.User) string {
	if user.Groups == nil {
		return ""
	}
	return " in " + words(strings.Join(user.Groups, ", "))
}

// whoIsNode says whether the API server takes the node for itself.
func (p *Patient) whoIsNode(w *way, user apiserver.User) Result {
	name := w.identity(p)
	look := "openssl x509 -noout -subject -issuer -dates -in " + quoted(usablePair(p.Observed).File)
	switch {
	case user.IsNode(name):
		return ok("%s takes this node for %s%s", w.endpoint.Server, words(user.Name), inGroups(user))
	case user.Name == "system:node:"+name:
		return say(Broken, "%s takes this node for %s, and not in the group system:nodes%s", w.endpoint.Server, words(user.Name), inGroups(user)).
			with("the certificate's organization must be system:nodes: put "+status.Credentials(p.Config, "")+", and see whether the signer changes what it signs", look)
	}
	return say(Broken, "%s takes this node for %s, and the certificate is for system:node:%s", w.endpoint.Server, words(user.Name), name).
		with("something in between shows the API server another certificate, or the API server maps names: have TLS passed through; the node's certificate", look)
}

// identity is the name of the node that the certificate is for.
func (w *way) identity(p *Patient) string {
	return strings.TrimPrefix(usablePair(p.Observed).Leaf.Subject.CommonName, "system:node:")
}

// refused is a credential that the API server does not accept.
func (p *Patient) refused(ctx context.Context, w *way) Result {
	text := fmt.Sprintf("%s does not accept %s (401)", w.endpoint.Server, w)
	if w.asNode {
		pair := usablePair(p.Observed)
		return broken("%s, which was issued by %s", text, words(pair.Leaf.Issuer.String())).
			with("each API server's --client-ca-file must hold that issuer, and the clocks must agree; if that cannot be, put "+status.Credentials(p.Config, "")+". The certificate",
				"openssl x509 -noout -subject -issuer -dates -in "+quoted(pair.File))
	}
	b := p.Observed.Bootstrap
	switch {
	case b.Credential.Token != "":
		return p.refusedToken(ctx, w, text)
	case b.Source == kubeconfig.ExecPlugin:
		return say(w.atMost(Broken), "%s, which the exec plugin %s gave", text, words(b.Credential.Exec.Command)).
			with("see what the plugin gives, and whether the cluster knows that user", quoted(b.Credential.Exec.Command))
	}
	return say(w.atMost(Broken), "%s, a client certificate", text).
		with("each API server's --client-ca-file must hold the issuer of the client certificate in "+b.Path+", and the clocks must agree; otherwise make another bootstrap kubeconfig. As root",
			"kubectl --kubeconfig="+quoted(b.Path)+" auth whoami")
}

// noAnswer is when nobody has said whom the API server takes the node for.
func (w *way) noAnswer(err error) Result {
	reason := apiserver.ReasonOf(err)
	remedy := reason.Remedy()
	if w.asNode {
		remedy = reason.RemedyAsNode()
	}
	text := fmt.Sprintf("%s does not say whom it takes %s for (%s): %s", w.endpoint.Server, w, reason, words(innermost(err)))
	switch reason {
	case apiserver.Timeout, apiserver.Unreachable, apiserver.ServerError, apiserver.Throttled:
		if remedy == "" {
			remedy = "it may pass; see what is wrong with the API server"
		}
		return say(w.atMost(Waiting), "%s", text).with(remedy+"; where kubectl works", "kubectl get --raw '/readyz?verbose'")
	case apiserver.TLS:
		return say(w.atMost(Broken), "%s", text).with(remedy, "timeout 10 openssl s_client -connect "+quoted(w.hostPort())+" </dev/null")
	}
	return say(w.atMost(Broken), "%s", text).with(remedy, "")
}
