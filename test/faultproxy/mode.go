package faultproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// mode is one behaviour of a proxy while it lasts: a listener, and the connections that are to be closed with it.
type mode struct {
	listener  *trackedListener // nil in the mode Down
	recording *Recording
	context   context.Context
	cancel    context.CancelFunc
	traffic   traffic
	over      context.Context // ends when no connection is left
	end       context.CancelFunc

	mu          sync.Mutex
	connections map[net.Conn]struct{}
}

func newMode() *mode {
	ctx, cancel := context.WithCancel(context.Background())
	over, end := context.WithCancel(context.Background())
	return &mode{recording: &Recording{}, context: ctx, cancel: cancel, over: over, end: end, connections: map[net.Conn]struct{}{}}
}

// refuse is the first half of the end: no more connections.
func (m *mode) refuse() {
	m.cancel()
	if m.listener != nil {
		m.listener.Close()
	}
}

// hangUp is the second half: no connections. It waits for nobody, since a handler of this very mode may have asked for it.
func (m *mode) hangUp() {
	for _, connection := range m.open() {
		connection.Close()
	}
	m.end()
}

func (m *mode) open() []net.Conn {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Keys(m.connections))
}

// track has the connection closed with the mode, at once if that has ended.
func (m *mode) track(connection net.Conn) {
	m.mu.Lock()
	m.connections[connection] = struct{}{}
	m.mu.Unlock()
	if m.context.Err() != nil { // looked at last: either hangUp sees the connection, or the connection sees the end
		connection.Close()
	}
}

func (m *mode) forget(connection net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.connections, connection)
}

// each calls handle with each connection, in the accepting goroutine, until the mode ends.
func (m *mode) each(handle func(net.Conn)) {
	for {
		connection, err := m.listener.Accept()
		if err != nil {
			return
		}
		handle(connection)
	}
}

// trackedListener counts the connections that it accepts, and has them closed with the mode.
type trackedListener struct {
	net.Listener
	mode *mode
}

func (l *trackedListener) Accept() (net.Conn, error) {
	for {
		connection, err := l.Listener.Accept()
		if err == nil {
			l.mode.recording.connection()
			tracked := &trackedConnection{Conn: connection, mode: l.mode}
			l.mode.track(tracked)
			return tracked, nil
		}
		if l.mode.context.Err() != nil || errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		time.Sleep(10 * time.Millisecond) // too many open files, say: a test must not lose its proxy for that
	}
}

// HalfClose tells the client that nothing more comes, and goes on hearing it: closed with something unread, a connection is reset.
// It is not called CloseWrite, which net/http would look for.
func (c *trackedConnection) HalfClose() error { return c.Conn.(*net.TCPConn).CloseWrite() }

// splice copies bytes between each connection and one of its own to the backend.
func (p *Proxy) splice(m *mode) {
	m.each(func(client net.Conn) {
		p.tasks.Go(func() {
			defer client.Close()
			dialer := net.Dialer{Timeout: 10 * time.Second}
			backend, err := dialer.DialContext(m.context, "tcp", p.backend)
			if err != nil {
				return // the client sees its connection closed
			}
			near, far := client.(*trackedConnection), &trackedConnection{Conn: backend, mode: m}
			m.spliced(near, far)
			m.track(far)
			defer far.Close()
			both(near, far)
		})
	})
}

// serveHTTP serves HTTP/1.1 and HTTP/2 over TLS until the mode ends.
func (m *mode) serveHTTP(certificate tls.Certificate, handler http.Handler) {
	server := &http.Server{
		Handler:           m.recording.around(handler),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert},
		BaseContext:       func(net.Listener) context.Context { return m.context },
		ErrorLog:          log.New(io.Discard, "", 0), // handshakes that fail are what the test is about
		ReadHeaderTimeout: time.Minute,
	}
	_ = server.ServeTLS(m.listener, "", "") // ends with the listener, that is with the mode
	<-m.over.Done()                         // or clients would come back before the next mode listens
	_ = server.Close()
}
