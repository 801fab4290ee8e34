package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
)

// necessary is what the agent does.
func necessary() []attempt {
	folder := func(path string) func() error {
		return func() error {
			if err := os.MkdirAll(path, 0o700); err != nil {
				return err
			}
			defer os.Remove(path)
			return write(path + "/probe")()
		}
	}
	return []attempt{
		{"must: write below /var/lib/kubelet", folder("/var/lib/kubelet/probe")},
		{"must: write below /etc/kubernetes", folder("/etc/kubernetes/probe")},
		{"must: write to the runtime directory", write("/run/bootstrap-agent/probe")},
		{"must: read another process's flags", func() error {
			line, err := os.ReadFile("/proc/" + target() + "/cmdline")
			if err == nil && !strings.Contains(string(line), "1234567") {
				err = fail("it is %q", line)
			}
			return err
		}},
		{"must: find the processes", func() error {
			entries, err := os.ReadDir("/proc")
			for _, entry := range entries {
				if entry.Name() == target() {
					return nil
				}
			}
			return errors.Join(err, fail("%s is not in /proc", target()))
		}},
		{"must: find the node's address by its default route", func() error {
			_, err := node.Addresses(context.Background(), "no-such-name.invalid", nil)
			return err
		}},
		{"must: list the interfaces' addresses", func() error {
			addresses, err := net.InterfaceAddrs()
			if err == nil && len(addresses) < 2 {
				err = fail("they are %v", addresses)
			}
			return err
		}},
		{"must: resolve the API server's name, and connect", func() error {
			c, err := net.DialTimeout("tcp", said("probe-server"), 10*time.Second)
			if err != nil {
				return err
			}
			return c.Close()
		}},
		{"must: listen on a port of its own", func() error {
			l, err := net.Listen("tcp", "127.0.0.1:10261")
			if err != nil {
				return err
			}
			return l.Close()
		}},
	}
}

// stay goes on as the agent does: it writes to the cert-dir, which may go and come, and notes the host name, which may come late.
func stay() {
	for {
		_ = os.WriteFile("/var/lib/kubelet/pki/probe", nil, 0o600)
		_ = os.WriteFile("/etc/kubernetes/manifests/probe", nil, 0o600)
		if name, err := os.Hostname(); err == nil {
			_ = os.WriteFile("/var/lib/kubelet/host-name", []byte(name), 0o600)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
