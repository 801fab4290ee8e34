package metrics

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// mostConnections is for a few Prometheus servers with a connection each, and those who look. A connection costs about 20 kB, with TLS 60.
const mostConnections = 64

// grace is how long a connection has its place for sure: ten times what a scrape takes.
const grace = 100 * time.Millisecond

// connections are those that are open at one listener. When there are too many, the next one waits until one ends, or takes the place of
// the one that is the least worth: of those that were never answered the oldest, or else the one that was answered the longest ago. So
// whoever holds connections open keeps nobody out, who may not have the metrics cannot push out one who may, and a crowd is served in turn.
type connections struct {
	clock clock.WithTicker
	freed chan struct{} // holds a token when a place was freed

	mu   sync.Mutex
	open map[*connection]struct{}
}

func newConnections(clock clock.WithTicker) *connections {
	return &connections{clock: clock, freed: make(chan struct{}, 1), open: map[*connection]struct{}{}}
}

type connection struct {
	net.Conn
	all      *connections
	answered bool
	since    time.Time // it was opened, or answered the last time
}

// Close frees the place.
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	select {
	case c.all.freed <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}

// add waits for a place, for [grace] at most.
func (a *connections) add(conn net.Conn) *connection {
	c := &connection{Conn: conn, all: a}
	for {
		least, left := a.take(c)
		switch {
		case least == nil:
			return c
		case left <= 0:
			_ = least.Close() // whatever it says, the place is free
		default:
			a.wait(left)
		}
	}
}

func (a *connections) wait(left time.Duration) {
	timer := a.clock.NewTimer(left)
	defer timer.Stop()
	select {
	case <-a.freed:
	case <-timer.C():
	}
}

// take gives c a place; if there is none, it returns the connection that is the least worth, and how long that has its place for sure.
func (a *connections) take(c *connection) (*connection, time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if len(a.open) < mostConnections {
		c.since = now
		a.open[c] = struct{}{}
		return nil, 0
	}
	var least *connection
	for c := range a.open {
		if least == nil || c.answered == least.answered && c.since.Before(least.since) || !c.answered && least.answered {
			least = c
		}
	}
	return least, grace - now.Sub(least.since)
}

// answer notes that somebody is served who may have it.
func (a *connections) answer(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(*connection); ok {
		a.mu.Lock()
		defer a.mu.Unlock()
		c.answered, c.since = true, a.clock.Now()
	}
}

// limited is a listener with so many connections and no more. begin is called before the first of them is taken.
type limited struct {
	net.Listener
	connections *connections
	begin       func()
}

// Accept returns the next connection.
func (l *limited) Accept() (net.Conn, error) {
	if l.begin != nil {
		l.begin()
		l.begin = nil
	}
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.connections.add(c), nil
}
