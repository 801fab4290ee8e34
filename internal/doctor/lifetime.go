package doctor

import (
	"context"
	"crypto/x509"

	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// lifetime judges a pair that can be used by its time. The setting says whether the agent is to rotate it.
func (p *Patient) lifetime(c status.Certificate, ours bool, setting string) Result {
	leaf, now := c.Pair.Leaf, p.Observed.Now
	due := p.Observed.RotateAt(c.Pair)
	life := leaf.NotAfter.Sub(rotate.Received(leaf, c.Pair.ModTime))
	switch {
	case now.Before(leaf.NotBefore):
		return attention("%s is valid from %s, and this machine's clock says %s", c.Pair.File, date(leaf.NotBefore), date(now)).
			with("set the clock", "timedatectl set-ntp true")
	case now.After(due) && ours:
		return attention("%s is due for rotation since %s and ends at %s", c.Pair.File, date(due), date(leaf.NotAfter)).
			with("the agent asks for another one while it runs; what keeps it from that", agentLog)
	case now.After(due):
		return attention("%s is due for rotation since %s and ends at %s; rotating it is left to the kubelet (%s: false)", c.Pair.File, date(due), date(leaf.NotAfter), setting).
			with("see that the kubelet rotates it, or set "+setting+": true and restart the agent", "")
	case life < rotate.ShortLife:
		return attention("%s lives for %s only: kubelets read their files every 5 minutes, and people need longer", c.Pair.File, lasts(life)).
			with("let the signer issue for longer (--cluster-signing-duration of kube-controller-manager), or set expirationSeconds", "")
	}
	return ok("%s by %s, until %s (in %s)%s", leaf.Subject, issuer(leaf), date(leaf.NotAfter), lasts(leaf.NotAfter.Sub(now)), planned(ours, date(due)))
}

func planned(ours bool, due string) string {
	if !ours {
		return ", rotated by the kubelet"
	}
	return ", to be rotated at " + due
}

func issuer(leaf *x509.Certificate) string {
	if name := leaf.Issuer.String(); name != "" {
		return name
	}
	return "an issuer without a name"
}

func servingCertificate(_ context.Context, p *Patient) []Result {
	c := p.Observed.Serving
	if p.Config.Serving == string(serving.Off) {
		return one(ok("left to the kubelet (serving: off)"))
	}
	if c.Unread != nil {
		return one(p.unread("the serving certificate's files cannot be read: "+problem(c.Unread), "find out what keeps root from reading them (owner, mode, SELinux, AppArmor, the disk)"))
	}
	if c.Pair == nil && c.Adopted != nil {
		c.Pair = c.Adopted
	}
	switch {
	case !c.Usable(p.Observed.Now):
		return one(p.missing("serving certificate", c))
	case !c.Issued():
		return one(p.placeholder(c))
	}
	return one(p.lifetime(c, p.Config.RotateServerCertificates, "rotateServerCertificates"))
}

func (p *Patient) placeholder(c status.Certificate) Result {
	r := attention("%s is a self-signed placeholder until %s: kubectl logs and exec fail where the API server verifies kubelets", c.Pair.File, date(c.Pair.Leaf.NotAfter))
	if waits := c.Pending; waits != nil && waits.UID != "" && waits.Ended == nil && len(waits.CertificatePEM) == 0 {
		return r.with(approves, "kubectl certificate approve "+waits.Name)
	}
	return r.with("the agent asks for one while it runs; what keeps it from that", agentLog)
}

// approves begins the remedy for a request that waits: a stock cluster approves no serving certificate by itself.
const approves = "an administrator of the cluster looks whether it is this node's, and"
