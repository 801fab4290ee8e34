package doctor

import (
	"context"
	"errors"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// checkSameCluster asks the server of the bootstrap kubeconfig, with the node's certificate, who we are: so does the agent. Nothing secret
// is sent.
func checkSameCluster(ctx context.Context, p *Patient) []Result {
	own, other := p.network.way(true), p.network.way(false)
	if own == nil || other == nil || own.site == other.site {
		return nil
	}
	if down := other.stopped(); down != "" {
		return one(notLooked(down))
	}
	there := &way{site: other.site, asNode: true, credential: own.credential}
	p.connect(there)
	if there.client != nil {
		defer there.client.Close()
	}
	user, err := there.me(ctx)
	server := other.endpoint.Server
	switch {
	case err == nil && user.IsNode(own.identity(p)):
		return one(ok("%s leads to the same cluster by %s: the agent takes that over, and the kubelet needs a restart for it", p.credentialName(), server))
	case err != nil && apiserver.ReasonOf(err) != apiserver.Unauthorized || errors.Is(err, errNotAsked):
		return one(unknown("%s does not say whether it knows this node: %s", server, words(innermost(err))).
			with(p.toStay(p.credentialName() + " is left alone until it does; ")))
	case own.endpoint.Server != server && !certdir.SharePEM(own.endpoint.CA, other.endpoint.CA):
		return one(attention("%s is for another cluster, %s, which does not know this node", p.credentialName(), server).
			with(p.toStay("to move the node there: drain it, and reboot; ")))
	}
	return one(attention("%s, to which %s leads, does not know this node", server, p.credentialName()).
		with(p.toStay("if that is the node's own cluster, the agent uses the credential for a new identity, after a minute; otherwise ")))
}

// toStay ends a remedy with how to be rid of the bootstrap kubeconfig.
func (p *Patient) toStay(before string) (remedy, command string) {
	path := p.Observed.Bootstrap.Path
	before += "to stay in the cluster that the node is in, "
	if kubeconfig.IsSystemdCredential(path, p.Config.CredentialsDirectory) {
		return before + "take the credential away from the agent's unit (LoadCredential=); it is", "systemctl show -p LoadCredential -p LoadCredentialEncrypted -p SetCredential bootstrap-agent"
	}
	return before + asRoot, "rm " + quoted(path)
}
