package agent

import (
	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// commitClient makes the proved certificate the node's: pair, current link, CA files, kubeconfig last; the pending file goes
// only when all that is durable. Every step can be repeated.
func (a *Agent) commitClient(o status.Observed) error {
	p := o.Client.Pending
	now := a.Clock.Now()
	if err := a.moveServing(o); err != nil {
		return err
	}
	a.keep.client.ours = leafBytes(p.CertificatePEM)
	if !o.Client.Committed() {
		if err := a.dir.Commit(certdir.Client, p.PairPEM(), now); err != nil {
			return err
		}
	}
	if !p.AsNode || o.Kubelet == nil { // a rotation changes nothing but the pair
		if err := a.writeCluster(p); err != nil {
			return err
		}
	}
	if a.client.provedLeaf != nil && !p.AsNode { // before the request goes: should that fail halfway, the credential must not ask again
		a.credential.sameCluster, a.credential.replacesBy = a.credential.used, ""
	}
	if err := a.dir.RemovePending(certdir.Client); err != nil {
		return err
	}
	a.client.succeed()
	if o.Client.Pair != nil && !o.Client.Committed() {
		a.Metrics.Rotated(string(csr.Client), true)
	}
	a.client.provedLeaf = nil
	if a.serving.running { // what waits for its answer goes on with the new identity
		a.serving.abandon()
	}
	a.log.Info("the node has its client certificate", "node", p.Wish.NodeName, "file", a.dir.Current(certdir.Client), "kubeconfig", a.cfg.Kubeconfig)
	if _, err := a.dir.Sweep([]certdir.Kind{certdir.Client}, 1, now); err != nil {
		a.log.Warn("cannot sweep", "err", err, "remedy", durable.Remedy(err)) // the next start does
	}
	return nil
}

// writeCluster stores where the cluster is: CA files first, the kubeconfig that names them last.
func (a *Agent) writeCluster(p *csr.Pending) error {
	if err := a.dir.WriteCA(a.dir.ServerCA(), p.Endpoint.CA); err != nil {
		return err
	}
	if err := a.writeClientCA(p.CertificatePEM, p.Endpoint.CA); err != nil {
		return err
	}
	_, err := kubeconfig.WriteKubelet(a.Disk, a.cfg.Kubeconfig, a.kubelet(p.Endpoint))
	return err
}

// moveServing asks for another serving certificate when the node goes to another cluster, which does not know the issuer of this one.
func (a *Agent) moveServing(o status.Observed) error {
	if !pendingElsewhere(o) {
		return nil
	}
	if o.Serving.Pending != nil { // it was for the other one, and may have been answered
		a.serving.abandon()
		if err := a.dir.RemovePending(certdir.Serving); err != nil {
			return err
		}
	}
	if !o.Serving.Issued() || o.Serving.RotateNow {
		return nil
	}
	return a.dir.AskToRotate(certdir.Serving)
}

func (a *Agent) kubelet(endpoint apiserver.Endpoint) kubeconfig.Kubelet {
	return kubeconfig.Kubelet{
		Endpoint: endpoint, KubeletServer: a.cfg.KubeletServer,
		CAFile: a.dir.ServerCA(), ClientPEM: a.dir.Current(certdir.Client),
	}
}
