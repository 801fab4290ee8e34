package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// demoProgram is the demo as a program, since what it leaves behind is seen only from outside.
var demoProgram string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "demo-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	demoProgram = filepath.Join(dir, "demo")
	if output, err := exec.Command("go", "build", "-o", demoProgram, ".").CombinedOutput(); err != nil {
		os.Stderr.Write(output)
		return 1
	}
	return m.Run()
}

// show is a demo that runs in a folder for temporary files of its own.
type show struct {
	t      *testing.T
	temp   string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	ended  chan struct{}

	mu     sync.Mutex
	stdout bytes.Buffer
}

func start(t *testing.T, env ...string) *show {
	t.Helper()
	s := &show{t: t, temp: t.TempDir(), cmd: exec.Command(demoProgram), ended: make(chan struct{})}
	s.cmd.Dir = "../.." // where make runs it
	s.cmd.Env = append(append(os.Environ(), "TMPDIR="+s.temp), env...)
	s.cmd.Stdout, s.cmd.Stderr = s, &s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell does, so that a signal for all reaches no more than all
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // its state tells
		close(s.ended)
	}()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

// Write collects what the demo shows.
func (s *show) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stdout.Write(text)
}

func (s *show) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stdout.String()
}

// await waits until something is to be seen of the demo.
func (s *show) await(what string, seen func() bool) {
	s.t.Helper()
	for limit := time.After(time.Minute); !seen(); {
		select {
		case <-s.ended:
			s.t.Fatalf("it ended before %s:\n%s%s", what, s.shown(), s.stderr.String())
		case <-limit:
			s.t.Fatalf("no %s within a minute:\n%s", what, s.shown())
		case <-time.After(time.Millisecond):
		}
	}
}

func (s *show) awaitProcess(name string) {
	s.t.Helper()
	s.await("process "+name, func() bool { return strings.Contains(strings.Join(processesWith(s.temp), "\n"), name) })
}

// expect waits for the end, which leaves neither a file nor a process.
func (s *show) expect(code int) {
	s.t.Helper()
	<-s.ended
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code %d, expected %d:\n%s%s", got, code, s.shown(), s.stderr.String())
	}
	left, err := os.ReadDir(s.temp)
	if err != nil || len(left) > 0 {
		s.t.Errorf("left behind: %v %v", left, err)
	}
	if left := processesWith(s.temp); len(left) > 0 {
		s.t.Errorf("still running: %q", left)
	}
}

// processesWith are the command lines of the processes that speak of a folder, or were told of it.
func processesWith(dir string) []string {
	var found []string
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		line, _ := os.ReadFile(file)
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "environ"))
		if filepath.Base(filepath.Dir(file)) != strconv.Itoa(os.Getpid()) && bytes.Contains(append(line, environ...), []byte(dir)) {
			found = append(found, string(line))
		}
	}
	return found
}

func TestTheDemoShowsANodeFromTokenToReadiness(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.expect(0)
	shown := s.shown()
	for _, text := range []string{
		"secret/bootstrap-token-", "the API server accepts the new client certificate", "Pending", "approved", "kubelet.crt -> kubelet-server-current.pem",
		"system:node:worker-1", "is deleted", "well", "6 requests", "asking for the next certificate", "wrote a file again from memory", `bootstrap_agent_rotations_total{certificate="client",result="success"} 1`, "READY=1", "not one request",
	} {
		if !strings.Contains(shown, text) {
			t.Errorf("%q is not shown", text)
		}
	}
	if lines := strings.Count(shown, "\n"); lines > 128 {
		t.Errorf("%d lines are more than a person reads", lines)
	}
	if strings.Contains(shown, s.temp) || strings.Contains(shown, "\x1b") {
		t.Error("long paths, or colours without a terminal")
	}
	// what a token's secret looks like, alone or behind its id
	if found := regexp.MustCompile(`\b[a-z2-7]{16}\b`).FindString(shown); found != "" {
		t.Errorf("the token's secret is shown: %s", found)
	}
	if t.Failed() {
		t.Log(shown)
	}
}

func TestAnInterruptedDemoLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	t.Run("Ctrl-C for every process while the control plane starts", func(t *testing.T) {
		s := start(t)
		s.awaitProcess("kube-apiserver")
		if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		s.expect(130)
		if said := s.stderr.String(); !strings.Contains(said, "demo: ended by signal: interrupt") || strings.Count(said, "\n") > 1 {
			t.Errorf("said %q", said)
		}
	})
	t.Run("SIGTERM for the demo alone while the agent waits for approval", func(t *testing.T) {
		s := start(t)
		s.await("$ kubectl get csr", func() bool { return strings.Contains(s.shown(), "$ kubectl get csr") })
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.expect(143)
	})
}

func TestAFailedDemoSaysWhyAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		assets, _ = filepath.Abs("../../bin/control-plane")
	}
	programs := t.TempDir()
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager"} {
		if err := os.Symlink(filepath.Join(assets, name), filepath.Join(programs, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a program is not there", func(t *testing.T) {
		s := start(t, "KUBEBUILDER_ASSETS="+programs)
		s.expect(1)
		if said := s.stderr.String(); !strings.Contains(said, "kubectl: no such file") || !strings.Contains(said, "make control-plane") {
			t.Errorf("said %q", said)
		}
	})
	t.Run("a command fails half-way", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(programs, "kubectl"), []byte("#!/bin/sh\necho no luck today >&2\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		s := start(t, "KUBEBUILDER_ASSETS="+programs)
		s.expect(1)
		if said := s.stderr.String(); !strings.Contains(said, "demo: kubectl create") || !strings.Contains(said, "no luck today") {
			t.Errorf("said %q", said)
		}
	})
}
