package agent

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

const (
	// registeredEvery is how often the Node is read until it has the addresses that the serving certificate is for.
	registeredEvery = 5 * time.Second
	// registeredAgain is how often it is read afterwards, give or take a fifth.
	registeredAgain = 10 * time.Minute
)

// registeredMemory is what is known of the node's own Node object.
type registeredMemory struct {
	memory
	addresses []serving.Address
}

// findRegistered reads the addresses of the own Node, with --serving=after-node-registered.
func (a *Agent) findRegistered(ctx context.Context, o status.Observed) {
	m := &a.registered
	if a.cfg.Serving != string(serving.AfterNodeRegistered) || !o.HasIdentity() || m.running || o.Now.Before(m.retryAt) {
		return
	}
	api, err := a.nodeAPI(o.Client.Pair.PEM, o.Client.Pair.PEM, o.Kubelet.Endpoint)
	if err != nil {
		a.retry(&m.memory, rotate.Forbidden, "configuration", err, "")
		return
	}
	name := nodeOf(o)
	a.task(ctx, &m.memory, func(ctx context.Context) func() {
		addresses, err := api.NodeAddresses(ctx, name)
		return func() {
			a.noteTime(api)
			a.registeredAs(addresses, err)
		}
	})
}

func (a *Agent) registeredAs(addresses []apiserver.NodeAddress, err error) {
	m, now := &a.registered, a.Clock.Now()
	switch {
	case errors.Is(err, apiserver.ErrNotRegistered) && len(m.addresses) == 0:
		m.succeed()
		m.trouble, m.retryAt = "the serving certificate waits for the Node object: "+err.Error(), now.Add(registeredEvery)
		return
	case err != nil:
		m.asNode = true
		a.failed(&m.memory, err)
		return
	}
	m.succeed()
	a.heardAsNode(nil)
	if len(addresses) > 0 { // the last known ones are better than none
		m.addresses = nil
		for _, address := range addresses {
			m.addresses = append(m.addresses, serving.Address(address))
		}
	}
	if _, known := serving.NamesOfNode(m.addresses, a.cfg.ServingDNSNames, a.cfg.ServingIPs); !known {
		m.trouble, m.retryAt = "the serving certificate waits for an address of the Node object: a cloud controller manager may still have to name it", now.Add(registeredEvery)
		return
	}
	m.retryAt = now.Add(registeredAgain - registeredAgain/5 + rand.N(registeredAgain*2/5))
}
