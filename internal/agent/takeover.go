package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Whoever holds a bootstrap token may ask for any node's name, and two machines with one name take each other's pods away. So a machine
// that joins looks, as the node that it is about to become, whether another one is that node already. The node's identity may always read
// its own Node; most bootstrap tokens may not, so nothing is asked with those.

// nodeHolder is who has the node's name in the cluster, as far as that could be found out.
type nodeHolder struct {
	node apiserver.Node
	// ours is this machine's own ID.
	ours string
	// err says why it could not be; nil: node is what the API server says, zero when there is none.
	err error
}

// ownID returns this machine's ID if it is to be compared with that of who has the node's name; empty: nothing needs to be asked. A
// request that the node's own identity was meant for is its successor's, and a machine that does not know its ID has nothing to compare.
func (a *Agent) ownID(o status.Observed, p *csr.Pending) string {
	if p.AsNode || a.cfg.AllowNodeTakeover || a.MachineIDFile == "" || provedBefore(o, p) {
		return ""
	}
	id, err := node.MachineID(a.MachineIDFile)
	const about = "machine ID"
	if err != nil && a.said[about] != err.Error() {
		a.said[about] = err.Error()
		a.log.Info("this machine's ID is not known, so that it cannot be seen whether another machine is this node", "err", err)
	}
	return id
}

// holderOf asks who has the node's name; nobody is asked without an ID to compare.
func holderOf(ctx context.Context, api *apiserver.Client, name, ours string) nodeHolder {
	if ours == "" {
		return nodeHolder{}
	}
	found, err := api.Node(ctx, name)
	if errors.Is(err, apiserver.ErrNotRegistered) {
		return nodeHolder{ours: ours}
	}
	return nodeHolder{node: found, ours: ours, err: err}
}

// provedBefore says whether this node has been this node already: the certificate is for the name of an identity that is on the disk.
func provedBefore(o status.Observed, p *csr.Pending) bool {
	return o.Client.Pair != nil && o.Client.Pair.Leaf.Subject.CommonName == p.Wish.CommonName() && !elsewhere(o, p.Endpoint)
}

// isAnother says whether a live node is another machine. One whose kubelet is silent is not Ready after 40 to 50 s
// (node-monitor-grace-period), and may be taken over: a machine that is made anew keeps its name.
func isAnother(found apiserver.Node, machineID string) bool {
	return found.Ready == "True" && found.MachineID != "" && machineID != "" && found.MachineID != machineID
}

// mayBe says whether this machine may become the node; if not, it looks again later. The certificate stays pending, and the other machine
// goes on undisturbed.
func (a *Agent) mayBe(p *csr.Pending, holder nodeHolder) bool {
	m := &a.client
	switch {
	case holder.err != nil && apiserver.ReasonOf(holder.err) == apiserver.Forbidden: // an authorizer of its own kind; nobody can tell
		a.log.Warn("cannot see whether another machine is this node", "node", p.Wish.NodeName, "err", holder.err)
		return true
	case holder.err != nil:
		a.noteAccepted(p)
		a.failed(m, fmt.Errorf("see whether another machine is node %s: %w", p.Wish.NodeName, holder.err))
		return false
	case !isAnother(holder.node, holder.ours):
		return true
	}
	a.noteAccepted(p)
	a.retry(m, rotate.Taken, "node-taken", fmt.Errorf("another machine, with the machine ID %s, is node %s already and is Ready; this one has %s", holder.node.MachineID, p.Wish.NodeName, holder.ours),
		"give this machine another name (--hostname-override), or switch the other one off; to take its place nevertheless: --allow-node-takeover")
	return false
}

// noteAccepted forgets since when the certificate was refused: it may wait for long now, and a refusal after that is a new one.
func (a *Agent) noteAccepted(p *csr.Pending) {
	if p.RefusedSince.IsZero() {
		return
	}
	p.RefusedSince = time.Time{}
	a.disk(&a.client, "store that the certificate is accepted", func() error { return a.store(p) })
}

// decideTaken says what to do about an issued certificate whose name another machine has, if that is anything but looking again.
func decideTaken(o status.Observed, m memory, aim aim) (next step, ok bool) {
	c, p := o.Client, o.Client.Pending
	switch {
	case c.Usable(o.Now) && aim.rotates && due(o, c) && o.Kubelet != nil && !isBootstrapping(o, m, aim): // the identity in use must not expire meanwhile
		return decideRotation(o, m, aim), true
	case o.Bootstrap == nil || aim.wish == nil || !isBootstrapping(o, m, aim): // there is nothing to ask with
		return "", false
	case apart(p.Endpoint, o.Bootstrap.Endpoint) && !rotate.TooSoon(p.Made, o.Now) && o.Now.Sub(p.GivenUp) >= giveUpEvery:
		return giveUp, true // a person wants the machine in another cluster
	case p.Wish.NodeName != aim.wish.NodeName && mayGiveUp(p, m, aim.settings, o.Now):
		return giveUp, true // a person has given the machine another name
	}
	return "", false
}
