package apiserver

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// serverClock learns the server's time from the Date header of its answers, which has a resolution of one second.
type serverClock struct {
	clock clock.PassiveClock

	mu    sync.Mutex
	ahead time.Duration // server time less local time
	known bool
}

// ServerTime returns the API server's idea of now, and whether it has said so yet; if not, it is the local time.
func (c *Client) ServerTime() (now time.Time, known bool) {
	c.times.mu.Lock()
	defer c.times.mu.Unlock()
	return c.times.clock.Now().Add(c.times.ahead), c.times.known
}

func (s *serverClock) watching(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err != nil {
			return response, s.withValidity(err)
		}
		if date, err := http.ParseTime(response.Header.Get("Date")); err == nil && credible(date, response) {
			s.learn(date)
		}
		return response, nil
	})
}

// credible says whether it can be that time at a server with this certificate. The agent's own clock says nothing about that: it may
// be years behind until the network is there.
func credible(date time.Time, response *http.Response) bool {
	if response.TLS == nil || len(response.TLS.PeerCertificates) == 0 { // never from the API server, which is https
		return true
	}
	leaf := response.TLS.PeerCertificates[0]
	return !date.Before(leaf.NotBefore.Truncate(time.Second)) && !date.After(leaf.NotAfter)
}

// AskTime has the API server answer a question that anybody may ask, for the time that comes with the answer, whatever that is.
func (c *Client) AskTime(ctx context.Context) {
	request, ctx, cancel := Once(ctx, c.api.Get().AbsPath("/version"))
	defer cancel()
	_ = request.Do(ctx).Error()
}

// withValidity completes an error about the validity of the server's certificate: crypto/x509 says only which end was missed.
func (s *serverClock) withValidity(err error) error {
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) || invalid.Reason != x509.Expired || invalid.Cert == nil {
		return err
	}
	return fmt.Errorf("the certificate of %s is valid from %s until %s and the local clock says %s: %w", invalid.Cert.Subject,
		invalid.Cert.NotBefore.UTC().Format(time.RFC3339), invalid.Cert.NotAfter.UTC().Format(time.RFC3339), s.clock.Now().UTC().Format(time.RFC3339), err)
}

func (s *serverClock) learn(date time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.known = true
	s.ahead = 0
	// within the header's resolution the clocks are taken to agree
	if ahead := date.Sub(now.Truncate(time.Second)); ahead.Abs() > time.Second {
		s.ahead = ahead
	}
}
