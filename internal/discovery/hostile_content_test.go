package discovery

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// hostileContents are signed by somebody who has the token.
func hostileContents() []hostility {
	const edit = "kubectl -n kube-public edit configmap cluster-info"
	content := func(kubeconfig func(v *town) string) func(*town) {
		return func(v *town) { v.publish(kubeconfig(v)) }
	}
	naming := func(server string) func(*town) { return func(v *town) { v.names(server) } }
	long := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	}
	return []hostility{
		{"no kubeconfig", content(func(*town) string { return "good morning" }), BadClusterInfo, "its kubeconfig is none", edit, 1, ""},
		{"a kubeconfig of nothing", content(func(*town) string { return "apiVersion: v1\nkind: Config\n" }), BadClusterInfo, "its kubeconfig names no cluster", edit, 1, ""},
		{"a plain http server", naming("http://127.0.0.1:1"), BadClusterInfo, "it names a server that is not used: server is plain http", edit, 1, ""},
		{"a server with a password", naming("https://admin:s3cr3ts3cr3ts3cr@127.0.0.1:1"), BadClusterInfo, "holds a user name or password", edit, 1, ""},
		{"a server with a query", naming("https://127.0.0.1:1?a=b"), BadClusterInfo, "query or fragment", edit, 1, ""},
		{"no server", naming(`""`), BadClusterInfo, "server is missing", edit, 1, ""},
		{"no CA", content(func(v *town) string { return v.kubeconfig(v.api.url) }), BadClusterInfo, "the bundle holds no certificate", edit, 1, ""},
		{"a private key for a CA", content(func(v *town) string {
			return clusterInfo(v.api.url, []byte("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"))
		}), BadClusterInfo, "something else than certificates", edit, 1, ""},
		{"a hundred CAs", content(func(v *town) string {
			return clusterInfo(v.api.url, []byte(strings.Repeat(string(EncodeBundle(bundleOf(v.ca))), 100)))
		}), BadClusterInfo, "more than 64 certificates", edit, 1, ""},
		{"a rogue CA alone", content(func(v *town) string { return v.kubeconfig(v.api.url, v.rogue) }), NotPinned, `none of its 1 CA certificates is pinned: sha256:`, "--discovery-ca-cert-hash", 1, ""},
		{"another pin", func(v *town) { v.wish.Pins = pinsOf(v.rogue) }, NotPinned, `of "CN=kubernetes"`, "--print=ca-cert-hash", 1, ""},
		{"a pinned CA that has expired", func(v *town) {
			v.ca = v.ca.again(long)
			v.publish(v.kubeconfig(v.api.url, v.ca))
		}, Reason(apiserver.Clock), `the pinned CA "CN=kubernetes" is valid from`, "the cluster's CA must be renewed", 1, ""},
		{"a pinned certificate that is no CA", func(v *town) {
			plain := v.ca.again(noBasicConstraints)
			v.publish(v.kubeconfig(v.api.url, plain))
		}, Reason(apiserver.TLS), "where it could not be read again", `the pinned certificate "CN=kubernetes" is no CA`, 1, ""},
	}
}

// hostileNamed are other servers than the one that is asked, named by somebody who has the token.
func hostileNamed() []hostility {
	other := func(make func(v *town) string) func(*town) { return func(v *town) { v.names(make(v)) } }
	with := func(certificate func(*town) tls.Certificate, changes ...func(*tls.Config)) func(*town) {
		return other(func(v *town) string { return v.stands(certificate(v), changes...).url })
	}
	answered := func(code int, headers ...string) func(*town) {
		return other(func(v *town) string {
			return v.answers(v.ca.server(), func(w http.ResponseWriter, _ *http.Request) {
				for i := 0; i < len(headers); i += 2 {
					w.Header().Set(headers[i], headers[i+1])
				}
				w.WriteHeader(code)
			}).url
		})
	}
	good := func(v *town) tls.Certificate { return v.ca.server() }
	const names, mustCome = "it names the server https://127.0.0.1:", "must come from the pinned CA and hold that name"
	return []hostility{
		{"named: under another CA", with(func(v *town) tls.Certificate { return v.rogue.server() }), Reason(apiserver.TLS), "unknown authority", mustCome, 1, ""},
		{"named: under the rogue CA beside the pinned one", func(v *town) {
			v.publish(v.kubeconfig(v.stands(v.rogue.server()).url, v.ca, v.rogue))
		}, Reason(apiserver.TLS), "unknown authority", mustCome, 1, "named: under another CA"},
		{"named: with the certificate of a client", with(func(v *town) tls.Certificate {
			return v.ca.server(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
		}), Reason(apiserver.TLS), "incompatible key usage", mustCome, 1, ""},
		{"named: another name", with(func(v *town) tls.Certificate {
			return v.ca.server(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} })
		}), Reason(apiserver.TLS), "certificate is valid for 127.0.0.2", mustCome, 1, ""},
		{"named: expired", with(func(v *town) tls.Certificate {
			return v.ca.server(func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			})
		}), Reason(apiserver.Clock), "has expired or is not yet valid", "timedatectl", 1, ""},
		{"named: below a CA that may not have any", func(v *town) {
			short := root("short", pathLength(0))
			below := short.signs("below")
			v.wish.Pins = pinsOf(short)
			certificate := below.server()
			certificate.Certificate = append(certificate.Certificate, below.Raw)
			v.publish(v.kubeconfig(v.stands(certificate).url, short, below))
		}, Reason(apiserver.TLS), "too many intermediates", mustCome, 1, ""},
		{"named: nobody listens", other((*town).shut), Reason(apiserver.Unreachable), "connection refused", "nodes must reach https://127.0.0.1:", 1, ""},
		{"named: silence", other(func(v *town) string { return v.silent().url }), Reason(apiserver.Timeout), names, "nodes must reach", 1, ""},
		{"named: old TLS", with(good, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }), Reason(apiserver.TLS), "protocol version not supported", mustCome, 1, ""},
		{"named: a redirect", answered(302, "Location", clusterInfoPath), Reason(apiserver.Redirected), names, "must be the API server itself; an administrator", 2, ""},
		{"named: something else", answered(200), Reason(apiserver.BadAnswer), "the answer is something else", "must be the API server itself; an administrator", 2, ""},
		{"named: 401", answered(401), Reason(apiserver.Unauthorized), names, "--anonymous-auth=false", 2, ""},
		{"named: 403", answered(403), Reason(apiserver.Forbidden), names, "lets system:anonymous read it", 2, ""},
		{"named: 404", answered(404), Reason(apiserver.NotFound), names, "an administrator makes it", 2, ""},
		{"named: 500", answered(500), Reason(apiserver.ServerError), names, "", 2, ""},
		{"named: a server that says something else", other(func(v *town) string {
			return v.answers(v.ca.server(), func(w http.ResponseWriter, _ *http.Request) {
				answerWith(w, map[string]string{"kubeconfig": v.kubeconfig("https://127.0.0.1:2", v.ca)})
			}).url
		}), Changed, "verified, says something else", "it is tried again", 2, "an old one is played again, which the cluster has replaced"},
	}
}

// hostileConnections are at the server that is asked, of whom nothing is known.
func hostileConnections() []hostility {
	raw := func(handle func(net.Conn)) func(*town) {
		return func(v *town) {
			s := listen(v.t, handle)
			v.all = append(v.all, s)
			v.asks(s)
		}
	}
	saying := func(words string) func(*town) {
		return raw(func(c net.Conn) {
			_, _ = c.Read(make([]byte, 1<<10))
			_, _ = io.WriteString(c, words)
			_ = c.(overheard).Conn.(*net.TCPConn).CloseWrite() // closed with something unread it would be reset
			_, _ = io.Copy(io.Discard, c)
		})
	}
	shaking := func(change func(*tls.Config)) func(*town) {
		return func(v *town) { v.asks(v.stands(v.ca.server(), change)) }
	}
	only := func(version uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }
	}
	const speaks = "that speaks TLS 1.2 or later"
	return []hostility{
		{"plain HTTP", saying("HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), Reason(apiserver.TLS), "server gave HTTP response to HTTPS client", speaks, 0, ""},
		{"TLS 1.0", shaking(only(tls.VersionTLS10)), Reason(apiserver.TLS), "protocol version not supported", speaks, 0, ""},
		{"TLS 1.1", shaking(only(tls.VersionTLS11)), Reason(apiserver.TLS), "protocol version not supported", speaks, 0, "TLS 1.0"},
		{"a client certificate is demanded", shaking(func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }), Reason(apiserver.TLS), "remote error: tls: ", speaks, 0, ""},
		{"garbage", saying("good morning to you"), Reason(apiserver.TLS), "first record does not look like a TLS handshake", speaks, 0, ""},
		{"an alert", saying("\x15\x03\x03\x00\x02\x02\x50"), Reason(apiserver.TLS), "internal error", speaks, 0, ""},
		{"an end", saying(""), Reason(apiserver.Unreachable), "EOF", "check --api-server, name resolution", 0, ""},
		{"silence", func(v *town) { v.asks(v.silent()) }, Reason(apiserver.Timeout), "https://127.0.0.1:", "load balancer and firewalls", 0, ""},
		{"nobody listens", func(v *town) { v.wish.Servers = []string{v.shut()} }, Reason(apiserver.Unreachable), "connection refused", "check --api-server, name resolution", 0, ""},
		{"no such name", func(v *town) { v.wish.Servers = []string{"https://api.invalid:6443"} }, Reason(apiserver.Unreachable), "no such host", "check --api-server, name resolution", 0, ""},
	}
}
