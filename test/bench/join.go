package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

const (
	// joinLimit is a hundred times what a join takes.
	joinLimit = 30 * time.Second
	// idleFor is how long a process rests before its memory is looked at.
	idleFor = 2 * time.Second
)

// join is one node's way from a token to its certificates.
type join struct {
	// identity is the time from the start of the process until the kubeconfig is there; both, until the serving certificate
	// is, too; 0 if there is none.
	identity, both time.Duration
	requests       int
	// resident is the memory of the resting process in bytes; 0 when it was not looked at.
	resident float64
}

// node is a machine that joins: its own token, its own folders.
type node struct {
	name, dir string
	// users are who the API server takes it for: first for the token, then for itself.
	users   [2]string
	changes *changes
}

func (n *node) file(name string) string { return filepath.Join(n.dir, name) }

// newNode makes a node with a token that the API server takes.
func (t *track) newNode(ctx context.Context) (*node, error) { return t.newNodeIn(ctx, t.dir) }

func (t *track) newNodeIn(ctx context.Context, dir string) (*node, error) {
	t.nodes++
	n := &node{name: fmt.Sprintf("bench-%d", t.nodes)}
	n.dir = filepath.Join(dir, n.name)
	if err := os.MkdirAll(n.file("pki"), 0o700); err != nil {
		return nil, err
	}
	token, err := t.cp.CreateBootstrapToken(ctx, controlplane.TokenOptions{})
	if err != nil {
		return nil, err
	}
	id, _, _ := strings.Cut(token, ".")
	n.users = [2]string{"system:bootstrap:" + id, "system:node:" + n.name}
	bootstrap, err := t.cp.Kubeconfig("", clientcmdapi.AuthInfo{Token: token})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(n.file("bootstrap.kubeconfig"), bootstrap, 0o600); err != nil {
		return nil, err
	}
	n.changes, err = watchChanges(n.dir, n.file("pki"))
	return n, err
}

// startAgent starts the agent as the service that it is, without a port unless a flag says another thing.
func (t *track) startAgent(ctx context.Context, n *node, flags ...string) (*process, error) {
	args := []string{
		"run", "--web.listen-address=", "--bootstrap-kubeconfig=" + n.file("bootstrap.kubeconfig"), "--kubeconfig=" + n.file("kubelet.kubeconfig"),
		"--cert-dir=" + n.file("pki"), "--hostname-override=" + n.name, "--node-ip=192.0.2.10",
	}
	return start(ctx, program.Command(ctx, t.agent, append(args, flags...)...))
}

// joinAgent has the agent join. The pending file of a certificate goes when all that belongs to it is durable, the kubeconfig included.
func (t *track) joinAgent(ctx context.Context, serving, idle bool) (join, error) {
	n, err := t.newNode(ctx)
	if err != nil {
		return join{}, err
	}
	defer n.changes.close()
	var flags []string
	if !serving {
		flags = append(flags, "--serving=off")
	}
	p, err := t.startAgent(ctx, n, flags...)
	if err != nil {
		return join{}, err
	}
	defer p.kill()
	j := join{}
	if j.identity, err = p.until(ctx, n, n.file("pki/kubelet-client.pending.pem"), unix.IN_DELETE); err != nil {
		return join{}, err
	}
	if _, err := os.Stat(n.file("kubelet.kubeconfig")); err != nil {
		return join{}, err
	}
	if serving {
		if j.both, err = p.until(ctx, n, n.file("pki/kubelet-server.pending.pem"), unix.IN_DELETE); err != nil {
			return join{}, err
		}
	}
	if err := p.awaitGone(ctx, n.file("bootstrap.kubeconfig")); err != nil {
		return join{}, err
	}
	if idle {
		if j.resident, err = p.residentIdle(ctx); err != nil {
			return join{}, err
		}
	}
	if err := p.stop(); err != nil {
		return join{}, err
	}
	j.requests, err = t.requests(n, p.started)
	return j, err
}

// requests counts by the audit log what was asked of the API server in a node's name or by an agent, whoever it was taken for.
func (t *track) requests(n *node, since time.Time) (int, error) {
	requests, err := t.cp.Requests("", controlplane.Since(since), func(r controlplane.Request) bool {
		return slices.Contains(n.users[:], r.User) || strings.HasPrefix(r.UserAgent, "bootstrap-agent/")
	})
	return len(requests), err
}

// process is a running agent or kubelet.
type process struct {
	command *exec.Cmd
	started time.Time
	output  bytes.Buffer
	ended   chan struct{}
}

func start(ctx context.Context, command *exec.Cmd) (*process, error) {
	p := &process{command: command, ended: make(chan struct{})}
	command.Stdout, command.Stderr = &p.output, &p.output
	p.started = time.Now()
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = command.Wait() // its state tells
	}()
	return p, nil
}

// until waits for a change of a file, and returns how long after the start of the process it came.
func (p *process) until(ctx context.Context, n *node, path string, mask uint32) (time.Duration, error) {
	limit := time.After(joinLimit)
	for {
		select {
		case c := <-n.changes.seen:
			if c.path == path && c.mask&mask != 0 {
				return c.at.Sub(p.started), nil
			}
		case <-p.ended:
			return 0, p.failed("ended early: %v", p.command.ProcessState)
		case <-limit:
			return 0, p.failed("is not done with %s after %v", path, joinLimit)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (p *process) failed(format string, args ...any) error {
	p.kill() // so that its output is complete
	return fmt.Errorf("%s %s:\n%s", filepath.Base(p.command.Path), fmt.Sprintf(format, args...), p.output.String())
}

func (p *process) awaitGone(ctx context.Context, path string) error {
	for limit := time.After(joinLimit); ; {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-limit:
			return p.failed("has not deleted %s within %v", path, joinLimit)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// residentIdle is VmRSS of the process, in bytes, after a rest.
func (p *process) residentIdle(ctx context.Context) (float64, error) {
	select {
	case <-time.After(idleFor):
	case <-p.ended:
		return 0, p.failed("ended early: %v", p.command.ProcessState)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return program.Resident(p.command.Process.Pid)
}

// stop is SIGTERM, which is to end the process well.
func (p *process) stop() error {
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-time.After(joinLimit):
		return p.failed("does not end after SIGTERM")
	}
	if !p.command.ProcessState.Success() {
		return p.failed("ended after SIGTERM with %v", p.command.ProcessState)
	}
	return nil
}

func (p *process) kill() {
	_ = p.command.Process.Kill() // gone already is as good
	<-p.ended
}
