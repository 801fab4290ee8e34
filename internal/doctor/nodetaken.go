package doctor

import (
	"context"
	"errors"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
)

// checkNodeTaken looks, before the node has joined, whether another machine is the node already. It asks as the node where its certificate
// is issued, as the agent does, and otherwise with the bootstrap credential, which may see that in some clusters only.
func checkNodeTaken(ctx context.Context, p *Patient) []Result {
	name := p.Observed.Node
	if usablePair(p.Observed) != nil || name == "" || p.Observed.NodeErr != nil {
		return nil
	}
	w := p.asNewNode()
	if w != nil {
		p.connect(w)
		if w.client != nil {
			defer w.client.Close()
		}
	} else if w = p.network.way(false); w == nil || w.unused != "" {
		return nil
	}
	if err := w.accepted(ctx); err != nil {
		return one(notLooked(strings.TrimPrefix(err.Error(), errNotAsked.Error()+": ")))
	}
	var found apiserver.Node
	err := w.ask(ctx, func(ctx context.Context, api *apiserver.Client) (err error) {
		found, err = api.Node(ctx, name)
		return err
	})
	look := "kubectl get node " + quoted(name) + " -o wide"
	switch {
	case errors.Is(err, errNotAsked):
		return one(notLooked(w.stopped()))
	case errors.Is(err, apiserver.ErrNotRegistered):
		return one(ok("there is no Node %s at %s yet: the name is free", name, w.endpoint.Server))
	case err != nil:
		return one(unknown("whether another machine is the Node %s cannot be seen by %s: %s", name, w, words(innermost(err))).
			with("nothing has to be done: the agent looks once it has the certificate; "+administers+" sees it", look))
	}
	return one(p.holder(name, found, look))
}

// holder judges the machine that has the name of this one.
func (p *Patient) holder(name string, found apiserver.Node, look string) Result {
	ours, err := node.MachineID(p.path(node.MachineIDFile))
	switch {
	case err != nil || found.MachineID == "":
		return unknown("there is a Node %s, and whether it is another machine cannot be told: one of the two has no machine ID", name).with("see machine-id; which machine the cluster knows", look)
	case found.MachineID == ours:
		return ok("the Node %s is this machine (machine ID %s)", name, ours)
	case found.Ready != "True":
		return ok("there is a Node %s of another machine (machine ID %s), which is not Ready: this one takes its place", name, words(found.MachineID))
	case p.Config.AllowNodeTakeover:
		return attention("another machine (machine ID %s) is the Node %s and is Ready, and this one (%s) takes its place, as allowNodeTakeover says", words(found.MachineID), name, ours).
			with("two live machines of one name take each other's pods away: switch the other one off. Which one it is", look)
	}
	return broken("another machine (machine ID %s) is the Node %s already and is Ready; this one (%s) does not take its place", words(found.MachineID), name, ours).
		with("give this machine another name (hostnamectl hostname NAME, or hostnameOverride), or switch the other one off, and the agent goes on by itself; "+
			"to take its place while it runs: allowNodeTakeover: true (--allow-node-takeover). Which one it is", look)
}

// asNewNode is the way of the certificate that is issued and not in use yet, at the cluster that has issued it; nil: there is none.
func (p *Patient) asNewNode() *way {
	request := p.Observed.Client.Pending
	if request == nil || request.Wish.Kind != csr.Client || len(request.CertificatePEM) == 0 || request.Ended != nil {
		return nil
	}
	for _, known := range p.network.sites {
		if sameEndpoint(known.endpoint, request.Endpoint) {
			return p.newNodeAt(known, request)
		}
	}
	return p.newNodeAt(&site{endpoint: request.Endpoint, files: []string{"the request under way"}, needed: true}, request)
}

func (p *Patient) newNodeAt(there *site, request *csr.Pending) *way {
	return &way{site: there, asNode: true, needed: true, credential: apiserver.Credential{CertificatePEM: request.CertificatePEM, KeyPEM: request.KeyPEM}}
}
