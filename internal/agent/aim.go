package agent

import (
	"bytes"
	"crypto/x509"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// aim is what is wanted of one certificate: by the settings, by what the machine is now, and by how far this boot has come.
type aim struct {
	// wish is what to ask for; nil: it cannot be said yet.
	wish *csr.Wish
	// settings are those that the wish follows from.
	settings string
	// rotates: it is for us to rotate, and not for the kubelet.
	rotates bool
	// replaces: the bootstrap credential is to replace an identity that could be used (client).
	replaces bool
	// unjudged: it is not known yet whether the cluster of the bootstrap credential knows the identity (client).
	unjudged bool
	// started: READY was given in this boot, so that the kubelet may run on what is there now.
	started bool
	// lacksNow: the certificate lacks a wanted name; lacks: it has for long enough (serving).
	lacksNow, lacks bool
	// lookingUp: the node's address is looked up for the first time, which takes [addressLookup] at most (serving).
	lookingUp bool
}

func (a *Agent) clientAim(o status.Observed) aim {
	aim := aim{
		settings: config.Fingerprint(a.cfg.HostnameOverride, a.cfg.KeyAlgorithm, a.cfg.ExpirationSeconds),
		rotates:  a.cfg.RotateCertificates && !a.cfg.Once,
		replaces: a.replaces(o),
		unjudged: o.Bootstrap != nil && a.credential.sameCluster != o.Bootstrap.Fingerprint() && a.credential.settled != o.Bootstrap.Fingerprint(),
		started:  a.stages.started,
	}
	aim.wish = a.clientWish(o, aim)
	return aim
}

func (a *Agent) servingAim(o status.Observed) aim {
	wish := a.servingWish(o)
	return aim{
		wish:     wish,
		settings: config.Fingerprint(a.cfg.HostnameOverride, a.cfg.KeyAlgorithm, a.cfg.ExpirationSeconds, a.cfg.NodeIP, a.cfg.ServingDNSNames, a.cfg.ServingIPs),
		rotates:  a.cfg.RotateServerCertificates && !a.cfg.Once,
		lacksNow: wish != nil && o.Serving.Pair != nil && len(lacking(o.Serving.Pair.Leaf, wish)) > 0,
		lacks:    a.serving.lacksLong(o.Now),

		lookingUp: a.addresses.running && !a.addresses.known && a.addresses.failures == 0,
	}
}

// clientWish is for the node's name. An identity in use is rotated under its own: it cannot ask for another.
func (a *Agent) clientWish(o status.Observed, aim aim) *csr.Wish {
	name := o.Node
	if !isBootstrapping(o, a.client, aim) {
		name = nodeOf(o)
	}
	if name == "" {
		return nil
	}
	return &csr.Wish{
		Kind: csr.Client, NodeName: name, KeyAlgorithm: a.cfg.KeyAlgorithm, ExpirationSeconds: a.cfg.ExpirationSeconds,
	}
}

// isBootstrapping says whether the client certificate is to be had with a bootstrap credential: there is no identity that can be used, or
// the credential is to replace it.
func isBootstrapping(o status.Observed, m memory, aim aim) bool {
	if !o.Client.Usable(o.Now) || o.Bootstrap == nil {
		return !o.Client.Usable(o.Now)
	}
	stays := aim.started && elsewhere(o, o.Bootstrap.Endpoint)                                                   // it would be asked for in vain: no other cluster while the kubelet runs
	renamed := o.ForOtherNode() && m.mismatched(o.Now) && !(aim.rotates && due(o, o.Client) && o.Kubelet != nil) // first it must not expire
	return !stays && (renamed || aim.replaces)
}

// replaces says whether the bootstrap credential, judged by use, is to replace the identity: another cluster's while the kubelet has
// not been started in this boot, or the same cluster's, which does not accept the identity any more.
func (a *Agent) replaces(o status.Observed) bool {
	m := a.credential
	if o.Bootstrap == nil || m.replacesBy != o.Bootstrap.Fingerprint() {
		return false
	}
	return !elsewhere(o, o.Bootstrap.Endpoint) || !a.stages.started
}

// elsewhere says whether an endpoint has nothing in common with the one in the kubelet's kubeconfig, as another cluster's has.
func elsewhere(o status.Observed, endpoint apiserver.Endpoint) bool {
	return o.Client.Pair != nil && o.Kubelet != nil && apart(o.Kubelet.Endpoint, endpoint)
}

// apart says whether two endpoints have nothing in common, as those of two clusters.
func apart(a, b apiserver.Endpoint) bool {
	return a.Server != b.Server && !certdir.SharePEM(a.CA, b.CA)
}

// pendingElsewhere says whether the request under way is for the identity in another cluster.
func pendingElsewhere(o status.Observed) bool {
	p := o.Client.Pending
	return p != nil && !p.AsNode && elsewhere(o, p.Endpoint)
}

func sameEndpoint(a, b apiserver.Endpoint) bool {
	return a.Server == b.Server && a.TLSServerName == b.TLSServerName && a.ProxyURL == b.ProxyURL && bytes.Equal(a.CA, b.CA)
}

// due says whether a certificate in use is to be followed by another now: its time has come, or somebody asks for it.
func due(o status.Observed, c status.Certificate) bool {
	return c.RotateNow || !o.Now.Before(o.RotateAt(c.Pair))
}

// tooSoon says whether the last request for the certificate was a moment ago.
func tooSoon(c status.Certificate, now time.Time) bool {
	return c.Pair != nil && c.Issued() && rotate.TooSoon(rotate.Received(c.Pair.Leaf, c.Pair.ModTime), now) || c.Pending != nil && rotate.TooSoon(c.Pending.Made, now)
}

// lacking are the wanted names that a certificate does not have.
func lacking(leaf *x509.Certificate, wish *csr.Wish) []string {
	return serving.Lacks(leaf, serving.Names{DNS: wish.DNSNames, IPs: wish.IPAddresses})
}
