package discovery

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// Reason is one word for why a cluster could not be found: one of those below, or of [apiserver.Reason] when a request had no good answer.
type Reason string

// Reasons of what a server says.
const (
	NotPublished   Reason = "not-published" // there is no cluster-info, or it holds no kubeconfig
	NotSigned      Reason = "not-signed"    // not with this token, or not yet
	BadSignature   Reason = "signature"     // the token has not signed this
	NotPinned      Reason = "pin"           // no CA in it is pinned, nor signed by one that is
	BadClusterInfo Reason = "cluster-info"  // what it says is of no use
	Changed        Reason = "changed"       // the cluster, verified, says something else
)

// Reasons are all of these.
func Reasons() []Reason {
	return []Reason{NotPublished, NotSigned, BadSignature, NotPinned, BadClusterInfo, Changed}
}

// Error says why no cluster was found at a server.
type Error struct {
	Reason Reason
	// Server is the one that was asked.
	Server string
	Err    error
	// Remedy is what a person can do; empty where time heals.
	Remedy string
}

func (e *Error) Error() string {
	if e.Server == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("cluster-info at %s: %v", e.Server, e.Err)
}

// Unwrap returns the reason in full.
func (e *Error) Unwrap() error { return e.Err }

// ErrorOf is err as an [*Error]: what [Asker] returns is one already.
func ErrorOf(err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Reason: Reason(apiserver.ReasonOf(err)), Err: err}
	}
	return e
}

// and returns the more telling one of two errors: what a server says is more than that it does not answer. Both texts are kept.
func (e *Error) and(other *Error) *Error {
	if e == nil {
		return other
	}
	telling, rest := e, other
	if rank(other.Reason) > rank(e.Reason) {
		telling, rest = other, e
	}
	return &Error{Reason: telling.Reason, Err: fmt.Errorf("%w; %w", telling, rest), Remedy: telling.Remedy}
}

func rank(reason Reason) int {
	switch apiserver.Reason(reason) {
	case apiserver.Unreachable, apiserver.Timeout:
		return 0
	case apiserver.TLS, apiserver.Clock, apiserver.BadAnswer, apiserver.Redirected, apiserver.ServerError, apiserver.Throttled:
		return 1
	}
	return 2
}

const (
	correct = "an administrator corrects it: kubectl -n kube-public edit configmap cluster-info"
	publish = "an administrator makes it (kubeadm init phase bootstrap-token, or the guide's manifest), and lets system:anonymous read it"
)

func readFailed(server string, err error) *Error {
	reason := apiserver.ReasonOf(err)
	e := &Error{Reason: Reason(reason), Server: server, Err: err, Remedy: remedies[reason]}
	if reason == apiserver.NotFound {
		e.Reason = NotPublished
	}
	return e
}

// remedies are for a first request that had no good answer.
var remedies = map[apiserver.Reason]string{
	apiserver.Unreachable:  "check --api-server, name resolution, routes and firewalls",
	apiserver.Timeout:      "check --api-server, and the load balancer and firewalls in front of it",
	apiserver.TLS:          "is --api-server a Kubernetes API server that speaks TLS 1.2 or later?",
	apiserver.Redirected:   "--api-server must be the API server itself",
	apiserver.Unauthorized: publish + "; an API server with --anonymous-auth=false must allow this one path",
	apiserver.Forbidden:    publish,
	apiserver.NotFound:     publish,
	apiserver.BadAnswer:    "is --api-server a Kubernetes API server?",
}

func notPublished(server string, err error) *Error {
	return &Error{Reason: NotPublished, Server: server, Err: err, Remedy: publish}
}

func notSigned(server, id string, signatures int) *Error {
	err := fmt.Errorf("it is not signed with the token %s, nor with any other", id)
	remedy := "does kube-controller-manager run with --controllers=*,bootstrapsigner,tokencleaner? The token needs usage-bootstrap-signing"
	if signatures > 0 {
		err = fmt.Errorf("it is not signed with the token %s, but with %d other tokens", id, signatures)
		remedy = fmt.Sprintf("the token is unknown there, has expired, or lacks usage-bootstrap-signing: kubectl -n kube-system describe secret bootstrap-token-%s", id)
	}
	return &Error{Reason: NotSigned, Server: server, Err: err, Remedy: remedy}
}

func badSignature(server, id string) *Error {
	return &Error{
		Reason: BadSignature, Server: server, Err: fmt.Errorf("its signature was not made with the secret of the token %s that is used here, or not of this content", id),
		Remedy: "compare the token with the cluster's (kubeadm token list); if it is the same, somebody changes what the API server answers",
	}
}

// miscopied is badSignature where the cluster itself, verified, says the same.
func miscopied(server, id string) *Error {
	return &Error{
		Reason: BadSignature, Server: server, Err: fmt.Errorf("the cluster, verified, has signed it with another secret of the token %s than the one that is used here", id),
		Remedy: "compare the token with the cluster's: kubeadm token list",
	}
}

// but adds something to the error.
func (e *Error) but(format string, err error) *Error {
	e.Err = fmt.Errorf("%w; "+format, e.Err, err)
	return e
}

func notPinned(strangers []Stranger) *Error {
	return &Error{
		Reason: NotPinned, Err: fmt.Errorf("none of its %d CA certificates is pinned: %s", len(strangers), known(strangers)),
		Remedy: "compare --discovery-ca-cert-hash with what is printed on a control plane node by: bootstrap-agent join-config --ca-file=/etc/kubernetes/pki/ca.crt --print=ca-cert-hash; if that is right, somebody else answers here",
	}
}

// notInTime is about CA certificates that are pinned, and not valid by this machine's clock.
func notInTime(kept []*x509.Certificate, now time.Time) *Error {
	first, at := kept[0], func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	return &Error{
		Reason: Reason(apiserver.Clock),
		Err: fmt.Errorf("the pinned CA %q is valid from %s to %s, and it is %s by the clock of this machine",
			first.Subject.String(), at(first.NotBefore), at(first.NotAfter), at(now)),
		Remedy: "compare the clock of this machine (timedatectl); if it is right, the cluster's CA must be renewed (kubernetes.io/docs/tasks/tls/manual-rotation-of-ca-certificates)",
	}
}

func changed(server, named string) *Error {
	return &Error{
		Reason: Changed, Server: server, Err: fmt.Errorf("%s, verified, says something else than what was answered here", named),
		Remedy: "it was changed between the two reads, or somebody changes what is answered here; it is tried again",
	}
}

// inside completes an error about what a server said.
func inside(server string, err error) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Reason: BadClusterInfo, Server: server, Err: err, Remedy: correct}
	}
	e.Server = server
	return e
}

// secondFailed is about the server that cluster-info names.
func secondFailed(server string, is cluster, err error) *Error {
	reason, named := apiserver.ReasonOf(err), is.endpoint.Server
	e := &Error{Reason: Reason(reason), Server: server, Err: fmt.Errorf("it names the server %s, where it could not be read again: %w", named, err)}
	switch reason {
	case apiserver.TLS:
		e.Remedy = "the certificate of " + named + " must come from the pinned CA and hold that name; " + correct
		if !slices.ContainsFunc(is.kept, maySign) {
			e.Remedy = fmt.Sprintf("the pinned certificate %q is no CA (basicConstraints CA:TRUE is missing), so that no server's certificate can come from it; %s", is.kept[0].Subject.String(), correct)
		}
	case apiserver.Unreachable, apiserver.Timeout:
		e.Remedy = "nodes must reach " + named + "; " + correct
	case apiserver.Clock:
		e.Remedy = "compare the clock of this machine (timedatectl) with the validity of the certificate of " + named
	case apiserver.Redirected, apiserver.BadAnswer:
		e.Remedy = named + " must be the API server itself; " + correct
	default:
		e.Remedy = remedies[reason]
	}
	return e
}

// maySign says whether other certificates can come from this one; those of before X.509 version 3 cannot say so.
func maySign(c *x509.Certificate) bool { return c.Version < 3 || c.BasicConstraintsValid && c.IsCA }
