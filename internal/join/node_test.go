package join_test

import (
	"bytes"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	cloudinit "github.com/bootstrap-agent/bootstrap-agent/deploy/cloud-init"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// expectLoads shows that the agent reads from a bootstrap kubeconfig what was invited to.
func expectLoads(t *testing.T, i join.Invitation, text string) {
	t.Helper()
	b, err := kubeconfig.LoadBootstrap(file(t, "bootstrap.kubeconfig", text))
	must(t, err)
	if b.Source != kubeconfig.InlineToken || b.Credential.Token != i.Token.ID+"."+i.Token.Secret {
		t.Errorf("the credential is %s, and not the token", b.Source)
	}
	e := b.Endpoint
	if e.Server != i.Cluster.Server || e.TLSServerName != i.Cluster.TLSServerName || e.ProxyURL != "" {
		t.Errorf("it leads to %q, verified as %q", e.Server, e.TLSServerName)
	}
	if !bytes.Equal(e.CA, discovery.EncodeBundle(i.Cluster.CA)) {
		t.Errorf("the CA has become another one:\n%s", e.CA)
	}
}

func TestTheAgentReadsFromTheKubeconfigWhatWentIn(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*join.Cluster){
		"a name and a port":         func(*join.Cluster) {},
		"no port":                   func(c *join.Cluster) { c.Server = "https://api.example.com" },
		"IPv6":                      func(c *join.Cluster) { c.Server = "https://[2001:db8::1]:6443" },
		"a path":                    func(c *join.Cluster) { c.Server = "https://rancher.example.com/k8s/clusters/c-m-1" },
		"characters that YAML uses": func(c *join.Cluster) { c.Server = "https://a.example.com/x:*&!%25@,[]" },
		"another name to verify":    func(c *join.Cluster) { c.TLSServerName = "kubernetes.default" },
		"an address to verify":      func(c *join.Cluster) { c.TLSServerName = "192.0.2.1" },
		"several CAs": func(c *join.Cluster) {
			more, _ := certificate(nil)
			ca, _, err := join.Authorities(slices.Concat(caPEM(), more), now)
			must(t, err)
			c.CA = ca
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := invitation(t)
			change(&i.Cluster)
			text, err := i.Kubeconfig()
			must(t, err)
			expectLoads(t, i, text)
			if got := userDataOf(t, i).content(t, "/etc/kubernetes/bootstrap.kubeconfig"); got != text {
				t.Errorf("the user-data have another kubeconfig:\n%s\nand not\n%s", got, text)
			}
		})
	}
}

// userData is what of cloud-init's configuration is used.
type userData struct {
	WriteFiles []struct{ Path, Owner, Permissions, Content string } `json:"write_files"`
}

func userDataOf(t *testing.T, i join.Invitation) userData {
	t.Helper()
	text, err := i.UserData()
	must(t, err)
	if !strings.HasPrefix(text, "#cloud-config\n") {
		t.Error("cloud-init takes it for something else: the first line is not #cloud-config")
	}
	if left := regexp.MustCompile(`<[A-Z]+>`).FindString(text); left != "" {
		t.Errorf("%s is still to be put in", left)
	}
	if strings.Count(text, i.Token.Secret) != 1 {
		t.Errorf("the token stands there %d times", strings.Count(text, i.Token.Secret))
	}
	var data userData
	must(t, yaml.UnmarshalStrict([]byte(text), &data))
	return data
}

// content is what is written to path, whose entry is as it should be.
func (u userData) content(t *testing.T, path string) string {
	t.Helper()
	for _, f := range u.WriteFiles {
		if f.Path != path {
			continue
		}
		secret := path != config.DefaultFile
		if f.Owner != "root:root" || f.Permissions != map[bool]string{true: "0600", false: "0644"}[secret] {
			t.Errorf("%s is %s's with mode %s", path, f.Owner, f.Permissions)
		}
		return f.Content
	}
	t.Errorf("%s is not written", path)
	return ""
}

// There is one text: who changes the shipped file changes what is made of it.
func TestTheUserDataAreTheShippedOnesFilledIn(t *testing.T) {
	t.Parallel()
	content, err := cloudinit.Files.ReadFile("user-data.yaml")
	must(t, err)
	_, want, _ := strings.Cut(string(content), "\n\n")
	i := invitation(t)
	made, err := i.UserData()
	must(t, err)
	head, got, _ := strings.Cut(made, "\n\n")
	kubeconfig, err := i.Kubeconfig()
	must(t, err)
	for _, field := range []string{"server", "certificate-authority-data", "token"} {
		value := regexp.MustCompile(`(?m)^ +` + field + `: (.*)$`)
		found := value.FindStringSubmatch(kubeconfig)
		if len(found) != 2 {
			t.Fatalf("the kubeconfig has no %s:\n%s", field, kubeconfig)
		}
		place := value.FindStringSubmatch(want)[1]
		want = strings.Replace(want, place, found[1], 1)
	}
	if got != want {
		t.Errorf("made:\n%s\nof:\n%s", got, want)
	}
	for _, word := range []string{i.Token.ID, "2026-03-01T13:00:00Z"} {
		if !strings.Contains(head, word) {
			t.Errorf("the top does not say %s:\n%s", word, head)
		}
	}
}

func TestWithDiscoveryTheNodeGetsTokenAddressAndHashAndNoKubeconfig(t *testing.T) {
	t.Parallel()
	for url, address := range map[string]string{
		server: "api.example.com:6443", "https://api.example.com": "api.example.com:443", "https://192.0.2.1:6443/": "192.0.2.1:6443",
		"https://[2001:db8::1]": "[2001:db8::1]:443",
	} {
		i := invitation(t)
		i.Discovery, i.Cluster.Server = true, url
		data := userDataOf(t, i)
		if len(data.WriteFiles) != 2 {
			t.Errorf("%d files are written", len(data.WriteFiles))
		}
		settings, err := i.Config()
		must(t, err)
		if data.content(t, "/etc/kubernetes/bootstrap.token") != i.TokenFile() || data.content(t, config.DefaultFile) != settings {
			t.Error("the user-data and the files differ")
		}
		if read, err := discovery.ParseToken(i.TokenFile()); err != nil || read != token {
			t.Errorf("the agent does not read the token: %v", err)
		}
		cfg, err := config.Load(file(t, "config.yaml", settings), pflag.NewFlagSet("", pflag.ContinueOnError))
		must(t, err)
		if cfg.DiscoveryTokenFile != "/etc/kubernetes/bootstrap.token" || !slices.Equal(cfg.APIServers, []string{address}) {
			t.Errorf("the agent reads %s, and asks %q", cfg.DiscoveryTokenFile, cfg.APIServers)
		}
		if servers := cfg.Servers(); !slices.Equal(servers, []string{"https://" + address}) {
			t.Errorf("the agent asks %q", servers)
		}
		pins, err := discovery.ParsePins(cfg.DiscoveryCACertHashes)
		if err != nil || len(pins) != 1 || !pins.Have(i.Cluster.CA[0]) {
			t.Errorf("the hashes are not the CA's: %v, %v", pins, err)
		}
	}
}

func TestDiscoveryIsRefusedWhereItCannotWork(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(*join.Cluster){
		"has a path":           func(c *join.Cluster) { c.Server = "https://rancher.example.com/k8s/clusters/c-1" },
		"tls-server-name":      func(c *join.Cluster) { c.TLSServerName = "kubernetes" },
		"neither a DNS name":   func(c *join.Cluster) { c.Server = "https://api_server:6443" },
		"not an absolute http": func(c *join.Cluster) { c.Server = "api.example.com:6443" },
		"no CA for a node":     func(c *join.Cluster) { c.CA = nil },
	} {
		i := invitation(t)
		i.Discovery = true
		change(&i.Cluster)
		if _, err := i.UserData(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, expected %q", err, says)
		}
		if files, err := i.Files(); err == nil {
			t.Errorf("%d files all the same", len(files))
		}
	}
}

func TestAServerIsAURLThatNoTextTakesForSomethingElse(t *testing.T) {
	t.Parallel()
	for _, good := range []string{server, "https://192.0.2.1", "https://[2001:db8::1]:6443", "https://a.example.com/x%20y", "https://api_server:6443"} {
		if err := join.CheckServer(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, says := range map[string]string{
		"": "missing", "http://a:6443": "plain http", "a:6443": "not an absolute https URL", "https://": "not an absolute",
		"https://user:w3vj8yq2hg5tzx4p@a:6443": "credentials", "https://a?token=w3vj8yq2hg5tzx4p": "query", "https://a/x y": "percent-encoded",
		"https://a/\"x": "percent-encoded", "https://a/é": "percent-encoded", "https://a/\u2028": "percent-encoded", "https://a/{x}": "percent-encoded", "https://a/\nb: c": "not a URL",
		"https://a:w3vj8yq2hg5tzx4p": "not a URL", "https://<SERVER>": "",
	} {
		err := join.CheckServer(bad)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, expected %q", bad, err, says)
			continue
		}
		silent(t, err, "w3vj8yq2hg5tzx4p")
	}
}

func TestAServerOfThisMachineAloneIsNoticed(t *testing.T) {
	t.Parallel()
	for url, here := range map[string]bool{
		"https://127.0.0.1:6443": true, "https://localhost:6443": true, "https://LOCALHOST.:6443": true, "https://[::1]:6443": true,
		"https://0.0.0.0:6443": true, "https://kind.localhost:6443": true, server: false, "https://10.0.0.1": false, "https://localhost.example.com": false,
	} {
		if join.OnlyHere(url) != here {
			t.Errorf("%s: %v", url, !here)
		}
	}
}

func TestAFolderHasAllThatAdminAndNodeNeed(t *testing.T) {
	t.Parallel()
	for discovers, names := range map[bool][]string{
		false: {"secret.yaml", "bootstrap.kubeconfig", "user-data.yaml"},
		true:  {"secret.yaml", "bootstrap.token", "config.yaml", "user-data.yaml"},
	} {
		i := invitation(t)
		i.Discovery = discovers
		files, err := i.Files()
		must(t, err)
		var got []string
		for _, f := range files {
			got = append(got, f.Name)
			if f.Content == "" || filepath.Base(f.Name) != f.Name {
				t.Errorf("%s has %d bytes", f.Name, len(f.Content))
			}
		}
		if !slices.Equal(got, names) {
			t.Errorf("discovery %v: %q", discovers, got)
		}
	}
}
