package agent

import (
	"fmt"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// isReset says whether a person has taken the identity away: its two halves within a moment, or the folder with all that was in it.
func (a *Agent) isReset(o status.Observed) bool {
	k := a.keep
	both := k.client.gone && k.kubelet.gone && k.client.since.Sub(k.kubelet.since).Abs() <= resetTakes
	return both || k.emptied() || o.Client.Pair == nil && certdir.Gone(o.Client.PairErr) && !a.dir.Holds(a.lock)
}

// emptied says whether all is gone that was in the cert-dir.
func (k *keepsake) emptied() bool {
	for _, one := range []*kept{&k.client, &k.serving, &k.serverCA, &k.clientCA} {
		if one.remembered() && !one.gone {
			return false
		}
	}
	return k.client.gone && (k.serverCA.gone || k.clientCA.gone)
}

// reset forgets everything. What lay there as a bootstrap credential is not used any more until a restart: it would undo the reset.
func (a *Agent) reset(o status.Observed) {
	spent := map[string]bool{}
	for fingerprint := range a.keep.spent {
		spent[fingerprint] = true
	}
	// not what is there now and was not at the last look: it has come together with the reset, and is the new one
	spent[a.credential.used], spent[a.credential.seen], spent[a.discovery.seen] = true, true, true
	for _, m := range []*memory{&a.client, &a.serving, &a.credential.memory, &a.files} {
		m.abandon()
		m.succeed()
		m.provedLeaf, m.accepted, m.approved, m.ended = nil, time.Time{}, time.Time{}, nil
	}
	a.disconnect()
	a.identity, a.synced = nil, false
	a.discovery.abandon()
	a.discovery = discoveryMemory{memory: memory{generation: a.discovery.generation}}
	a.following.abandon()
	a.following = followingMemory{memory: memory{generation: a.following.generation}}
	a.registered.abandon()
	a.registered = registeredMemory{memory: memory{name: a.registered.name, generation: a.registered.generation}} // as the other cluster has it
	a.served.abandon()
	a.served = servedMemory{memory: memory{generation: a.served.generation}}
	a.credential = credentialMemory{memory: a.credential.memory}
	a.keep = keepsake{reset: o.Now, spent: spent}
	a.observer = status.Observer{} // it remembers keys
	a.log.Warn("the node's identity was taken away, client certificate and kubeconfig or the whole cert-dir: nothing is written again",
		"join", a.howToJoin())
}

func (a *Agent) howToJoin() string {
	return "put a new " + strings.TrimPrefix(status.Credentials(a.cfg, ""), "a ") + "; one that lay there before is used after a restart of the agent"
}

// errSpent is why a credential that lay there when the identity was taken away is not used.
var errSpent = fmt.Errorf("%w: the one that lies there was there when the node's identity was taken away", kubeconfig.ErrNoCredential)

// hideSpent keeps what a reset has left from bringing the identity back.
func (a *Agent) hideSpent(o *status.Observed) {
	k := a.keep
	if o.Bootstrap != nil && k.spent[o.Bootstrap.Fingerprint()] {
		o.Bootstrap, o.BootstrapErr = nil, errSpent
	}
	if o.Undiscovered != nil && k.spent[o.Undiscovered.Fingerprint()] {
		o.Undiscovered, o.BootstrapErr = nil, errSpent
	}
	if k.reset.IsZero() {
		return
	}
	o.Client.Older = nil
	for _, c := range []*status.Certificate{&o.Client, &o.Serving} {
		if c.Pending != nil && c.Pending.Made.Before(k.reset) {
			c.Pending = nil
		}
	}
}
