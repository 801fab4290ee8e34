package kubeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
)

// Place is where a cluster is according to a kubeconfig, and nothing of who may use it. It is as it was found, unchecked.
type Place struct {
	Server, TLSServerName string
	CA                    []byte
	// CAFile is the file with the CA if that is not in the kubeconfig.
	CAFile string
	// Unverified says that the kubeconfig tells its users not to look at who answers.
	Unverified bool
	// Proxied says that it leads through a proxy.
	Proxied bool
}

// PlaceIn reads where the cluster of a context is, the current one if context is empty. path is where data was read: what it names lies
// relative to its folder. No error quotes what stands there.
func PlaceIn(path string, data []byte, context string) (Place, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return Place{}, errors.New("is empty")
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		return Place{}, fmt.Errorf("is not a kubeconfig%s; check it with: kubectl --kubeconfig=FILE config view", lineOf(err))
	}
	if context == "" {
		context = config.CurrentContext
	}
	entry, ok := config.Contexts[context]
	switch {
	case context == "":
		return Place{}, errors.New("has no current-context; say which one to take: --context, of those that kubectl --kubeconfig=FILE config get-contexts shows")
	case !ok || entry == nil:
		return Place{}, errors.New("has no such context; kubectl --kubeconfig=FILE config get-contexts shows those it has")
	}
	cluster, ok := config.Clusters[entry.Cluster]
	if !ok || cluster == nil {
		return Place{}, errors.New("has no entry for the cluster of that context")
	}
	p := Place{
		Server: cluster.Server, TLSServerName: cluster.TLSServerName, CA: cluster.CertificateAuthorityData,
		Unverified: cluster.InsecureSkipTLSVerify, Proxied: cluster.ProxyURL != "",
	}
	if file := cluster.CertificateAuthority; file != "" && len(p.CA) == 0 {
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(path), file)
		}
		p.CAFile = file
	}
	return p, nil
}
