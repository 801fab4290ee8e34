package controlplane

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// nextCA is the CA that takes the place of the first one.
type nextCA struct {
	*authority
	// crossed is a certificate of its key that the first CA has signed, PEM.
	crossed []byte
}

// addNext makes it. The components trust both from here on, and are known by certificates of the new one: what is left are the nodes, and
// then the API server's own certificate.
func (p *pki) addNext() error {
	next, err := newAuthority("kubernetes-next")
	if err != nil {
		return err
	}
	template := *next.certificate
	crossed, err := p.cluster.sign(&x509.Certificate{
		Subject: template.Subject, NotBefore: template.NotBefore, NotAfter: template.NotAfter, KeyUsage: template.KeyUsage,
		BasicConstraintsValid: true, IsCA: true,
	}, next.key)
	if err != nil {
		return err
	}
	p.next = &nextCA{next, crossed.certPEM}
	both := bytes.Join([][]byte{p.cluster.certPEM, next.certPEM}, nil)
	return p.put(map[string][]byte{"client-ca.crt": both, "kubelet-ca.crt": both, "root-ca.crt": both})
}

func (p *pki) put(files map[string][]byte) error {
	for name, content := range files {
		if err := os.WriteFile(p.path(name), content, 0o600); err != nil {
			return fmt.Errorf("write the control plane's certificates: %w", err)
		}
	}
	return nil
}

// NextCA is the CA that is to take the place of [ControlPlane.CA], PEM; crossed is a certificate of its key that CA has signed.
func (cp *ControlPlane) NextCA() (root, crossed []byte) {
	return cp.pki.next.certPEM, cp.pki.next.crossed
}

// UseNextCA has the API server restarted with certificates of the next CA, and kube-controller-manager sign with it. Who trusts the first one
// only cannot speak to the API server any more; client certificates of both are accepted.
func (cp *ControlPlane) UseNextCA(ctx context.Context) error {
	next := cp.pki.next
	if next == nil {
		return errors.New("use the next CA: there is none (Options.NextCA)")
	}
	apiServer, err := next.issue(apiServerTemplate(cp.options.Addresses))
	if err != nil {
		return err
	}
	kubeletClient, err := next.issue(clientTemplate(kubeletClientUser))
	if err != nil {
		return err
	}
	if err := cp.StopAPIServer(); err != nil {
		return err
	}
	if err := cp.pki.put(map[string][]byte{
		"ca.crt": next.certPEM, "ca.key": next.keyPEM, "signer.crt": next.certPEM, "signer.key": next.keyPEM,
		"apiserver.crt": apiServer.certPEM, "apiserver.key": apiServer.keyPEM,
		"kubelet-client.crt": kubeletClient.certPEM, "kubelet-client.key": kubeletClient.keyPEM,
	}); err != nil {
		return err
	}
	return cp.StartAPIServer(ctx)
}

// DropFirstCA has the API server accept client certificates of the next CA only, within a moment: it watches the file.
func (cp *ControlPlane) DropFirstCA() error {
	return cp.pki.put(map[string][]byte{"client-ca.crt": cp.pki.next.certPEM})
}

// NextClientCertificate is [ControlPlane.ClientCertificate] of the next CA.
func (cp *ControlPlane) NextClientCertificate(cn string, orgs ...string) (certPEM, keyPEM []byte, err error) {
	issued, err := cp.pki.next.issue(clientTemplate(cn, orgs...))
	return issued.certPEM, issued.keyPEM, err
}

// ofComponents is what signs the components' client certificates, and what they trust.
func (cp *ControlPlane) ofComponents() (signer *authority, trusts []byte) {
	if next := cp.pki.next; next != nil {
		return next.authority, bytes.Join([][]byte{cp.pki.cluster.certPEM, next.certPEM}, nil)
	}
	return cp.pki.cluster, cp.pki.cluster.certPEM
}
