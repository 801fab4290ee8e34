package kubeconfig

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// endpointOf checks what a kubeconfig says about its cluster. TLS verification cannot be switched off, and there is no silent
// falling back to the system's roots: whoever holds a certificate of a public CA could then take the token.
func endpointOf(cluster *clientcmdapi.Cluster) (apiserver.Endpoint, error) {
	if cluster.InsecureSkipTLSVerify {
		return apiserver.Endpoint{}, errors.New("insecure-skip-tls-verify is set: whoever answers would get the credential; remove it and give certificate-authority-data")
	}
	if err := apiserver.CheckServer(cluster.Server); err != nil {
		return apiserver.Endpoint{}, err
	}
	if cluster.ProxyURL != "" {
		if proxy, err := url.Parse(cluster.ProxyURL); err != nil || proxy.Host == "" {
			return apiserver.Endpoint{}, errors.New("proxy-url is not a URL")
		}
	}
	ca, err := caOf(cluster)
	if err != nil {
		return apiserver.Endpoint{}, err
	}
	return apiserver.Endpoint{Server: cluster.Server, TLSServerName: cluster.TLSServerName, ProxyURL: cluster.ProxyURL, CA: ca}, nil
}

func caOf(cluster *clientcmdapi.Cluster) ([]byte, error) {
	ca, field := cluster.CertificateAuthorityData, "certificate-authority-data"
	if cluster.CertificateAuthority != "" && len(ca) == 0 {
		field = "certificate-authority " + cluster.CertificateAuthority
		file, err := readNamed(cluster.LocationOfOrigin, "certificate-authority", cluster.CertificateAuthority)
		if err != nil {
			return nil, err
		}
		if ca = file.Data; len(ca) == 0 {
			return nil, fmt.Errorf("%s is empty", field)
		}
	}
	if len(ca) == 0 {
		return nil, errors.New("has no CA (certificate-authority-data or certificate-authority): without it the server cannot be verified")
	}
	if !x509.NewCertPool().AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no PEM certificate", field)
	}
	return ca, nil
}
