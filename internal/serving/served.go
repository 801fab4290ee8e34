package serving

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	// kubeletPort is where a kubelet serves unless its configuration says otherwise.
	kubeletPort = "10250"
	// handshakeLimit is a hundred times what a busy kubelet of this machine takes.
	handshakeLimit = 3 * time.Second
)

// Served returns the certificate that is shown at address (host:port) to whoever comes. Nothing is sent there but the handshake, no
// certificate of ours is shown, and the one that comes is not verified: it is only looked at. It takes 3 s at most. An error that
// wraps [syscall.ECONNREFUSED] says that nobody listens.
func Served(ctx context.Context, address string) (*x509.Certificate, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeLimit, fmt.Errorf("no TLS handshake within %s", handshakeLimit))
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // a placeholder verifies nowhere
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return nil, fmt.Errorf("see which certificate is served at %s: %w", address, err)
	}
	defer connection.Close()
	// a handshake without a server's certificate has failed
	return connection.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// DialAddresses returns where the kubelet may be listening, host:port, to be tried in this order: at kubeletAddress (host, host:port or
// an IPv6 address with or without brackets) if there is one, else at the node's addresses and then at loopback.
func DialAddresses(kubeletAddress string, names Names) []string {
	if kubeletAddress != "" {
		return []string{withPort(kubeletAddress)}
	}
	var addresses []string
	for _, host := range append(slices.Clone(names.IPs), "127.0.0.1", "::1") {
		if address := withPort(host); !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

func withPort(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil { // without a port, as ::1:10250 is, too
		host = strings.Trim(address, "[]")
	}
	if port == "" {
		port = kubeletPort
	}
	return net.JoinHostPort(host, port)
}

// Taken says whether the kubelet serves a certificate.
type Taken string

const (
	// Unknown is when no kubelet of this node was seen: nobody listens, nothing is answered, or somebody else answers.
	Unknown Taken = "unknown"
	// NotTaken is when the kubelet serves another certificate of this node.
	NotTaken Taken = "not taken"
	// Took is when the kubelet serves it.
	Took Taken = "taken"
)

// Comparison is what was found by [Compare].
type Comparison struct {
	Taken Taken
	// Address is where the kubelet answered, host:port; empty when it is unknown.
	Address string
	// Served is the kubelet's certificate; nil when it is unknown.
	Served *x509.Certificate
	// Reason says why it is unknown, for each of the addresses; nil when it is known.
	Reason error
}

// Compare looks for the kubelet at each of the addresses in turn and compares the certificate that it serves with leaf, the current one.
// The first that serves leaf, one for the same node or one of the previous decides. Whatever else answers there is not this node's
// kubelet (another service on loopback, a proxy of the host's, the machine that has the address now), and the next is tried.
func Compare(ctx context.Context, addresses []string, leaf *x509.Certificate, previous ...*x509.Certificate) Comparison {
	var reasons []error
	for _, address := range addresses {
		served, err := Served(ctx, address)
		switch {
		case err != nil:
			reasons = append(reasons, err)
		case served.Equal(leaf):
			return Comparison{Taken: Took, Address: address, Served: served}
		case sameNode(served, leaf) || slices.ContainsFunc(previous, served.Equal):
			return Comparison{Taken: NotTaken, Address: address, Served: served}
		default:
			reasons = append(reasons, fmt.Errorf("what is served at %s is for %q, and so not by the kubelet of this node", address, served.Subject))
		}
	}
	if len(addresses) == 0 {
		reasons = append(reasons, errors.New("there is no address at which to look for the kubelet"))
	}
	return Comparison{Taken: Unknown, Reason: errors.Join(reasons...)}
}

// sameNode says whether both certificates are for the same node: by the same subject, or by its name in the subjects that issued ones,
// placeholders and the kubelet's own have. An address in common tells nothing: all that runs on the machine has it.
func sameNode(a, b *x509.Certificate) bool {
	if a.Subject.CommonName != "" && bytes.Equal(a.RawSubject, b.RawSubject) {
		return true
	}
	name := nodeNamed(a)
	return name != "" && name == nodeNamed(b)
}

// nodeNamed returns the name of the node that a serving certificate is for: of system:node:NAME, NAME@bootstrap-agent-placeholder or
// the kubelet's own NAME@<unix time>; empty for any other subject.
func nodeNamed(leaf *x509.Certificate) string {
	subject := leaf.Subject.CommonName
	if name, ok := strings.CutPrefix(subject, nodePrefix); ok {
		return name
	}
	name, maker, _ := strings.Cut(subject, "@")
	if "@"+maker == placeholderSuffix || maker != "" && strings.Trim(maker, "0123456789") == "" {
		return name
	}
	return ""
}
