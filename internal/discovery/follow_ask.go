package discovery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// Untrusted is the reason when the API server shows a certificate of a CA that nobody known has signed.
const Untrusted Reason = "untrusted"

// Follow reads cluster-info at an endpoint, verified under the CA in use there, and returns what that becomes. Where it cannot be verified,
// because the API server may have its certificate from another CA by now, what anybody answers there tells of a CA that could be trusted;
// nothing of it counts before the API server has shown that it has a certificate of that CA and says the same, so that nobody without the
// key of a trusted CA can have anything added. The error is an [*Error].
func (a Asker) Follow(ctx context.Context, endpoint apiserver.Endpoint, pins Pins) (Merged, error) {
	info, there, err := a.readAt(ctx, endpoint)
	switch {
	case err == nil:
		return a.merge(endpoint, info, pins, there)
	case apiserver.ReasonOf(err) == apiserver.TLS:
		return a.followUnverified(ctx, endpoint, pins, err)
	}
	return Merged{}, followFailed(endpoint.Server, err)
}

// followUnverified looks for a CA with which the server could be verified, and verifies it. distrust is why it could not be.
func (a Asker) followUnverified(ctx context.Context, endpoint apiserver.Endpoint, pins Pins, distrust error) (Merged, error) {
	first, err := a.readUnverifiedAt(ctx, endpoint)
	if err != nil {
		return Merged{}, followFailed(endpoint.Server, distrust) // which says more than that nobody answers
	}
	candidate, err := a.merge(endpoint, first, pins, time.Time{})
	switch {
	case err != nil:
		return Merged{}, followFailed(endpoint.Server, distrust)
	case len(candidate.Added) == 0 && len(candidate.Dropped) > 0:
		return Merged{}, untrusted(endpoint.Server, Strangers(candidate.Dropped), distrust)
	case len(candidate.Added) == 0:
		return Merged{}, followFailed(endpoint.Server, distrust)
	}
	next := endpoint
	next.CA = EncodeBundle(candidate.Bundle) // nothing is taken from it: there was no time to tell what has expired
	second, there, err := a.readAt(ctx, next)
	switch {
	case err != nil && apiserver.ReasonOf(err) == apiserver.TLS:
		return Merged{}, untrusted(endpoint.Server, Strangers(candidate.Dropped), err)
	case err != nil:
		return Merged{}, followFailed(endpoint.Server, err)
	case second.Kubeconfig != first.Kubeconfig:
		return Merged{}, &Error{Reason: BadClusterInfo, Server: endpoint.Server, Err: errors.New("what anybody answers there is not what the API server says, verified"), Remedy: changed("", "").Remedy}
	}
	return a.merge(endpoint, second, pins, there)
}

// merge is [Merge] with what a server says.
func (a Asker) merge(endpoint apiserver.Endpoint, info apiserver.ClusterInfo, pins Pins, there time.Time) (Merged, error) {
	if info.Kubeconfig == "" {
		return Merged{}, notPublished(endpoint.Server, errors.New("the ConfigMap has no key kubeconfig"))
	}
	entry, err := entryOf(info.Kubeconfig)
	if err != nil {
		return Merged{}, &Error{Reason: BadClusterInfo, Server: endpoint.Server, Err: err, Remedy: correct}
	}
	offered, err := ParseBundle(entry.CertificateAuthorityData)
	if err != nil {
		return Merged{}, &Error{Reason: BadClusterInfo, Server: endpoint.Server, Err: fmt.Errorf("its certificate-authority-data cannot be used: %w", err), Remedy: correct}
	}
	inUse := InUse(endpoint.CA)
	if len(inUse) == 0 {
		return Merged{}, &Error{Reason: "configuration", Server: endpoint.Server, Err: errors.New("there is no CA in use")}
	}
	return Merge(inUse, offered, pins, a.Clock.Now(), there), nil
}

// readAt is readVerified, and what time it is at the API server; zero: it did not say.
func (a Asker) readAt(ctx context.Context, endpoint apiserver.Endpoint) (apiserver.ClusterInfo, time.Time, error) {
	client, err := apiserver.New(endpoint, apiserver.Credential{}, a.UserAgent, a.Clock)
	if err != nil {
		return apiserver.ClusterInfo{}, time.Time{}, err
	}
	defer client.Close()
	if a.Count != nil {
		client.Count(a.Count)
	}
	info, err := client.ClusterInfo(ctx)
	there, _ := client.ServerTime()
	return info, there, err
}

func (a Asker) readUnverifiedAt(ctx context.Context, endpoint apiserver.Endpoint) (apiserver.ClusterInfo, error) {
	client, err := apiserver.NewUnverifiedAt(endpoint, a.UserAgent, a.Clock)
	if err != nil {
		return apiserver.ClusterInfo{}, err
	}
	defer client.Close()
	if a.Count != nil {
		client.Count(a.Count)
	}
	return client.ClusterInfo(ctx)
}

// followRemedy is for a server that the node has used before, so that it is not the settings that are wrong.
func followRemedy(reason apiserver.Reason) string {
	switch reason {
	case apiserver.TLS:
		return "has the API server a certificate of another CA, or without the name in the kubelet's kubeconfig? See docs/ca.md"
	case apiserver.NotFound:
		return publish + "; or switch following off (caFromClusterInfo: false)"
	case apiserver.Clock:
		return reason.Remedy()
	case apiserver.Unauthorized, apiserver.Forbidden:
		return remedies[reason]
	}
	return ""
}

func followFailed(server string, err error) *Error {
	e := readFailed(server, err)
	e.Remedy = followRemedy(apiserver.ReasonOf(err))
	return e
}

func untrusted(server string, strangers []Stranger, err error) *Error {
	e := &Error{Reason: Untrusted, Server: server, Err: fmt.Errorf("the API server has a certificate of a CA that is not trusted: %w", err), Remedy: followRemedy(apiserver.TLS)}
	if len(strangers) > 0 {
		e.Err = fmt.Errorf("%w; cluster-info names, neither pinned nor signed by a CA in use: %s", e.Err, known(strangers))
		e.Remedy = TrustRemedy(strangers)
	}
	return e
}

// TrustRemedy says how to trust a CA, and how to find out whether to.
func TrustRemedy(strangers []Stranger) string {
	return fmt.Sprintf("compare with the pin that is printed on a control plane node by: bootstrap-agent join-config --ca-file=/etc/kubernetes/pki/ca.crt --print=ca-cert-hash; "+
		"only if it is the same, add %s to discoveryCACertHashes in /etc/bootstrap-agent/config.yaml, and then: systemctl restart bootstrap-agent", strangers[0].Pin)
}
