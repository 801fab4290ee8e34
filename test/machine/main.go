package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
)

// insideVariable tells the process in the namespaces from the one outside, and names the folder of the cgroups.
const insideVariable = "BOOTSTRAP_AGENT_TEST_INSIDE"

// Main runs the tests of a package in namespaces of their own and ends the process. Before is called there first; what it returns
// is called after the last test, whether they passed or not.
func Main(m *testing.M, before func() (after func(), err error)) {
	group := os.Getenv(insideVariable)
	if group == "" {
		os.Exit(outside())
	}
	os.Exit(inside(m, group, before))
}

// outside starts this program again in the namespaces and waits for it. The kernel ends it, and all that it started, with this process.
func outside() int {
	runtime.LockOSThread() // PR_SET_PDEATHSIG acts when the thread ends that started the process
	group := fmt.Sprintf("%s%d", groupPrefix, os.Getpid())
	sweepGroups()
	defer removeGroups(group)
	temporary, err := os.MkdirTemp("", group+"-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.Remove(temporary) // in the namespaces a file system in memory lies over it
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Args[0] = os.Args[0]
	command.Env = append(os.Environ(), insideVariable+"="+group, "TMPDIR="+temporary)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := command.Start(); err != nil {
		fmt.Fprintf(os.Stderr, "start the tests in namespaces of their own, which is for root: %v\n", err)
		return 1
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	go func() {
		for s := range signals {
			_ = command.Process.Signal(s)
		}
	}()
	err = command.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func inside(m *testing.M, group string, before func() (func(), error)) int {
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"look for what the machines need", needed},
		{"take apart from the host what is mounted", mounts},
		{"make the network", network},
		{"make the cgroups", func() error { return makeGroups(group) }},
	} {
		if err := step.do(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", step.what, err)
			return 1
		}
	}
	after, err := before()
	if after != nil {
		defer after()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// needed says plainly what is missing.
func needed() error {
	var missing []error
	for _, program := range []string{"systemd-nspawn", "nsenter", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, fmt.Errorf("%w (Debian: apt-get install systemd-container util-linux iproute2)", err))
		}
	}
	if _, err := nodeRoot(); err != nil {
		missing = append(missing, err)
	}
	return errors.Join(missing...)
}

func mounts() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make all mounts private: %w", err)
	}
	if err := syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc of the PID namespace: %w", err)
	}
	if err := syscall.Mount("tmpfs", os.TempDir(), "tmpfs", 0, "mode=700"); err != nil { // whatever is left there goes with the tests
		return fmt.Errorf("mount a temporary folder: %w", err)
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil { // where ip keeps the names of namespaces
		return err
	}
	return syscall.Mount("tmpfs", "/run/netns", "tmpfs", 0, "mode=755")
}

// execute runs a program and returns what it prints.
func execute(name string, args ...string) (string, error) {
	output, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("%s %q: %w: %s", name, args, err, output)
	}
	return string(output), nil
}
