// Package program is what the programs below test/ have in common: they end soon when they are told to, and so does all that
// they started. Left to each: what it does, and its exit code when that fails.
package program

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit is an error with an exit code of its own; without one it is 1.
type Exit struct {
	Code int
	Err  error
}

func (e *Exit) Error() string { return e.Err.Error() }
func (e *Exit) Unwrap() error { return e.Err }

// signals end the work. SIGPIPE is one: whoever read the output may have gone ("make demo | head").
var signals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE}

// Main does the work and ends the process. A signal, or the end of the process that started this one (make kills "go run",
// which passes nothing on), cancels the context; work then takes away what it made, and returns. Its error is said on stderr.
func Main(name string, work func(context.Context) error) {
	// PR_SET_PDEATHSIG of a child acts when the thread that started it ends: this one stays.
	runtime.LockOSThread()
	ctx, cancel := context.WithCancelCause(context.Background())
	caught := make(chan os.Signal, 8) // never stopped: a second Ctrl-C does not cut the tidying short
	signal.Notify(caught, signals...)
	go func() {
		for s := range caught {
			cancel(&Exit{Code: 128 + int(s.(syscall.Signal)), Err: fmt.Errorf("ended by signal: %v", s)})
		}
	}()
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGTERM), 0, 0, 0); err != nil {
		cancel(fmt.Errorf("prctl(PR_SET_PDEATHSIG): %w", err))
	}
	err := work(ctx)
	if err == nil {
		os.Exit(0)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	if exit, ok := errors.AsType[*Exit](err); ok {
		os.Exit(exit.Code)
	}
	os.Exit(1)
}

// Command is a command that does not outlive this process, when [Main]'s goroutine starts it. It is killed when ctx ends.
func Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, path, args...)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return command
}

// Agent is the path of the agent that "make build" makes, seen from the folder of the repository.
func Agent() (string, error) {
	path, err := filepath.Abs(filepath.Join("bin", "bootstrap-agent"))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no agent: %w; run make build, in the folder of the repository", err)
	}
	return path, nil
}
