package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Whoever reads STATUS= puts something somewhere: it must be what these settings look for, and where they do.
func TestWhatToPutWhereGoesByTheSettings(t *testing.T) {
	const tokenFile, kubeconfigFile = "/etc/kubernetes/bootstrap.token", "/etc/kubernetes/bootstrap.kubeconfig"
	none := fmt.Errorf("%w: nothing is there", kubeconfig.ErrNoCredential)
	undiscovered := &kubeconfig.Bootstrap{Path: tokenFile, Source: kubeconfig.DiscoveryToken}
	for _, c := range []struct {
		name  string
		token bool
		o     status.Observed
		says  string
	}{
		{"nothing, by a bootstrap kubeconfig", false, status.Observed{BootstrapErr: none}, "put a bootstrap kubeconfig at " + kubeconfigFile + " ("},
		{"nothing, by a discovery token", true, status.Observed{BootstrapErr: none}, "put a bootstrap token at " + tokenFile + ", or a bootstrap kubeconfig at " + kubeconfigFile + " ("},
		{"a bad bootstrap kubeconfig", true, status.Observed{BootstrapErr: errors.New("bad"), BootstrapFile: kubeconfigFile}, "mend the bootstrap kubeconfig"},
		{"a bad discovery token", true, status.Observed{BootstrapErr: errors.New("bad"), BootstrapFile: tokenFile}, "mend the discovery token"},
		{"a bad systemd credential", true, status.Observed{BootstrapErr: errors.New("bad"), BootstrapFile: "/run/credentials/a/discovery.token"}, "put a bootstrap token at " + tokenFile},
		{"a token whose cluster is looked for", true, status.Observed{BootstrapErr: status.ErrUndiscovered, BootstrapFile: tokenFile, Undiscovered: undiscovered}, "where the cluster of the token in " + tokenFile + " is has to be found out first"},
	} {
		a := thinker()
		a.cfg.BootstrapKubeconfig, a.cfg.DiscoveryTokenFile = kubeconfigFile, ""
		if c.token {
			a.cfg.DiscoveryTokenFile = tokenFile
		}
		if text := a.wantCredential(c.o); !strings.Contains(text, c.says) {
			t.Errorf("%s: %q, expected %q", c.name, text, c.says)
		}
		if text := a.howToJoin(); strings.Contains(text, "put a new bootstrap token at "+tokenFile) != c.token || !strings.Contains(text, kubeconfigFile) {
			t.Errorf("%s: after a reset it says %q", c.name, text)
		}
	}
}
