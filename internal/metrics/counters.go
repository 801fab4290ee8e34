package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Certificates are the values of the label certificate.
func Certificates() []string { return []string{"client", "serving"} }

// RequestResults are what can become of a certificate signing request: the API server has accepted it, and how it ended.
func RequestResults() []string {
	return []string{"created", "issued", "denied", "failed", "deleted", "replaced", "refused", "abandoned"}
}

// Verbs are those of requests to the API server. A watch is one request, counted when its answer begins.
func Verbs() []string { return []string{"GET", "POST", "WATCH"} }

// codes are the answers of the API server that have a series of their own; "none" is for no answer. A server could make up 900.
var codes = []string{"200", "201", "400", "401", "403", "404", "409", "410", "422", "429", "500", "502", "503", "504", "none"}

// waitBuckets are from an automatic approval's time, in seconds, to that of a person who comes back from a weekend.
var waitBuckets = []float64{0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 72 * 3600}

type counters struct {
	requests, rotations, errors, calls *prometheus.CounterVec
	waits                              *prometheus.HistogramVec
	renewals                           *renewals
}

// renewals are the errors that the kubelet's series count.
type renewals struct{ client, serving atomic.Uint64 }

func (r *renewals) failed(phase status.Phase) {
	switch phase {
	case status.ClientPhase:
		r.client.Add(1)
	case status.ServingPhase:
		r.serving.Add(1)
	}
}

func newCounters(registry *prometheus.Registry) counters {
	counter := func(rest, help string, labels ...string) *prometheus.CounterVec {
		vector := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name(rest), Help: help}, labels)
		registry.MustRegister(vector)
		return vector
	}
	c := counters{
		requests: counter("certificate_signing_requests_total",
			"Certificate signing requests by what became of them: created is counted when the API server accepts one.", "certificate", "result"),
		rotations: counter("rotations_total", "Issued certificates that were, or could not be, replaced by another one.", "certificate", "result"),
		errors:    counter("errors_total", "What went wrong, by what was being done.", "phase", "reason"),
		calls:     counter("api_requests_total", "Requests to the API server by the status code of the answer; none: there was no answer.", "verb", "code"),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: name("certificate_signing_request_duration_seconds"), Buckets: waitBuckets,
			Help: "Time from the API server's acceptance of a certificate signing request to the issued certificate.",
		}, []string{"certificate"}),
		renewals: &renewals{},
	}
	registry.MustRegister(c.waits)
	c.begin()
	return c
}

// begin makes every series be there, at 0, before anything happens: increase() sees nothing of a counter that begins at 1.
func (c counters) begin() {
	for _, certificate := range Certificates() {
		for _, result := range RequestResults() {
			c.requests.WithLabelValues(certificate, result)
		}
		c.rotations.WithLabelValues(certificate, "success")
		c.rotations.WithLabelValues(certificate, "failure")
		c.waits.WithLabelValues(certificate)
	}
	for _, phase := range status.Phases() {
		for _, reason := range append(status.Reasons(phase), status.OtherReason) {
			c.errors.WithLabelValues(string(phase), reason)
		}
	}
	for _, verb := range Verbs() {
		for _, code := range append(codes, status.OtherReason) {
			c.calls.WithLabelValues(verb, code)
		}
	}
}
