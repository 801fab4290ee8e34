package agent

import (
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// The eleven cases of client-go's TestCertSatisfiesTemplate: when a certificate in use is followed by another although its time has not
// come. What is missing leads to a request, what is there beyond that does not. The organization is not compared: a certificate that has
// not exactly the one that every node has is refused when it is issued, and never comes into use.
func TestACertificateThatLacksWhatIsWantedIsFollowedByAnotherAndOneThatHasMoreIsKept(t *testing.T) {
	leaf := func(change func(*x509.Certificate)) func(*scene) {
		return func(s *scene) {
			s.o.Serving.Pair.Leaf.DNSNames, s.o.Serving.Pair.Leaf.IPAddresses = []string{"worker-1"}, []net.IP{net.IPv4(192, 0, 2, 10)}
			change(s.o.Serving.Pair.Leaf)
		}
	}
	none := func(s *scene) { // a placeholder serves meanwhile
		s.o.Serving.Pair = pairFor("worker-1@bootstrap-agent-placeholder", time.Hour)
		leaf(func(*x509.Certificate) {})(s)
	}
	unknown := func(s *scene) { s.wish = nil }
	for _, c := range []struct {
		name   string
		change func(*scene)
		expect step
	}{
		{"no certificate, and nobody knows the names", func(s *scene) { none(s); s.wish = nil }, waitAddress},
		{"no certificate", none, makePending},
		{"nobody knows the names", unknown, rest},
		{"for another node", leaf(func(c *x509.Certificate) { c.Subject.CommonName = otherUser }), makePending},
		{"without the organization", leaf(func(c *x509.Certificate) { c.Subject.Organization = nil }), rest},
		{"with an organization more", leaf(func(c *x509.Certificate) { c.Subject.Organization = []string{csr.NodesGroup, "more"} }), rest},
		{"without a wanted DNS name", leaf(func(c *x509.Certificate) { c.DNSNames = []string{"another"} }), makePending},
		{"with a DNS name more", leaf(func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "more") }), rest},
		{"without a wanted address", leaf(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 11)} }), makePending},
		{"with an address more", leaf(func(c *x509.Certificate) { c.IPAddresses = append(c.IPAddresses, net.IPv4(192, 0, 2, 11)) }), rest},
		{"with all that is wanted", leaf(func(*x509.Certificate) {}), rest},
	} {
		s := member()
		s.wish = joined().wish
		c.change(s)
		if s.wish != nil { // for as long as it must last, so that an address which comes and goes leads to nothing
			s.m.noteLacking(lacking(s.o.Serving.Pair.Leaf, s.wish), noon.Add(-differenceLasts))
		}
		s.lacks = s.o.Serving.Issued() && s.m.lacksLong(noon)
		if found := decideServing(s.o, s.m, false, s.aim()); found != c.expect {
			t.Errorf("%s: %q, expected %q", c.name, found, c.expect)
		}
	}
}

// A kubelet that has got another name asks for it with the identity of the old one, and is refused. Here the identity stays.
func TestAClientCertificateForTheNameThatTheMachineHadIsKeptAndNotAskedForAnew(t *testing.T) {
	s := member()
	s.o.Node = "worker-2"
	if found := decideClient(s.o, s.m, s.aim()); found != rest {
		t.Errorf("%q, expected %q", found, rest)
	}
}
