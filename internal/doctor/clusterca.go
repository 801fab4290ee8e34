package doctor

import (
	"context"
	"crypto/x509"
	"fmt"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
)

// checkClusterCA compares the CA that the node trusts with those that the cluster says are its own, as the agent does where it follows them.
// Nothing secret is sent, and nothing is changed. Where the cluster says nothing there is nothing to look at.
func checkClusterCA(ctx context.Context, p *Patient) []Result {
	w := p.network.way(true)
	if w == nil {
		return nil
	}
	if down := w.stopped(); down != "" && w.sight.Distrust == nil { // of a CA that is not trusted it can be said which one it may be
		return one(notLooked(down))
	}
	pins, _ := discovery.ParsePins(p.Config.DiscoveryCACertHashes) // they were checked when they were read
	limited, cancel := context.WithTimeout(ctx, discoveryLimit)
	defer cancel()
	merged, err := discovery.Asker{UserAgent: p.UserAgent, Clock: p.Clock}.Follow(limited, w.endpoint, pins)
	if err != nil {
		return p.noClusterCA(w, err)
	}
	var found []Result
	for _, ca := range merged.Added {
		found = append(found, p.newCA(ca, true))
	}
	for _, ca := range merged.Dropped {
		found = append(found, p.newCA(ca, false))
	}
	return orWell(found, "every CA in kube-public/cluster-info is in %s", certdir.Dir{Path: p.Config.CertDir}.ServerCA())
}

// noClusterCA is what it means that the cluster does not say, or cannot be believed.
func (p *Patient) noClusterCA(w *way, err error) []Result {
	e := discovery.ErrorOf(err)
	switch apiserver.Reason(e.Reason) {
	case apiserver.Reason(discovery.Untrusted):
		return one(say(w.site.atMost(Broken), "%s", inFull(e)).with(e.Remedy, ""))
	case apiserver.Reason(discovery.NotPublished), apiserver.Forbidden, apiserver.Unauthorized:
		if p.Config.CAFromClusterInfo {
			return one(attention("the CA of the API server is to follow cluster-info, which cannot be read (%s): %s", e.Reason, inFull(e)).
				with("publish it, and let system:anonymous read it (docs/joining.md), or take caFromClusterInfo away; what the cluster has", readClusterInfo))
		}
		return nil // as in many clusters
	case apiserver.Reason(discovery.BadClusterInfo):
		return one(attention("the CA in cluster-info cannot be used: %s", inFull(e)).with("an administrator corrects it", "kubectl -n kube-public edit configmap cluster-info"))
	}
	return one(unknown("which CA the cluster says it has cannot be read (%s): %s", e.Reason, words(innermost(e))).with("mend what is said above, and run doctor again", ""))
}

// newCA says what is to become of a CA of the cluster that the node does not have. trusted: it is pinned, or signed by one that the node has.
func (p *Patient) newCA(ca *x509.Certificate, trusted bool) Result {
	pin := discovery.PinOf(ca)
	what := fmt.Sprintf("cluster-info names a CA that this node does not have, %q with the key %s", words(ca.Subject.String()), pin)
	const before = ", before the API server shows a certificate of it (docs/ca.md). The key of the cluster's CA, on a control plane node"
	const hash = "bootstrap-agent join-config --ca-file=/etc/kubernetes/pki/ca.crt --print=ca-cert-hash"
	switch {
	case p.Config.CAFromClusterInfo && trusted:
		return attention("%s: the agent adds it within 12 minutes", what).with("what keeps it from that", agentLog)
	case p.Config.CAFromClusterInfo:
		return attention("%s, neither pinned nor signed by one that it has: it is not trusted", what).
			with("if it is the cluster's, add that key to discoveryCACertHashes and restart the agent"+before, hash)
	case p.Config.CAFile != "":
		return attention("%s: the cluster's CA is about to change, and caFile lacks the new one", what).
			with("if it is the cluster's, put it into "+p.Config.CAFile+" beside the old one"+before, hash)
	}
	return attention("%s: the cluster's CA is about to change, and this node does not follow it", what).
		with("if it is the cluster's, set caFromClusterInfo: true and add that key to discoveryCACertHashes, or set caFile, and restart the agent"+before, hash)
}
