package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// expiresSoon is when an API server's certificate is worth a word, for most are renewed by a person. Those that live for days only are
// renewed by something: they have the last fifth of their life.
func expiresSoon(leaf *x509.Certificate) time.Duration {
	return min(14*24*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore)/5)
}

func checkTLS(ctx context.Context, p *Patient) []Result {
	return each(p.network.sites, func(site *site) []Result {
		if site.blind {
			site.stop("where the cluster is has not been found out")
		}
		if down := site.stopped(); down != "" {
			return one(notLooked(down))
		}
		return one(p.look(ctx, site))
	})
}

// look takes a look at the server of a site, and judges what it sees of TLS. What else it sees is for later checks.
func (p *Patient) look(ctx context.Context, site *site) Result {
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	seen, err := apiserver.Look(limited, site.endpoint, p.UserAgent, p.Clock)
	site.sight = seen
	switch {
	case seen.Distrust != nil:
		site.stop("the certificate of %s is not trusted", site.endpoint.Server)
		return p.distrusted(site, seen)
	case len(seen.Chain) == 0 && err != nil:
		site.stop("there is no TLS connection to %s", site.endpoint.Server)
		return site.noHandshake(err)
	case err != nil && !isAlert(err):
		site.stop("%s does not answer questions", site.endpoint.Server)
		return say(site.atMost(Waiting), "%s shows a certificate that is trusted, and then does not answer: %s", site.endpoint.Server, words(innermost(err))).
			with("see what stands behind the load balancer; on a control plane node", "crictl ps -a --name kube-apiserver")
	}
	leaf := seen.Chain[0]
	text := fmt.Sprintf("%s with %s, trusted by the CA in %s, valid until %s", shown(leaf), tls.VersionName(seen.TLSVersion), site.named(), date(leaf.NotAfter))
	if err != nil { // it talks to nobody who has no certificate; the node has one
		text += "; it does not talk to strangers (" + words(innermost(err)) + ")"
	}
	if left := leaf.NotAfter.Sub(p.Clock.Now()); left < expiresSoon(leaf) {
		return attention("%s, which is in %s", text, lasts(left)).
			with("renew the API server's certificate, and restart it; on a kubeadm control plane node", "kubeadm certs renew apiserver")
	}
	return ok("%s", text)
}

// shown is a server's certificate in a few words.
func shown(leaf *x509.Certificate) string {
	return fmt.Sprintf("certificate of %s by %s", words(leaf.Subject.String()), words(leaf.Issuer.String()))
}

// noHandshake is when no certificate was seen: what answers speaks something else, or an old TLS, or not at all.
func (p *site) noHandshake(err error) Result {
	server := p.endpoint.Server
	var record tls.RecordHeaderError
	switch text := innermost(err); {
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response"):
		return say(p.atMost(Broken), "what answers at %s does not speak TLS", server).
			with("correct host and port of server in "+p.named()+"; what listens there", "curl -sv --max-time 5 "+quoted(plainHTTP(server)))
	case strings.Contains(text, "protocol version"):
		return say(p.atMost(Broken), "what answers at %s speaks no TLS as new as 1.2: %s", server, words(text)).
			with("set --tls-min-version=VersionTLS12 of kube-apiserver, or renew the load balancer; to see what it speaks", "timeout 10 openssl s_client -connect "+quoted(p.hostPort())+" </dev/null")
	case apiserver.ReasonOf(err) == apiserver.Timeout:
		return say(p.atMost(Waiting), "%s takes a connection, and there is no TLS handshake within %s", server, requestLimit).
			with("see whether the API server behind the load balancer is there, and whether a firewall cuts off large packets (MTU); to try", "timeout 10 openssl s_client -connect "+quoted(p.hostPort())+" </dev/null")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return say(p.atMost(Waiting), "%s takes a connection and ends it at once, as a load balancer without an API server behind it does", server).
			with("see that kube-apiserver runs; on a control plane node", "crictl ps -a --name kube-apiserver")
	case isAlert(err):
		return say(p.atMost(Broken), "%s ends the TLS handshake: %s", server, words(text)).
			with("see what answers there, and by which name (server, tls-server-name in "+p.named()+")", "timeout 10 openssl s_client -connect "+quoted(p.hostPort())+" </dev/null")
	default:
		return say(p.atMost(Waiting), "there is no TLS connection to %s: %s", server, words(text)).
			with("see what answers there", "timeout 10 openssl s_client -connect "+quoted(p.hostPort())+" </dev/null")
	}
}

// isAlert says whether the other side has ended TLS with a word (RFC 8446 6.2).
func isAlert(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "remote error"
}

// innermost is the text of an error without those that are around it and say again where it was.
func innermost(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

func plainHTTP(server string) string { return "http" + strings.TrimPrefix(server, "https") }

// hostPort is where the API server is, whatever proxy leads there.
func (p *site) hostPort() string {
	host := strings.TrimPrefix(p.endpoint.Server, "https://")
	host, _, _ = strings.Cut(host, "/")
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "443")
}

// authorities are the subjects of the CAs in a bundle.
func authorities(bundle []byte) string {
	var names []string
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		ca, err := x509.ParseCertificate(block.Bytes)
		if err == nil && !slices.Contains(names, ca.Subject.String()) {
			names = append(names, ca.Subject.String())
		}
	}
	return words(strings.Join(names, "; "))
}
