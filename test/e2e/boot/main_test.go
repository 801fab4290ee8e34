// Package boot shows the agent where it belongs: on machines that boot with real systemd, with containerd and a real kubelet, before a
// real API server that reaches the kubelet under the cluster's CA.
package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/machine"
)

// built is the folder of what the tests install on machines: the agent as it is released, and the image of the pods.
var built string

// shared is the control plane that most tests use side by side: they neither pause nor restart it.
var shared struct {
	once sync.Once
	cp   *controlplane.ControlPlane
	err  error
}

func TestMain(m *testing.M) {
	machine.Main(m, func() (func(), error) {
		dir, err := os.MkdirTemp("", "bootstrap-agent-boot-")
		if err != nil {
			return nil, err
		}
		built = dir
		return func() {
			if shared.cp != nil {
				shared.cp.Stop()
			}
			os.RemoveAll(dir)
		}, errors.Join(build("1.0.0", "bootstrap-agent", "../../../cmd/bootstrap-agent"), build("1", "pod", "./pod"), buildImage(dir))
	})
}

// build builds a program as it is released, into the folder of what is installed.
func build(version, name, folder string) error {
	command := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+version, "-o", filepath.Join(built, name), folder)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, output)
	}
	return nil
}

// cluster is the control plane that tests share.
func cluster(t *testing.T) *controlplane.ControlPlane {
	t.Helper()
	shared.once.Do(func() { shared.cp, shared.err = controlplane.Start(context.Background(), clusterOptions()) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cp
}

func clusterOptions() controlplane.Options {
	return controlplane.Options{Addresses: []net.IP{machine.Gateway}, Controllers: []string{"node-lifecycle-controller"}}
}

// server is the URL of a control plane for machines.
func server(cp *controlplane.ControlPlane) string {
	_, port, _ := net.SplitHostPort(cp.Server()[len("https://"):])
	return "https://" + net.JoinHostPort(machine.Gateway.String(), port)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition, for a minute at most: a machine of two cores may boot four others meanwhile.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	within(t, time.Minute, what, condition)
}

func within(t *testing.T, limit time.Duration, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !condition(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// isOf selects the requests of one node.
func isOf(name string) func(*certificatesv1.CertificateSigningRequest) bool {
	return func(csr *certificatesv1.CertificateSigningRequest) bool {
		return csr.Spec.Username == "system:node:"+name
	}
}
