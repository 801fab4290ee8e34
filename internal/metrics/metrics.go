// Package metrics shows what was observed: the agent's series in a registry of their own, and a listener for Prometheus that says too
// whether the loop lives and whether the node's identity can be used. It finds out nothing itself, and nothing that it meets stops
// certificates.
package metrics

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Metrics counts what happens and knows how things stand. Make one with [New]; its methods may be called at once from several
// goroutines.
type Metrics struct {
	clock    clock.PassiveClock
	registry *prometheus.Registry
	counters counters

	mu       sync.Mutex
	standing status.Standing
	alive    time.Time
}

// Build is what build_info says.
type Build struct{ Version, GoVersion string }

// New returns metrics of which every series is there and nothing has happened yet. kubeletSeries: the kubelet's own four series about its
// certificates are there as well.
func New(now clock.PassiveClock, build Build, kubeletSeries bool) *Metrics {
	m := &Metrics{clock: now, registry: prometheus.NewRegistry(), standing: status.Standing{NotReady: "the agent has not looked yet"}}
	m.counters = newCounters(m.registry)
	m.registry.MustRegister(standingCollector{m, newGauges()}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: name("build_info"), Help: "1, labelled with the version of the agent and of the Go that built it.",
		ConstLabels: prometheus.Labels{"version": build.Version, "goversion": build.GoVersion},
	})
	info.Set(1)
	m.registry.MustRegister(info)
	if kubeletSeries {
		m.registry.MustRegister(kubeletCollector{newKubeletSeries(), m})
	}
	return m
}

func name(rest string) string { return "bootstrap_agent_" + rest }

// Gatherer is where the series are read.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Alive notes that the agent's loop goes round.
func (m *Metrics) Alive() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alive = m.clock.Now()
}

// Stands notes how things stand.
func (m *Metrics) Stands(standing status.Standing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.standing = standing
}

// aliveWithin is how often the loop goes round at least, times three: it looks about every 20 s, and a slow disk is no hang.
const aliveWithin = time.Minute

// Healthy returns nil if the agent's loop lives.
func (m *Metrics) Healthy() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.alive.IsZero() {
		return errors.New("the agent's loop has not begun")
	}
	if silent := m.clock.Since(m.alive); silent > aliveWithin {
		return fmt.Errorf("the agent's loop has been silent for %s", silent.Round(time.Second))
	}
	return nil
}

// Ready returns nil if the node's identity can be used.
func (m *Metrics) Ready() error {
	if why := m.stands().NotReady; why != "" {
		return errors.New(why)
	}
	return nil
}

func (m *Metrics) stands() status.Standing {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.standing
}

// Requested counts what became of a certificate signing request; result is one of [RequestResults].
func (m *Metrics) Requested(certificate, result string) {
	m.counters.requests.WithLabelValues(certificate, result).Inc()
}

// Waited notes how long a certificate signing request took from its acceptance by the API server to the certificate.
func (m *Metrics) Waited(certificate string, d time.Duration) {
	m.counters.waits.WithLabelValues(certificate).Observe(d.Seconds())
}

// Rotated counts a certificate that took, or could not take, the place of an issued one.
func (m *Metrics) Rotated(certificate string, success bool) {
	result := "failure"
	if success {
		result = "success"
	}
	m.counters.rotations.WithLabelValues(certificate, result).Inc()
}

// Failed counts something that went wrong. A reason that is not among those of its phase is counted as other.
func (m *Metrics) Failed(phase status.Phase, reason string) {
	if !slices.Contains(status.Reasons(phase), reason) {
		reason = status.OtherReason
	}
	m.counters.errors.WithLabelValues(string(phase), reason).Inc()
	m.counters.renewals.failed(phase)
}

// Called counts a request to the API server. code is that of the answer, 0 if there was none.
func (m *Metrics) Called(verb string, code int) {
	text := strconv.Itoa(code)
	switch {
	case code == 0:
		text = "none"
	case !slices.Contains(codes, text):
		text = status.OtherReason
	}
	m.counters.calls.WithLabelValues(verb, text).Inc()
}
