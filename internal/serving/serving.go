// Package serving is what is special about the kubelet's serving certificate: the names it must hold, and the self-signed
// placeholder that stands in for it, since the kubelet does not start without one, and which certificate it serves. Left to others:
// asking for it (csr), keeping it (certdir).
package serving

import (
	"net"
	"slices"
)

// Mode is when the serving certificate is asked for.
type Mode string

const (
	// BeforeKubelet asks as soon as the node has its identity.
	BeforeKubelet Mode = "before-kubelet"
	// AfterNodeRegistered asks for what the Node's status.addresses say, once they do: as the kubelet itself would.
	AfterNodeRegistered Mode = "after-node-registered"
	// Off leaves the serving certificate to the kubelet.
	Off Mode = "off"
)

// Names are what a serving certificate is for, sorted and without duplicates.
type Names struct {
	DNS []string
	IPs []string
}

// NamesFor returns the names to ask for: exactly those that are configured, for each of the two kinds that is; else the node's
// name (as an address if it is one) and its addresses. Never other interfaces: approvers compare with what they know of the node.
func NamesFor(nodeName string, addresses []net.IP, dnsNames, ips []string) Names {
	names := Names{DNS: slices.Clone(dnsNames), IPs: parseIPs(ips)}
	named := net.ParseIP(nodeName)
	if len(dnsNames) == 0 && named == nil {
		names.DNS = []string{nodeName}
	}
	if len(ips) == 0 {
		if named != nil {
			addresses = append(slices.Clone(addresses), named)
		}
		for _, ip := range addresses {
			names.IPs = append(names.IPs, ip.String())
		}
	}
	return names.sorted()
}
