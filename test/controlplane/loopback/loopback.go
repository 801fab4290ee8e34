// Package loopback keeps a TCP port of 127.0.0.1 for a server that goes away and comes back at the same address.
//
// A port that is merely free when it is picked may belong to somebody else a moment later: to another test, or to any
// outgoing connection. Here a socket that is bound but never listens holds it from Reserve to Close. While nobody else
// listens a client gets "connection refused"; a server joins the port with Listen, or with SO_REUSEPORT of its own
// (kube-apiserver --permit-port-sharing).
package loopback

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Port is a reserved TCP port of 127.0.0.1.
type Port struct {
	socket *os.File
	number int
}

// Reserve takes a port that nobody uses.
func Reserve() (*Port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make a socket to reserve a port: %w", os.NewSyscallError("socket", err))
	}
	socket := os.NewFile(uintptr(fd), "reserved port")
	number, err := bind(fd)
	if err != nil {
		socket.Close()
		return nil, fmt.Errorf("reserve a port of 127.0.0.1: %w", err)
	}
	return &Port{socket: socket, number: number}, nil
}

func bind(fd int) (int, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		return 0, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	return name.(*unix.SockaddrInet4).Port, nil
}

// Number is the port's number.
func (p *Port) Number() int { return p.number }

// Address is 127.0.0.1 and the port, as net.Dial takes it.
func (p *Port) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.number)) }

// Listen accepts connections at the port until the listener is closed, after which they are refused again.
func (p *Port) Listen() (net.Listener, error) {
	config := net.ListenConfig{Control: shared}
	listener, err := config.Listen(context.Background(), "tcp4", p.Address())
	if err != nil {
		return nil, fmt.Errorf("listen at the reserved port: %w", err)
	}
	return listener, nil
}

func shared(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	})
	if err != nil {
		return err
	}
	return failed
}

// Close gives the port back.
func (p *Port) Close() error { return p.socket.Close() }
