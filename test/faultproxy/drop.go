package faultproxy

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Drop has the connections that are there lose every packet from now on: HalfOpen from below, so that not even the kernel acknowledges
// anything, and TCP's keep-alive has no answer either. New ones are well. It needs no right and no network of its own: a filter that
// lets nothing in is attached to each socket (socket(7), SO_ATTACH_FILTER). It returns how many connections of clients that were.
func (p *Proxy) Drop() (connections int, err error) {
	connections = p.HalfOpen()
	for _, connection := range p.mode().open() {
		if c, ok := connection.(*trackedConnection); ok && c.silent.Load() {
			if err := letNothingIn(c.Conn.(*net.TCPConn)); err != nil {
				return connections, fmt.Errorf("drop the packets of a connection: %w", err)
			}
		}
	}
	return connections, nil
}

func letNothingIn(connection *net.TCPConn) error {
	raw, err := connection.SyscallConn()
	if err != nil {
		return err
	}
	nothing := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}} // of each packet keep no byte
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(nothing)), Filter: &nothing[0]}))
	})
	if err != nil {
		return err
	}
	return failed
}
