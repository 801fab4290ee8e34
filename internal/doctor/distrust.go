package doctor

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// distrusted says why a server's certificate is not trusted: the time, the name, or who has signed it.
func (p *Patient) distrusted(site *site, seen apiserver.Sight) Result {
	leaf := seen.Chain[0]
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	switch {
	case seen.Untimely:
		return say(site.atMost(Broken), "the %s of %s is valid from %s until %s, and the clock of this machine says %s",
			shown(leaf), site.endpoint.Server, date(leaf.NotBefore), date(leaf.NotAfter), date(p.Clock.Now())).
			with("see below (api-server-clock) which of the two is wrong", "date -u")
	case errors.As(seen.Distrust, &hostname):
		return say(site.atMost(Broken), "the %s is for %s, and not for %s", shown(leaf), names(leaf), site.endpoint.ServerName()).
			with(fmt.Sprintf("set server in %s to one of these names, or tls-server-name beside it; or have %s among the names when the API server's certificate is made "+
				"(kubeadm: apiServer.certSANs, remove apiserver.crt and apiserver.key); on a kubeadm control plane node", site.named(), site.endpoint.ServerName()),
				"kubeadm init phase certs apiserver --apiserver-cert-extra-sans="+quoted(site.endpoint.ServerName()))
	case errors.As(seen.Distrust, &authority):
		if vendor := interceptor(seen.Chain); vendor != "" {
			return say(site.atMost(Broken), "a proxy (%s) takes TLS apart on the way to %s: the %s is not the API server's", vendor, site.endpoint.Server, shown(leaf)).
				with("have the proxy leave the API server's address alone (no TLS inspection), or go around it (NO_PROXY, routes); to see the certificate",
					"timeout 10 openssl s_client -connect "+quoted(site.hostPort())+" -showcerts </dev/null")
		}
		return say(site.atMost(Broken), "the %s at %s is not signed by the CA in %s (%s)", shown(leaf), site.endpoint.Server, site.named(), authorities(site.endpoint.CA)).
			with("if that is the cluster's API server, put the cluster's CA into "+site.named()+"; if not, something else answers there. The cluster's CA, where kubectl works",
				"kubectl config view --raw --minify --flatten -o jsonpath='{.clusters[0].cluster.certificate-authority-data}'")
	}
	return say(site.atMost(Broken), "the %s at %s cannot be trusted: %s", shown(leaf), site.endpoint.Server, words(innermost(seen.Distrust))).
		with("make a new certificate for the API server; to see this one", "timeout 10 openssl s_client -connect "+quoted(site.hostPort())+" -showcerts </dev/null")
}

// names are what a certificate is for.
func names(leaf *x509.Certificate) string {
	all := append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "no name at all"
	}
	return words(strings.Join(all, ", "))
}

// interceptors are makers of proxies that sign certificates for what they look into, by words in the issuers of these.
var interceptors = []string{
	"zscaler", "netskope", "fortinet", "fortigate", "palo alto", "blue coat", "bluecoat", "symantec web", "umbrella", "forcepoint", "websense",
	"check point", "sophos", "mcafee", "skyhigh", "iboss", "menlo security", "barracuda", "watchguard", "sonicwall", "cloudflare gateway", "gateway ca - cloudflare",
	"mitmproxy", "squid", "charles proxy", "burp", "portswigger", "fiddler", "kaspersky", "eset ssl", "avast", "bitdefender", "ssl inspection", "tls inspection",
}

// interceptor is the word by which the issuer of a chain is known to be a proxy's; empty: it is not known.
func interceptor(chain []*x509.Certificate) string {
	for _, certificate := range chain {
		issuer := strings.ToLower(certificate.Issuer.String())
		for _, maker := range interceptors {
			if strings.Contains(issuer, maker) {
				return maker
			}
		}
	}
	return ""
}
