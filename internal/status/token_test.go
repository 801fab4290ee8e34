package status

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// What an agent makes of a token depends on what else is there; where it is, a secret is on the disk in any case.
func TestADiscoveryTokenIsObservedWhereverItLies(t *testing.T) {
	t.Parallel()
	const token = "abcdef.0123456789abcdef"
	server := func(c *config.Config) { c.APIServers = config.List{"a"} }
	for _, c := range []struct {
		name  string
		set   func(*config.Config)
		files map[string]string
		// undiscovered, bad: the token can be used once its cluster is known, or a person must act.
		undiscovered, bad bool
		// says is part of BootstrapErr; secret are the files that count as holding one.
		says   string
		secret []string
	}{
		{"a token", server, map[string]string{"token": token}, true, false, "has not been found out yet", []string{"token"}},
		{"none", server, nil, false, false, "token", nil},
		{"a malformed token", server, map[string]string{"token": "abc"}, false, true, "malformed", []string{"token"}},
		{"a token that lies aside", server, map[string]string{".token.used": token}, false, false, "nor does", []string{".token.used"}},
		{"a token, and an older one aside", server, map[string]string{"token": token, ".token.used": "x"}, true, false, "", []string{"token", ".token.used"}},
		{"a systemd credential", server, map[string]string{"credentials/discovery.token": token}, true, false, "", []string{"credentials/discovery.token"}},
		{"a systemd credential beside a file, which wins", server, map[string]string{"token": token, "credentials/discovery.token": token}, true, false, "", []string{"token"}},
		{"a systemd credential, and nothing says where the cluster is", func(c *config.Config) { c.DiscoveryTokenFile = "" }, map[string]string{"credentials/discovery.token": token}, false, false, "give --api-server", []string{"credentials/discovery.token"}},
		{"a token beside a kubeconfig that is bad: it wins all the same", server, map[string]string{"token": token, "bootstrap": "half a kube"}, false, true, "is not a kubeconfig", []string{"bootstrap", "token"}},
		{"a discovery file that is not there", func(c *config.Config) { c.DiscoveryFile = "none" }, map[string]string{"token": token}, false, true, "discovery file", []string{"token"}},
		{"a discovery file with a credential", func(c *config.Config) { c.DiscoveryFile = "cluster" }, map[string]string{
			"token": token, "cluster": "apiVersion: v1\nkind: Config\nusers: [{name: u, user: {token: a}}]\n",
		}, false, true, "holds a credential", []string{"token"}},
	} {
		dir := t.TempDir()
		must(t, os.Mkdir(filepath.Join(dir, "credentials"), 0o700))
		for name, text := range c.files {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		cfg := config.Default()
		cfg.BootstrapKubeconfig, cfg.DiscoveryTokenFile, cfg.CredentialsDirectory = filepath.Join(dir, "bootstrap"), filepath.Join(dir, "token"), filepath.Join(dir, "credentials")
		cfg.CertDir, cfg.Kubeconfig = filepath.Join(dir, "pki"), filepath.Join(dir, "kubelet.kubeconfig")
		c.set(&cfg)
		if cfg.DiscoveryFile != "" {
			cfg.DiscoveryFile = filepath.Join(dir, cfg.DiscoveryFile)
		}
		o := Observe(cfg, noon)
		if (o.Undiscovered != nil) != c.undiscovered || o.BadCredential() != c.bad || o.Bootstrap != nil || !strings.Contains(o.BootstrapErr.Error(), c.says) {
			t.Errorf("%s: undiscovered %t, bad %t: %v", c.name, o.Undiscovered != nil, o.BadCredential(), o.BootstrapErr)
		}
		if none := !c.undiscovered && !c.bad; none != errors.Is(o.BootstrapErr, kubeconfig.ErrNoCredential) {
			t.Errorf("%s: %v", c.name, o.BootstrapErr)
		}
		var secret []string
		for _, path := range o.SecretFiles(cfg) {
			secret = append(secret, strings.TrimPrefix(path, dir+"/"))
		}
		if !slices.Equal(secret, c.secret) {
			t.Errorf("%s: secrets are in %q, expected %q", c.name, secret, c.secret)
		}
	}
}
