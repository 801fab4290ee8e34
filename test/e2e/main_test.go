// Package e2e runs the real agent against a real control plane, and shows that it does what it promises. Only a server that
// lies, hangs or tampers is a stand-in.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/transport"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// agentProgram is the agent, built with the race detector.
var agentProgram string

// planes are the control planes of this run, each started when the first test needs it and stopped after the last.
var planes struct {
	shared, split plane
}

type plane struct {
	once sync.Once
	cp   *controlplane.ControlPlane
	err  error
}

func (p *plane) get(t *testing.T, options controlplane.Options) *controlplane.ControlPlane {
	t.Helper()
	p.once.Do(func() { p.cp, p.err = controlplane.Start(context.Background(), options) })
	if p.err != nil {
		t.Fatal(p.err)
	}
	return p.cp
}

// shared is the ordinary control plane. Tests use it side by side: they neither pause nor restart it.
func shared(t *testing.T) *controlplane.ControlPlane {
	return planes.shared.get(t, controlplane.Options{})
}

// split has its kubelet certificates signed by another CA than the API server's.
func split(t *testing.T) *controlplane.ControlPlane {
	return planes.split.get(t, controlplane.Options{SplitCA: true})
}

// own is a control plane for this test alone, to be paused, restarted and stopped.
func own(t *testing.T) *controlplane.ControlPlane {
	t.Helper()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cp.Stop)
	return cp
}

func TestMain(m *testing.M) {
	transport.CertCallbackRefreshDuration = time.Second // for client-go inside the tests; a kubelet looks every 5 minutes
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bootstrap-agent-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	defer func() {
		for _, p := range []*plane{&planes.shared, &planes.split} {
			if p.cp != nil {
				p.cp.Stop()
			}
		}
	}()
	agentProgram = filepath.Join(dir, "bootstrap-agent")
	build := exec.Command("go", "build", "-race", "-o", agentProgram, "../../cmd/bootstrap-agent")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the agent: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}
