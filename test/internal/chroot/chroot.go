// Package chroot runs commands in the project's own Debian root file system (make node-root) without booting it. Left to each test: which
// file systems it lays over that, in a script that ends by becoming chroot.
package chroot

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Debian is the path of the root file system, absolute, for tests in a folder two below the top. It must have a file; it is only read.
func Debian(t *testing.T, needed string) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/node-root")
	if err == nil {
		_, err = os.Stat(filepath.Join(path, needed))
	}
	if err != nil {
		t.Fatalf("no root file system of a Debian: %v; run make node-root", err)
	}
	return path
}

// Run runs a script of /bin/sh, which gets args, in a mount namespace of its own: what it mounts is gone with it. It returns all that it
// says, and its exit code. Environment is added to a small one.
func Run(t *testing.T, environment []string, script string, args ...string) (string, int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "/bin/sh", append([]string{"-euc", script, "sh"}, args...)...)
	command.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}, environment...)
	command.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %q in a Debian, which is for root: %v", args, err)
	}
	return out.String(), command.ProcessState.ExitCode()
}
