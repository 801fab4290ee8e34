package controlplane

import (
	"context"
	"errors"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// approver approves serving CSRs, since nothing in a stock cluster does.
type approver struct {
	cp    *ControlPlane
	match func(*certificatesv1.CertificateSigningRequest) bool
	delay time.Duration
	seen  map[types.UID]bool
	tasks sync.WaitGroup
}

// ApproveServing approves every kubernetes.io/kubelet-serving CSR that match accepts (all if it is nil), those that are
// there already too, each after the delay. It lives through restarts of the API server. Call stop to end it; CSRs whose
// delay is not over then stay pending.
func (cp *ControlPlane) ApproveServing(ctx context.Context, match func(*certificatesv1.CertificateSigningRequest) bool, delay time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	a := &approver{cp: cp, match: match, delay: delay, seen: map[types.UID]bool{}}
	a.tasks.Go(func() { a.run(ctx) })
	return func() {
		cancel()
		a.tasks.Wait()
	}
}

// run lists and watches, again and again: a watch ends when the API server does, and by itself every few minutes.
func (a *approver) run(ctx context.Context) {
	csrs := a.cp.admin.CertificatesV1().CertificateSigningRequests()
	serving := fields.OneTermEqualSelector("spec.signerName", certificatesv1.KubeletServingSignerName).String()
	for ; ctx.Err() == nil; sleep(ctx, 100*time.Millisecond) {
		list, err := csrs.List(ctx, metav1.ListOptions{FieldSelector: serving})
		if err != nil {
			continue
		}
		for _, csr := range list.Items {
			a.handle(ctx, &csr)
		}
		watcher, err := csrs.Watch(ctx, metav1.ListOptions{FieldSelector: serving, ResourceVersion: list.ResourceVersion})
		if err != nil {
			continue
		}
		for event := range watcher.ResultChan() {
			if csr, ok := event.Object.(*certificatesv1.CertificateSigningRequest); ok && event.Type == watch.Added {
				a.handle(ctx, csr)
			}
		}
		watcher.Stop()
	}
}

func (a *approver) handle(ctx context.Context, csr *certificatesv1.CertificateSigningRequest) {
	if a.seen[csr.UID] || len(csr.Status.Conditions) > 0 || (a.match != nil && !a.match(csr)) {
		return
	}
	a.seen[csr.UID] = true
	a.tasks.Go(func() {
		for sleep(ctx, a.delay); ctx.Err() == nil; sleep(ctx, 100*time.Millisecond) {
			// deleted or decided meanwhile by somebody else is not ours to report; an API server that is down comes back
			if err := a.cp.Approve(ctx, csr.Name); err == nil || !temporary(err) {
				return
			}
		}
	})
}

// temporary tells an API server that did not answer, or not now, from one that said no.
func temporary(err error) bool {
	status := apierrors.APIStatus(nil)
	return !errors.As(err, &status) || status.Status().Code >= 500 || apierrors.IsTooManyRequests(err)
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
