package agent

import (
	"context"
	"slices"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// discoverAgain is how long what was found out holds while nothing answers there: the API server may have moved.
const discoverAgain = 10 * time.Minute

// longestAsked bounds how long whoever answers may ask to be left alone: he has proved nothing.
const longestAsked = 5 * time.Minute

// discoveryMemory is what was found out about a discovery token. It is in memory only: a restart finds out again.
type discoveryMemory struct {
	memory
	// seen is the token that was there at the last look.
	seen string
	// of is the token whose cluster is known, where that is, and when that was found out.
	of       string
	endpoint apiserver.Endpoint
	at       time.Time
}

// fillDiscovered makes a discovery token the bootstrap credential, once it is known where its cluster is.
func (a *Agent) fillDiscovered(o *status.Observed) {
	m := &a.discovery
	switch {
	case o.Undiscovered == nil:
	case o.DiscoveryFile != nil:
		if endpoint, err := a.ofDiscoveryFile(*o.DiscoveryFile); err != nil {
			o.Undiscovered, o.BootstrapErr = nil, err
		} else {
			a.discovered(o, endpoint)
		}
	case m.of == o.Undiscovered.Fingerprint():
		a.discovered(o, m.endpoint)
	}
}

// noticeToken has a token that was put there since the last look tried at once, and one that has gone not any more.
func (a *Agent) noticeToken(o status.Observed) {
	m, there := &a.discovery, ""
	if b := o.Bootstrap; b != nil && b.Source == kubeconfig.DiscoveryToken {
		there = b.Fingerprint()
	}
	if o.Undiscovered != nil {
		there = o.Undiscovered.Fingerprint()
	}
	if m.seen != there {
		m.abandon()
		m.succeed()
		m.seen = there
	}
}

// pinned says whether the CA in use is one of those that the discovery is to find.
func (a *Agent) pinned(ca []byte) bool {
	pins, err := discovery.ParsePins(a.cfg.DiscoveryCACertHashes)
	bundle, bundleErr := discovery.ParseBundle(ca)
	return err == nil && bundleErr == nil && slices.ContainsFunc(bundle, pins.Have)
}

// discovered makes the token a credential for endpoint.
func (a *Agent) discovered(o *status.Observed, endpoint apiserver.Endpoint) {
	o.Bootstrap, o.Undiscovered, o.BootstrapErr = o.Undiscovered.At(endpoint), nil, nil
}

// ofDiscoveryFile keeps of the CA in the discovery file what is pinned, if anything is.
func (a *Agent) ofDiscoveryFile(endpoint apiserver.Endpoint) (apiserver.Endpoint, error) {
	return discovery.FromFile(endpoint, a.cfg.DiscoveryFile, a.cfg.DiscoveryCACertHashes, a.Clock.Now())
}

// discover finds out where the cluster of a discovery token is, when that is needed.
func (a *Agent) discover(ctx context.Context, o status.Observed) {
	m := &a.discovery
	token := a.toDiscover(o)
	if token == nil || m.running || o.Now.Before(m.retryAt) {
		return
	}
	wish, err := discovery.NewWish(a.cfg.Servers(), token.Credential.Token, a.cfg.DiscoveryCACertHashes)
	if err != nil { // all was checked when it was read
		a.notDiscovered(&discovery.Error{Reason: "configuration", Err: err})
		return
	}
	a.narrow(token)
	asker := discovery.Asker{UserAgent: a.UserAgent, Clock: a.Clock, Count: a.Metrics.Called}
	fingerprint := token.Fingerprint()
	a.task(ctx, &m.memory, func(ctx context.Context) func() {
		found, err := asker.Discover(ctx, wish)
		return func() {
			if err != nil {
				a.notDiscovered(err)
				return
			}
			m.succeed()
			a.noteDiscovered(fingerprint, found)
		}
	})
}

// toDiscover returns the token whose cluster is to be found out now; nil: that is not needed. A systemd credential is there at every
// boot, and means nothing beside an identity that can be used.
func (a *Agent) toDiscover(o status.Observed) *kubeconfig.Bootstrap {
	m := &a.discovery
	switch b := o.Bootstrap; {
	case o.Undiscovered != nil:
		if o.HasIdentity() && kubeconfig.IsSystemdCredential(o.Undiscovered.Path, a.cfg.CredentialsDirectory) {
			return nil
		}
		return o.Undiscovered
	case b == nil || b.Source != kubeconfig.DiscoveryToken || o.DiscoveryFile != nil || o.Client.Usable(o.Now):
		return nil
	case a.client.failure == rotate.NoAnswer && o.Now.Sub(m.at) >= discoverAgain:
		return b
	}
	return nil
}

func (a *Agent) noteDiscovered(fingerprint string, found discovery.Found) {
	m := &a.discovery
	if m.of != fingerprint || !sameEndpoint(m.endpoint, found.Endpoint) {
		a.log.Info("found out where the cluster is", "server", found.Endpoint.Server, "asked", found.Asked)
	}
	for _, stranger := range found.Dropped {
		a.log.Warn("cluster-info names a CA that is neither pinned nor signed by one that is; it is not trusted", "subject", csr.Plain(stranger.Subject), "pin", stranger.Pin)
	}
	m.of, m.endpoint, m.at = fingerprint, found.Endpoint, a.Clock.Now()
}

// notDiscovered plans the next attempt and says so.
func (a *Agent) notDiscovered(err error) {
	m := &a.discovery
	e := discovery.ErrorOf(err)
	a.countDiscovery(e)
	text := csr.Plain(e.Error()) // whoever answers has a say in it
	trouble := string(e.Reason) + ": " + text
	if e.Remedy != "" {
		trouble += "; " + e.Remedy
	}
	again := m.trouble == trouble
	m.at = a.Clock.Now() // what was found out before holds as long
	at := m.fail(discoveryFailure(e.Reason), a.Clock.Now(), min(apiserver.RetryAfter(err), longestAsked), trouble)
	if !again {
		a.log.Warn("cannot find out where the cluster is; will try again", "reason", e.Reason, "err", text, "remedy", e.Remedy, "at", at.UTC().Format(time.RFC3339Nano))
	}
}

func (a *Agent) countDiscovery(e *discovery.Error) {
	if apiserver.Reason(e.Reason) == apiserver.Clock {
		a.Metrics.Failed(status.ClockPhase, "server-certificate")
		return
	}
	a.Metrics.Failed(status.DiscoveryPhase, string(e.Reason))
}

// discoveryFailure sorts the reasons into the rows of the retry policy.
func discoveryFailure(reason discovery.Reason) rotate.Failure {
	switch reason {
	case discovery.NotSigned, discovery.NotPublished: // as a token whose Secret is late
		return rotate.Unauthorized
	case discovery.BadSignature, discovery.NotPinned, discovery.BadClusterInfo, "configuration":
		return rotate.Forbidden
	case discovery.Changed:
		return rotate.NoAnswer
	}
	return failureFor(apiserver.Reason(reason))
}

func (a *Agent) discoveryText() string {
	if a.discovery.trouble == "" {
		return "finding out where the cluster is"
	}
	return "where the cluster is cannot be found out: " + a.discovery.trouble
}
