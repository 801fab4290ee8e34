package rotate

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideEnv makes this program do one of inside, in namespaces of its own where it may set limits and mount.
const insideEnv = "ROTATE_TEST_INSIDE"

var inside = map[string]func(scene){
	"watches that run out are said, and are no failure":   watchesRunOut,
	"instances that run out are said, and are no failure": instancesRunOut,
	"a mount over a folder is found by the next Set":      mountedOver,
	"a folder in two places is watched in both":           mountedTwice,
}

// The kernel counts inotify watches and instances for each user namespace too; no other process sees any of this.
func TestWhatTheKernelDoesNotGiveOrTellCostsTimeAndNothingElse(t *testing.T) {
	if do := inside[os.Getenv(insideEnv)]; do != nil {
		do(scene{t})
		return
	}
	for name := range inside {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			child := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestWhatTheKernelDoesNotGiveOrTellCostsTimeAndNothingElse$", "-test.v")
			child.Env = append(os.Environ(), insideEnv+"="+name, "GORACE=atexit_sleep_ms=0")
			child.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
				Pdeathsig:   syscall.SIGKILL,
			}
			out, err := child.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS") {
				t.Errorf("in namespaces of its own (user.max_user_namespaces must allow them): %v\n%s", err, out)
			}
		})
	}
}

func setLimit(tb testing.TB, name string, to int) {
	tb.Helper()
	must(tb, os.WriteFile("/proc/sys/user/"+name, fmt.Append(nil, to), 0))
}

func watchesRunOut(t scene) {
	dir := t.TempDir()
	mkdirs(t, dir+"/etc")
	w := Watch()
	t.Cleanup(w.Close)
	path := []string{dir + "/etc/file"}
	setLimit(t, "max_inotify_watches", 2)
	w.Set(path)
	if err := w.Err(); !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "fs.inotify.max_user_watches") {
		t.Fatalf("%v, expected which limit it is", err)
	}
	if text := w.Err().Error(); !strings.Contains(text, dir+"/etc") || strings.Contains(text, "watch /:") {
		t.Errorf("%v, expected the folders that are not watched and no others", text)
	}
	takeSignal(w)
	setLimit(t, "max_inotify_watches", 100)
	w.Set(path)
	must(t, w.Err())
	expectSignal(t, w, "a Set that had enough of them again")
	write(t, path[0], "new")
	expectSignal(t, w, "a change then")
}

func instancesRunOut(t scene) {
	w := Watch()
	t.Cleanup(w.Close)
	path := []string{t.TempDir() + "/file"}
	setLimit(t, "max_inotify_instances", 0)
	for range 3 {
		w.Set(path)
		if err := w.Err(); !errors.Is(err, unix.EMFILE) || !strings.Contains(err.Error(), "fs.inotify.max_user_instances") {
			t.Fatalf("%v, expected which limit it is", err)
		}
	}
	setLimit(t, "max_inotify_instances", 1)
	w.Set(path)
	must(t, w.Err())
	expectSignal(t, w, "a Set that had one again")
	write(t, path[0], "new")
	expectSignal(t, w, "a change then")
}

func mountedOver(t scene) {
	dir := t.TempDir() + "/etc"
	mkdirs(t, dir)
	w := watching(t, dir+"/file")
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"a mount", func() error { return unix.Mount("tmpfs", dir, "tmpfs", 0, "") }},
		{"an umount", func() error { return unix.Unmount(dir, 0) }},
	} {
		must(t, step.do())
		w.Set([]string{dir + "/file"})
		must(t, w.Err())
		expectSignal(t, w, "a Set after "+step.name)
		write(t, dir+"/file", step.name)
		expectSignal(t, w, "a change after "+step.name)
		takeSignal(w)
		write(t, dir+"/file", "again")
		expectSignal(t, w, "a second change after "+step.name)
		takeSignal(w)
		must(t, os.Chmod(dir, 0o700)) // which the folder above does not tell of the root of a mount
		expectSignal(t, w, "another mode after "+step.name)
	}
}

// One inode is one watch, whatever its paths.
func mountedTwice(t scene) {
	dir := t.TempDir()
	mkdirs(t, dir+"/a", dir+"/b")
	must(t, unix.Mount(dir+"/a", dir+"/b", "", unix.MS_BIND, ""))
	defer unix.Unmount(dir+"/b", unix.MNT_DETACH)
	both := []string{dir + "/a/one", dir + "/b/two"}
	seesAll := func(w *Watcher, set []string) {
		w.Set(set)
		r := read(w, set...)
		defer r.stop()
		for i := range 5 {
			for _, path := range set {
				write(t, path, fmt.Sprint(i))
				r.expectTruth(t, "a change in "+path)
			}
		}
	}
	for _, paths := range [][]string{both, {both[1]}, {both[1], both[0]}, {both[0]}} {
		w := watching(t, paths...)
		for _, set := range [][]string{paths, both, {both[1]}, both, {both[0]}, {both[1], both[0]}, {both[1]}} {
			seesAll(w, set)
		}
	}
	w := watching(t, both...)
	must(t, unix.Unmount(dir+"/b", 0))
	seesAll(w, both)
}

func takeSignal(w *Watcher) {
	select {
	case <-w.Changed():
	default:
	}
}
