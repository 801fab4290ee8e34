package status

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func isMissing(err error) bool { return errors.Is(err, certdir.ErrNoPair) }

// findings collects what is not as it should be.
func (o Observed) findings(cfg config.Config, r *Report) {
	if o.NodeErr != nil {
		r.find(Waiting, "%v", o.NodeErr)
	}
	o.clientFindings(cfg, r)
	if cfg.Serving != "off" {
		o.servingFindings(cfg, r)
	}
	o.bootstrapFindings(cfg, r)
	r.Findings = append(r.Findings, o.KubeletFindings(cfg)...)
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(rank[b.Level], rank[a.Level]) })
}

func (o Observed) clientFindings(cfg config.Config, r *Report) {
	c := o.Client
	next := Waiting // the next attempt may succeed
	if o.Bootstrap == nil && c.Older == nil && (c.Pending == nil || len(c.Pending.CertificatePEM) == 0) {
		next = Broken
	}
	switch {
	case c.Unread != nil:
		r.find(Broken, "the client certificate's files cannot be read: %v", c.Unread)
		return
	case c.Pair == nil && isMissing(c.PairErr):
		r.find(next, "the node has no client certificate yet%s", o.remedy(cfg, next))
	case c.Pair == nil:
		r.find(next, "the client certificate cannot be used: %v%s", c.PairErr, o.remedy(cfg, next))
	case !c.Usable(o.Now):
		r.find(next, "the client certificate expired at %s%s", c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339), o.remedy(cfg, next))
	case o.ForOtherNode():
		r.find(Broken, "the identity is %s, and this machine is called %s now; name it back, or put a bootstrap kubeconfig at %s to join under the new name",
			c.Pair.Leaf.Subject.CommonName, o.Node, cfg.BootstrapKubeconfig)
	case o.Now.After(o.RotateAt(c.Pair)):
		r.find(Attention, "the client certificate is due for rotation since %s%s", o.RotateAt(c.Pair).UTC().Format(time.RFC3339), rotatedBy(cfg.RotateCertificates, "rotateCertificates"))
	}
	if c.Usable(o.Now) && o.KubeletErr != nil {
		r.find(Broken, "%v; put a bootstrap kubeconfig for the cluster at %s, which brings server and CA back", o.KubeletErr, cfg.BootstrapKubeconfig)
	}
	if c.Usable(o.Now) && o.ClientCA == nil {
		r.find(Broken, "%s is missing or empty, so nothing says who may call the kubelet; give --kubelet-client-ca-file", certdir.Dir{Path: cfg.CertDir}.ClientCA())
	}
	pendingFindings(c, r)
}

func (o Observed) remedy(cfg config.Config, level Level) string {
	if level != Broken {
		return ""
	}
	return "; put a bootstrap kubeconfig at " + cfg.BootstrapKubeconfig
}

func (o Observed) servingFindings(cfg config.Config, r *Report) {
	c := o.servingInUse()
	switch {
	case c.Unread != nil:
		r.find(Broken, "the serving certificate's files cannot be read: %v", c.Unread)
		return
	case c.Pair == nil && isMissing(c.PairErr):
		r.find(Waiting, "the node has no serving certificate yet")
	case c.Pair == nil:
		r.find(Waiting, "the serving certificate cannot be used: %v", c.PairErr)
	case !c.Usable(o.Now):
		r.find(Waiting, "the serving certificate expired at %s", c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case !c.Issued():
		r.find(Attention, "the serving certificate is a self-signed placeholder: kubectl logs and exec fail where the API server verifies kubelets")
	case o.Now.After(o.RotateAt(c.Pair)):
		r.find(Attention, "the serving certificate is due for rotation since %s%s", o.RotateAt(c.Pair).UTC().Format(time.RFC3339), rotatedBy(cfg.RotateServerCertificates, "serverTLSBootstrap"))
	}
	pendingFindings(c, r)
}

// rotatedBy says what to look at when a rotation is overdue.
func rotatedBy(ours bool, kubelets string) string {
	if ours {
		return "; the agent asks for another one while it runs: systemctl status bootstrap-agent"
	}
	return "; its rotation is left to the kubelet: is its " + kubelets + " true?"
}

func pendingFindings(c Certificate, r *Report) {
	p := c.Pending
	switch {
	case c.PendingErr != nil:
		r.find(Attention, "the %s request on disk is of no use (%v); the agent makes another", c.Kind, c.PendingErr)
	case p == nil:
	case p.Ended != nil && p.Ended.Outcome == csr.Replaced: // a new one follows at once; that one is not ours to be approved
	case p.Ended != nil:
		level := Broken
		if c.Kind == csr.Serving || c.Usable(r.now) {
			level = Attention
		}
		r.find(level, "certificate signing request %s: %s (%s: %s)", p.Name, p.Ended.Outcome, p.Ended.Reason, p.Ended.Message)
	case p.UID != "" && len(p.CertificatePEM) == 0:
		level := Waiting
		if c.Kind == csr.Serving || c.Usable(r.now) {
			level = Attention
		}
		r.find(level, "certificate signing request %s waits for approval since %s: kubectl certificate approve %s", p.Name, p.Accepted.UTC().Format(time.RFC3339), p.Name)
	}
}

func (o Observed) bootstrapFindings(cfg config.Config, r *Report) {
	if o.Bootstrap == nil && !o.NoCredential() {
		r.find(Broken, "%v", o.BootstrapErr)
	}
	exec := o.Bootstrap != nil && o.Bootstrap.Source == kubeconfig.ExecPlugin
	if o.HasIdentity() && !exec && !cfg.KeepBootstrapKubeconfig {
		for _, file := range r.BootstrapSecrets {
			if kubeconfig.IsSystemdCredential(file, cfg.CredentialsDirectory) { // it stays as long as the unit has it
				continue
			}
			r.find(Attention, "the node has its identity, and a bootstrap credential is still in %s", file)
		}
	}
}
