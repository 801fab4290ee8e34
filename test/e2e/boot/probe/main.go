// Command probe stands in for the agent under its unit: it tries what a compromised agent would, and what the agent must be able to do,
// and prints a line of JSON for each, {"Name": …, "Errno": 0 when it went well, "Says": …}. After that it stays, as a service does.
//
// It must be built without cgo, as the agent is. Attempts that worked leave nothing behind but files of its own.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
)

// attempt is one thing to try, on a thread of its own that is never used again: some of them change it.
type attempt struct {
	name string
	try  func() error
}

// result is what came of it.
type result struct {
	Name  string
	Errno syscall.Errno
	Says  string `json:",omitempty"`
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "true" { // run by itself
		return
	}
	out := json.NewEncoder(os.Stdout)
	for _, attempts := range [][]attempt{files(), programs(), processes(), sockets(), kernel(), necessary()} {
		for _, a := range attempts {
			_ = out.Encode(try(a))
		}
	}
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	stay()
}

func try(a attempt) result {
	ended := make(chan error)
	go func() {
		runtime.LockOSThread()
		ended <- a.try()
	}()
	err := <-ended
	r := result{Name: a.name}
	if err == nil {
		return r
	}
	r.Says = err.Error()
	if !errors.As(err, &r.Errno) {
		r.Errno = syscall.EINVAL
	}
	return r
}

// target is the PID of a process of root's with all its powers, as the kubelet is.
func target() string { return said("probe-target") }

// said is what the test has left for the probe.
func said(name string) string {
	text, err := os.ReadFile("/etc/kubernetes/" + name)
	if err != nil {
		panic(err)
	}
	return strings.TrimSpace(string(text))
}

// write makes a file and takes it away again.
func write(path string) func() error {
	return func() error {
		if err := os.WriteFile(path, []byte("probe"), 0o600); err != nil {
			return err
		}
		return os.Remove(path)
	}
}

// read opens a file or folder. What is hidden by taking it away is refused too.
func read(path string) func() error {
	return func() error {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return syscall.EACCES
		}
		if err != nil {
			return err
		}
		return f.Close()
	}
}

// one makes a function of a system call's three results.
func one(_, _ uintptr, errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// fail is an error that is no refusal, whatever was in the way.
func fail(format string, args ...any) error { return fmt.Errorf(format, args...) }
