package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// gauge is one series, or one for each certificate or reason.
type gauge struct {
	desc *prometheus.Desc
	read func(status.Standing, func(value float64, labels ...string))
}

// newGauges returns all that follow from how things stand. Times are seconds since the epoch, 0 where there is none.
func newGauges() []gauge {
	return []gauge{
		perCertificate("certificate_expiration_timestamp_seconds", "When the certificate in use expires (notAfter); 0: there is none.",
			func(c status.CertificateStanding) float64 { return seconds(c.NotAfter) }),
		perCertificate("certificate_not_before_timestamp_seconds", "From when the certificate in use is valid (notBefore); 0: there is none.",
			func(c status.CertificateStanding) float64 { return seconds(c.NotBefore) }),
		perCertificate("certificate_rotation_timestamp_seconds", "When the agent is to replace the certificate in use; 0: it does not (a placeholder, the kubelet's own, or rotation switched off).",
			func(c status.CertificateStanding) float64 { return seconds(c.RotateAt) }),
		perCertificate("certificate_self_signed", "1: a self-signed placeholder, or the kubelet's own certificate, is in use.",
			func(c status.CertificateStanding) float64 { return truth(c.SelfSigned) }),
		perCertificate("certificate_short_lived", "1: the lifetime of the certificate in use is below 20 minutes, which leaves no time to mend anything.",
			func(c status.CertificateStanding) float64 { return truth(c.ShortLived) }),
		perCertificate("certificate_signing_request_pending_timestamp_seconds", "Since when a certificate signing request waits for approval; 0: none does.",
			func(c status.CertificateStanding) float64 { return seconds(c.PendingSince) }),
		perCertificate("last_rotation_success_timestamp_seconds", "When the issued certificate in use was stored; 0: none was.",
			func(c status.CertificateStanding) float64 { return seconds(c.Received) }),
		one("bootstrap_token_present", "1: a bootstrap credential is on the disk.", func(s status.Standing) float64 { return truth(s.BootstrapToken) }),
		one("serving_certificate_reloaded", "1: the kubelet serves the serving certificate that is on the disk; 0: it serves an older one; NaN: not known.",
			func(s status.Standing) float64 {
				if s.ServingTaken == nil {
					return math.NaN()
				}
				return truth(*s.ServingTaken)
			}),
		one("node_name_mismatch", "1: the node's identity has another name than this machine.", func(s status.Standing) float64 { return truth(s.NodeNameMismatch) }),
		one("clock_skew_seconds", "By how much this machine's clock is ahead of the API server's, going by its last answer; NaN: there was none for an hour.",
			func(s status.Standing) float64 {
				if s.ClockSkew == nil {
					return math.NaN()
				}
				return s.ClockSkew.Seconds()
			}),
		one("ready", "1: the node's identity can be used, as far as is known.", func(s status.Standing) float64 { return truth(s.NotReady == "") }),
		{
			desc: prometheus.NewDesc(name("kubelet_restart_needed"), "1: the kubelet does not use what is on the disk until it is restarted.", []string{"reason"}, nil),
			read: func(s status.Standing, put func(float64, ...string)) {
				for _, reason := range status.RestartReasons() {
					put(truth(s.Restart[reason]), string(reason))
				}
			},
		},
	}
}

func perCertificate(rest, help string, read func(status.CertificateStanding) float64) gauge {
	return gauge{prometheus.NewDesc(name(rest), help, []string{"certificate"}, nil), func(s status.Standing, put func(float64, ...string)) {
		put(read(s.Client), "client")
		put(read(s.Serving), "serving")
	}}
}

func one(rest, help string, read func(status.Standing) float64) gauge {
	return gauge{prometheus.NewDesc(name(rest), help, nil, nil), func(s status.Standing, put func(float64, ...string)) { put(read(s)) }}
}

// standingCollector makes gauges of how things stand when they are read, all of the same moment.
type standingCollector struct {
	m      *Metrics
	gauges []gauge
}

// Describe sends what there is.
func (c standingCollector) Describe(descs chan<- *prometheus.Desc) {
	for _, g := range c.gauges {
		descs <- g.desc
	}
}

// Collect sends the values.
func (c standingCollector) Collect(out chan<- prometheus.Metric) {
	standing := c.m.stands()
	for _, g := range c.gauges {
		g.read(standing, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, value, labels...)
		})
	}
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
