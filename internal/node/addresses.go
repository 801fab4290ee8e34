package node

import (
	"context"
	"fmt"
	"net"
	"strings"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// ParseIPs reads the value of --node-ip as the kubelet does: one address, or two of different families separated by a comma.
// One that is unspecified (0.0.0.0 or ::) names a preferred family and no address.
func ParseIPs(text string) ([]net.IP, error) {
	if text == "" {
		return nil, nil
	}
	var ips []net.IP
	for part := range strings.SplitSeq(text, ",") {
		ip := net.ParseIP(strings.TrimSpace(part))
		if ip == nil {
			return nil, fmt.Errorf("%q is no IP address", part)
		}
		if problem := unusable(ip); problem != "" {
			return nil, fmt.Errorf("%s is %s: the API server could not reach the kubelet there", ip, problem)
		}
		ips = append(ips, ip)
	}
	switch {
	case len(ips) > 2:
		return nil, fmt.Errorf("%d addresses, at most one per family is possible", len(ips))
	case len(ips) == 2 && (ips[0].To4() == nil) == (ips[1].To4() == nil):
		return nil, fmt.Errorf("%s and %s are of the same family", ips[0], ips[1])
	case len(ips) == 2 && (ips[0].IsUnspecified() || ips[1].IsUnspecified()):
		return nil, fmt.Errorf("an unspecified address stands alone")
	}
	return ips, nil
}

// Addresses returns the addresses that the kubelet will report for this node, sorted as it reports them
// (k8s.io/kubernetes pkg/kubelet/nodestatus NodeAddress): those asked for; else the name if it is an address; else what the
// name resolves to, if this machine has it; else the address of the interface with the default route. The lookup ends with ctx.
func Addresses(ctx context.Context, name string, asked []net.IP) ([]net.IP, error) {
	if len(asked) > 0 && !asked[0].IsUnspecified() {
		return asked, nil
	}
	if ip := net.ParseIP(name); ip != nil {
		return []net.IP{ip}, nil
	}
	var preferred net.IP
	if len(asked) > 0 {
		preferred = asked[0]
	}
	if ip := resolve(ctx, name, preferred); ip != nil {
		return []net.IP{ip}, nil
	}
	ip, err := utilnet.ResolveBindAddress(preferred)
	if err != nil {
		return nil, fmt.Errorf("find the address of node %s: its name resolves to none of this machine's and there is no default route: %w; give --node-ip", name, err)
	}
	return []net.IP{ip}, nil
}

func resolve(ctx context.Context, name string, preferred net.IP) net.IP {
	found, _ := net.DefaultResolver.LookupIP(ctx, "ip", name)
	wantIPv4 := preferred == nil || preferred.To4() != nil
	var other net.IP
	for _, ip := range found {
		if unusable(ip) != "" || ip.IsUnspecified() || !ours(ip) {
			continue
		}
		if (ip.To4() != nil) == wantIPv4 {
			return ip
		}
		if other == nil {
			other = ip
		}
	}
	return other
}

func unusable(ip net.IP) string {
	switch {
	case ip.IsLoopback():
		return "a loopback address"
	case ip.IsMulticast():
		return "a multicast address"
	case ip.IsLinkLocalUnicast():
		return "a link-local address"
	}
	return ""
}

func ours(ip net.IP) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.Equal(ip) {
			return true
		}
	}
	return false
}
