package serving

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The kubelet reads kubelet.crt and kubelet.key, which are the same file here, and takes what makes a pair (k8s.io/apiserver
// dynamiccertificates, which ends in crypto/tls); what it serves then is what was stored, whatever the node's names are.
func TestAKubeletTakesAndServesThePlaceholderWhateverTheNodesNamesAre(t *testing.T) {
	t.Parallel()
	many := Names{}
	for i := range 200 {
		many.DNS, many.IPs = append(many.DNS, fmt.Sprintf("name-%d.example.com", i)), append(many.IPs, fmt.Sprintf("192.0.2.%d", i))
	}
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("n", 62)+".", 4), ".") // a node name has 253 characters at most
	for name, c := range map[string]struct {
		node  string
		names Names
	}{
		"an ordinary node":          {"worker-1", Names{DNS: []string{"worker-1"}, IPs: []string{"192.0.2.10"}}},
		"two families":              {"worker-1", Names{DNS: []string{"worker-1"}, IPs: []string{"192.0.2.10", "2001:db8::10"}}},
		"no name at all":            {"worker-1", Names{}},
		"a name that is an address": {"192.0.2.10", Names{IPs: []string{"192.0.2.10"}}},
		"a wildcard":                {"worker-1", Names{DNS: []string{"*.example.com"}}},
		"the longest name":          {long, Names{DNS: []string{long}}},
		"many names":                {"worker-1", many},
	} {
		text, err := Placeholder(c.node, c.names, time.Now())
		must(t, err)
		file := filepath.Join(t.TempDir(), "kubelet-server-current.pem")
		must(t, os.WriteFile(file, text, 0o600))
		pair, err := tls.LoadX509KeyPair(file, file)
		must(t, err)
		served, err := Served(t.Context(), serveTLS(t, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
		must(t, err)
		key, ok := served.PublicKey.(*ecdsa.PublicKey)
		if !served.Equal(pair.Leaf) || !ok || key.Curve != elliptic.P256() || len(pair.Certificate) != 1 {
			t.Errorf("%s: it serves %s with a %T, expected what was stored", name, served.Subject, served.PublicKey)
		}
		if lacking := Lacks(served, c.names); len(lacking) > 0 || len(served.DNSNames) != len(c.names.DNS) || len(served.IPAddresses) != len(c.names.IPs) {
			t.Errorf("%s: lacks %v", name, lacking)
		}
		if !Ours(served) || !SelfSigned(served) || nodeNamed(served) != c.node {
			t.Errorf("%s: it is not known as this node's placeholder", name)
		}
		if now := time.Now(); now.Before(served.NotBefore.Add(4*time.Minute)) || now.After(served.NotAfter) {
			t.Errorf("%s: valid from %s, which a clock that is a little behind does not take", name, served.NotBefore)
		}
	}
}

func TestOnlyAPlaceholderOfOursIsOurs(t *testing.T) {
	t.Parallel()
	ours := selfSigned(t, "worker-1@bootstrap-agent-placeholder").Leaf
	issued := *ours // by somebody else
	issued.RawIssuer = selfSigned(t, "ca").Leaf.RawIssuer
	for name, c := range map[string]struct {
		leaf *x509.Certificate
		ours bool
	}{
		"a placeholder":                     {ours, true},
		"one that was issued":               {&issued, false},
		"one of an organization":            {selfSigned(t, "worker-1@bootstrap-agent-placeholder", "system:nodes").Leaf, false},
		"the kubelet's own":                 {selfSigned(t, "worker-1@1772366400").Leaf, false},
		"the cluster's":                     {selfSigned(t, "system:node:worker-1", "system:nodes").Leaf, false},
		"a node whose name is like it":      {selfSigned(t, "bootstrap-agent-placeholder").Leaf, false},
		"one with more behind the name":     {selfSigned(t, "worker-1@bootstrap-agent-placeholder-2").Leaf, false},
		"a certificate without any subject": {selfSigned(t, "").Leaf, false},
	} {
		if Ours(c.leaf) != c.ours {
			t.Errorf("%s: ours %t", name, !c.ours)
		}
	}
}
