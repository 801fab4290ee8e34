package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// inMounts runs body, and every process that it starts, with mounts of its own, which nobody else sees and which go with this process
// and those.
func inMounts(t *testing.T, body func()) {
	t.Helper()
	shared(t) // its processes must not come to live in there
	done := make(chan struct{})
	go func() {
		// The thread stays as it is and is never used again. Were it ended, the kernel would take it for the parent of the processes
		// that other tests have started from it, and kill these (Pdeathsig).
		defer func() { select {} }()
		defer close(done)
		runtime.LockOSThread()
		private := unix.Unshare(unix.CLONE_NEWNS)
		if private == nil {
			private = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if private != nil {
			t.Errorf("mounts of its own are for root, who must run this test: %v", private)
			return
		}
		body()
	}()
	<-done
	expectNoMount(t)
}

// expectNoMount shows that nothing of a test is mounted where everybody sees it.
func expectNoMount(t *testing.T) {
	t.Helper()
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", os.Getppid()))
	must(t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, filepath.Base(os.TempDir())+"/Test") {
			t.Errorf("something is still mounted: %s", line)
		}
	}
}

// mount is mount(2) inside [inMounts].
func (n *node) mount(source, target, kind string, flags uintptr, data string) {
	n.t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		n.t.Fatalf("mount %s: %v", target, err)
	}
}

// smallDisk is a file system for the cert-dir alone.
func (n *node) smallDisk(options string) {
	n.t.Helper()
	must(n.t, os.MkdirAll(n.certDir().Path, 0o700))
	n.mount("tmpfs", n.certDir().Path, "tmpfs", 0, "mode=0700,"+options)
}

// fill writes to the cert-dir's disk until nothing fits any more.
func (n *node) fill() (empty func()) {
	n.t.Helper()
	path := filepath.Join(n.certDir().Path, "ballast")
	f, err := os.Create(path)
	must(n.t, err)
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		n.t.Fatalf("the disk does not become full: %v", err)
	}
	return func() { must(n.t, os.Remove(path)) }
}

// useUpInodes makes files until there can be no more.
func (n *node) useUpInodes() (free func()) {
	n.t.Helper()
	var err error
	count := 0
	name := func(i int) string { return filepath.Join(n.certDir().Path, fmt.Sprintf("ballast-%d", i)) }
	for ; err == nil; count++ {
		err = os.Symlink("nowhere", name(count))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		n.t.Fatalf("the inodes do not run out: %v", err)
	}
	return func() {
		for i := range count - 1 {
			must(n.t, os.Remove(name(i)))
		}
	}
}

// readOnly makes a folder one that nothing can be changed in.
func (n *node) readOnly(folder string) (writable func()) {
	n.t.Helper()
	n.mount(folder, folder, "", unix.MS_BIND|unix.MS_REC, "")
	n.mount("", folder, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	return func() { n.mount("", folder, "", unix.MS_BIND|unix.MS_REMOUNT, "") }
}
