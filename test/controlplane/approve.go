package controlplane

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
)

// Approve approves a CSR, as kubectl certificate approve does. An approved one is approved again, to no effect.
func (cp *ControlPlane) Approve(ctx context.Context, name string) error {
	return cp.decide(ctx, name, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Reason: "ApprovedByTest", Message: "approved by a test",
	})
}

// Deny denies a CSR, as an approver does that finds something wrong with it.
func (cp *ControlPlane) Deny(ctx context.Context, name, reason, message string) error {
	return cp.decide(ctx, name, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateDenied, Reason: reason, Message: message,
	})
}

// Fail marks a CSR as failed, as a signer does that cannot sign it.
func (cp *ControlPlane) Fail(ctx context.Context, name, reason, message string) error {
	return cp.decide(ctx, name, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateFailed, Reason: reason, Message: message,
	})
}

// decide adds a condition. Approvers write theirs to /approval, signers to /status, and the API server holds them to it.
func (cp *ControlPlane) decide(ctx context.Context, name string, condition certificatesv1.CertificateSigningRequestCondition) error {
	csrs := cp.admin.CertificatesV1().CertificateSigningRequests()
	condition.Status = corev1.ConditionTrue
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		csr, err := csrs.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if slices.ContainsFunc(csr.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool { return c.Type == condition.Type }) {
			return nil // a type stands only once, and the first stays
		}
		csr.Status.Conditions = append(csr.Status.Conditions, condition)
		if condition.Type == certificatesv1.CertificateFailed {
			_, err = csrs.UpdateStatus(ctx, csr, metav1.UpdateOptions{})
		} else {
			_, err = csrs.UpdateApproval(ctx, name, csr, metav1.UpdateOptions{})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("add condition %s to CSR %s: %w", condition.Type, name, err)
	}
	return nil
}

// Delete deletes a CSR, as kube-controller-manager does after an hour or a day.
func (cp *ControlPlane) Delete(ctx context.Context, name string) error {
	if err := cp.admin.CertificatesV1().CertificateSigningRequests().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete CSR %s: %w", name, err)
	}
	return nil
}

// CSRs are all CSRs, client and serving, that ask for a certificate of the node (CN system:node:NODE), oldest first.
func (cp *ControlPlane) CSRs(ctx context.Context, node string) ([]certificatesv1.CertificateSigningRequest, error) {
	found, err := cp.csrs.of(ctx, "system:node:"+node)
	if err != nil {
		return nil, fmt.Errorf("list the CSRs of node %s: %w", node, err)
	}
	slices.SortStableFunc(found, func(a, b certificatesv1.CertificateSigningRequest) int {
		return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
	})
	return found, nil
}

// ParseRequest is what a CSR asks to have signed.
func ParseRequest(csr *certificatesv1.CertificateSigningRequest) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(csr.Spec.Request)
	if block == nil {
		return nil, fmt.Errorf("decode the request of CSR %s: no PEM", csr.Name)
	}
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("decode the request of CSR %s: %w", csr.Name, err)
	}
	return request, nil
}
