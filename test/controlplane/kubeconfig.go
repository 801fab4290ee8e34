package controlplane

import (
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig is a kubeconfig, YAML, for the given credential. An empty server means the API server itself; another one is
// for a test that puts something in between. The CA is inline.
func (cp *ControlPlane) Kubeconfig(server string, user clientcmdapi.AuthInfo) ([]byte, error) {
	return cp.kubeconfig(server, cp.CA(), user)
}

// kubeconfig is Kubeconfig with that CA.
func (cp *ControlPlane) kubeconfig(server string, ca []byte, user clientcmdapi.AuthInfo) ([]byte, error) {
	if server == "" {
		server = cp.Server()
	}
	content, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"test": {Server: server, CertificateAuthorityData: ca}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"user": &user},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "user"}},
		CurrentContext: "test",
	})
	if err != nil {
		return nil, fmt.Errorf("encode a kubeconfig: %w", err)
	}
	return content, nil
}

// writeKubeconfig writes a kubeconfig with a fresh client certificate for a component.
func (cp *ControlPlane) writeKubeconfig(path, user string, groups ...string) error {
	signer, trusts := cp.ofComponents()
	issued, err := signer.issue(clientTemplate(user, groups...))
	if err != nil {
		return err
	}
	content, err := cp.kubeconfig("", trusts, clientcmdapi.AuthInfo{ClientCertificateData: issued.certPEM, ClientKeyData: issued.keyPEM})
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", user, err)
	}
	return nil
}

// adminConfig is the admin's access, without a limit of our own on the rate of requests: tests wait for the API server only.
func (cp *ControlPlane) adminConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", cp.AdminKubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the admin's kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}
