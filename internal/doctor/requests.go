package doctor

import (
	"context"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

func requests(_ context.Context, p *Patient) []Result {
	var found []Result
	for _, c := range []status.Certificate{p.Observed.Client, p.Observed.Serving} {
		if c.Kind == csr.Serving && p.Config.Serving == string(serving.Off) {
			continue
		}
		if c.Pending != nil || c.PendingErr != nil {
			found = append(found, p.request(c))
		}
	}
	return orWell(found, "none is under way")
}

func (p *Patient) request(c status.Certificate) Result {
	// what the node cannot be without holds it up; the rest is only due
	verdict := Waiting
	if c.Kind == csr.Serving || c.Usable(p.Observed.Now) {
		verdict = Attention
	}
	pending := c.Pending
	switch {
	case pending == nil:
		return say(Attention, "the %s request on the disk is of no use: %s", c.Kind, problem(c.PendingErr)).with("the agent makes another when it starts, "+asRoot, restartAgent)
	case pending.Ended != nil:
		return p.ended(c)
	case len(pending.CertificatePEM) > 0 && !pending.RefusedSince.IsZero():
		return say(verdict, "%s was issued, and the API server does not accept the certificate since %s", pending.Name, date(pending.RefusedSince)).
			with("see that every API server has the signer's CA in --client-ca-file; the agent tries again by itself", agentLog)
	case len(pending.CertificatePEM) > 0:
		return say(verdict, "%s was issued, and the certificate is still to be proved and put in place", pending.Name).with("the agent does so while it runs; what keeps it from that", agentLog)
	case pending.UID == "":
		return say(verdict, "%s was made at %s, and the API server has not been seen to have it", pending.Name, date(pending.Made)).
			with("the agent sends it while it runs; what keeps it from that", agentLog)
	}
	return say(verdict, "%s waits for approval since %s", pending.Name, date(pending.Accepted)).with(approves, "kubectl certificate approve "+pending.Name)
}

// ended is a request that came to nothing.
func (p *Patient) ended(c status.Certificate) Result {
	verdict := Broken
	if c.Kind == csr.Serving || c.Usable(p.Observed.Now) {
		verdict = Attention
	}
	pending, end := c.Pending, c.Pending.Ended
	r := say(verdict, "%s: %s at %s (%s: %s)", pending.Name, end.Outcome, date(end.At), end.Reason, end.Message)
	switch end.Outcome {
	case csr.Denied, csr.Failed:
		return r.with("an administrator of the cluster finds out why and mends it; the agent asks again by itself, 15 minutes later and then ever more rarely, up to 6 hours", "kubectl describe csr "+pending.Name)
	case csr.Refused:
		return r.with("see that the signer issues what is asked for, and that every API server has its CA in --client-ca-file; the agent asks again by itself", agentLog)
	case csr.Replaced, csr.Deleted:
		r.Verdict = Attention
		if c.Kind == csr.Client && !c.Usable(p.Observed.Now) {
			r.Verdict = Waiting
		}
	}
	return r.with("the agent asks again by itself while it runs; what keeps it from that", agentLog)
}
