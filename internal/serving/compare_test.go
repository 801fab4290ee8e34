package serving

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// listener is what may be found where the kubelet is looked for.
type listener struct {
	name    string
	address string
	// tells is Took or NotTaken when it decides, Unknown when the next address is tried.
	tells Taken
	leaf  *x509.Certificate
}

func listeners(t *testing.T, current tls.Certificate) []listener {
	t.Helper()
	all := []listener{
		{name: "nobody", address: closed(t), tells: Unknown},
		{name: "no TLS", address: serve(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }), tells: Unknown},
	}
	placeholder, err := Placeholder("worker-1", Names{DNS: []string{"worker-1"}}, time.Now())
	must(t, err)
	standIn, err := tls.X509KeyPair(placeholder, placeholder)
	must(t, err)
	for _, c := range []struct {
		name  string
		pair  tls.Certificate
		tells Taken
	}{
		{"the current one", current, Took},
		{"the node's previous one", selfSigned(t, "system:node:worker-1", "system:nodes"), NotTaken},
		{"the node's placeholder", standIn, NotTaken},
		{"the kubelet's own", selfSigned(t, "worker-1@1772366400"), NotTaken},
		{"another node's", selfSigned(t, "system:node:worker-11", "system:nodes"), Unknown},
		{"another node's placeholder", selfSigned(t, "worker-2@bootstrap-agent-placeholder"), Unknown},
		{"a web server's of this host", selfSigned(t, "worker-1"), Unknown},
		{"a proxy's without a subject", selfSigned(t, ""), Unknown},
		{"mail to worker-1", selfSigned(t, "worker-1@example.com"), Unknown},
	} {
		address := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{c.pair}, ClientAuth: tls.RequestClientCert})
		all = append(all, listener{c.name, address, c.tells, c.pair.Leaf})
	}
	return all
}

// Every order of two (SOAK: three) of them: the first that can be this node's kubelet decides.
func TestTheFirstThatCanBeThisNodesKubeletTellsWhetherTheCertificateIsTaken(t *testing.T) {
	t.Parallel()
	current := selfSigned(t, "system:node:worker-1", "system:nodes")
	all, length := listeners(t, current), 2
	if os.Getenv("SOAK") != "" {
		length = 3
	}
	found := map[Taken]int{}
	for _, row := range sequences(all, length) {
		expected := listener{tells: Unknown}
		var addresses, names []string
		for _, l := range row {
			addresses, names = append(addresses, l.address), append(names, l.name)
			if expected.tells == Unknown && l.tells != Unknown {
				expected = l
			}
		}
		c := Compare(t.Context(), addresses, current.Leaf)
		found[c.Taken]++
		if c.Taken != expected.tells || c.Address != expected.address || !c.Served.Equal(expected.leaf) {
			t.Errorf("%v: %+v, expected %+v", names, c, expected)
		}
		if (c.Taken == Unknown) != (c.Reason != nil) {
			t.Errorf("%v: %s, reason %v", names, c.Taken, c.Reason)
		}
		for _, address := range addresses {
			if c.Reason != nil && !strings.Contains(c.Reason.Error(), address) {
				t.Errorf("%v: the reason leaves one out: %v", names, c.Reason)
			}
		}
	}
	t.Logf("%d listeners, %v", len(all), found)
}

func sequences(of []listener, length int) [][]listener {
	if length == 0 {
		return [][]listener{nil}
	}
	var all [][]listener
	for _, shorter := range sequences(of, length-1) {
		for _, l := range of {
			all = append(all, append(append([]listener{}, shorter...), l))
		}
	}
	return all
}

func TestAPreviousCertificateOfAnotherFormIsKnownWhenItIsGiven(t *testing.T) {
	t.Parallel()
	current, corporate := selfSigned(t, "system:node:worker-1", "system:nodes"), selfSigned(t, "worker-1.example.com")
	address := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{corporate}})
	if c := Compare(t.Context(), []string{address}, current.Leaf); c.Taken != Unknown {
		t.Errorf("%+v, expected that nobody knows whose it is", c)
	}
	if c := Compare(t.Context(), []string{address}, current.Leaf, selfSigned(t, "other").Leaf, corporate.Leaf); c.Taken != NotTaken || c.Address != address {
		t.Errorf("%+v, expected that the kubelet serves the one before", c)
	}
	renewed := selfSigned(t, "worker-1.example.com")
	if c := Compare(t.Context(), []string{address}, renewed.Leaf); c.Taken != NotTaken {
		t.Errorf("%+v, expected that it is known by its subject", c)
	}
}

func TestCertificatesThatNameNoNodeAreNotTakenForOnesOfTheSameNode(t *testing.T) {
	t.Parallel()
	for current, served := range map[string]string{"": "", "worker-1.example.com": "", "worker-1": "worker-2", "@1772366400": "@1772366401"} {
		address := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{selfSigned(t, served)}})
		if c := Compare(t.Context(), []string{address}, selfSigned(t, current).Leaf); c.Taken != Unknown {
			t.Errorf("%q is current, %q served: %s", current, served, c.Taken)
		}
	}
}

func TestWithoutAnAddressItIsNotKnownWhatTheKubeletServes(t *testing.T) {
	t.Parallel()
	if c := Compare(t.Context(), nil, selfSigned(t, "system:node:worker-1").Leaf); c.Taken != Unknown || c.Reason == nil {
		t.Errorf("%+v", c)
	}
}

func TestACertificateNamesItsNodeInEachOfThreeForms(t *testing.T) {
	for name, want := range map[string]string{
		"system:node:worker-1":                   "worker-1",
		"worker-1@bootstrap-agent-placeholder":   "worker-1",
		"worker-1@1772366400":                    "worker-1",
		"worker-1":                               "",
		"worker-1@":                              "",
		"worker-1@x1":                            "",
		"worker-1@1x":                            "",
		"worker-1@1@bootstrap-agent-placeholder": "",
		"@1772366400":                            "",
		"system:node:":                           "",
		"system:nodes":                           "",
		"":                                       "",
	} {
		if got := nodeNamed(&x509.Certificate{Subject: pkix.Name{CommonName: name}}); got != want {
			t.Errorf("%q names %q, expected %q", name, got, want)
		}
	}
}

// selfSigned is a pair of a server with this subject, valid now.
func selfSigned(t *testing.T, commonName string, organizations ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: commonName, Organization: organizations},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	leaf, err := x509.ParseCertificate(der)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}
