package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// bind opens a port of the machine.
func bind(address string) func(context.Context) (net.Listener, error) {
	return func(ctx context.Context) (net.Listener, error) {
		var config net.ListenConfig
		listener, err := config.Listen(ctx, "tcp", address)
		if err != nil {
			return nil, err // it names the address
		}
		return listener, nil
	}
}

// listenRemedy is what a person can do when a port cannot be opened.
func listenRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another process listens there: find it with ss -ltnp, or choose another address with --web.listen-address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface has this address yet; if none will, choose another with --web.listen-address"
	case errors.Is(err, syscall.EACCES):
		return "the agent may not open a port below 1024: choose a higher one with --web.listen-address, or let bootstrap-agent.socket open it"
	}
	return "choose another address with --web.listen-address"
}

// lend opens a socket that is not ours to close, again and again.
func lend(socket net.Listener) func(context.Context) (net.Listener, error) {
	return func(context.Context) (net.Listener, error) {
		l, ok := socket.(interface{ SetDeadline(time.Time) error })
		if !ok {
			return nil, fmt.Errorf("socket %s of the service manager: a %T cannot be used", socket.Addr(), socket)
		}
		if err := l.SetDeadline(time.Time{}); err != nil {
			return nil, fmt.Errorf("socket %s of the service manager: %w", socket.Addr(), err)
		}
		return lent{Listener: socket, interrupt: l.SetDeadline}, nil
	}
}

// lent is a listener whose socket stays open when it is closed.
type lent struct {
	net.Listener
	interrupt func(time.Time) error
}

// Close ends Accept. The next connection waits in the socket.
func (l lent) Close() error { return l.interrupt(time.Unix(1, 0)) }

// Accept returns [net.ErrClosed] after Close.
func (l lent) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return nil, net.ErrClosed
	}
	return c, err
}

// turnAway closes what comes, until the listener is closed.
func turnAway(listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		c.Close()
	}
}
