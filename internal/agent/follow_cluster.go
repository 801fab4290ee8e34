package agent

import (
	"context"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

const (
	// clusterInfoEvery is how often cluster-info is read, give or take a fifth: a new CA stands there for days before it is used.
	clusterInfoEvery = 10 * time.Minute
	// clusterInfoSoon is how long after the last time it may be read again because a connection of the node's own was refused for its CA.
	clusterInfoSoon = time.Minute
)

// followClusterInfo asks the cluster which CA it has.
func (a *Agent) followClusterInfo(ctx context.Context, o status.Observed) {
	m := &a.following
	if m.running || o.Now.Before(m.retryAt) {
		return
	}
	pins, err := discovery.ParsePins(a.cfg.DiscoveryCACertHashes)
	if err != nil { // they were checked when they were read
		a.notFollowed("configuration", rotate.Forbidden, err, "")
		return
	}
	asker := discovery.Asker{UserAgent: a.UserAgent, Clock: a.Clock, Count: a.Metrics.Called}
	asked := o.Kubelet.Endpoint
	m.askedAt = o.Now
	a.task(ctx, &m.memory, func(ctx context.Context) func() {
		merged, err := asker.Follow(ctx, asked, pins)
		return func() { a.heardCA(asked, merged, err) }
	})
}

func (a *Agent) heardCA(asked apiserver.Endpoint, merged discovery.Merged, err error) {
	o, there := a.stillThere(asked)
	if !there {
		return // the world has moved on, and is looked at again
	}
	if err != nil {
		e := discovery.ErrorOf(err)
		a.notFollowed(string(e.Reason), followFailure(e.Reason), e, e.Remedy)
		return
	}
	a.noteStrangers(merged)
	if len(merged.Added)+len(merged.Removed) > 0 && !a.storeCA(o, merged.Bundle) {
		return
	}
	a.followed()
	a.following.retryAt = a.Clock.Now().Add(clusterInfoEvery - clusterInfoEvery/5 + rand.N(clusterInfoEvery*2/5))
}

func followFailure(reason discovery.Reason) rotate.Failure {
	switch reason {
	case discovery.Untrusted, discovery.BadClusterInfo, discovery.NotPublished, "configuration":
		return rotate.Forbidden
	}
	return failureFor(apiserver.Reason(reason))
}

// noteStrangers says once, and counts at each look, which CAs cluster-info names that are not trusted.
func (a *Agent) noteStrangers(merged discovery.Merged) {
	m, text := &a.following, ""
	if strangers := discovery.Strangers(merged.Dropped); len(strangers) > 0 {
		text = fmt.Sprintf("cluster-info names a CA that is neither pinned nor signed by one in use, and is not trusted: %s; %s", tell(merged.Dropped), discovery.TrustRemedy(strangers))
	} else if merged.Full {
		text = fmt.Sprintf("cluster-info names more CAs than fit beside those in use, of which there may be %d; an administrator removes what is not needed: kubectl -n kube-public edit configmap cluster-info", discovery.MostFollowed)
	}
	if text != "" {
		a.Metrics.Failed(status.CAPhase, untrustedReason) // each time: as long as it counts, somebody has to do something (the alert CANotFollowed)
	}
	if text != "" && text != m.strangers {
		a.log.Error("a CA is not trusted", "err", text)
	}
	m.strangers = text
}

// tell names certificates, whoever made them: the first few, and on one line.
func tell(certificates []*x509.Certificate) string {
	const most, longest = 3, 120
	text := ""
	for i, certificate := range certificates {
		if i == most {
			return fmt.Sprintf("%s and %d more", text, len(certificates)-most)
		}
		subject := csr.Plain(certificate.Subject.String())
		text += fmt.Sprintf("%s of %.*q ", discovery.PinOf(certificate), longest, subject)
	}
	return text[:max(len(text)-1, 0)]
}

// noteDistrust has cluster-info read soon after the API server has shown a certificate of another CA: it may have its new one already.
func (a *Agent) noteDistrust(err error) {
	m := &a.following
	if !a.cfg.CAFromClusterInfo || m.failures > 0 || apiserver.ReasonOf(err) != apiserver.TLS {
		return
	}
	if soon := m.askedAt.Add(clusterInfoSoon); soon.Before(m.retryAt) {
		m.retryAt = soon
	}
}

// followed ends what there was to say.
func (a *Agent) followed() {
	a.following.succeed()
	if a.following.said != "" {
		a.log.Info("the CA of the API server is followed again")
	}
	a.following.said = ""
}

// notFollowed plans the next attempt, and says so when it is for another reason than the last one.
func (a *Agent) notFollowed(reason string, failure rotate.Failure, err error, remedy string) {
	m := &a.following
	if m.failures > 0 && a.Clock.Now().Before(m.retryAt) {
		return
	}
	text := csr.Plain(err.Error()) // whoever answers has a say in it
	trouble := reason + ": " + text
	if remedy != "" {
		trouble += "; " + remedy
	}
	at := m.fail(failure, a.Clock.Now(), apiserver.RetryAfter(err), trouble)
	phase := status.CAPhase
	if reason == string(apiserver.Clock) {
		phase, reason = status.ClockPhase, "server-certificate"
	}
	a.Metrics.Failed(phase, reason)
	if m.said != trouble {
		m.said = trouble
		a.log.Warn("the CA of the API server is not followed; will try again", "reason", reason, "err", text, "remedy", remedy, "at", at.UTC().Format(time.RFC3339Nano))
	}
}

// sayOnce is for what is wrong until a person mends it, and is found so at each look.
func (a *Agent) sayOnce(about, reason string, err error) {
	if m := &a.following; a.Clock.Since(m.countedAt) >= clusterInfoEvery { // as long as it stands, as what is tried again counts
		m.countedAt = a.Clock.Now()
		a.Metrics.Failed(status.CAPhase, reason)
	}
	if text := csr.Plain(durable.WithRemedy(err).Error()); a.said[about] != text {
		a.said[about] = text
		a.log.Error("nothing is changed", "about", about, "err", text)
	}
}

// followingLine is for STATUS=; it was logged when it began.
func (a *Agent) followingLine() line {
	m := &a.following
	for _, text := range []string{m.trouble, m.strangers, a.said["--kubelet-client-ca-file"]} {
		if text != "" && a.follows() {
			return line{text: text, quiet: true}
		}
	}
	return line{}
}
