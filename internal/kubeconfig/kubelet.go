package kubeconfig

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Names inside the kubelet's kubeconfig: those that the kubelet's own bootstrap writes, and the cluster entry that the agent
// keeps for itself when the kubelet is given another server.
const (
	clusterName      = "default-cluster"
	userName         = "default-auth"
	contextName      = "default-context"
	agentClusterName = "bootstrap-agent"
)

// Kubelet is the content of the kubelet's kubeconfig: paths only, never data, so that the kubelet re-reads what they name.
type Kubelet struct {
	// Endpoint is where the agent reaches the API server.
	Endpoint apiserver.Endpoint
	// KubeletServer is where the kubelet reaches it; empty: the same. It differs where the kubelet's endpoint is served by
	// the kubelet itself (static pods), so that nothing answers there before the kubelet runs.
	KubeletServer string
	CAFile        string
	ClientPEM     string
	// Text is what the file held when it was read.
	Text []byte
}

// Render returns the file's bytes; the same content always gives the same ones.
func (k Kubelet) Render() ([]byte, error) {
	config := clientcmdapi.NewConfig()
	cluster := clientcmdapi.NewCluster()
	cluster.Server = k.Endpoint.Server
	cluster.TLSServerName = k.Endpoint.TLSServerName
	cluster.ProxyURL = k.Endpoint.ProxyURL
	cluster.CertificateAuthority = k.CAFile
	if k.KubeletServer != "" && k.KubeletServer != k.Endpoint.Server {
		config.Clusters[agentClusterName] = cluster.DeepCopy()
		cluster.Server = k.KubeletServer
	}
	config.Clusters[clusterName] = cluster

	user := clientcmdapi.NewAuthInfo()
	user.ClientCertificate, user.ClientKey = k.ClientPEM, k.ClientPEM
	config.AuthInfos[userName] = user

	context := clientcmdapi.NewContext()
	context.Cluster, context.AuthInfo, context.Namespace = clusterName, userName, "default"
	config.Contexts[contextName] = context
	config.CurrentContext = contextName
	return clientcmd.Write(*config)
}

// LoadKubelet reads the kubelet's kubeconfig at path. An error that wraps [io/fs.ErrNotExist] means that the file, or the
// CA that it names, is not there.
func (r *Reader) LoadKubelet(path string) (*Kubelet, error) {
	file, err := r.read(path)
	if err != nil {
		return nil, fmt.Errorf("kubelet kubeconfig: %w", err)
	}
	cluster, user, err := r.current(path, file.Data)
	if err != nil {
		return nil, fmt.Errorf("kubelet kubeconfig %s: %w", path, err)
	}
	k := &Kubelet{Text: file.Data, CAFile: cluster.CertificateAuthority, ClientPEM: user.ClientCertificate}
	if k.Endpoint, err = endpointOf(cluster); err != nil {
		return nil, fmt.Errorf("kubelet kubeconfig %s: %w", path, err)
	}
	if !bytes.Contains(file.Data, []byte(agentClusterName)) {
		return k, nil
	}
	if config, err := clientcmd.Load(file.Data); err == nil && config.Clusters[agentClusterName] != nil {
		k.KubeletServer = k.Endpoint.Server
		k.Endpoint.Server = config.Clusters[agentClusterName].Server
		if err := apiserver.CheckServer(k.Endpoint.Server); err != nil {
			return nil, fmt.Errorf("kubelet kubeconfig %s: cluster %s: %w", path, agentClusterName, err)
		}
	}
	return k, nil
}

// WriteKubelet makes path hold k, and says whether that changed anything. What crashes left of earlier attempts goes.
func WriteKubelet(disk durable.Disk, path string, k Kubelet) (changed bool, err error) {
	data, err := k.Render()
	if err != nil {
		return false, fmt.Errorf("kubelet kubeconfig: %w", err)
	}
	sweepTemps(disk, path)
	existing, err := durable.ReadFile(path, maxSize)
	if err == nil && bytes.Equal(existing.Data, data) && existing.Info.Mode().Perm() == 0o600 {
		return false, nil
	}
	return true, disk.WriteFile(path, data, 0o600)
}

// sweepTemps removes what [Temps] finds: it lies in no folder that is swept otherwise, and only the agent that holds the cert-dir
// writes it. It holds no secret, so what cannot be removed stops nothing.
func sweepTemps(disk durable.Disk, path string) {
	for _, temp := range Temps(path) {
		_ = disk.Remove(temp)
	}
}

// Temps returns the temporary files that were to become path, as a crash leaves them.
func Temps(path string) []string {
	var temps []string
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), filepath.Ext(entry.Name()))
		meant := strings.TrimSuffix(name, filepath.Ext(name))
		if durable.IsTemp(entry.Name()) && meant == "."+filepath.Base(path) && entry.Type().IsRegular() {
			temps = append(temps, filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
	return temps
}
