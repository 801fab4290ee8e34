package agent

import (
	"cmp"
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
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
	if a.cfg.Serving == string(serving.AfterNodeRegistered) {
		names, known = serving.NamesOfNode(a.registered.addresses, a.cfg.ServingDNSNames, a.cfg.ServingIPs)
	}
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

func (a *Agent) actServing(ctx context.Context, o status.Observed) (changed bool) {
	m := &a.serving
	if a.cfg.Serving == string(serving.Off) {
		return a.releaseServing(o)
	}
	joining := a.client.running && o.Client.Pending != nil
	if joining || o.HasIdentity() {
		a.findAddresses(ctx, nodeOf(o))
		a.findRegistered(ctx, o)
	}
	aim := a.servingAim(o)
	switch decideServing(o, *m, joining, aim) {
	case unread:
		a.unread(m, o.Serving.Unread)
	case useOlder:
		return a.disk(m, "use the serving certificate that is there", func() error {
			a.log.Warn("the current serving certificate cannot be used; another one that is there can", "err", unusable(o.Serving, o.Now), "file", o.Serving.Older.File)
			return a.dir.Use(certdir.Serving, o.Serving.Older)
		})
	case placeholder:
		return a.disk(m, "store the placeholder serving certificate", func() error { return a.makePlaceholder(o) })
	case link:
		return a.disk(m, "link the serving certificate for the kubelet", a.dir.LinkServing)
	case giveUp:
		a.giveUp(m, o.Serving.Pending)
		return a.makeServingPending(o, aim)
	case forget:
		return a.forget(m, o.Serving.Pending)
	case makePending:
		return a.makeServingPending(o, aim)
	case ask:
		return a.askAsNode(ctx, m, o, o.Serving.Pending)
	case commit:
		return a.commitServing(ctx, o)
	default: // nothing but waiting
	}
	return false
}

func (a *Agent) makeServingPending(o status.Observed, aim aim) bool {
	if aim.lacks {
		a.serving.namesAsked = a.Clock.Now()
		a.log.Info("the serving certificate lacks names", "names", lacking(o.Serving.Pair.Leaf, aim.wish))
	}
	return a.makePending(&a.serving, o.Serving, aim, o.Kubelet.Endpoint, true)
}

func (a *Agent) makePlaceholder(o status.Observed) error {
	names, _ := a.servingNames(nodeOf(o))
	pair, err := serving.Placeholder(nodeOf(o), names, a.Clock.Now())
	if err != nil {
		return err
	}
	if o.Serving.Usable(o.Now) {
		a.log.Info("the placeholder is made anew: its time has come, or it lacks a name")
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
	if isMissing(o.Serving.PairErr) { // one in place of a lost or expired pair is no reason to hold the kubelet's start
		a.stages.placeholderMade = true
	}
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
		a.keep.serving.ours = leafBytes(p.CertificatePEM)
		if err := store(); err != nil {
			return err
		}
		if err := a.dir.RemovePending(certdir.Serving); err != nil {
			return err
		}
		m.succeed()
		if replaced := o.Serving; replaced.Issued() && !replaced.Committed() {
			a.Metrics.Rotated(string(m.name), true)
		}
		if leaf, err := x509.ParseCertificate(a.keep.serving.ours); err == nil {
			a.watchServed(cmp.Or(o.Serving.Pair, o.Serving.Adopted), leaf)
		}
		a.log.Info("the node has its serving certificate", "node", p.Wish.NodeName, "file", a.dir.Current(certdir.Serving),
			"dns_names", p.Wish.DNSNames, "ip_addresses", p.Wish.IPAddresses)
		return nil
	})
}

// noteLacking notes whether the certificate in use has all the names that are wanted: of the Node or, for a placeholder, of the machine.
func (a *Agent) noteLacking(o status.Observed) {
	var missing []string
	wish := a.servingWish(o)
	if names, known := a.servingNames(nodeOf(o)); !o.Serving.Issued() && known {
		wish = &csr.Wish{DNSNames: names.DNS, IPAddresses: names.IPs}
	}
	if o.Serving.Usable(o.Now) && wish != nil {
		missing = lacking(o.Serving.Pair.Leaf, wish)
	}
	a.serving.noteLacking(missing, o.Now)
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
		a.Metrics.Failed(status.AddressPhase, "lookup")
		m.fail(rotate.NoAnswer, a.Clock.Now(), 0, fmt.Sprintf("the serving certificate waits for the node's address: %v", err))
		if m.failures == 1 {
			a.log.Warn("the serving certificate waits for the node's address", "err", err)
		}
		return
	}
	m.succeed()
	m.ips, m.known, m.foundAt = ips, true, a.Clock.Now()
}
