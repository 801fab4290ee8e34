package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// watchedFile is a file of a person's that is followed.
type watchedFile struct {
	// text is what was in it at the last look, or why that cannot be read; since is since when it has been so.
	text  string
	since time.Time
}

// look notes what is in the file and says whether that has just changed, and whether it has been the same for long enough: whoever writes it
// in place may not be done.
func (w *watchedFile) look(data []byte, err error, now time.Time) (changed, settled bool) {
	text := string(data)
	if err != nil {
		text = err.Error()
	}
	changed = w.since.IsZero() || text != w.text
	if changed {
		w.text, w.since = text, now
	}
	return changed, now.Sub(w.since) >= settlesIn || now.Before(w.since)
}

// settles is when the file will have been the same for long enough; zero: there is none.
func (w *watchedFile) settles() time.Time {
	if w.since.IsZero() {
		return w.since
	}
	return w.since.Add(settlesIn)
}

const maxCAFile = 1 << 20

// followFile has the CA file that a person keeps take the place of the CA in use, once the API server has shown that it is right.
func (a *Agent) followFile(ctx context.Context, o status.Observed) {
	m := &a.following
	file, err := durable.ReadTrusted(a.cfg.CAFile, maxCAFile)
	changed, settled := m.file.look(file.Data, err, o.Now)
	if changed {
		m.abandon()
		m.succeed()
	}
	if !settled || m.running || o.Now.Before(m.retryAt) {
		return
	}
	bundle, err := parseCAFile(a.cfg.CAFile, file.Data, err, o.Now)
	switch {
	case err != nil:
		a.notFollowed(fileReason, rotate.Forbidden, err, "nothing changes before the file is mended")
	case discovery.SameBundle(bundle, discovery.InUse(o.ServerCA)):
		a.followed()
	default:
		a.proveCA(ctx, o, bundle)
	}
}

// parseCAFile is [certdir.Authorities] of what was read; err is that of reading it.
func parseCAFile(path string, data []byte, err error, now time.Time) ([]*x509.Certificate, error) {
	if err != nil {
		return nil, fmt.Errorf("the CA file cannot be read: %w", durable.WithRemedy(err))
	}
	return certdir.Authorities(path, data, now)
}

// proveCA asks, under the new bundle and nothing else, at the servers that agent and kubelet use, who we are.
func (a *Agent) proveCA(ctx context.Context, o status.Observed, bundle []*x509.Certificate) {
	m, asked, pair := &a.following, o.Kubelet.Endpoint, o.Client.Pair.PEM
	endpoint, credential := withCA(asked, discovery.EncodeBundle(bundle)), apiserver.Credential{CertificatePEM: pair, KeyPEM: pair}
	api, err := a.api(endpoint, credential)
	if err != nil {
		a.notFollowed("configuration", rotate.Forbidden, err, "")
		return
	}
	other := a.kubeletsWay(o, endpoint, credential)
	m.askedAt = o.Now
	a.task(ctx, &m.memory, func(ctx context.Context) func() {
		defer api.Close()
		user, err := api.WhoAmI(ctx)
		if other != nil {
			defer other.Close()
			// the kubelet's server may not answer before the kubelet runs; that it answers with a certificate of another CA counts
			if _, otherErr := other.WhoAmI(ctx); err == nil && otherErr != nil && apiserver.ReasonOf(otherErr) == apiserver.TLS {
				err = otherErr
			}
		}
		return func() { a.provedCA(asked, bundle, user, err) }
	})
}

// kubeletsWay is the server that the kubelet uses, where that is another one than the agent's; nil: it is not.
func (a *Agent) kubeletsWay(o status.Observed, endpoint apiserver.Endpoint, credential apiserver.Credential) *apiserver.Client {
	if o.Kubelet.KubeletServer == "" || o.Kubelet.KubeletServer == endpoint.Server {
		return nil
	}
	endpoint.Server = o.Kubelet.KubeletServer
	api, err := a.api(endpoint, credential)
	if err != nil {
		return nil
	}
	return api
}

func (a *Agent) provedCA(asked apiserver.Endpoint, bundle []*x509.Certificate, user apiserver.User, err error) {
	o, there := a.stillThere(asked)
	if !there {
		return // the world has moved on, and is looked at again
	}
	if err == nil && !user.IsNode(nodeOf(o)) {
		err = fmt.Errorf("%w: %s takes this node for user %q", errOtherUser, asked.Server, user.Name)
	}
	if err != nil {
		reason, failure := proofReason(err)
		a.notFollowed(reason, failure, fmt.Errorf("%s names another CA than is in use, which stays, for under the one of the file the API server did not answer to this node: %w", a.cfg.CAFile, err), proofRemedy(reason))
		return
	}
	a.heardAsNode(nil)
	if a.storeCA(o, bundle) {
		a.followed()
	}
}

var errOtherUser = errors.New("another user")

// Reasons in errors_total, beside those of a request.
const (
	fileReason      = "file"
	unprovedReason  = "unproved"
	untrustedReason = string(discovery.Untrusted)
)

// proofReason sorts what a proof came to: an answer that speaks against the new CA, or none that says anything about it.
func proofReason(err error) (string, rotate.Failure) {
	reason := apiserver.ReasonOf(err)
	switch {
	case errors.Is(err, errOtherUser), reason == apiserver.TLS, reason == apiserver.Clock, reason == apiserver.Unauthorized:
		return unprovedReason, rotate.Unproved
	case reason == apiserver.NotFound: // every API server has this
		return string(apiserver.BadAnswer), rotate.NoAnswer
	}
	return string(reason), failureFor(reason)
}

func proofRemedy(reason string) string {
	if reason != unprovedReason {
		return ""
	}
	return "it is tried again; is it the CA of the API server's certificate (openssl s_client -connect HOST:PORT)? The old CA is taken out of the file last, see docs/ca.md"
}

// followClientCAFile copies --kubelet-client-ca-file again when it has changed.
func (a *Agent) followClientCAFile(o status.Observed) (changed bool) {
	m, path := &a.following, a.cfg.KubeletClientCAFile
	if path == "" || o.ClientCA == nil {
		return false
	}
	file, err := durable.ReadTrusted(path, maxCAFile)
	_, settled := m.clients.look(file.Data, err, o.Now)
	if err == nil && bytes.Equal(file.Data, o.ClientCA) || !settled || o.Now.Before(m.retryAt) && m.failure == rotate.LocalTrouble {
		return false
	}
	if _, err := parseCAFile(path, file.Data, err, o.Now); err != nil {
		a.sayOnce("--kubelet-client-ca-file", fileReason, err)
		return false
	}
	delete(a.said, "--kubelet-client-ca-file")
	return a.disk(&m.memory, "store the CA of the kubelet's clients", func() error {
		a.log.Warn("--kubelet-client-ca-file has changed; a kubelet before 1.36 needs a restart to tell its callers so", "file", a.dir.ClientCA())
		return a.dir.WriteCA(a.dir.ClientCA(), file.Data)
	})
}
