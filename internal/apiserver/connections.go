package apiserver

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
)

// connections are what the requests of one client go through. They outlive neither their client nor the server that they lead to:
// a connection on which a request had no answer in time takes no other one, and after [Client.Close] each ends with its last request.
type connections struct {
	// transport makes one that dials as it is told.
	transport func(dial dialer) *http.Transport
	dial      dialer

	mu      sync.Mutex
	current *line
	closed  bool
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// line is a transport with the connections that it has made.
type line struct {
	transport *http.Transport
	dialed    dialer

	mu       sync.Mutex
	open     map[net.Conn]struct{}
	requests int
	// retired: it ends with the last of its requests.
	retired bool
}

// add returns a line that is ready for requests.
func (c *connections) add() *line {
	l := &line{dialed: c.dial, open: map[net.Conn]struct{}{}, retired: c.closed}
	l.transport = c.transport(l.dial)
	return l
}

// line is what the next request goes through.
func (c *connections) line() *line {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lineLocked()
}

func (c *connections) lineLocked() *line {
	if c.closed {
		return c.add()
	}
	if c.current == nil {
		c.current = c.add()
	}
	return c.current
}

// take counts a request in before anybody can find its line unused.
func (c *connections) take() *line {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lineLocked()
	l.begin()
	return l
}

// close has all connections end as soon as no request uses them. Those that are under way go on to their end.
func (c *connections) close() {
	c.mu.Lock()
	c.closed = true
	l := c.current
	c.current = nil
	c.mu.Unlock()
	if l != nil {
		l.retire()
	}
}

// leave has later requests go through new connections. Those of l end with the requests that still use them: a watch over a
// server that is only slow goes on.
func (c *connections) leave(l *line) {
	c.mu.Lock()
	if c.current == l {
		c.current = nil
	}
	c.mu.Unlock()
	l.retire()
}

// RoundTrip sends a request, and counts it until its answer was read.
func (c *connections) RoundTrip(request *http.Request) (*http.Response, error) {
	l := c.take()
	response, err := l.transport.RoundTrip(request)
	if err != nil {
		l.end()
		return nil, err
	}
	response.Body = &endingBody{ReadCloser: response.Body, ended: sync.OnceFunc(l.end)}
	return response, nil
}

// leaving gives up the connections of a request that had no answer in time. A load balancer may have gone over to another server,
// and a server may have gone without a word; HTTP/2's pings would find that out, after more requests had the same end.
func (c *connections) leaving(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		l := c.line()
		response, err := next.RoundTrip(request)
		if err != nil {
			if isTimeout(err) {
				c.leave(l)
			}
			return response, err
		}
		response.Body = &leavingBody{ReadCloser: response.Body, leave: func() { c.leave(l) }}
		return response, nil
	})
}

func (l *line) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
}

func (l *line) end() {
	l.mu.Lock()
	l.requests--
	l.mu.Unlock()
	l.hangUp()
}

func (l *line) retire() {
	l.mu.Lock()
	l.retired = true
	l.mu.Unlock()
	l.hangUp()
}

// unused says whether nothing needs its connections any more.
func (l *line) unused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.retired && l.requests == 0
}

// hangUp ends the connections, when they are not needed any more. net/http takes leave of those that it knows to be idle; it may know
// that a moment late, or not at all of one that it has dialed in vain.
func (l *line) hangUp() {
	if !l.unused() {
		return
	}
	l.transport.CloseIdleConnections()
	l.mu.Lock()
	left := make([]net.Conn, 0, len(l.open))
	for connection := range l.open {
		left = append(left, connection)
	}
	l.mu.Unlock()
	for _, connection := range left {
		connection.Close()
	}
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	connection, err := l.dialed(ctx, network, address)
	if err != nil {
		return nil, err
	}
	known := &lineConnection{Conn: connection, line: l}
	l.mu.Lock()
	l.open[known] = struct{}{}
	l.mu.Unlock()
	if l.unused() { // whoever it was dialed for has given up
		_ = known.Close()
		return nil, net.ErrClosed
	}
	return known, nil
}

// lineConnection is a connection that its line knows of until it is closed.
type lineConnection struct {
	net.Conn
	line *line
}

func (c *lineConnection) Close() error {
	c.line.mu.Lock()
	delete(c.line.open, c)
	c.line.mu.Unlock()
	return c.Conn.Close()
}

// endingBody tells of its end: closed, read to the end, or broken off.
type endingBody struct {
	io.ReadCloser
	ended func()
}

func (b *endingBody) Read(buffer []byte) (int, error) {
	n, err := b.ReadCloser.Read(buffer)
	if err != nil {
		b.ended()
	}
	return n, err
}

func (b *endingBody) Close() error {
	defer b.ended()
	return b.ReadCloser.Close()
}

// leavingBody tells of an answer whose end did not come in time.
type leavingBody struct {
	io.ReadCloser
	leave func()
}

func (b *leavingBody) Read(buffer []byte) (int, error) {
	n, err := b.ReadCloser.Read(buffer)
	if err != nil && isTimeout(err) {
		b.leave()
	}
	return n, err
}
