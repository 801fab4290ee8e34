package controlplane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

var loopbackIP = net.IPv4(127, 0, 0, 1)

// kubeletClientUser is who the API server is when it calls a kubelet, by the name that kubeadm gives it.
const kubeletClientUser = "kube-apiserver-kubelet-client"

// pki is every key and certificate of one control plane. Its files lie in dir, as the programs read them.
type pki struct {
	dir string
	// cluster signs the API server's serving certificate and the components' client certificates.
	cluster *authority
	// signer signs the kubelets' certificates: cluster itself, or another one with Options.SplitCA.
	signer *authority
	// next is the CA that is to take cluster's place; nil: there is none.
	next *nextCA
}

func newPKI(dir string, split bool, addresses []net.IP) (*pki, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the control plane's certificates: %w", err)
	}
	p := &pki{dir: dir}
	var err error
	if p.cluster, err = newAuthority("kubernetes"); err != nil {
		return nil, err
	}
	p.signer = p.cluster
	if split {
		if p.signer, err = newAuthority("kubelet-signer"); err != nil {
			return nil, err
		}
	}
	return p, p.write(addresses)
}

func (p *pki) path(name string) string { return filepath.Join(p.dir, name) }

func (p *pki) write(addresses []net.IP) error {
	apiServer, err := p.cluster.issue(apiServerTemplate(addresses))
	if err != nil {
		return err
	}
	kubeletClient, err := p.cluster.issue(clientTemplate(kubeletClientUser))
	if err != nil {
		return err
	}
	serviceAccountKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the service account key: %w", err)
	}
	serviceAccountPEM, err := marshalKey(serviceAccountKey)
	if err != nil {
		return err
	}
	clientCAs := p.cluster.certPEM
	if p.signer != p.cluster {
		clientCAs = bytes.Join([][]byte{p.cluster.certPEM, p.signer.certPEM}, nil)
	}
	return p.put(map[string][]byte{
		"ca.crt": p.cluster.certPEM, "ca.key": p.cluster.keyPEM,
		"signer.crt": p.signer.certPEM, "signer.key": p.signer.keyPEM,
		"kubelet-ca.crt": p.signer.certPEM, "root-ca.crt": p.cluster.certPEM,
		"client-ca.crt": clientCAs,
		"apiserver.crt": apiServer.certPEM, "apiserver.key": apiServer.keyPEM,
		"kubelet-client.crt": kubeletClient.certPEM, "kubelet-client.key": kubeletClient.keyPEM,
		"service-account.key": serviceAccountPEM,
	})
}

func apiServerTemplate(addresses []net.IP) x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		IPAddresses: append([]net.IP{loopbackIP, serviceIP}, addresses...),
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}
