package apiserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Sight is what somebody without a credential sees of an API server: its certificate, its time, its version.
type Sight struct {
	// Chain is what the server showed, its own certificate first; empty where the handshake did not come so far.
	Chain []*x509.Certificate
	// Distrust says why the chain is not trusted for the endpoint; nil: it is.
	Distrust error
	// Untimely: nothing but the local clock stands against the chain.
	Untimely bool
	// TLSVersion is that of the connection (crypto/tls.VersionName tells its name).
	TLSVersion uint16
	// Date is the server's time, in whole seconds, and At what the local clock said then; Date is zero where the server did not say, or
	// said what its own certificate contradicts.
	Date, At time.Time
	// Status is that of the answer, 0 where there was none; Cut says why the answer broke off, nil: it did not.
	Status int
	Cut    error
	// Version is that of the API server ("v1.34.1"); empty where it does not tell strangers, or is none.
	Version string
}

// versionLimit is far above the 500 bytes that /version has.
const versionLimit = 64 << 10

// longestVersion is what is believed of a version's length.
const longestVersion = 64

// Proxy returns the proxy that leads to the endpoint, and whether the environment says so (HTTPS_PROXY); nil: there is none.
func (e Endpoint) Proxy() (proxy *url.URL, environment bool, err error) {
	if e.ProxyURL != "" {
		proxy, err = url.Parse(e.ProxyURL)
		return proxy, false, err
	}
	server, err := url.Parse(e.Server)
	if err != nil {
		return nil, false, err
	}
	proxy, err = http.ProxyFromEnvironment(&http.Request{URL: server})
	return proxy, proxy != nil, err
}

// ServerName is the name that the server's certificate must be for.
func (e Endpoint) ServerName() string {
	if server, err := url.Parse(e.Server); err == nil {
		return cmp.Or(e.TLSServerName, server.Hostname())
	}
	return e.TLSServerName
}

// Look asks an API server for its version, without a credential, and tells all that is seen on the way. To a server whose chain is not
// trusted nothing is sent, except where only the clock stands against it: that is when the server's time matters. The error is of
// [ReasonOf]'s kinds; what was seen before it is told with it.
func Look(ctx context.Context, endpoint Endpoint, userAgent string, now clock.PassiveClock) (Sight, error) {
	proxy, _, err := endpoint.Proxy()
	if err != nil {
		return Sight{}, errors.New("the proxy's URL cannot be read") // it may hold a password
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(endpoint.Server, "/")+"/version", http.NoBody)
	if err != nil {
		return Sight{}, fmt.Errorf("the API server's URL cannot be read: %w", err)
	}
	handshake := &handshake{endpoint: endpoint, clock: now}
	request.Header.Set("User-Agent", userAgent)
	transport := &http.Transport{
		Proxy: http.ProxyURL(proxy), DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{
			ServerName:         endpoint.TLSServerName,
			InsecureSkipVerify: true, // judge verifies; crypto/tls would not show a certificate that it refuses
			VerifyConnection:   handshake.judge,
		},
	}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request) // which follows no redirect
	seen := handshake.sight()
	if err != nil {
		return seen, fmt.Errorf("look at %s: %w", endpoint.Server, err)
	}
	defer response.Body.Close()
	seen.read(response, now.Now())
	return seen, nil
}

// handshake is what is seen in one. It may go on when nobody waits for it any more.
type handshake struct {
	endpoint Endpoint
	clock    clock.PassiveClock

	mu   sync.Mutex
	seen Sight
}

func (h *handshake) sight() Sight {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

// judge verifies a chain as every client of the agent does, and ends the connection to a server that is not to be trusted.
func (h *handshake) judge(state tls.ConnectionState) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.seen
	s.Chain, s.TLSVersion = state.PeerCertificates, state.Version
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), DNSName: h.endpoint.ServerName(), CurrentTime: h.clock.Now(),
	}
	options.Roots.AppendCertsFromPEM(h.endpoint.CA)
	for _, certificate := range s.Chain[1:] {
		options.Intermediates.AddCert(certificate)
	}
	leaf := s.Chain[0]
	if _, err := leaf.Verify(options); err != nil {
		s.Distrust = &tls.CertificateVerificationError{UnverifiedCertificates: s.Chain, Err: err}
		s.Untimely = goodOnce(leaf, options)
	}
	if s.Untimely {
		return nil
	}
	return s.Distrust
}

// goodOnce says whether a certificate is, or was, or will be good at a time of its own validity. Its CA may be younger, or older.
func goodOnce(leaf *x509.Certificate, options x509.VerifyOptions) bool {
	for _, at := range []time.Time{leaf.NotBefore, leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2), leaf.NotAfter} {
		options.CurrentTime = at
		if _, err := leaf.Verify(options); err == nil {
			return true
		}
	}
	return false
}

func (s *Sight) read(response *http.Response, at time.Time) {
	s.Status, s.At = response.StatusCode, at
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil && (s.Untimely || credible(date, response)) {
		s.Date = date
	}
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, versionLimit))
	if s.Cut = err; err == nil && response.StatusCode == http.StatusOK && json.Unmarshal(body, &version) == nil && len(version.GitVersion) <= longestVersion {
		s.Version = version.GitVersion
	}
}
