package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// bad are values of one setting, each in YAML, that must be refused, and what is said about them.
var bad = []struct{ field, yaml, says string }{
	{"bootstrapKubeconfig", "''", "is empty"},
	{"bootstrapKubeconfig", "/", "does not name a file"},
	{"discoveryTokenFile", "/\ndiscoveryFile: /d", "does not name a file"},
	{"discoveryFile", "/", "does not name a file"},
	{"caFile", "/..", "does not name a file"},
	{"apiServers", "['']" + pinned, "is not host:port"},
	{"apiServers", "['a b']" + pinned, "is not host:port"},
	{"apiServers", "['a:']" + pinned, "has no port number"},
	{"apiServers", "['a:0']" + pinned, "has no port number"},
	{"apiServers", "['a:70000']" + pinned, "has no port number"},
	{"apiServers", "['a:https']" + pinned, "has no port number"},
	{"apiServers", "['https://a:6443/path']" + pinned, "has no port number"},
	{"apiServers", "['https://a/path']" + pinned, "is not host:port"},
	{"apiServers", "['ftp://a:1']" + pinned, "is not host:port"},
	{"apiServers", "['http://a:6443']" + pinned, "plain http"},
	{"apiServers", "['HTTP://a']" + pinned, "has no port number"},
	{"apiServers", "['https://u:p@a:6443']" + pinned, "gets no credential"},
	{"apiServers", "[a, b, a]" + pinned, "is there twice"},
	{"apiServers", "[a, 'https://a:6443/']" + pinned, "is there twice"},
	{"apiServers", "['::1', '[::1]']" + pinned, "is there twice"},
	{"discoveryCACertHashes", "['']", "is not sha256:"},
	{"discoveryCACertHashes", "[sha256:abc]", "is not sha256:"},
	{"discoveryCACertHashes", "[sha512:" + strings.Repeat("a", 64) + "]", "is not sha256:"},
	{"discoveryCACertHashes", "[" + strings.Repeat("a", 64) + "]", "is not sha256:"},
	{"discoveryCACertHashes", "[sha256:" + strings.Repeat("g", 64) + "]", "is not sha256:"},
	{"kubeconfig", "''", "is empty"},
	{"kubeconfig", "/..", "does not name a file"},
	{"certDir", "''", "is empty"},
	{"certDir", "/", "does not name a file"},
	{"hostnameOverride", "node_1", "cannot be a node name"},
	{"hostnameOverride", "'  '", "no usable host name"},
	{"hostnameOverride", "localhost", "no usable host name"},
	{"nodeIP", "node-1", "is no IP address"},
	{"nodeIP", "127.0.0.1", "loopback"},
	{"nodeIP", "'192.0.2.1,192.0.2.2'", "same family"},
	{"serving", "on", "one of before-kubelet, after-node-registered, off"},
	{"serving", "''", "one of before-kubelet, after-node-registered, off"},
	{"servingWait", "-1s", "is negative"},
	{"servingDNSNames", "[a_b]", "is no DNS name"},
	{"servingDNSNames", "[a, '']", "is no DNS name"},
	{"servingDNSNames", "[192.0.2.1]", "is no DNS name"},
	{"servingDNSNames", "['*.a']", "is no DNS name"},
	{"servingIPs", "[a]", "is no IP address"},
	{"servingIPs", "[192.0.2.1, ' 192.0.2.2']", "is no IP address"},
	{"servingIPs", "[0.0.0.0]", "is no IP address of a host"},
	{"servingIPs", "['::']", "is no IP address of a host"},
	{"servingIPs", "[224.0.0.1]", "is no IP address of a host"},
	{"servingIPs", "[192.0.2.0/24]", "is no IP address"},
	{"kubeletServer", "http://a", "https"},
	{"kubeletServer", "a:6443", "https"},
	{"kubeletServer", "https://", "https"},
	{"kubeletServer", "https://u:p@a", "https"},
	{"kubeletServer", "https://a?b", "https"},
	{"kubeletServer", "'https://a#b'", "https"},
	{"kubeletAddress", "'192.0.2.1:'", "no port number"},
	{"kubeletAddress", "'192.0.2.1:0'", "no port number"},
	{"kubeletAddress", "'192.0.2.1:http'", "no port number"},
	{"kubeletAddress", "'a b'", "is no address"},
	{"kubeletAddress", "'https://a:10250'", "is no address"},
	{"keyAlgorithm", "rsa", "one of ecdsa-p256, ecdsa-p384, rsa-2048, rsa-4096"},
	{"keyAlgorithm", "''", "one of"},
	{"expirationSeconds", "1799", "less than 1800"},
	{"expirationSeconds", "-1", "less than 1800"},
	{"startHold", "-1s", "is negative"},
	{"webListenAddress", "'10261'", "is not address:port"},
	{"webListenAddress", "127.0.0.1", "is not address:port"},
	{"webListenAddress", "'2001:db8::1:10261'", "is not address:port"},
	{"webListenAddress", "'127.0.0.1:http'", "no port number"},
	{"webListenAddress", "'127.0.0.1:70000'", "no port number"},
	{"webListenAddress", "'a b:1'", "is not address:port"},
	{"webListenAddress", "'http://a:1'", "is not address:port"},
	{"webConfigFile", "/", "does not name a file"},
	{"textfile", "/var/lib/node_exporter/bootstrap-agent.txt", "does not end in .prom"},
	{"textfile", "/var/lib/node_exporter/", "does not end in .prom"},
	{"textfile", "/var/lib/node_exporter/.prom", "does not end in .prom"},
	{"textfile", "/var/lib/kubelet/pki/a.prom", "lies in the cert-dir"},
	{"logFormat", "xml", "one of text, json"},
	{"logLevel", "loud", "loud"},
	{"logLevel", "''", "name"},
	{"timeout", "-1s", "is negative"},
}

func TestABadValueIsRefusedWithItsFlagAndField(t *testing.T) {
	t.Parallel()
	flagOf := map[string]string{}
	for _, s := range config.Settings() {
		flagOf[s.Field] = s.Flag
	}
	for _, b := range bad {
		_, err := config.Load(file(t, b.field+": "+b.yaml+"\n"), flags(t))
		if err == nil {
			t.Errorf("%s: %s is taken", b.field, b.yaml)
			continue
		}
		for _, text := range []string{"--" + flagOf[b.field], b.field, b.says} {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %s: %q is not in: %v", b.field, b.yaml, text, err)
			}
		}
		if lines := strings.Count(err.Error(), "\n") + 1; lines != 1 {
			t.Errorf("%s: %s: more is refused than that: %v", b.field, b.yaml, err)
		}
	}
}

func TestEverySettingThatCanBeBadIsChecked(t *testing.T) {
	t.Parallel()
	checked := map[string]bool{"allowNodeTakeover": true, "caFromClusterInfo": true, "keepBootstrapKubeconfig": true, "once": true, "kubeletClientCAFile": true, "rotateCertificates": true, "rotateServerCertificates": true, "kubeletMetrics": true} // nothing can be wrong; read later
	for _, b := range bad {
		checked[b.field] = true
	}
	for _, s := range config.Settings() {
		if !checked[s.Field] {
			t.Errorf("%s has no bad value in the test", s.Field)
		}
	}
}

func TestUnusualValuesThatAreGoodAreTaken(t *testing.T) {
	t.Parallel()
	for _, fields := range []string{
		"hostnameOverride: ' Node-1.Example.COM '", "hostnameOverride: 192.0.2.1", "nodeIP: '::'", "nodeIP: 0.0.0.0", "nodeIP: '2001:db8::1, 192.0.2.1'",
		"expirationSeconds: 0", "expirationSeconds: 1800", "servingWait: 0s", "startHold: 0s", "servingDNSNames: []", "servingIPs: [127.0.0.1]",
		"kubeletServer: https://[2001:db8::1]:6443/k8s", "logLevel: WARN", "kubeletAddress: '[2001:db8::1]:10251'", "kubeletAddress: '[2001:db8::1]'", "kubeletAddress: node-1:10250", "serving: after-node-registered", "once: true\ntimeout: 1s", "serving: 'off'\nservingIPs: []",
		"webListenAddress: ''", "webListenAddress: ':10261'", "webListenAddress: '[::1]:10261'", "webListenAddress: localhost:0", "webListenAddress: '[fe80::1%eth0]:10261'",
		"webConfigFile: /etc/bootstrap-agent/web.yaml", "textfile: /var/lib/node_exporter/bootstrap-agent.prom", "textfile: /var/lib/kubelet/pki.prom",
		"once: true\ntextfile: /a.prom\nwebConfigFile: /a.yaml",
	} {
		if _, err := config.Load(file(t, fields+"\n"), flags(t)); err != nil {
			t.Errorf("%s is refused: %v", fields, err)
		}
	}
}

func TestValuesThatContradictEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		fields string
		says   []string
	}{
		{"serving: 'off'\nservingDNSNames: [a]", []string{"--serving-dns-names", "servingDNSNames", "--serving=off"}},
		{"serving: 'off'\nservingIPs: [192.0.2.1]", []string{"--serving-ips", "servingIPs", "--serving=off"}},
		{"timeout: 1s", []string{"--timeout", "--once"}},
		{"kubeconfig: /a/k\nbootstrapKubeconfig: /a/../a/k", []string{"--bootstrap-kubeconfig", "--kubeconfig", "/a/k"}},
		{"textfile: /a.prom\nkubeconfig: /a.prom", []string{"--textfile", "textfile", "/a.prom", "another setting's"}},
		{"textfile: /a.prom\nwebConfigFile: /b/../a.prom", []string{"--textfile", "/a.prom", "another setting's"}},
		{"kubeconfig: /a\ncertDir: /a", []string{"--kubeconfig", "--cert-dir", "/a"}},
		{"bootstrapKubeconfig: /a\ncertDir: /a/", []string{"--bootstrap-kubeconfig", "--cert-dir", "/a"}},
	}
	for _, test := range tests {
		_, err := config.Load(file(t, test.fields+"\n"), flags(t))
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", test.fields, err)
			continue
		}
		for _, text := range test.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q is not in: %v", test.fields, text, err)
			}
		}
	}
}

func TestAContradictionBetweenFileAndFlagIsSeen(t *testing.T) {
	t.Parallel()
	if _, err := config.Load(file(t, "servingIPs: [192.0.2.1]\n"), flags(t, "--serving=off")); err == nil {
		t.Error("--serving=off is taken beside servingIPs in the file")
	}
	if _, err := config.Load(file(t, "timeout: 1s\n"), flags(t, "--once")); err != nil {
		t.Errorf("--once does not resolve the contradiction in the file: %v", err)
	}
}

func TestAllThatIsWrongIsSaidTogether(t *testing.T) {
	t.Parallel()
	path := file(t, "nodeIP: a\nkeyAlgorithm: b\nserving: 'off'\nservingIPs: [192.0.2.1]\n")
	_, err := config.Load(path, flags(t, "--expiration-seconds=5", "--serving-wait=-1s", "--kubeconfig="))
	if err == nil {
		t.Fatal("it is taken")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, field := range []string{"nodeIP", "keyAlgorithm", "servingIPs", "expirationSeconds", "servingWait", "kubeconfig"} {
		found := 0
		for _, line := range lines {
			if strings.Contains(line, "("+field+")") {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%s is in %d lines of:\n%v", field, found, err)
		}
	}
	if len(lines) != 6 {
		t.Errorf("%d lines, expected are 6:\n%v", len(lines), err)
	}
}

func TestTheSameErrorsAlwaysComeInTheSameOrder(t *testing.T) {
	t.Parallel()
	path := file(t, "kubeconfig: /a\nbootstrapKubeconfig: /a\ncertDir: /a\nnodeIP: a\n")
	_, first := config.Load(path, nil)
	if first == nil {
		t.Fatal("it is taken")
	}
	for range 20 {
		if _, err := config.Load(path, nil); err.Error() != first.Error() {
			t.Fatalf("first:\n%v\nthen:\n%v", first, err)
		}
	}
}

func TestValidateChecksWhatLoadDoes(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.StartHold.Duration = -time.Second
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "--start-hold (startHold)") {
		t.Errorf("%v", err)
	}
}
