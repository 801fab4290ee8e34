package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Reason is one word for why a request failed: the same in log, STATUS= and metric.
type Reason string

// Reasons of failed requests.
const (
	Unreachable  Reason = "unreachable"  // no connection, or it broke
	Timeout      Reason = "timeout"      // no answer in time
	TLS          Reason = "tls"          // the server's certificate, or ours in the handshake
	Clock        Reason = "clock"        // the server's certificate is outside its validity by the local clock
	Redirected   Reason = "redirect"     // answered with a redirect, refused
	Unauthorized Reason = "unauthorized" // 401
	Forbidden    Reason = "forbidden"    // 403
	NotFound     Reason = "not-found"    // 404
	Exists       Reason = "exists"       // 409 AlreadyExists
	Throttled    Reason = "throttled"    // 429
	ServerError  Reason = "server-error" // 5xx
	Expired      Reason = "expired"      // 410: the resource version is gone
	Invalid      Reason = "invalid"      // the server found the request wrong (400, 422)
	BadAnswer    Reason = "bad-answer"   // not an answer of an API server
	NoCredential Reason = "credential"   // the exec plugin gave none, so nothing was sent
)

var remedies = map[Reason]string{
	Unreachable:  "check the kubeconfig's server, name resolution, routes and firewalls",
	Timeout:      "check the load balancer and firewalls in front of the API server",
	TLS:          "is the kubeconfig's CA the API server's, and its server a name in the API server's certificate?",
	Clock:        "compare the clock of this machine (timedatectl) with the validity of the API server's certificate",
	Redirected:   "the kubeconfig's server must be the API server itself",
	Unauthorized: "is the token's Secret in kube-system, not expired, and with usage-bootstrap-authentication?",
	Forbidden:    "bind the ClusterRole system:node-bootstrapper to the credential's group",
	NotFound:     "is the kubeconfig's server a Kubernetes API server?",
	Invalid:      "is the API server of version 1.28 or later?",
	BadAnswer:    "is the kubeconfig's server a Kubernetes API server?",
	NoCredential: "run the exec plugin of the bootstrap kubeconfig by hand; the systemd unit lets no other program run without a drop-in: bootstrap-agent config check --systemd",
}

// Remedy says what a person can do about it; empty where time heals.
func (r Reason) Remedy() string { return remedies[r] }

// remediesAsNode are for requests that were sent with the node's certificate; where there is none, [Reason.Remedy]'s holds.
var remediesAsNode = map[Reason]string{
	Unauthorized: "the API server does not accept this node's certificate: its --client-ca-file must hold the certificate's issuer, and the clocks " +
		"must agree (timedatectl); if that cannot be, put a new bootstrap kubeconfig in place",
	Forbidden: "the node authorizer and NodeRestriction let a node ask for its own name only; without them, bind the group system:nodes to the " +
		"ClusterRoles system:node and system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
	NotFound: "a Node that is not there is registered by its kubelet: look at the kubelet's log; otherwise, is the kubeconfig's server a " +
		"Kubernetes API server?",
}

// RemedyAsNode is [Reason.Remedy] for a request that was sent with the node's own certificate, not with a bootstrap credential.
func (r Reason) RemedyAsNode() string {
	if remedy, ok := remediesAsNode[r]; ok {
		return remedy
	}
	return r.Remedy()
}

// ReasonOf sorts the error of a request.
func ReasonOf(err error) Reason {
	if reason, ok := connectionReason(err); ok {
		return reason
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return BadAnswer
	}
	switch code := int(status.Status().Code); {
	case code == http.StatusUnauthorized:
		return Unauthorized
	case code == http.StatusForbidden:
		return Forbidden
	case code == http.StatusNotFound:
		return NotFound
	case apierrors.IsAlreadyExists(err):
		return Exists
	case code == http.StatusTooManyRequests:
		return Throttled
	case code == http.StatusGone:
		return Expired
	case code == http.StatusBadRequest, code == http.StatusUnprocessableEntity:
		return Invalid
	case code >= 500:
		return ServerError
	}
	return BadAnswer
}

func connectionReason(err error) (Reason, bool) {
	var (
		invalid  x509.CertificateInvalidError
		verify   *tls.CertificateVerificationError
		record   tls.RecordHeaderError
		network  net.Error
		authorit x509.UnknownAuthorityError
		hostname x509.HostnameError
	)
	switch {
	case errors.Is(err, ErrRedirect):
		return Redirected, true
	case errors.Is(err, ErrCredential):
		return NoCredential, true
	case errors.Is(err, errTooLong), isNoHTTP(err):
		return BadAnswer, true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Clock, true
	case errors.As(err, &verify), errors.As(err, &record), errors.As(err, &authorit), errors.As(err, &hostname), isHandshake(err), errors.Is(err, http.ErrSchemeMismatch):
		return TLS, true
	case isTimeout(err):
		return Timeout, true
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, errBrokenOff):
		return Unreachable, true
	}
	return "", false
}

// isTimeout says whether there was no answer in time, nor the end of one.
func isTimeout(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

// isHandshake says whether it is an error of crypto/tls: most have no type but begin with its name, and alerts have an operation of
// their own.
func isHandshake(err error) bool {
	var operation *net.OpError
	if errors.As(err, &operation) && (operation.Op == "remote error" || operation.Op == "local error") {
		return true
	}
	for ; err != nil; err = errors.Unwrap(err) {
		if text := err.Error(); strings.HasPrefix(text, "tls: ") && text != "tls: use of closed connection" {
			return true
		}
	}
	return false
}

// isNoHTTP says whether what came back was not HTTP/1.1. net/http has no type for that, only a text, which it also has for
// connections that broke.
func isNoHTTP(err error) bool {
	var operation *net.OpError
	return strings.Contains(err.Error(), "HTTP/1.x transport connection broken: ") &&
		!errors.As(err, &operation) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// RetryAfter returns how long the server asked to wait before the next try; 0 when it did not say.
func RetryAfter(err error) time.Duration {
	if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
		return time.Duration(seconds) * time.Second
	}
	return 0
}
