package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// checkRequests reads the objects of the requests under way. What is on the disk about them is for the check requests.
func checkRequests(ctx context.Context, p *Patient) []Result {
	var certificates []status.Certificate
	for _, c := range []status.Certificate{p.Observed.Client, p.Observed.Serving} {
		if c.Pending != nil && (c.Kind == csr.Client || p.Config.Serving != string(serving.Off)) {
			certificates = append(certificates, c)
		}
	}
	return distinct(each(certificates, func(c status.Certificate) []Result { return one(p.object(ctx, c)) }))
}

// object says how one request stands at the API server.
func (p *Patient) object(ctx context.Context, c status.Certificate) Result {
	w := p.asker(c)
	if w == nil {
		return unknown("%s is not looked at: the credential that may read it is not there", c.Pending.Name).
			with("put "+status.Credentials(p.Config, ""), "")
	}
	if err := w.accepted(ctx); err != nil {
		return notLooked(strings.TrimPrefix(err.Error(), errNotAsked.Error()+": "))
	}
	var seen csr.Seen
	err := w.ask(ctx, func(ctx context.Context, api *apiserver.Client) (err error) {
		seen, err = csr.Look(ctx, api, c.Pending)
		return err
	})
	switch {
	case errors.Is(err, errNotAsked):
		return notLooked(w.stopped())
	case err != nil && apiserver.ReasonOf(err) == apiserver.NotFound:
		return p.objectGone(c, w)
	case err != nil:
		return unknown("%s cannot be read: %s", c.Pending.Name, words(innermost(err))).with(administers+" can", "kubectl get csr "+c.Pending.Name)
	}
	return p.objectIs(c, seen)
}

// asker is who may read the request: whoever sends it. The node may, too, if both lead to the same site.
func (p *Patient) asker(c status.Certificate) *way {
	node, bootstrap := p.network.way(true), p.network.way(false)
	if c.Pending.AsNode || c.Kind == csr.Serving || bootstrap == nil || bootstrap.unused != "" {
		return node
	}
	return bootstrap
}

// held is how bad it is that a certificate is not there yet.
func (p *Patient) held(c status.Certificate) Verdict {
	if c.Kind == csr.Serving || c.Usable(p.Observed.Now) {
		return Attention
	}
	return Waiting
}

func (p *Patient) objectGone(c status.Certificate, w *way) Result {
	if c.Pending.UID == "" {
		return say(p.held(c), "%s has not come to %s yet", c.Pending.Name, w.endpoint.Server).with("the agent sends it while it runs; what keeps it from that", agentLog)
	}
	return say(p.held(c), "%s is not at %s any more: deleted by somebody, or by kube-controller-manager, which does so after 24 hours without a decision and an hour after one",
		c.Pending.Name, w.endpoint.Server).with("the agent sends it again while it runs; what keeps it from that", agentLog)
}

func (p *Patient) objectIs(c status.Certificate, seen csr.Seen) Result {
	name := c.Pending.Name
	describe := "kubectl describe csr " + name
	since := date(seen.Since) + " (" + lasts(p.Clock.Now().Sub(seen.Since)) + ")"
	final := Broken
	if p.held(c) == Attention {
		final = Attention
	}
	switch seen.Result {
	case csr.Issued:
		return say(p.held(c), "%s is approved and issued, and not in use yet", name).with("the agent takes the certificate while it runs; what keeps it from that", agentLog)
	case csr.Denied:
		return say(final, "%s was denied at %s: %s: %s", name, date(seen.At), words(seen.Reason), words(seen.Message)).
			with("correct what the approver names; the agent asks again with a new key, after 15 minutes at first, or when it is restarted. All that the approver said", describe)
	case csr.Failed:
		return say(final, "%s was approved, and the signer refused it at %s: %s: %s", name, date(seen.At), words(seen.Reason), words(seen.Message)).
			with("correct what the signer names; the agent asks again, after 5 minutes at first. All that the signer said", describe)
	case csr.Replaced:
		return attention("%s", words(seen.Message)).with("the agent asks under another name while it runs; see whose it is", describe)
	case csr.Waiting:
		if seen.Approved {
			return say(p.held(c), "%s, made at %s, is approved, and no certificate has been issued", name, since).
				with("is a signer for "+c.Kind.Signer()+" at work, and its CA still good; for kube-controller-manager, which is that signer in most clusters",
					"kubectl -n kube-system logs -l component=kube-controller-manager --tail=100")
		}
		return say(p.held(c), "%s waits for approval since %s", name, since).with(p.approves(c), "kubectl certificate approve "+name)
	default:
		return unknown("%s is %s", name, seen.Result).with("see what it says", describe)
	}
}

// approves says who does, and how it could go without a person.
func (p *Patient) approves(c status.Certificate) string {
	if c.Kind == csr.Serving {
		return "nothing in a stock cluster approves serving certificates (docs/approvers.md); " + approves
	}
	return approves
}
