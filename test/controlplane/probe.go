package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// awaitIssuing has a certificate issued, which alone tells that approver and signer are at work. Approving takes the
// approver's role in RBAC too. The CSR is deleted again.
func (cp *ControlPlane) awaitIssuing(ctx context.Context) error {
	for _, name := range cp.options.Controllers {
		if name == "-certificatesigningrequest-approving-controller" || name == "-certificatesigningrequest-signing-controller" {
			return nil
		}
	}
	csrs := cp.admin.CertificatesV1().CertificateSigningRequests()
	request, err := probeRequest()
	if err != nil {
		return err
	}
	probe, err := csrs.Create(ctx, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("ask for a certificate to see whether any is issued: %w", err)
	}
	err = cp.await(ctx, "a certificate to be issued", func(ctx context.Context) error {
		got, err := csrs.Get(ctx, probe.Name, metav1.GetOptions{})
		if err == nil && len(got.Status.Certificate) == 0 {
			err = errors.New("pending")
		}
		return err
	}, cp.controllerManager)
	return errors.Join(err, csrs.Delete(context.WithoutCancel(ctx), probe.Name, metav1.DeleteOptions{}))
}

func probeRequest() (*certificatesv1.CertificateSigningRequest, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:control-plane-probe", Organization: []string{"system:nodes"}},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("sign a CSR: %w", err)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: "control-plane-probe"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: certificatesv1.KubeAPIServerClientKubeletSignerName,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth},
		},
	}, nil
}
