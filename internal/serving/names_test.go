package serving

import (
	"crypto/x509"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
)

// The facts of k8s.io/kubernetes pkg/kubelet/certificate TestAddressesToHostnamesAndIPs and TestNewCertificateManagerConfigGetTemplate
// (its gate for requests without an address is off by default, deprecated, and not ours), and more.
func TestTheNamesOfTheNodeAreThoseThatTheKubeletWouldAskFor(t *testing.T) {
	for _, c := range []struct {
		name     string
		node     string // type=address, as in the Node's status
		dns, ips string // configured
		want     string // DNS names | IPs; "-": not now
	}{
		{"a Node without addresses", "", "", "", "-"},
		{"an address that is empty", "Hostname=", "", "", "-"},
		{"addresses that are none", "InternalIP=1.2 ExternalIP=3.4", "", "", "-"},
		{"the same several times", "Hostname=worker-1 ExternalDNS=worker-1 InternalDNS=worker-1 InternalIP=1.1.1.1 ExternalIP=1.1.1.1", "", "", "worker-1|1.1.1.1"},
		{
			"sorted", "Hostname=name-2 ExternalDNS=name-1 InternalDNS=name-3 InternalIP=2.2.2.2 ExternalIP=1.1.1.1 InternalIP=3.3.3.3", "", "",
			"name-1 name-2 name-3|1.1.1.1 2.2.2.2 3.3.3.3",
		},
		{"a host name that is an address", "Hostname=worker-1 Hostname=1.1.1.1", "", "", "worker-1|1.1.1.1"},
		{"an empty name beside an address", "Hostname= InternalIP=192.168.1.1", "", "", "|192.168.1.1"},
		{"names and no address", "Hostname=worker-1", "", "", "-"},
		{"addresses and no name", "InternalIP=192.168.1.1", "", "", "|192.168.1.1"},
		{"a name and an address", "Hostname=worker-1 InternalIP=192.168.1.1", "", "", "worker-1|192.168.1.1"},

		{"only an external address", "Hostname=worker-1 ExternalIP=203.0.113.7", "", "", "worker-1|203.0.113.7"},
		{"only a host name, that is an address", "Hostname=192.168.1.1", "", "", "|192.168.1.1"},
		{"a DNS name that is an address stays a DNS name", "ExternalDNS=203.0.113.7 InternalIP=192.168.1.1", "", "", "203.0.113.7|192.168.1.1"},
		{"an address in several spellings", "InternalIP=2001:DB8:0::10 ExternalIP=2001:db8::10 InternalIP=010.0.0.1", "", "", "|10.0.0.1 2001:db8::10"},
		{"a type from the future", "Hostname=worker-1 InternalIP=192.168.1.1 VirtualIP=192.0.2.1 Other=x", "", "", "worker-1|192.168.1.1"},
		{"a name that no certificate can hold", "Hostname=wörker InternalDNS=worker-1 InternalIP=192.168.1.1", "", "", "worker-1|192.168.1.1"},

		{"configured names replace the Node's", "Hostname=worker-1 InternalIP=192.168.1.1", "b.example.com a.example.com", "", "a.example.com b.example.com|192.168.1.1"},
		{"configured addresses replace the Node's", "Hostname=worker-1 InternalIP=192.168.1.1", "", "192.0.2.9 192.0.2.8", "worker-1|192.0.2.8 192.0.2.9"},
		{"both configured: the Node need not be there", "", "a.example.com", "192.0.2.9", "a.example.com|192.0.2.9"},
		{"configured addresses wait for the Node's names", "", "", "192.0.2.9", "-"},
		{"configured addresses, and a Node that has only a name", "Hostname=worker-1", "", "192.0.2.9", "worker-1|192.0.2.9"},
		{"configured names wait for the Node's addresses", "Hostname=worker-1", "a.example.com", "", "-"},
	} {
		var addresses []Address
		for entry := range strings.FieldsSeq(c.node) {
			kind, address, _ := strings.Cut(entry, "=")
			addresses = append(addresses, Address{kind, address})
		}
		dns, ips, given := strings.Fields(c.dns), strings.Fields(c.ips), slices.Clone(addresses)
		names, known := NamesOfNode(addresses, dns, ips)
		got := strings.Join(names.DNS, " ") + "|" + strings.Join(names.IPs, " ")
		if !known {
			got = "-"
		}
		if got != c.want || slices.Contains(names.DNS, "") {
			t.Errorf("%s: %s, expected %s", c.name, got, c.want)
		}
		if !slices.Equal(addresses, given) || strings.Join(dns, " ") != c.dns || strings.Join(ips, " ") != c.ips {
			t.Errorf("%s: what was given is changed", c.name)
		}
	}
}

func TestTheOrderOfTheNodesAddressesMakesNoDifference(t *testing.T) {
	addresses := []Address{{"Hostname", "a"}, {"InternalDNS", "b"}, {"ExternalDNS", "a"}, {"InternalIP", "192.0.2.1"}, {"ExternalIP", "192.0.2.2"}, {"InternalIP", ""}}
	first, _ := NamesOfNode(addresses, nil, nil)
	orders := permutations(addresses)
	for _, order := range orders {
		if names, known := NamesOfNode(order, nil, nil); fmt.Sprint(names) != fmt.Sprint(first) || !known {
			t.Errorf("%v: %v (%t), expected %v", order, names, known, first)
		}
	}
	t.Logf("%d orders", len(orders))
}

func permutations(of []Address) (all [][]Address) {
	if len(of) == 0 {
		return [][]Address{nil}
	}
	for i, first := range of {
		for _, rest := range permutations(slices.Delete(slices.Clone(of), i, i+1)) {
			all = append(all, append([]Address{first}, rest...))
		}
	}
	return all
}

// Whatever Lacks says, a client must say too: it is judged by Go's own check of the names.
func TestANameIsLackingJustWhenAClientWouldNotAcceptTheCertificateForIt(t *testing.T) {
	held := []string{"worker-1", "Worker-2.Example.com", "*.wild.example.com", "dotted.example.com"}
	heldIPs := []net.IP{net.IPv4(192, 0, 2, 10).To4(), net.IPv4(192, 0, 2, 11).To16(), net.ParseIP("2001:db8::10")}
	leaf := &x509.Certificate{DNSNames: held, IPAddresses: heldIPs}
	names := []string{
		"worker-1", "WORKER-1", "worker-1.", "worker", "worker-11", "a.worker-1", "worker-2.example.com", "worker-2.EXAMPLE.com.", "worker-2", "example.com",
		"a.wild.example.com", "A.Wild.example.com.", "a.b.wild.example.com", "wild.example.com", ".wild.example.com", "*.wild.example.com", "*.example.com",
		"dotted.example.com", "dotted.example.com.",
	}
	lacking := 0
	for _, name := range names {
		lacks := len(Lacks(leaf, Names{DNS: []string{name}})) > 0
		if refused := leaf.VerifyHostname(name) != nil; lacks != refused {
			t.Errorf("%s: lacking %t, a client refuses it: %t", name, lacks, refused)
		} else if lacks {
			lacking++
		}
	}
	ips := []string{
		"192.0.2.10", "::ffff:192.0.2.10", "192.0.2.11", "::ffff:c000:20b", "192.0.2.12", "2001:db8::10", "2001:DB8:0:0::10", "2001:db8::11", "::192.0.2.10",
	}
	for _, ip := range ips {
		lacks := len(Lacks(leaf, Names{IPs: []string{ip}})) > 0
		if refused := leaf.VerifyHostname(ip) != nil; lacks != refused {
			t.Errorf("%s: lacking %t, a client refuses it: %t", ip, lacks, refused)
		} else if lacks {
			lacking++
		}
	}
	t.Logf("%d names and addresses, %d lacking", len(names)+len(ips), lacking)
}

func TestAnAddressIsNoDNSNameAndNoWildcardStandsForOne(t *testing.T) {
	leaf := &x509.Certificate{DNSNames: []string{"*.0.2.10", "*", "*.", "*.."}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 10)}}
	for _, name := range []string{"192.0.2.10", "worker-1", "", "."} {
		if lacks := Lacks(leaf, Names{DNS: []string{name}}); len(lacks) != 1 {
			t.Errorf("%q is not lacking", name)
		}
	}
	if lacks := Lacks(leaf, Names{IPs: []string{"no address"}}); len(lacks) != 1 {
		t.Error("what is no address is not lacking")
	}
	if lacks := Lacks(&x509.Certificate{IPAddresses: []net.IP{nil}}, Names{IPs: []string{"no address"}}); len(lacks) != 1 {
		t.Error("what is no address is not lacking in a certificate with an address that is none")
	}
}
