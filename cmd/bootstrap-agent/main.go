// Command bootstrap-agent turns a bootstrap credential into the certificates of a Kubernetes node and keeps them fresh.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(run())
}

func run() int {
	if err := keepMemoryPrivate(); err != nil {
		complain(os.Stderr, os.Getenv("JOURNAL_STREAM"), err)
		return 1
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	err := root().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var exit *agent.ExitError
	if !errors.As(err, &exit) {
		exit = &agent.ExitError{Code: 2, Err: err} // cobra's own: an unknown command or flag
	}
	if exit.Err != nil {
		complain(os.Stderr, os.Getenv("JOURNAL_STREAM"), exit.Err)
	}
	return exit.Code
}

// keepMemoryPrivate is the first act: the process holds keys and tokens, so no core dump is made of it, neither to a file nor
// through a pipe, and no process of the same user may read it.
func keepMemoryPrivate() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("prctl(PR_SET_DUMPABLE, 0): %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("setrlimit(RLIMIT_CORE, 0): %w", err)
	}
	return nil
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "bootstrap-agent",
		Short:         "Turns a bootstrap token into a node's certificates, and keeps them fresh",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(runCommand(), statusCommand(), doctorCommand(), waitCommand(), rotateCommand(), resetCommand(), joinConfigCommand(), configCommand(), versionCommand())
	return cmd
}

func userAgent() string {
	return fmt.Sprintf("bootstrap-agent/%s (%s/%s)", version, runtime.GOOS, runtime.GOARCH)
}

func usage(err error) error { return &agent.ExitError{Code: 2, Err: err} }
