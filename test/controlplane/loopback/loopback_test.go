package loopback

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

func TestAReservedPortRefusesUntilItIsListenedAt(t *testing.T) {
	port, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()

	for range 3 { // down, up, down, up … at one address
		if _, err := net.Dial("tcp", port.Address()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dialling a reserved port: got %v, want connection refused", err)
		}
		listener, err := port.Listen()
		if err != nil {
			t.Fatal(err)
		}
		connection, err := net.Dial("tcp", port.Address())
		if err != nil {
			t.Fatalf("dialling a port that is listened at: %v", err)
		}
		connection.Close()
		listener.Close()
	}
}

func TestAReservedPortIsNobodyElses(t *testing.T) {
	port, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	if listener, err := net.Listen("tcp4", port.Address()); err == nil {
		listener.Close()
		t.Errorf("a stranger could listen at the reserved port %s", port.Address())
	}

	if err := port.Close(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp4", port.Address())
	if err != nil {
		t.Fatalf("the port is not free after Close: %v", err)
	}
	listener.Close()
}
