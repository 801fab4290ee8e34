package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// Two hashes of public keys, as kubeadm prints them.
const (
	pinA   = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	pinB   = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	pinned = "\ndiscoveryCACertHashes: [" + pinA + "]"
)

func TestWhereTheClusterIsIsSaidOnceAndCompletely(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, fields string
		// says is part of the one error; nothing: it is taken.
		says []string
	}{
		{"servers and a hash", "apiServers: [a]" + pinned, nil},
		{"servers, a hash and a token", "apiServers: [a]\ndiscoveryTokenFile: /t" + pinned, nil},
		{"a file", "discoveryFile: /d", nil},
		{"a file and a token", "discoveryFile: /d\ndiscoveryTokenFile: /t", nil},
		{"a file, a token and a hash", "discoveryFile: /d\ndiscoveryTokenFile: /t" + pinned, nil},
		{"a hash alone, for a fleet's one file", strings.TrimPrefix(pinned, "\n"), nil},
		{"a token and nothing that says where", "discoveryTokenFile: /t", []string{"--discovery-token-file", "discoveryTokenFile", "--api-server", "--discovery-file"}},
		{"a token and a hash", "discoveryTokenFile: /t" + pinned, []string{"--discovery-token-file", "does not say where"}},
		{"servers without a hash", "apiServers: [a]", []string{"--api-server", "apiServers", "--discovery-ca-cert-hash", "discoveryCACertHashes", "--print=ca-cert-hash"}},
		{"servers and a file", "apiServers: [a]\ndiscoveryFile: /d" + pinned, []string{"--api-server", "apiServers", "--discovery-file", "discoveryFile", "keep one"}},
		{"two ways to follow the CA", "caFile: /c\ncaFromClusterInfo: true", []string{"--ca-file", "caFile", "--ca-from-cluster-info", "caFromClusterInfo", "keep one"}},
		{"a CA file in the cert-dir", "caFile: /var/lib/kubelet/pki/kubelet-apiserver-ca.crt", []string{"--ca-file", "caFile", "cert-dir"}},
		{"a CA file in a folder that only begins like the cert-dir", "caFile: /var/lib/kubelet/pki-of-another/ca.crt", nil},
	} {
		_, err := config.Load(file(t, c.fields+"\n"), flags(t))
		if c.says == nil && err != nil {
			t.Errorf("%s is refused: %v", c.name, err)
		}
		if c.says != nil && (err == nil || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, expected one error", c.name, err)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q is not in: %v", c.name, text, err)
			}
		}
	}
}

// The agent deletes one of them, writes others, and reads the rest: none may be two.
func TestNoFileIsTwoSettings(t *testing.T) {
	t.Parallel()
	others := map[string][]string{
		"discoveryTokenFile": {"bootstrapKubeconfig", "kubeconfig", "certDir", "kubeletClientCAFile", "caFile", "discoveryFile", "webConfigFile", "textfile"},
		"discoveryFile":      {"kubeconfig", "certDir", "bootstrapKubeconfig"},
		"caFile":             {"kubeconfig", "certDir", "bootstrapKubeconfig"},
	}
	flagOf := map[string]string{}
	for _, s := range config.Settings() {
		flagOf[s.Field] = s.Flag
	}
	for field, all := range others {
		for _, other := range all {
			fields := field + ": /a.prom\n" + other + ": /b/../a.prom\n"
			if field == "discoveryTokenFile" && other != "discoveryFile" {
				fields += "discoveryFile: /d\n"
			}
			_, err := config.Load(file(t, fields), flags(t))
			if err == nil || !strings.Contains(err.Error(), "--"+flagOf[field]+" ("+field+") names /a.prom") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s and %s are one file: %v", field, other, err)
			}
		}
	}
}

func TestFilesAreTakenFromTheFolderInWhichTheAgentIsStarted(t *testing.T) {
	t.Parallel()
	got, err := config.Load(file(t, "discoveryTokenFile: t\ndiscoveryFile: x/../d\ncaFile: ./c\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for path, name := range map[string]string{got.DiscoveryTokenFile: "t", got.DiscoveryFile: "d", got.CAFile: "c"} {
		if path != filepath.Join(here, name) {
			t.Errorf("%s is read as %s", name, path)
		}
	}
}

func TestServersAreTriedInTheirOrderAsURLs(t *testing.T) {
	t.Parallel()
	got, err := config.Load(file(t, "apiServers: [b.example.com, 'a:443', 192.0.2.1, '2001:db8::1', '[2001:db8::2]', '[2001:db8::3]:8443', 'https://c', 'https://C:1/']"+pinned+"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"https://b.example.com:6443", "https://a:443", "https://192.0.2.1:6443", "https://[2001:db8::1]:6443", "https://[2001:db8::2]:6443", "https://[2001:db8::3]:8443",
		"https://c:443", "https://C:1",
	}
	if servers := got.Servers(); !slices.Equal(servers, want) {
		t.Errorf("%q, expected %q", servers, want)
	}
	if !got.Discovers() || (config.Config{}).Discovers() {
		t.Error("whether anything is to be found out is told wrong")
	}
}

func TestAPasswordInAServerIsNotQuoted(t *testing.T) {
	t.Parallel()
	_, err := config.Load(file(t, "apiServers: ['https://admin:hunter2@a:6443']"+pinned+"\n"), nil)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
