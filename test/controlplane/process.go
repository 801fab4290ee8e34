package controlplane

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// launcher starts processes that the kernel kills when the test binary is gone, however it went.
//
// PR_SET_PDEATHSIG acts when the *thread* that started the process ends, and Go ends threads as it likes. So one goroutine
// that never leaves its thread starts every process of a control plane and lives as long as it.
type launcher struct {
	commands chan launch
}

type launch struct {
	command *exec.Cmd
	started chan error
}

func newLauncher() *launcher {
	l := &launcher{commands: make(chan launch)}
	go func() {
		// Given back at the end, and not ended with the goroutine: before it was locked the thread may have started other programs,
		// of a test say, which PR_SET_PDEATHSIG would kill with it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for next := range l.commands {
			next.started <- next.command.Start()
		}
	}()
	return l
}

func (l *launcher) start(command *exec.Cmd) error {
	if l == nil {
		return errors.New("the control plane was stopped")
	}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	next := launch{command: command, started: make(chan error)}
	l.commands <- next
	return <-next.started
}

func (l *launcher) close() { close(l.commands) }

// process is one running program of a control plane.
type process struct {
	name    string
	logFile string
	command *exec.Cmd
	exited  chan struct{} // closed once the process is gone and reaped
}

// startProcess runs a program in dir; what it prints is appended to NAME.log there.
func startProcess(l *launcher, dir, path string, args ...string) (*process, error) {
	p := &process{name: filepath.Base(path), exited: make(chan struct{})}
	p.logFile = filepath.Join(dir, p.name+".log")
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close() // the process has a copy

	p.command = exec.Command(path, args...)
	p.command.Dir, p.command.Stdout, p.command.Stderr = dir, log, log
	if err := l.start(p.command); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		defer close(p.exited)
		_ = p.command.Wait() // how it ended is asked of command.ProcessState
	}()
	return p, nil
}

func (p *process) pid() int { return p.command.Process.Pid }

func (p *process) signal(s syscall.Signal) error {
	if err := p.command.Process.Signal(s); err != nil {
		return fmt.Errorf("send %v to %s (pid %d): %w", s, p.name, p.pid(), err)
	}
	return nil
}

// stop ends the process and waits until it is gone. TERM first, since etcd and the log files like to be closed; KILL after
// the grace, since a paused process hears no TERM and kube-apiserver drains its watches for up to a minute.
func (p *process) stop(grace time.Duration) error {
	if grace > 0 {
		_ = p.signal(syscall.SIGTERM) // gone already: seen below
		select {
		case <-p.exited:
			return nil
		case <-time.After(grace):
		}
	}
	if err := p.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return nil
}

// died is an error with the end of the log if the process is gone.
func (p *process) died() error {
	select {
	case <-p.exited:
		return fmt.Errorf("%s ended: %v\n%s", p.name, p.command.ProcessState, p.logTail())
	default:
		return nil
	}
}

// logTails are the last words of several processes.
func logTails(processes []*process) string {
	var tails strings.Builder
	for _, p := range processes {
		fmt.Fprintf(&tails, "\n%s:\n%s", p.name, p.logTail())
	}
	return tails.String()
}

// logTail is the end of what the process printed: its reason to end stands in one of the last lines.
func (p *process) logTail() []byte {
	const most = 2000
	log, err := os.ReadFile(p.logFile)
	if err != nil {
		return []byte(err.Error())
	}
	if len(log) > most {
		log = log[len(log)-most:]
		_, log, _ = bytes.Cut(log, []byte("\n"))
	}
	return log
}
