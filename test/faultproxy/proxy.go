// Package faultproxy stands in front of a real API server, so that a test can break what is between an agent and its
// cluster, and mend it, at one address: connections refused, accepted and never answered, answered by a handler of the test
// (401, 403, 429, redirects, wrong bodies, lies), or by a server with a bad certificate.
//
// A proxy begins in the mode Pass, in which it is not there: TLS goes through from end to end, client certificates included.
// Changing the mode closes every connection of the mode before; a client that has kept one finds that out at its next request,
// as it would with a real failure, and meets the new mode at the one after. Each mode returns a Recording of what comes in while it lasts.
package faultproxy

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane/loopback"
)

// Proxy listens at one port of 127.0.0.1 and does what its mode says. Its methods may be called from any goroutine, from a
// handler of the test too (which closes the connection that the handler would answer on).
type Proxy struct {
	backend string
	port    *loopback.Port

	mu      sync.Mutex // held while the mode changes
	current *mode
	closed  bool
	tasks   sync.WaitGroup // accept loops and splices; handlers of the test end when they like
}

// New starts a proxy in front of the backend, "host:port", in the mode Pass.
func New(backend string) (*Proxy, error) {
	if _, _, err := net.SplitHostPort(backend); err != nil {
		return nil, fmt.Errorf("make a proxy: backend %q is not host:port: %w", backend, err)
	}
	port, err := loopback.Reserve()
	if err != nil {
		return nil, fmt.Errorf("make a proxy: %w", err)
	}
	p := &Proxy{backend: backend, port: port}
	p.Pass()
	return p, nil
}

// Address is where the proxy listens, 127.0.0.1:PORT, whatever its mode.
func (p *Proxy) Address() string { return p.port.Address() }

// URL is https:// and the address. A server behind it must have a certificate for 127.0.0.1.
func (p *Proxy) URL() string { return "https://" + p.Address() }

// Pass hands every connection to the backend as it is. The recording counts connections, since it cannot look into TLS.
func (p *Proxy) Pass() *Recording { return p.change(p.splice) }

// Down closes the listener: connections are refused.
func (p *Proxy) Down() *Recording { return p.change(nil) }

// Hang accepts connections and never says a word, not even in the TLS handshake.
func (p *Proxy) Hang() *Recording {
	return p.change(func(m *mode) { m.each(func(net.Conn) {}) })
}

// Raw has each connection handled as it is, TLS handshake and all, and closed when that ends. It is for what no HTTP server does.
func (p *Proxy) Raw(handle func(net.Conn)) *Recording {
	return p.change(func(m *mode) {
		m.each(func(connection net.Conn) {
			p.tasks.Go(func() {
				defer connection.Close()
				handle(connection)
			})
		})
	})
}

// Handler terminates TLS with the given certificate and answers with the handler, over HTTP/1.1 and HTTP/2. A client
// certificate is asked for and not verified. A nil handler answers 404. With a certificate that is expired, not yet valid or of
// an unknown CA no request arrives, but connections are counted.
func (p *Proxy) Handler(certificate tls.Certificate, handler http.Handler) *Recording {
	if handler == nil {
		handler = http.NotFoundHandler()
	}
	return p.change(func(m *mode) { m.serveHTTP(certificate, handler) })
}

// CloseMidBody is Handler with every answer of the handler, which may not be nil, cut off in the middle of its body.
func (p *Proxy) CloseMidBody(certificate tls.Certificate, handler http.Handler) *Recording {
	return p.Handler(certificate, CutMidBody(handler))
}

// Close ends the mode, closes all connections and gives the port back. Handlers of the test that still run are not waited for.
func (p *Proxy) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.current.refuse()
	p.current.hangUp()
	p.mu.Unlock()
	p.tasks.Wait()
	return p.port.Close()
}

// change ends the current mode and begins another one: serve is run in the background with the listener open, or there is
// no listener if it is nil.
func (p *Proxy) change(serve func(*mode)) *Recording {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		p.current.refuse()
		defer p.current.hangUp() // last, so that a client that comes back at once finds the next mode
	}
	next := newMode()
	p.current = next
	if serve == nil || p.closed {
		return next.recording
	}
	listener, err := p.port.Listen()
	if err != nil {
		panic(fmt.Sprintf("faultproxy: the port is reserved, and yet: %v", err)) // as httptest does
	}
	next.listener = &trackedListener{Listener: listener, mode: next}
	p.tasks.Go(func() { serve(next) })
	return next.recording
}
