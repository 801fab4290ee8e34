package prometheus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// programs is where hack/prometheus.sh puts them, from the top of the repository.
const programs = "bin/prometheus"

// Program is the path of prometheus, promtool or prometheus-node-exporter.
func Program(name string) (string, error) {
	root, err := program.Repository()
	if err != nil {
		return "", fmt.Errorf("look for %s: %w", name, err)
	}
	path := filepath.Join(root, programs, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no %s: %w; run make bin/prometheus/promtool", name, err)
	}
	return path, nil
}

// process is a running program that listens on a port of 127.0.0.1 which the kernel chose.
type process struct {
	command *exec.Cmd
	address string
	ended   chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
}

// startLimit is a hundred times what a start takes.
const startLimit = 30 * time.Second

// startProcess starts a program, told to listen on port 0, and returns when it says on which it does. The kernel kills it when this
// process is gone, however it went.
func startProcess(ctx context.Context, dir, path string, args ...string) (*process, error) {
	p := &process{ended: make(chan struct{})}
	p.command = exec.Command(path, args...)
	p.command.Dir, p.command.Stdout, p.command.Stderr = dir, p, p
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		// PR_SET_PDEATHSIG acts when the thread that started the program ends: this one stays until the program is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.command.Start()
		started <- err
		if err == nil {
			_ = p.command.Wait() // how it ended is asked of ProcessState
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err := p.await(ctx, "it says where it listens", p.listens); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// Write collects what the program says.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(text)
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// listening is what exporter-toolkit logs once it does.
var listening = regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:\d+)`)

func (p *process) listens() error {
	found := listening.FindStringSubmatch(p.log())
	if found == nil {
		return errors.New("it has not said so")
	}
	p.address = found[1]
	return nil
}

// await returns once check does not fail any more, and an error with what the program said when that takes too long.
func (p *process) await(ctx context.Context, what string, check func() error) error {
	limit := time.After(startLimit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
			continue
		case <-p.ended:
			err = fmt.Errorf("it ended: %v", p.command.ProcessState)
		case <-limit:
			err = fmt.Errorf("not within %s: %w", startLimit, err)
		case <-ctx.Done():
			err = ctx.Err()
		}
		return fmt.Errorf("%s: wait until %s: %w\n%s", filepath.Base(p.command.Path), what, err, p.log())
	}
}

// stop kills the program and returns when it is gone. Nothing that it still has to write is wanted.
func (p *process) stop() {
	_ = p.command.Process.Kill() // gone already is as good
	<-p.ended
}
