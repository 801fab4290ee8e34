package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// kubeletSeries are the kubelet's names for what it says of its certificates while it rotates them itself
// (k8s.io/kubernetes pkg/kubelet/certificate/kubelet.go, client-go util/certificate): stock alerts ask for them, and they vanish from a
// kubelet that does not. A time to live is below 0 when the certificate has expired, and +Inf when there is none.
type kubeletSeries struct{ clientTTL, servingTTL, clientErrors, servingErrors *prometheus.Desc }

func newKubeletSeries() kubeletSeries {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return kubeletSeries{
		clientTTL:     desc("kubelet_certificate_manager_client_ttl_seconds", "Seconds that the client certificate is still valid; below 0: expired; +Inf: there is none."),
		servingTTL:    desc("kubelet_certificate_manager_server_ttl_seconds", "Seconds that the serving certificate is still valid; below 0: expired; +Inf: there is none."),
		clientErrors:  desc("kubelet_certificate_manager_client_expiration_renew_errors", "Errors while the client certificate was to be renewed."),
		servingErrors: desc("kubelet_server_expiration_renew_errors", "Errors while the serving certificate was to be renewed."),
	}
}

// kubeletCollector shows the agent's state under the kubelet's names.
type kubeletCollector struct {
	kubeletSeries
	m *Metrics
}

// Describe sends what there is.
func (c kubeletCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{c.clientTTL, c.servingTTL, c.clientErrors, c.servingErrors} {
		descs <- desc
	}
}

// Collect sends the values.
func (c kubeletCollector) Collect(out chan<- prometheus.Metric) {
	standing, now := c.m.stands(), c.m.clock.Now()
	out <- prometheus.MustNewConstMetric(c.clientTTL, prometheus.GaugeValue, left(standing.Client, now))
	out <- prometheus.MustNewConstMetric(c.servingTTL, prometheus.GaugeValue, left(standing.Serving, now))
	out <- prometheus.MustNewConstMetric(c.clientErrors, prometheus.CounterValue, float64(c.m.counters.renewals.client.Load()))
	out <- prometheus.MustNewConstMetric(c.servingErrors, prometheus.CounterValue, float64(c.m.counters.renewals.serving.Load()))
}

func left(c status.CertificateStanding, now time.Time) float64 {
	if c.NotAfter.IsZero() {
		return math.Inf(1)
	}
	return c.NotAfter.Sub(now).Seconds()
}
