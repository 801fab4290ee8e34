package kubeconfig

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// LoadToken reads a file with a bootstrap token and nothing else. What is returned has no [Bootstrap.Endpoint]: where the cluster is must be
// found out. An error that wraps [ErrNoCredential] means that there is no such file.
func (r *Reader) LoadToken(path string) (*Bootstrap, error) {
	file, err := r.read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s does not exist", ErrNoCredential, path)
	case err != nil:
		return nil, fmt.Errorf("discovery token: %w", err)
	case len(bytes.TrimSpace(file.Data)) == 0:
		return nil, fmt.Errorf("discovery token %s is empty; is it still being written?", path)
	}
	token := string(bytes.TrimSpace(file.Data))
	if _, _, ok := apiserver.CutBootstrapToken(token); !ok {
		return nil, fmt.Errorf("discovery token %s is malformed: the file must hold a bootstrap token and nothing else, 6 characters, a dot, 16 characters, of a-z and 0-9", path)
	}
	return &Bootstrap{
		Path: path, Mode: file.Info.Mode().Perm(), Source: DiscoveryToken,
		Credential: apiserver.Credential{Token: token}, used: map[string][]byte{path: file.Data},
	}, nil
}

// At returns the credential with the endpoint that was found out for it.
func (b *Bootstrap) At(endpoint apiserver.Endpoint) *Bootstrap {
	found := *b
	found.Endpoint = endpoint
	return &found
}

// LoadDiscovery reads a kubeconfig that says where the cluster is and holds no credential.
func (r *Reader) LoadDiscovery(path string) (apiserver.Endpoint, error) {
	file, err := r.read(path)
	if err != nil {
		return apiserver.Endpoint{}, fmt.Errorf("discovery file: %w", err)
	}
	cluster, err := r.place(path, file.Data)
	if err != nil {
		return apiserver.Endpoint{}, fmt.Errorf("discovery file %s: %w", path, err)
	}
	endpoint, err := endpointOf(cluster)
	if err != nil {
		return apiserver.Endpoint{}, fmt.Errorf("discovery file %s: %w", path, err)
	}
	return endpoint, nil
}

// NamedByDiscovery returns the files that the discovery file at path names, as far as it can be read. They need not be there.
func (r *Reader) NamedByDiscovery(path string) []string {
	file, err := r.read(path)
	if err != nil {
		return nil
	}
	cluster, err := r.place(path, file.Data)
	if err != nil || cluster.CertificateAuthority == "" {
		return nil
	}
	return []string{cluster.CertificateAuthority}
}

// place returns the cluster of a kubeconfig without a credential: that of the current context, or the only one.
func place(path string, data []byte) (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil, errors.New("is empty; is it still being written?")
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		return nil, nil, fmt.Errorf("is not a kubeconfig%s; check it with: kubectl --kubeconfig=%s config view", lineOf(err), path)
	}
	for _, user := range config.AuthInfos {
		if _, err := sourceOf(user); !errors.Is(err, errNoSource) {
			return nil, nil, errors.New("holds a credential: a kubeconfig with one belongs at --bootstrap-kubeconfig, which needs no discovery")
		}
	}
	var cluster *clientcmdapi.Cluster
	if context := config.Contexts[config.CurrentContext]; context != nil {
		cluster = config.Clusters[context.Cluster]
	}
	if len(config.Clusters) == 1 && config.CurrentContext == "" {
		for _, only := range config.Clusters {
			cluster = only
		}
	}
	if cluster == nil {
		return nil, nil, errors.New("does not say which of its clusters is meant; set current-context")
	}
	cluster.LocationOfOrigin = path
	err = clientcmd.ResolveLocalPaths(&clientcmdapi.Config{Clusters: map[string]*clientcmdapi.Cluster{"": cluster}})
	return cluster, nil, err
}
