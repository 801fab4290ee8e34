package serving

import (
	"crypto/x509"
	"net"
	"slices"
	"strings"

	utilnet "k8s.io/utils/net"
)

// Address is an entry of a Node's status.addresses.
type Address struct {
	// Type is Hostname, InternalIP, ExternalIP, InternalDNS or ExternalDNS; another one counts for nothing.
	Type string
	// Address is a name or an IP address, whatever its type says.
	Address string
}

// NamesOfNode returns the names that the kubelet would ask for, given its Node's addresses, except that those which are configured
// replace each of the two kinds. False: not now, for an address is missing, or the Node has none yet from which the rest would come.
// The Node's own name is not among them unless the addresses say so; cf. k8s.io/kubernetes pkg/kubelet/certificate
// addressesToHostnamesAndIPs and newGetTemplateFn.
func NamesOfNode(addresses []Address, dnsNames, ips []string) (Names, bool) {
	var found Names
	for _, a := range addresses {
		ip := utilnet.ParseIPSloppy(a.Address) // 010.0.0.1 is 10.0.0.1 for the kubelet
		switch {
		case ip != nil && (a.Type == "Hostname" || a.Type == "InternalIP" || a.Type == "ExternalIP"):
			found.IPs = append(found.IPs, ip.String())
		case encodable(a.Address) && (a.Type == "Hostname" || a.Type == "InternalDNS" || a.Type == "ExternalDNS"):
			found.DNS = append(found.DNS, a.Address)
		}
	}
	if len(dnsNames) > 0 {
		found.DNS = slices.Clone(dnsNames)
	}
	if len(ips) > 0 {
		found.IPs = parseIPs(ips)
	}
	complete := len(addresses) > 0 || len(dnsNames) > 0
	return found.sorted(), complete && len(found.IPs) > 0
}

// encodable says whether a certificate can hold the name at all (IA5String). The kubelet passes on what cannot be, and never gets
// its request made.
func encodable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

func parseIPs(texts []string) []string {
	var ips []string
	for _, text := range texts {
		ips = append(ips, net.ParseIP(text).String())
	}
	return ips
}

func (n Names) sorted() Names {
	slices.Sort(n.DNS)
	slices.Sort(n.IPs)
	return Names{DNS: slices.Compact(n.DNS), IPs: slices.Compact(n.IPs)}
}

// Lacks returns the wanted names for which a client would not accept leaf: upper case, a dot at the end, a wildcard and the spelling
// of an address make no difference to it.
func Lacks(leaf *x509.Certificate, wanted Names) []string {
	var lacking []string
	for _, name := range wanted.DNS {
		if !slices.ContainsFunc(leaf.DNSNames, func(held string) bool { return covers(held, name) }) {
			lacking = append(lacking, name)
		}
	}
	for _, name := range wanted.IPs {
		ip := net.ParseIP(name)
		if ip == nil || !slices.ContainsFunc(leaf.IPAddresses, ip.Equal) {
			lacking = append(lacking, name)
		}
	}
	return lacking
}

// covers says whether a DNS name in a certificate is good for a wanted one, as clients compare (RFC 6125 6.4): a wildcard stands for
// one whole label, the first.
func covers(held, wanted string) bool {
	held, wanted = plain(held), plain(wanted)
	if held == wanted {
		return true
	}
	parent, wildcard := strings.CutPrefix(held, "*.")
	label, rest, _ := strings.Cut(wanted, ".")
	return wildcard && label != "" && rest != "" && rest == parent && net.ParseIP(wanted) == nil
}

func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
