package agent

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// servingNames returns what the serving certificate is for; false while the node's address is not known.
func (a *Agent) servingNames(name string) (serving.Names, bool) {
	known := a.addresses.known || len(a.cfg.ServingIPs) > 0
	return serving.NamesFor(name, a.addresses.ips, a.cfg.ServingDNSNames, a.cfg.ServingIPs), known
}

// servingWish is for the node that the identity names: it cannot ask for another.
func (a *Agent) servingWish(o status.Observed) *csr.Wish {
	if a.cfg.Serving == string(serving.Off) || o.Client.Pair == nil {
		return nil
	}
	name := nodeOf(o)
	names, known := a.servingNames(name)
	if !known {
		return nil
	}
	return &csr.Wish{
		Kind: csr.Serving, NodeName: name, KeyAlgorithm: a.cfg.KeyAlgorithm, ExpirationSeconds: a.cfg.ExpirationSeconds,
		DNSNames: names.DNS, IPAddresses: names.IPs,
	}
}

// nodeOf is the node's name: that of its identity, and before there is one the machine's.
func nodeOf(o status.Observed) string {
	if o.Client.Pair != nil {
		if name, ok := cutNodePrefix(o.Client.Pair.Leaf.Subject.CommonName); ok {
			return name
		}
	}
	return o.Node
}

func (a *Agent) servingSettings() string {
	return config.Fingerprint(a.cfg.HostnameOverride, a.cfg.KeyAlgorithm, a.cfg.ExpirationSeconds, a.cfg.NodeIP, a.cfg.ServingDNSNames, a.cfg.ServingIPs)
}

func (a *Agent) actServing(ctx context.Context, o status.Observed) (changed bool) {
	m := &a.serving
	if a.cfg.Serving == string(serving.Off) {
		return a.releaseServing(o)
	}
	joining := a.client.running && o.Client.Pending != nil
	if joining || o.HasIdentity() {
		a.findAddresses(ctx, nodeOf(o))
	}
	switch decideServing(o, *m, joining, a.servingWish(o), a.servingSettings()) {
	case unread:
		a.unread(m, o.Serving.Unread)
	case placeholder:
		return a.disk(m, "store the placeholder serving certificate", func() error { return a.makePlaceholder(o) })
	case link:
		return a.disk(m, "link the serving certificate for the kubelet", a.dir.LinkServing)
	case giveUp:
		a.giveUp(m, o.Serving.Pending)
		return a.makePending(m, o.Serving, *a.servingWish(o), a.servingSettings(), o.Kubelet.Endpoint)
	case forget:
		return a.forget(m, o.Serving.Pending)
	case makePending:
		return a.makePending(m, o.Serving, *a.servingWish(o), a.servingSettings(), o.Kubelet.Endpoint)
	case ask:
		a.askAsNode(ctx, o)
	case commit:
		return a.commitServing(ctx, o)
	default: // nothing but waiting
	}
	return false
}

// askAsNode sends the serving request with the node's own identity: approvers and admission demand that requester and subject
// are the same.
func (a *Agent) askAsNode(ctx context.Context, o status.Observed) {
	api, err := a.nodeAPI(o.Client.Pair.PEM, o.Client.Pair.PEM, o.Kubelet.Endpoint)
	if err != nil {
		a.retry(&a.serving, rotate.Forbidden, "configuration", err, "")
		return
	}
	a.ask(ctx, &a.serving, o.Serving.Pending, api, true)
}

func (a *Agent) makePlaceholder(o status.Observed) error {
	names, _ := a.servingNames(nodeOf(o))
	pair, err := serving.Placeholder(nodeOf(o), names, a.Clock.Now())
	if err != nil {
		return err
	}
	if err := unusable(o.Serving, o.Now); err != nil && !isMissing(err) {
		a.log.Warn("the serving certificate on disk cannot be used; a placeholder takes its place", "err", err)
	}
	if _, err := a.dir.RealPair(o.Now); o.Serving.Pair == nil && isMissing(o.Serving.PairErr) && err != nil && !isMissing(err) {
		a.log.Warn("the kubelet's own serving certificate cannot be used; a placeholder takes its place", "err", err)
	}
	if err := a.dir.CommitServing(pair, a.Clock.Now()); err != nil {
		return err
	}
	a.stages.placeholderMade = true
	a.log.Info("a self-signed placeholder stands in for the serving certificate", "file", a.dir.Current(certdir.Serving))
	return nil
}

func (a *Agent) commitServing(ctx context.Context, o status.Observed) bool {
	m, p := &a.serving, o.Serving.Pending
	if !o.Serving.Committed() {
		leaf, err := p.Check()
		if err != nil {
			a.end(m, p, csr.Outcome{Result: csr.Refused, Reason: "WrongCertificate", Message: err.Error(), At: a.Clock.Now()})
			return false
		}
		if !a.inWindow(m, p, leaf) {
			if api := a.identity; api != nil && p.Ended == nil {
				a.askTime(ctx, m, api.api)
			}
			return false
		}
	}
	return a.disk(m, "store the serving certificate", func() error {
		store := a.dir.FinishServing
		if !o.Serving.Committed() {
			store = func() error { return a.dir.CommitServing(p.PairPEM(), a.Clock.Now()) }
		}
		if err := store(); err != nil {
			return err
		}
		if err := a.dir.RemovePending(certdir.Serving); err != nil {
			return err
		}
		m.succeed()
		a.log.Info("the node has its serving certificate", "node", p.Wish.NodeName, "file", a.dir.Current(certdir.Serving),
			"dns_names", p.Wish.DNSNames, "ip_addresses", p.Wish.IPAddresses)
		return nil
	})
}

// releaseServing is --serving=off: the kubelet's names become its own again.
func (a *Agent) releaseServing(o status.Observed) bool {
	if o.Now.Before(a.serving.retryAt) || !a.dir.Releasable() {
		return false
	}
	return a.disk(&a.serving, "give the serving certificate back to the kubelet", func() error {
		if err := a.dir.ReleaseServing(); err != nil {
			return err
		}
		a.log.Info("--serving=off: kubelet.crt and kubelet.key are copies of the last serving certificate now, the kubelet's own")
		return nil
	})
}

const (
	// addressesFor is how long found addresses are taken to be right.
	addressesFor = time.Minute
	// addressLookup bounds the resolver, which can hang while a machine boots.
	addressLookup = 2 * time.Second
)

// findAddresses looks up the node's addresses, beside the loop when that may take time.
func (a *Agent) findAddresses(ctx context.Context, name string) {
	m, now := &a.addresses, a.Clock.Now()
	if m.running || len(a.cfg.ServingIPs) > 0 || m.known && now.Sub(m.foundAt) < addressesFor || now.Before(m.retryAt) {
		return
	}
	asked, _ := node.ParseIPs(a.cfg.NodeIP)
	if len(asked) > 0 && !asked[0].IsUnspecified() {
		m.ips, m.known, m.foundAt = asked, true, now
		return
	}
	a.task(ctx, &m.memory, func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, addressLookup)
		defer cancel()
		ips, err := node.Addresses(ctx, name, asked)
		return func() { a.foundAddresses(ips, err) }
	})
}

func (a *Agent) foundAddresses(ips []net.IP, err error) {
	m := &a.addresses
	if err != nil {
		m.fail(rotate.NoAnswer, a.Clock.Now(), 0, fmt.Sprintf("the serving certificate waits for the node's address: %v", err))
		if m.failures == 1 {
			a.log.Warn("the serving certificate waits for the node's address", "err", err)
		}
		return
	}
	m.succeed()
	m.ips, m.known, m.foundAt = ips, true, a.Clock.Now()
}
