package e2e

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// All that is shown with recorded operations (every crash, every power cut) is worth what the record is worth. Here it is held
// against what the kernel was asked for by the agent as it is shipped.
func TestTheRecordedFileOperationsAreThoseThatTheKernelSees(t *testing.T) {
	t.Parallel()
	recorded, traced := recordJoin(t), straceJoin(t)
	for name := range recorded {
		if !slices.Equal(recorded[name], traced[name]) {
			t.Errorf("%s: strace has\n  %s\nrecorded is\n  %s", name, strings.Join(traced[name], "\n  "), strings.Join(recorded[name], "\n  "))
		}
	}
	for name, ops := range traced {
		if recorded[name] == nil {
			t.Errorf("%s: strace has what nobody recorded:\n  %s", name, strings.Join(ops, "\n  "))
		}
		t.Logf("%d operations: %s", len(ops), name)
	}
	for _, name := range []string{"client", "serving", "credential"} {
		if len(recorded[name]) == 0 {
			t.Errorf("nothing is recorded about the %s", name)
		}
	}
}

// newcomer is a node whose requests will be approved.
func newcomer(t *testing.T) *node {
	t.Helper()
	n := newVictim(t)
	n.approveServing(0)
	n.bootstrap(n.staticToken(controlplane.KubeletBootstrap))
	return n
}

// recordJoin joins inside the test, and returns what the disk was asked for.
func recordJoin(t *testing.T) map[string][]string {
	t.Helper()
	n := newcomer(t)
	var ops []durable.Op
	disk := durable.Disk{Before: func(op durable.Op) error {
		op.Data = nil // holds keys
		ops = append(ops, op)
		return nil
	}}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var said bytes.Buffer
	err := agent.New(agent.Options{
		Config: n.configuration("--once", "--serving-wait=50s"), Disk: disk, Clock: clock.RealClock{},
		Log: slog.New(slog.NewTextHandler(&said, nil)), UserAgent: "bootstrap-agent/recorded",
	}).Run(ctx)
	n.said.Write(said.Bytes())
	must(t, err)
	n.assertWhole()
	return byConcern(told(n, ops))
}

// straceJoin joins under strace, and returns what the kernel was asked for.
func straceJoin(t *testing.T) map[string][]string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is not in PATH: apt-get install strace")
	}
	n := newcomer(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	log := filepath.Join(t.TempDir(), "strace.log")
	// no content (-s 0): it holds keys. Should strace be killed, the agent goes on alone, but not for long.
	c := n.command(ctx, []string{"run", "--once"}, "--serving-wait=50s", "--timeout=30s")
	c.Args = slices.Concat([]string{strace, "-f", "-y", "-s", "0", "-o", log, "-e", "trace=" + changing, c.Path}, c.Args[1:])
	c.Path = strace
	c.SysProcAttr.Setpgid = true
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 5 * time.Second
	n.expect(n.finish(c), 0)
	text, err := os.ReadFile(log)
	must(t, err)
	n.assertWhole()
	isFolder := func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	}
	return byConcern(told(n, parseStrace(string(text), isFolder)))
}
