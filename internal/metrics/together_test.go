package metrics_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// The race detector watches. Half of the standings are all 1, half all 2: a page that mixes them was not of one moment.
func TestWhatHappensAtOnceIsCountedAndAPageIsOfOneMoment(t *testing.T) {
	const writers, each = 8, 300
	random := sample.Random(t)
	m, _ := fresh(true)
	var seeds [writers]uint64
	for i := range seeds {
		seeds[i] = random.Uint64()
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for _, seed := range seeds {
		wg.Go(func() { act(m, rand.New(rand.NewPCG(seed, 0)), each) })
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	for more := true; more; {
		select {
		case <-done:
			more = false
		default:
		}
		found := values(t, page(t, m))
		first := found[series(`certificate_expiration_timestamp_seconds{certificate="client"}`)]
		for _, rest := range []string{`certificate_expiration_timestamp_seconds{certificate="serving"}`, `certificate_rotation_timestamp_seconds{certificate="client"}`} {
			if found[series(rest)] != first {
				t.Fatalf("%s is %v beside %v", rest, found[series(rest)], first)
			}
		}
	}
	var counted float64
	for _, rest := range []string{
		`certificate_signing_requests_total{certificate="client",result="created"}`, `rotations_total{certificate="serving",result="success"}`,
		`errors_total{phase="client",reason="timeout"}`, `api_requests_total{code="none",verb="GET"}`,
		`certificate_signing_request_duration_seconds_count{certificate="client"}`,
	} {
		counted += values(t, page(t, m))[series(rest)]
	}
	if counted != writers*each {
		t.Errorf("%v events are counted, expected %d", counted, writers*each)
	}
}

// act does n things that are counted, and after each says how things stand.
func act(m *metrics.Metrics, random *rand.Rand, n int) {
	for range n {
		switch random.IntN(5) {
		case 0:
			m.Requested("client", "created")
		case 1:
			m.Rotated("serving", true)
		case 2:
			m.Failed(status.ClientPhase, "timeout")
		case 3:
			m.Called("GET", 0)
		case 4:
			m.Waited("client", time.Second)
		}
		at := time.Unix(1+random.Int64N(2), 0)
		certificate := status.CertificateStanding{NotAfter: at, RotateAt: at}
		m.Stands(status.Standing{Client: certificate, Serving: certificate})
		m.Alive()
		_, _ = m.Healthy(), m.Ready()
	}
}
