package agent

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

func (a *Agent) actClient(ctx context.Context, o status.Observed) (changed bool) {
	m, aim := &a.client, a.clientAim(o)
	bootstrapping := isBootstrapping(o, *m, aim)
	switch decideClient(o, *m, aim) {
	case rest:
		return a.completeClientCA(o)
	case unread:
		a.unread(m, o.Client.Unread)
	case useOlder:
		return a.disk(m, "use the older client certificate", func() error {
			a.log.Warn("the current client certificate cannot be used; an older one can", "err", unusable(o.Client, o.Now), "file", o.Client.Older.File)
			return a.dir.Use(certdir.Client, o.Client.Older)
		})
	case giveUp:
		a.giveUp(m, o.Client.Pending)
		return a.makeClientPending(o, aim, bootstrapping)
	case forget:
		return a.forget(m, o.Client.Pending)
	case makePending:
		return a.makeClientPending(o, aim, bootstrapping)
	case ask:
		if !bootstrapping {
			return a.askAsNode(ctx, m, o, o.Client.Pending)
		}
		return a.askAsBootstrap(ctx, o)
	case prove:
		a.prove(ctx, o)
	case commit:
		return a.disk(m, "store the client certificate", func() error { return a.commitClient(o) })
	default: // nothing but waiting
	}
	return false
}

func (a *Agent) makeClientPending(o status.Observed, aim aim, bootstrapping bool) bool {
	if bootstrapping {
		return a.makePending(&a.client, o.Client, aim, o.Bootstrap.Endpoint, false)
	}
	return a.makePending(&a.client, o.Client, aim, o.Kubelet.Endpoint, true)
}

func (a *Agent) giveUp(m *memory, p *csr.Pending) {
	m.abandon()
	a.Metrics.Requested(string(m.name), "abandoned")
	a.log.Warn("gave up a certificate signing request, since it is not what is wanted now",
		"certificate", m.name, "csr", p.Name, "remove", "kubectl delete csr "+p.Name)
}

// forget removes a request that nothing needs any more.
func (a *Agent) forget(m *memory, p *csr.Pending) bool {
	a.giveUp(m, p)
	return a.disk(m, "remove the certificate signing request", func() error {
		if err := a.dir.RemovePending(prefixOf(m.name)); err != nil {
			return err
		}
		m.succeed()
		return nil
	})
}

// makePending puts a new key and the request that it signed on the disk, before anything is sent.
func (a *Agent) makePending(m *memory, c status.Certificate, aim aim, endpoint apiserver.Endpoint, asNode bool) bool {
	return a.disk(m, "store the certificate signing request", func() error {
		p, err := csr.New(*aim.wish, endpoint)
		if err != nil {
			return err
		}
		p.Settings, p.Made, p.AsNode, p.Replaces = aim.settings, a.Clock.Now(), asNode, aim.replaces && !asNode
		if before := c.Pending; before != nil {
			p.GivenUp, p.Key = before.GivenUp, before.Key+1
			if before.Ended == nil { // another wish, not another try
				p.GivenUp, p.Key = a.Clock.Now(), 0
			}
		}
		if err := unusable(c, a.Clock.Now()); err != nil && !isMissing(err) {
			a.log.Warn("the certificate on disk cannot be used, asking for another", "certificate", m.name, "err", err)
		}
		if c.Usable(a.Clock.Now()) && c.Issued() {
			a.log.Info("asking for the next certificate", "certificate", m.name, "csr", p.Name, "until", c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
		}
		if c.PendingErr != nil {
			a.log.Warn("the pending request on disk is of no use, making another", "certificate", m.name, "err", c.PendingErr)
		}
		if err := a.store(p); err != nil {
			return err // and what is remembered of earlier failures makes the next pause longer
		}
		m.succeed()
		m.accepted, m.created, m.approved, m.provedLeaf, m.ended = time.Time{}, time.Time{}, time.Time{}, nil, nil
		return nil
	})
}

// unusable says why a certificate is not used; nil: it can be.
func unusable(c status.Certificate, now time.Time) error {
	if c.Pair != nil && !c.Usable(now) {
		return fmt.Errorf("%s expired at %s", c.Pair.File, c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return c.PairErr
}

func (a *Agent) store(p *csr.Pending) error {
	content, err := p.Encode()
	if err != nil {
		return err
	}
	return a.dir.WritePending(prefixOf(p.Wish.Kind), content)
}

func prefixOf(kind csr.Kind) certdir.Kind {
	if kind == csr.Client {
		return certdir.Client
	}
	return certdir.Serving
}

// askAsBootstrap sends the client's request with the bootstrap credential. A request that was meant for another server, because
// the bootstrap kubeconfig has been replaced since, is sent to the new one.
func (a *Agent) askAsBootstrap(ctx context.Context, o status.Observed) (changed bool) {
	m, p, b := &a.client, o.Client.Pending, o.Bootstrap
	if moved := !sameEndpoint(p.Endpoint, b.Endpoint); moved || p.AsNode {
		if moved {
			p.Endpoint, p.UID = b.Endpoint, ""
		}
		p.AsNode = false // whoever sent it, it is the same request
		return a.disk(m, "store the certificate signing request", func() error { return a.store(p) })
	}
	a.narrow(b)
	api, err := a.api(b.Endpoint, b.Credential)
	if err != nil {
		a.retry(m, rotate.Forbidden, "configuration", err, "")
		return false
	}
	a.credential.used, a.credential.usedID = b.Fingerprint(), tokenID(b.Credential.Token)
	a.ask(ctx, m, p, api)
	return false
}

// askAsNode sends a request with the node's own identity: approvers and admission demand that requester and subject are the same.
func (a *Agent) askAsNode(ctx context.Context, m *memory, o status.Observed, p *csr.Pending) (changed bool) {
	if !sameEndpoint(p.Endpoint, o.Kubelet.Endpoint) {
		if !sameEndpoint(withCA(p.Endpoint, o.Kubelet.Endpoint.CA), o.Kubelet.Endpoint) { // else only the CA has changed, and the object is where it was
			p.UID = ""
		}
		p.Endpoint = o.Kubelet.Endpoint
		return a.disk(m, "store the certificate signing request", func() error { return a.store(p) })
	}
	api, err := a.nodeAPI(o.Client.Pair.PEM, o.Client.Pair.PEM, o.Kubelet.Endpoint)
	if err != nil {
		a.retry(m, rotate.Forbidden, "configuration", err, "")
		return false
	}
	a.ask(ctx, m, p, api)
	return false
}

// noticeCredential lets a credential that was put there while another one is in use, or waited for, be tried at once. The
// request stays the same.
func (a *Agent) noticeCredential(o status.Observed) {
	if o.Bootstrap == nil || a.credential.seen == o.Bootstrap.Fingerprint() {
		return
	}
	another := a.credential.seen != "" // than the one that was there, which was not merely not looked at yet
	if another {
		a.log.Info("a new bootstrap credential is there", "file", o.Bootstrap.Path, "kind", o.Bootstrap.Source)
	}
	a.credential.seen = o.Bootstrap.Fingerprint()
	a.credential.succeed()
	a.credential.replacesBy, a.credential.refusedSince = "", time.Time{}
	if p := o.Client.Pending; len(issuedPEM(p)) == 0 {
		a.client.abandon()
		a.client.succeed()
		if p != nil && !p.AgainAt.IsZero() && another {
			p.AgainAt = time.Time{}
			a.disk(&a.client, "store that the request is sent again", func() error { return a.store(p) })
		}
	}
}

func issuedPEM(p *csr.Pending) []byte {
	if p == nil {
		return nil
	}
	return p.CertificatePEM
}

// prove uses the issued certificate once, from memory, at the server that will be the node's.
func (a *Agent) prove(ctx context.Context, o status.Observed) {
	m, p := &a.client, o.Client.Pending
	if p.AsNode && o.Kubelet != nil { // the server may have changed since it was asked
		p.Endpoint = o.Kubelet.Endpoint
	}
	leaf, err := p.Check()
	if err != nil {
		a.end(m, p, csr.Outcome{Result: csr.Refused, Reason: "WrongCertificate", Message: err.Error(), At: a.Clock.Now()})
		return
	}
	early := a.serverTimeKnown() && !a.inWindow(m, p, leaf) // else the answer will tell the time
	if early && p.Ended != nil {
		return
	}
	api, err := a.nodeAPI(p.CertificatePEM, p.KeyPEM, p.Endpoint)
	if err != nil {
		a.retry(m, rotate.NoAnswer, "configuration", err, "")
		return
	}
	if early {
		a.askTime(ctx, m, api)
		return
	}
	m.asNode = true
	ours := a.ownID(o, p)
	a.task(ctx, m, func(ctx context.Context) func() {
		user, err := api.WhoAmI(ctx)
		var holder nodeHolder
		if err == nil && user.IsNode(p.Wish.NodeName) {
			holder = holderOf(ctx, api, p.Wish.NodeName, ours)
		}
		return func() {
			a.noteTime(api)
			a.proved(p, leaf, user, holder, err)
		}
	})
}

// inWindow says whether an issued certificate can be used now, by the API server's clock, which judges it, and by ours: agent and
// kubelet would take it for expired, and ask for another one without end. Until both agree it stays pending, unless its time is over.
func (a *Agent) inWindow(m *memory, p *csr.Pending, leaf *x509.Certificate) bool {
	switch err := csr.Window(leaf, a.serverTime()); {
	case err != nil && a.serverTime().After(leaf.NotAfter):
		a.end(m, p, csr.Outcome{Result: csr.Refused, Reason: "Expired", Message: err.Error(), At: a.Clock.Now()})
	case err != nil:
		a.retry(m, rotate.NotInWindow, "clock", err, "compare the clocks of the API server and the signer")
	case !a.Clock.Now().Before(leaf.NotAfter):
		a.retry(m, rotate.NotInWindow, "clock", fmt.Errorf("the issued certificate is valid until %s; the API server's clock says %s, ours %s",
			leaf.NotAfter.UTC().Format(time.RFC3339), a.serverTime().UTC().Format(time.RFC3339), a.Clock.Now().UTC().Format(time.RFC3339)),
			"set the clock of this machine (timedatectl)")
	default:
		return true
	}
	return false
}

func (a *Agent) proved(p *csr.Pending, leaf *x509.Certificate, user apiserver.User, holder nodeHolder, err error) {
	m, now := &a.client, a.Clock.Now()
	if err != nil && apiserver.ReasonOf(err) != apiserver.Unauthorized {
		a.failed(m, err)
		return
	}
	if !a.inWindow(m, p, leaf) {
		return
	}
	if err == nil && user.IsNode(p.Wish.NodeName) {
		if !a.mayBe(p, holder) {
			return
		}
		m.succeed()
		m.provedLeaf = leafBytes(p.CertificatePEM)
		a.heardAsNode(nil)
		a.log.Info("the API server accepts the new client certificate", "user", user.Name, "server", p.Endpoint.Server)
		return
	}
	if err == nil {
		err = fmt.Errorf("%s takes the new client certificate for user %q in groups %q, not for %s", p.Endpoint.Server, user.Name, user.Groups, p.Wish.CommonName())
	}
	if p.RefusedSince.IsZero() {
		p.RefusedSince = now
		a.disk(m, "store since when the certificate is refused", func() error { return a.store(p) })
	}
	if now.Sub(p.RefusedSince) >= rotate.GiveUpProof {
		a.end(m, p, csr.Outcome{Result: csr.Refused, Reason: "NotAccepted", Message: err.Error(), At: now})
		return
	}
	m.ended = &csr.Ended{Outcome: csr.Refused, Reason: "NotAccepted", Message: err.Error(), At: now}
	a.retry(m, rotate.Unproved, "refused", err, "is the CA that signs kubelet client certificates in the API server's --client-ca-file?")
}
