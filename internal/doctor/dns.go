package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// mostAddresses is how many addresses of a name are tried; a load balancer has a few.
const mostAddresses = 4

func checkDNS(ctx context.Context, p *Patient) []Result {
	if len(p.network.sites) == 0 {
		return one(unknown("not looked at: there is no kubeconfig on this machine that can be used, so that there is no API server to ask").
			with("put "+status.Credentials(p.Config, ""), ""))
	}
	return each(p.network.sites, func(site *site) []Result { return one(p.resolve(ctx, site)) })
}

// resolve finds out where a site is. Through a proxy it is the proxy that is connected to, and that resolves the API server's name.
func (p *Patient) resolve(ctx context.Context, site *site) Result {
	target, via, err := site.target()
	if err != nil {
		site.stop("the URL of the API server, or of the proxy, cannot be read")
		return say(site.atMost(Broken), "%v", err).with("correct server and proxy-url in "+site.named(), "")
	}
	host, port := target.Hostname(), portOf(target)
	if address, err := netip.ParseAddr(host); err == nil {
		site.addresses = []string{net.JoinHostPort(host, port)}
		return ok("%s is an address (%s); no name has to be resolved%s", host, family(address), via)
	}
	limited, cancel := context.WithTimeout(ctx, dnsLimit)
	defer cancel()
	found, err := cmp.Or(p.Resolver, net.DefaultResolver).LookupNetIP(limited, "ip", host)
	if err != nil || len(found) == 0 {
		return site.unresolved(host, via, err)
	}
	var said []string
	for i, address := range found {
		address = address.Unmap()
		said = append(said, fmt.Sprintf("%s (%s)", address, family(address)))
		if i < mostAddresses {
			site.addresses = append(site.addresses, net.JoinHostPort(address.String(), port))
		}
	}
	return ok("%s is %s%s", host, words(strings.Join(said, ", ")), via)
}

// target is what is connected to, and words for how that leads to the API server if it is a proxy.
func (p *site) target() (target *url.URL, via string, err error) {
	target, err = url.Parse(p.endpoint.Server)
	if err != nil {
		return nil, "", errors.New("the API server's URL cannot be read") // the text may hold a password
	}
	proxy, environment, err := p.endpoint.Proxy()
	switch {
	case err != nil:
		return nil, "", errors.New("the URL of the proxy cannot be read")
	case proxy == nil:
		return target, "", nil
	case environment:
		return proxy, fmt.Sprintf("; it is the proxy on the way to %s, by HTTPS_PROXY of this shell: the service has an environment of its own", target.Host), nil
	}
	return proxy, fmt.Sprintf("; it is the proxy on the way to %s, by proxy-url in %s", target.Host, p.named()), nil
}

func (p *site) unresolved(host, via string, err error) Result {
	p.stop("the name %s does not resolve", host)
	lookUp := "getent ahosts " + quoted(host)
	var failed *net.DNSError
	if errors.As(err, &failed) && failed.IsNotFound {
		return say(p.atMost(Broken), "there is no such name as %s, or it has no address%s", host, via).
			with("correct the name in "+p.named()+", or make the DNS record; to see what the name servers say", lookUp)
	}
	why := "the answer has no address"
	if err != nil {
		why = words(err.Error())
	}
	return say(p.atMost(Waiting), "the name %s does not resolve: %s%s", host, why, via).
		with("see that the network is up and that the name servers in /etc/resolv.conf answer; to try again", lookUp)
}

func family(address netip.Addr) string {
	if address.Unmap().Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// portOf is the port that a URL leads to.
func portOf(target *url.URL) string {
	if port := target.Port(); port != "" {
		return port
	}
	switch target.Scheme {
	case "http":
		return "80"
	case "socks5", "socks5h":
		return "1080"
	}
	return "443"
}
