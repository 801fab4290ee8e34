package boot

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/machine"
)

// way is one node's way to the API server: a port of its own, at which the API server can be down for this node alone.
type way struct {
	t                *testing.T
	address, backend string

	mu          sync.Mutex
	hangs       bool
	listener    net.Listener
	connections map[net.Conn]bool
}

// ways counts them: each has a port that nobody else takes while it is down, below those that the kernel gives out.
var ways atomic.Int32

func newWay(t *testing.T, cp *controlplane.ControlPlane) *way {
	t.Helper()
	port := strconv.Itoa(20000 + int(ways.Add(1)))
	w := &way{t: t, backend: cp.Server()[len("https://"):], address: net.JoinHostPort(machine.Gateway.String(), port)}
	w.up()
	t.Cleanup(w.down)
	return w
}

func (w *way) url() string { return "https://" + w.address }

// up lets connections through, at the same port as before.
func (w *way) up() {
	w.t.Helper()
	w.down()
	var listener net.Listener
	// a program that another test is just starting has the old listener too, until it is executed
	within(w.t, 10*time.Second, "nobody listens at "+w.address, func() (free bool) {
		var err error
		listener, err = net.Listen("tcp", w.address)
		return err == nil
	})
	w.mu.Lock()
	w.hangs = false
	w.listener, w.connections = listener, map[net.Conn]bool{}
	w.mu.Unlock()
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go w.forward(client)
		}
	}()
}

// down refuses connections and resets those that there are.
func (w *way) down() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listener != nil {
		w.listener.Close()
		w.listener = nil
	}
	w.reset()
}

// hang takes connections and never says anything on them, as a firewall or a dying load balancer does; up ends it.
func (w *way) hang() {
	w.t.Helper()
	w.down()
	w.up()
	w.mu.Lock()
	w.hangs = true
	w.mu.Unlock()
}

// cut resets all connections; new ones are let through.
func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reset()
}

func (w *way) reset() {
	for connection := range w.connections {
		_ = connection.(*net.TCPConn).SetLinger(0)
		connection.Close()
	}
	w.connections = map[net.Conn]bool{}
}

func (w *way) forward(client net.Conn) {
	server, err := net.DialTimeout("tcp", w.backend, 5*time.Second)
	if err != nil {
		client.Close()
		return
	}
	w.mu.Lock()
	open := w.listener != nil
	if open {
		w.connections[client], w.connections[server] = true, true
	}
	hangs := open && w.hangs
	w.mu.Unlock()
	if hangs {
		return
	}
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			if open {
				_, _ = io.Copy(pair[0], pair[1])
			}
			pair[0].Close()
		})
	}
	both.Wait()
	w.mu.Lock()
	delete(w.connections, client)
	delete(w.connections, server)
	w.mu.Unlock()
}
