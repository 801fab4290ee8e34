package machine

import (
	"fmt"
	"net"
	"sync"
)

// Gateway is the address of the tests themselves on the bridge to which all machines are connected, 10.77.0.0/24.
var Gateway = net.IPv4(10, 77, 0, 1)

const bridge = "br0"

// network makes loopback and the bridge of the namespace.
func network() error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", bridge, "address", "02:00:00:00:00:01", "type", "bridge"}, // else it is the lowest of its ports', and changes with them
		{"addr", "add", Gateway.String() + "/24", "dev", bridge},
		{"link", "set", bridge, "up"},
	} {
		if _, err := execute("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

var hosts struct {
	sync.Mutex
	last byte
}

// nextIP is an address for a machine, never given twice.
func nextIP() (net.IP, error) {
	hosts.Lock()
	defer hosts.Unlock()
	if hosts.last == 0 {
		hosts.last = Gateway[15]
	}
	if hosts.last++; hosts.last == 255 {
		return nil, fmt.Errorf("no address is left on the bridge")
	}
	return net.IPv4(10, 77, 0, hosts.last), nil
}

// plug makes the machine's network namespace and its cable to the bridge.
func (m *Machine) plug() error {
	for _, args := range [][]string{
		{"netns", "add", m.Name},
		{"-n", m.Name, "link", "set", "lo", "up"},
		{"link", "add", m.cable(), "type", "veth", "peer", "name", "eth0", "netns", m.Name},
		{"link", "set", m.cable(), "master", bridge, "up"},
		{"-n", m.Name, "addr", "add", m.IP.String() + "/24", "dev", "eth0"},
		{"-n", m.Name, "link", "set", "eth0", "up"},
		{"-n", m.Name, "route", "add", "default", "via", Gateway.String()}, // the kubelet and the agent choose its address
	} {
		if _, err := execute("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// cable is the name of the host's end, of which a kernel takes 15 characters.
func (m *Machine) cable() string { return fmt.Sprintf("v%d", m.IP.To4()[3]) }

// Unplug takes the machine's network away, Plug gives it back.
func (m *Machine) Unplug() { m.ip("link", "set", m.cable(), "down") }

// Plug gives the network back that [Machine.Unplug] took.
func (m *Machine) Plug() { m.ip("link", "set", m.cable(), "up") }

func (m *Machine) ip(args ...string) {
	m.t.Helper()
	if _, err := execute("ip", args...); err != nil {
		m.t.Fatal(err)
	}
}
