package faultproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Cut has no byte go through any more, in either direction, over connections that are there and over new ones: a network that
// drops packets. Mend lets everything arrive that was sent meanwhile, as TCP does. It ends with the mode Pass, outside of which
// it does nothing.
func (p *Proxy) Cut() (mend func()) {
	t := &p.mode().traffic
	flows := make(chan struct{})
	t.set(func() { t.flows = flows })
	return sync.OnceFunc(func() {
		t.set(func() { t.flows = nil })
		close(flows)
	})
}

// Slow has what is sent arrive later by delay, in each direction. It ends with the mode Pass, outside of which it does nothing.
func (p *Proxy) Slow(delay time.Duration) (mend func()) {
	t := &p.mode().traffic
	t.set(func() { t.delay = delay })
	return func() { t.set(func() { t.delay = 0 }) }
}

// HalfOpen has the connections that are there stay open and never carry anything again, nor tell of their end, as those of a load
// balancer that has failed over. New ones are well. It returns how many connections of clients that were.
func (p *Proxy) HalfOpen() (connections int) { return p.mode().silence() }

func (p *Proxy) mode() *mode {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// silence has the spliced connections say nothing any more, and returns how many clients have one.
func (m *mode) silence() (clients int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for connection := range m.connections {
		if c := connection.(*trackedConnection); c.other != nil && !c.silent.Swap(true) {
			clients++
		}
	}
	return clients / 2 // the other half leads to the backend
}

// spliced makes each the other's other.
func (m *mode) spliced(a, b *trackedConnection) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a.other, b.other = b, a
}

// traffic is what becomes of bytes in the mode Pass.
type traffic struct {
	mu sync.Mutex
	// flows is closed when bytes go through again; nil: they do.
	flows chan struct{}
	delay time.Duration
}

func (t *traffic) set(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
}

// pass returns when what was read may go on.
func (t *traffic) pass(ctx context.Context) {
	t.mu.Lock()
	flows, delay := t.flows, t.delay
	t.mu.Unlock()
	if flows != nil {
		select {
		case <-flows:
		case <-ctx.Done():
		}
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
}

type trackedConnection struct {
	net.Conn
	mode *mode
	// other is the connection that this one is spliced with; nil outside of the mode Pass.
	other  *trackedConnection
	silent atomic.Bool
}

func (c *trackedConnection) Close() error {
	c.mode.forget(c)
	return c.Conn.Close()
}

// both copies in both directions until both have ended.
func both(a, b *trackedConnection) {
	var directions sync.WaitGroup
	for _, from := range []*trackedConnection{a, b} {
		directions.Go(func() {
			if err := from.carry(); err != nil { // broken: nothing can come back either
				a.Close()
				b.Close()
			}
		})
	}
	directions.Wait()
}

// carry copies what comes in to the other connection, and then the end of it.
func (c *trackedConnection) carry() error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := c.Read(buffer)
		c.mode.traffic.pass(c.mode.context)
		if n > 0 && !c.silent.Load() {
			if _, err := c.other.Write(buffer[:n]); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case c.silent.Load(): // the other end never hears of it
			return nil
		case errors.Is(err, io.EOF):
			return c.other.HalfClose()
		default:
			return err
		}
	}
}
