package agent

import (
	"errors"
	"fmt"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// verdict is the end of run --once: nil when both certificates are there, or as the mode asks; an [*ExitError] that says what is
// missing and what to do; or not done yet.
func (a *Agent) verdict(o status.Observed) (done bool, err error) {
	if a.kubeletCanStart(o) && o.Client.Usable(o.Now) && o.Client.Pending == nil {
		return a.verdictServing(o)
	}
	unread := certdir.Unread(o.BootstrapErr) // for a while, since it was read at the start
	switch m := a.client; {
	case o.BadCredential() && !unread:
		return true, exit(2, o.BootstrapErr)
	case a.lacksClientCA(o):
		return true, exit(3, fmt.Errorf("the node has its client certificate, but nothing says who may call the kubelet: %s is missing; give --kubelet-client-ca-file", a.dir.ClientCA()))
	case a.nothingToTry(o) && !unread:
		return true, exit(3, errors.New(a.clientLine(o).text))
	case m.ended != nil && m.ended.Outcome != csr.Deleted && m.ended.Outcome != csr.Replaced:
		return true, exit(3, errors.New(m.trouble))
	case o.Client.Pending != nil && o.Client.Pending.Ended != nil && o.Client.Pending.Ended.Outcome != csr.Replaced && o.Now.Before(nextKey(o.Client.Pending)):
		return true, exit(3, errors.New(a.endedText(o.Client.Pending)))
	case m.failure == rotate.Taken:
		return true, exit(3, errors.New(m.trouble))
	case o.Now.Sub(a.started) >= a.cfg.OnceTimeout():
		missing := "identity"
		if o.HasIdentity() {
			missing = "serving pair"
		}
		return true, exit(1, fmt.Errorf("no %s within %s: %s; run again to go on with the same request", missing, a.cfg.OnceTimeout(), a.why(o)))
	}
	return false, nil
}

// lacksClientCA says whether all that is missing is who may call the kubelet, and nothing under way will bring it.
func (a *Agent) lacksClientCA(o status.Observed) bool {
	return o.HasIdentity() && o.ClientCA == nil && o.Client.Unread == nil && a.client.failure != rotate.LocalTrouble && !a.credentialUnsettled(o)
}

// verdictServing waits for the serving certificate, and for the bootstrap credential to go, for --serving-wait and no longer.
func (a *Agent) verdictServing(o status.Observed) (done bool, err error) {
	late := !o.Now.Before(a.servingLimit(o))
	switch p := o.Serving.Pending; {
	case a.credentialUnsettled(o) && o.Now.Before(a.stages.completeAt.Add(a.cfg.ServingWait.Duration)):
		return false, nil
	case a.cfg.Serving == string(serving.Off), o.Serving.Issued() && o.Serving.Pending == nil:
		return true, nil
	case p != nil && p.Ended != nil && p.Ended.Outcome != csr.Replaced && !o.Serving.Issued():
		return true, exit(4, fmt.Errorf("the serving certificate is a placeholder: %s", a.endedText(p)))
	case !late:
		return false, nil
	case p == nil || p.UID == "" || len(p.CertificatePEM) > 0 || a.serving.failure == rotate.LocalTrouble:
		return true, exit(4, fmt.Errorf("the serving certificate is a placeholder: %s; the next run goes on", a.whyServing()))
	}
	name := o.Serving.Pending.Name
	return true, exit(4, fmt.Errorf("the serving certificate is a placeholder until certificate signing request %s is approved: kubectl certificate approve %s; the next run goes on", name, name))
}

// firstAnswer is how long run --once gives the API server to accept the serving request, if --serving-wait is shorter: without
// that there would be nothing to approve.
const firstAnswer = 10 * time.Second

// servingLimit is until when run --once waits: --serving-wait from the API server's acceptance of the request.
func (a *Agent) servingLimit(o status.Observed) time.Time {
	wait := a.cfg.ServingWait.Duration
	sent := o.Serving.Pending != nil && o.Serving.Pending.UID != ""
	switch complete := a.stages.completeAt; {
	case a.serving.accepted.After(complete):
		return a.serving.accepted.Add(wait)
	case !sent && a.serving.trouble == "" && a.addresses.trouble == "":
		return complete.Add(max(wait, firstAnswer))
	default:
		return complete.Add(wait)
	}
}

// credentialUnsettled says whether the bootstrap credential is still to be disposed of.
func (a *Agent) credentialUnsettled(o status.Observed) bool {
	s := decideCredential(o, a.credential, a.cfg.KeepBootstrapKubeconfig)
	return s != rest && s != waitRetry
}

func (a *Agent) why(o status.Observed) string {
	switch p := o.Client.Pending; {
	case a.client.trouble != "":
		return a.client.trouble
	case o.HasIdentity() && a.serving.trouble != "":
		return a.serving.trouble
	case o.Undiscovered != nil:
		return a.discoveryText()
	case o.NodeErr != nil:
		return o.NodeErr.Error()
	case certdir.Unread(o.BootstrapErr):
		return durable.WithRemedy(o.BootstrapErr).Error()
	case o.Client.Usable(o.Now) && o.KubeletErr != nil:
		return o.KubeletErr.Error()
	case p != nil && !a.client.accepted.IsZero():
		return fmt.Sprintf("certificate signing request %s is not approved: kubectl certificate approve %s", p.Name, p.Name)
	case p != nil:
		return "no answer yet from " + p.Endpoint.Server
	}
	return "no answer yet"
}

func (a *Agent) whyServing() string {
	for _, trouble := range []string{a.serving.trouble, a.addresses.trouble} {
		if trouble != "" {
			return trouble
		}
	}
	return "no answer yet"
}
