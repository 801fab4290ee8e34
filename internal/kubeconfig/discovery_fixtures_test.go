package kubeconfig_test

import (
	"errors"
	"os"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// tokenName is the file of a discovery token, beside the bootstrap kubeconfig.
const tokenName = "discovery.token"

func discoveryToken(f, _ folder) { f.write(tokenName, token) }

func linkedDiscoveryToken(f, _ folder) {
	f.write("real", token)
	f.symlink("real", tokenName)
}

// credential reads what the agent would: the bootstrap kubeconfig, or the discovery token where there is none.
func (f folder) credential() (*kubeconfig.Bootstrap, error) {
	b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	if _, none := os.Lstat(f.in(tokenName)); errors.Is(err, kubeconfig.ErrNoCredential) && none == nil {
		return kubeconfig.LoadToken(f.in(tokenName))
	}
	return b, err
}

// aside are the files that lie aside, of either.
func (f folder) aside() []string {
	return append(kubeconfig.Aside(f.bootstrapFile()), kubeconfig.AsideToken(f.in(tokenName))...)
}
