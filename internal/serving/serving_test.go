package serving

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestTheNamesAreWhatIsConfiguredElseTheNodeAndItsAddresses(t *testing.T) {
	v4, other, v6 := "192.0.2.10", "192.0.2.9", "2001:db8::10"
	for _, c := range []struct {
		name                string
		node                string
		addresses, dns, ips []string
		wantDNS, wantIPs    []string
	}{
		{"name and address", "worker-1", []string{v4}, nil, nil, []string{"worker-1"}, []string{v4}},
		{"both families", "worker-1", []string{v6, v4}, nil, nil, []string{"worker-1"}, []string{v4, v6}},
		{"no address yet", "worker-1", nil, nil, nil, []string{"worker-1"}, nil},
		{"a name that is an address is no DNS name", v4, []string{v4}, nil, nil, nil, []string{v4}},
		{"a name that is another address", other, []string{v4}, nil, nil, nil, []string{v4, other}},
		{"exactly the configured addresses", "worker-1", []string{v4}, nil, []string{other}, []string{"worker-1"}, []string{other}},
		{"exactly the configured DNS names", "worker-1", []string{v4}, []string{"b.example.com", "a.example.com"}, nil, []string{"a.example.com", "b.example.com"}, []string{v4}},
		{"exactly what is configured", "worker-1", []string{v4}, []string{"a.example.com"}, []string{v6}, []string{"a.example.com"}, []string{v6}},
		{"configured addresses, and a name that is an address", v4, []string{v4}, nil, []string{other}, nil, []string{other}},
		{"configured DNS names, and a name that is an address", v4, nil, []string{"a.example.com"}, nil, []string{"a.example.com"}, []string{v4}},
		{"duplicates, and addresses in several spellings", "worker-1", nil, []string{"a", "b", "a"}, []string{"2001:DB8:0::10", v6, v4, "::ffff:192.0.2.10"}, []string{"a", "b"}, []string{v4, v6}},
	} {
		var addresses []net.IP
		for _, text := range c.addresses {
			addresses = append(addresses, net.ParseIP(text))
		}
		given := [][]string{slices.Clone(c.dns), slices.Clone(c.ips), c.addresses}
		slices.Sort(c.wantIPs)
		names := NamesFor(c.node, addresses, c.dns, c.ips)
		if !slices.Equal(names.DNS, c.wantDNS) || !slices.Equal(names.IPs, c.wantIPs) {
			t.Errorf("%s: %v, expected %v %v", c.name, names, c.wantDNS, c.wantIPs)
		}
		if !slices.Equal(c.dns, given[0]) || !slices.Equal(c.ips, given[1]) {
			t.Errorf("%s: the configuration was changed", c.name)
		}
		for i, ip := range addresses {
			if ip.String() != given[2][i] {
				t.Errorf("%s: the addresses were changed", c.name)
			}
		}
	}
}

func TestThePlaceholderIsNobodysCertificateForAMonth(t *testing.T) {
	text, err := Placeholder("worker-1", Names{DNS: []string{"worker-1", "a.example.com"}, IPs: []string{"192.0.2.10", "2001:db8::10"}}, noon)
	must(t, err)
	pair, err := tls.X509KeyPair(text, text)
	must(t, err)
	leaf := pair.Leaf
	if leaf.Subject.CommonName != "worker-1@bootstrap-agent-placeholder" || len(leaf.Subject.Organization) != 0 {
		t.Errorf("subject %s, expected one that no signer issues: a kubelet that takes over asks at once", leaf.Subject)
	}
	if !leaf.NotAfter.Equal(noon.Add(30*24*time.Hour)) || !leaf.NotBefore.Equal(noon.Add(-5*time.Minute)) {
		t.Errorf("valid from %s to %s", leaf.NotBefore, leaf.NotAfter)
	}
	if leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) {
		t.Errorf("CA %v, usages %v %v: expected a server's and nothing more", leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage)
	}
	if !slices.Equal(leaf.DNSNames, []string{"worker-1", "a.example.com"}) || len(leaf.IPAddresses) != 2 || len(Lacks(leaf, Names{IPs: []string{"192.0.2.10", "2001:db8::10"}})) > 0 {
		t.Errorf("names %v %v", leaf.DNSNames, leaf.IPAddresses)
	}
	if !SelfSigned(leaf) {
		t.Error("it is not known as a placeholder")
	}
	second, err := Placeholder("worker-1", Names{}, noon)
	must(t, err)
	if other, err := tls.X509KeyPair(second, second); err != nil || other.Leaf.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
		t.Errorf("two placeholders have the same serial number (%v)", err)
	}
}

func TestAClientThatTrustsThePlaceholderCanConnectToItUnderEachOfItsNames(t *testing.T) {
	text, err := Placeholder("worker-1", Names{DNS: []string{"worker-1"}, IPs: []string{"192.0.2.10"}}, time.Now())
	must(t, err)
	pair, err := tls.X509KeyPair(text, text)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	for name, good := range map[string]bool{"worker-1": true, "192.0.2.10": true, "worker-2": false, "192.0.2.11": false} {
		connection, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{RootCAs: roots, ServerName: name})
		if (err == nil) != good {
			t.Errorf("%s: %v, expected success: %v", name, err, good)
		}
		if err == nil {
			connection.Close()
		}
	}
}

func TestOnlyTheSignersSubjectIsNotSelfSigned(t *testing.T) {
	for name, self := range map[string]bool{
		"system:node:worker-1":                 false,
		"worker-1@bootstrap-agent-placeholder": true,
		"worker-1@1772366400":                  true, // the kubelet's own
		"worker-1":                             true,
		"":                                     true,
		"system:nodes":                         true,
		"xsystem:node:worker-1":                true,
	} {
		if SelfSigned(&x509.Certificate{Subject: pkix.Name{CommonName: name}}) != self {
			t.Errorf("%q: self-signed %v", name, !self)
		}
	}
}

func TestLacksNamesEveryWantedNameThatIsMissingAndMindsNoOthers(t *testing.T) {
	leaf := &x509.Certificate{DNSNames: []string{"a", "b"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.10"), net.ParseIP("2001:db8::10").To16()}}
	for _, c := range []struct {
		wanted Names
		lacks  string
	}{
		{Names{}, ""},
		{Names{DNS: []string{"a"}, IPs: []string{"192.0.2.10"}}, ""},
		{Names{DNS: []string{"b", "a"}, IPs: []string{"2001:db8::10", "192.0.2.10"}}, ""},
		{Names{DNS: []string{"c"}}, "c"},
		{Names{IPs: []string{"192.0.2.11"}}, "192.0.2.11"},
		{Names{DNS: []string{"a", "d", "c"}, IPs: []string{"2001:db8::11", "192.0.2.10"}}, "d c 2001:db8::11"},
		{Names{DNS: []string{"192.0.2.10"}}, "192.0.2.10"}, // a name is no address
	} {
		if lacks := strings.Join(Lacks(leaf, c.wanted), " "); lacks != c.lacks {
			t.Errorf("%v: lacks %q, expected %q", c.wanted, lacks, c.lacks)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
