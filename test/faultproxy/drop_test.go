package faultproxy

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sentAgain is how often in a row the kernel has sent something again, since nothing was acknowledged.
func (l *line) sentAgain() uint8 {
	l.t.Helper()
	raw, err := l.Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		l.t.Fatal(err)
	}
	var known *unix.TCPInfo
	var failed error
	if err := raw.Control(func(fd uintptr) { known, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) }); err != nil || failed != nil {
		l.t.Fatal(err, failed)
	}
	return known.Retransmits
}

func TestADroppedConnectionIsNotEvenAcknowledgedAndANewOneIsWell(t *testing.T) {
	t.Parallel()
	proxy, old := echo(t)
	old.say("one")
	old.hear("one")
	if n, err := proxy.Drop(); n != 1 || err != nil {
		t.Fatalf("%d connections: %v", n, err)
	}
	old.say("two")
	for deadline := time.Now().Add(5 * time.Second); old.sentAgain() < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it was acknowledged: nothing was sent again")
		}
	}
	old.hearNothing()
	fresh := dial(t, proxy)
	fresh.say("three")
	fresh.hear("three")
	if n := fresh.sentAgain(); n != 0 {
		t.Errorf("the new connection has lost %d packets", n)
	}
}
