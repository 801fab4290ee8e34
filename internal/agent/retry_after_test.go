package agent

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Without a certificate what the server asks for is a lower bound, up to an hour.
func TestAServerThatAsksForAnHourDoesNotLetACertificateExpire(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	inAnHour := apierrors.NewServiceUnavailable("by a test")
	inAnHour.ErrStatus.Details = &metav1.StatusDetails{RetryAfterSeconds: 3600}
	for _, c := range []struct {
		name string
		left time.Duration
		most time.Duration
	}{
		{"none", 0, time.Hour},
		{"one that lives for another 10 minutes", 10 * time.Minute, time.Minute},
		{"one that lives for another year", 365 * 24 * time.Hour, time.Hour},
	} {
		for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
			s, _ := start(t, m, disk{client: "missing", older: "missing", clientPending: "none", serving: "missing", servingPending: "none"}, durable.Disk{})
			a := s.agent
			memory, k := &a.client, &a.keep.client
			if kind == csr.Serving {
				memory, k = &a.serving, &a.keep.serving
			}
			if c.left > 0 {
				k.pair = pairFor(nodeUser, c.left)
			}
			asked := apiserver.RetryAfter(inAnHour)
			if asked != time.Hour {
				t.Fatalf("the error asks for %s", asked)
			}
			a.failed(memory, inAnHour)
			if wait := memory.retryAt.Sub(noon); wait > c.most || wait < c.most/2 {
				t.Errorf("%s certificate, %s: asked again after %s, expected %s", kind, c.name, wait, c.most)
			}
			s.close()
		}
	}
}
