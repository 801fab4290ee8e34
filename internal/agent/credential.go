package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// disposeAgain is how long to wait after the file system would not let a credential go, unless something changes before.
const disposeAgain = time.Hour

func (a *Agent) actCredential(ctx context.Context, o status.Observed) (changed bool) {
	m := &a.credential
	switch decideCredential(o, *m, a.cfg.KeepBootstrapKubeconfig) {
	case settle:
		return a.settleAside(o)
	case dispose:
		return a.dispose(o)
	case compare:
		a.compare(ctx, o)
	default: // nothing but waiting
	}
	return false
}

// settleAside tries again quietly, for a file system that is read-only stays so until a person acts.
func (a *Agent) settleAside(o status.Observed) (changed bool) {
	m := &a.credential
	err := a.settle(o)
	if err == nil {
		m.succeed()
		return true
	}
	again := m.trouble == err.Error()
	m.fail(rotate.LocalTrouble, a.Clock.Now(), 0, err.Error())
	a.Metrics.Failed(status.CredentialPhase, disposalReason)
	if !again {
		a.log.Warn("cannot settle a bootstrap credential that lies aside", "err", err,
			"remedy", durable.Remedy(err), "again", m.retryAt.UTC().Format(time.RFC3339))
	}
	return false
}

func (a *Agent) settle(o status.Observed) error {
	for _, path := range o.Aside {
		if err := kubeconfig.PutBack(a.Disk, path); err != nil {
			return err
		}
		a.log.Info("settled a bootstrap credential that an interrupted deletion had moved aside", "file", path)
	}
	return nil
}

// dispose deletes what was used and only that, after the identity was proved and is on the disk.
func (a *Agent) dispose(o status.Observed) (changed bool) {
	m := &a.credential
	if !a.foundSynced(&m.memory) {
		return false
	}
	done, err := o.Bootstrap.Dispose(a.Disk, a.cfg.CredentialsDirectory)
	if err != nil {
		m.retryAt = a.Clock.Now().Add(disposeAgain)
		m.trouble = err.Error()
		a.Metrics.Failed(status.CredentialPhase, disposalReason)
		a.log.Warn("the used bootstrap credential is still on the disk", "err", err,
			"remedy", durable.Remedy(err), "again", m.retryAt.UTC().Format(time.RFC3339))
		return false
	}
	m.succeed()
	switch done.Disposal {
	case kubeconfig.Deleted:
		a.log.Info("deleted the used bootstrap credential", "file", done.File, "why", done.Said)
		return true
	case kubeconfig.Newer:
		a.log.Info("left a new bootstrap credential alone", "file", done.File, "why", done.Said)
		return true
	case kubeconfig.Exposed:
		a.log.Warn("a bootstrap secret stays on the disk", "file", done.File, "why", done.Said)
	default:
		a.log.Info("kept the bootstrap credential", "file", done.File, "why", done.Said)
	}
	m.settled = o.Bootstrap.Fingerprint()
	return false
}

// narrow takes from a bootstrap credential the permissions with which others could read the secret. Where it cannot, it says so
// once.
func (a *Agent) narrow(b *kubeconfig.Bootstrap) {
	if kubeconfig.IsSystemdCredential(b.Path, a.cfg.CredentialsDirectory) {
		return // who may read it is systemd's
	}
	for _, n := range b.Narrow(a.Disk) {
		about, outcome := "mode of "+n.File, fmt.Sprint(n.Mode, n.Err)
		switch {
		case n.Err == nil:
			delete(a.said, about)
			a.log.Warn("the bootstrap credential could be read by others; it cannot any more", "file", n.File, "mode", n.Mode)
		case a.said[about] != outcome:
			a.said[about] = outcome
			a.log.Warn("the bootstrap credential can be read by others", "file", n.File, "mode", n.Mode, "err", n.Err, "remedy", durable.Remedy(n.Err))
		}
	}
}

// compare asks the server of the bootstrap kubeconfig, with the node's certificate and under the file's CA, who we are. Nothing
// secret is sent. Answered as this node: it is the same cluster.
func (a *Agent) compare(ctx context.Context, o status.Observed) {
	m := &a.credential
	a.narrow(o.Bootstrap) // it may stay for long, if nobody answers
	fingerprint, endpoint, pair := o.Bootstrap.Fingerprint(), o.Bootstrap.Endpoint, o.Client.Pair.PEM
	api, err := a.api(endpoint, apiserver.Credential{CertificatePEM: pair, KeyPEM: pair})
	if err != nil {
		m.fail(rotate.Forbidden, a.Clock.Now(), 0, err.Error())
		return
	}
	own, differs := a.ownWay(o, pair)
	a.task(ctx, &m.memory, func(ctx context.Context) func() {
		defer api.Close()
		if differs {
			defer own.Close()
		}
		user, err := api.WhoAmI(ctx)
		if err == nil && differs {
			if _, ownErr := own.WhoAmI(ctx); ownErr == nil {
				endpoint = o.Kubelet.Endpoint
			}
		}
		return func() { a.compared(fingerprint, endpoint, user, err) }
	})
}

// ownWay returns the node's own way to the API server, which it keeps as long as that leads there, when a systemd credential has
// another one: the credential is there at every boot, and may be older than the file by which a person changed the way. Nor does the CA that
// any bootstrap kubeconfig was made with take the place of one that was followed since.
func (a *Agent) ownWay(o status.Observed, pair []byte) (own *apiserver.Client, differs bool) {
	if o.Kubelet == nil || sameEndpoint(o.Kubelet.Endpoint, o.Bootstrap.Endpoint) {
		return nil, false
	}
	if !a.fromSystemd(o) && !(a.follows() && sameEndpoint(withCA(o.Kubelet.Endpoint, o.Bootstrap.Endpoint.CA), o.Bootstrap.Endpoint)) {
		return nil, false
	}
	own, err := a.nodeAPI(pair, pair, o.Kubelet.Endpoint)
	return own, err == nil
}

func (a *Agent) compared(fingerprint string, endpoint apiserver.Endpoint, user apiserver.User, err error) {
	m, o := &a.credential, a.observe()
	if o.Client.Pair == nil || o.Bootstrap == nil || o.Bootstrap.Fingerprint() != fingerprint {
		return // the world has moved on
	}
	switch {
	case err == nil && user.Name == o.Client.Pair.Leaf.Subject.CommonName:
		if !a.disk(&m.memory, "take over the server of the bootstrap kubeconfig", func() error { return a.takeOver(o, endpoint) }) {
			return
		}
		if _, err := kubeconfig.LoadKubelet(a.cfg.Kubeconfig); err != nil { // written and yet of no use: others may write to its folder, say
			a.notCompared(o, rotate.Forbidden, err)
			return
		}
		m.succeed()
		m.sameCluster, m.refusedSince = fingerprint, time.Time{}
		a.heardAsNode(nil)
	case err != nil && apiserver.ReasonOf(err) != apiserver.Unauthorized:
		m.refusedSince = time.Time{} // a refusal counts only as long as nothing else is heard
		a.notCompared(o, failureFor(apiserver.ReasonOf(err)), err)
	case err != nil:
		a.refusedThere(o, fingerprint, endpoint, fmt.Errorf("%w: %w", errIdentity, err))
	default:
		a.refusedThere(o, fingerprint, endpoint, fmt.Errorf("%s takes this node for user %q", endpoint.Server, user.Name))
	}
}

// errIdentity says that nobody is known by the node's certificate: it is not merely taken for somebody else's.
var errIdentity = errors.New("the node's certificate is not accepted")

// identityRefused is for how long the node's own cluster must not accept its identity before a bootstrap credential replaces it: an API
// server that has just started, or is told of a new signer, may be late.
const identityRefused = time.Minute

// refusedThere is when the cluster of the bootstrap kubeconfig does not know the node: another cluster, or one that has forgotten it.
func (a *Agent) refusedThere(o status.Observed, fingerprint string, endpoint apiserver.Endpoint, err error) {
	m, now := &a.credential, a.Clock.Now()
	if m.refusedSince.IsZero() {
		m.refusedSince = now
	}
	unknown := errors.Is(err, errIdentity)
	other := elsewhere(o, endpoint)
	if !other && unknown {
		a.heardAsNode(err)
	}
	switch {
	case other && a.fromSystemd(o):
		a.notCompared(o, rotate.Forbidden, fmt.Errorf("the cluster of the systemd credential does not know this node's identity, which stays: %w; to move "+
			"the node there: drain it, put the bootstrap kubeconfig at %s, and reboot; to stay: remove the credential (LoadCredential= of the unit)",
			err, a.cfg.BootstrapKubeconfig))
	case o.Kubelet == nil, other && a.stages.started, !other && !unknown:
		a.notCompared(o, rotate.Forbidden, fmt.Errorf("the cluster of the bootstrap kubeconfig does not know this node's identity: %w; to move the node "+
			"there: drain it, and reboot, or stop kubelet and bootstrap-agent, remove %s and %s, and start both; to stay: remove %s",
			err, a.cfg.CertDir, a.cfg.Kubeconfig, o.Bootstrap.Path))
	case other:
		a.log.Warn("the bootstrap kubeconfig is for another cluster, and the kubelet has not been started in this boot: the node goes there",
			"server", endpoint.Server, "err", err)
		m.replacesBy = fingerprint
	case now.Sub(m.refusedSince) < identityRefused:
		a.notCompared(o, rotate.Forbidden, fmt.Errorf("the node's own cluster does not know its identity: %w; "+
			"if that lasts for %s the bootstrap credential is used for a new one", err, identityRefused))
	default:
		a.log.Warn("the node's own cluster does not accept its identity any more: the bootstrap credential is used for a new one",
			"server", endpoint.Server, "since", m.refusedSince.UTC().Format(time.RFC3339), "err", err)
		m.replacesBy = fingerprint
	}
}

// notCompared says once why the bootstrap kubeconfig stays where it is, and tries again quietly.
func (a *Agent) notCompared(o status.Observed, failure rotate.Failure, err error) {
	m := &a.credential
	again := m.trouble == err.Error()
	m.fail(failure, a.Clock.Now(), apiserver.RetryAfter(err), err.Error())
	a.Metrics.Failed(status.CredentialPhase, credentialReason(err))
	if !again {
		a.log.Warn("a bootstrap kubeconfig beside a working identity was not touched", "file", o.Bootstrap.Path, "err", err)
	}
}

// fromSystemd says whether the bootstrap kubeconfig is a systemd credential. It is there at every boot, so that nobody means by it that
// the node is to leave the cluster it is in: for that a file is dropped in place.
func (a *Agent) fromSystemd(o status.Observed) bool {
	return kubeconfig.IsSystemdCredential(o.Bootstrap.Path, a.cfg.CredentialsDirectory)
}

// takeOver makes the server and CA of a bootstrap kubeconfig for the same cluster the node's.
func (a *Agent) takeOver(o status.Observed, endpoint apiserver.Endpoint) error {
	if o.Kubelet != nil && sameEndpoint(o.Kubelet.Endpoint, endpoint) && o.ClientCA != nil {
		return nil
	}
	if err := a.dir.WriteCA(a.dir.ServerCA(), endpoint.CA); err != nil {
		return err
	}
	if o.ClientCA == nil {
		if err := a.writeClientCA(o.Client.Pair.PEM, endpoint.CA); err != nil {
			return err
		}
	}
	changed, err := kubeconfig.WriteKubelet(a.Disk, a.cfg.Kubeconfig, a.kubelet(endpoint))
	if err == nil && (changed || o.ServerCA != nil && !bytes.Equal(o.ServerCA, endpoint.CA)) {
		a.log.Warn("the kubelet's kubeconfig has a new server or CA; the kubelet needs a restart to use it", "file", a.cfg.Kubeconfig, "server", endpoint.Server)
	}
	return err
}
