package rotate

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// soon is when a change must have been noticed.
const soon = time.Second

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// watching returns a Watcher of paths that has nothing to say yet.
func watching(tb testing.TB, paths ...string) *Watcher {
	tb.Helper()
	w := Watch()
	tb.Cleanup(w.Close)
	w.Set(paths)
	must(tb, w.Err())
	expectSignal(tb, w, "the first Set")
	return w
}

func expectSignal(tb testing.TB, w *Watcher, after string) {
	tb.Helper()
	select {
	case <-w.Changed():
	case <-time.After(soon):
		tb.Fatalf("nothing was said within %s of %s", soon, after)
	}
}

// reader does what the agent does: it looks at the files whenever it is told to, and believes that until it is told again.
type reader struct {
	paths []string
	stop  func()
	mu    sync.Mutex
	seen  string
	looks int
}

func read(w *Watcher, paths ...string) *reader {
	r := &reader{paths: paths}
	r.look()
	end, ended := make(chan struct{}), make(chan struct{})
	r.stop = sync.OnceFunc(func() { close(end); <-ended })
	go func() {
		defer close(ended)
		for {
			select {
			case <-w.Changed():
				r.look()
			case <-end:
				return
			}
		}
	}()
	return r
}

func (r *reader) look() {
	seen := content(r.paths)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = seen
	r.looks++
}

// expectTruth awaits that the reader knows what is there now.
func (r *reader) expectTruth(tb testing.TB, after string) {
	tb.Helper()
	truth := content(r.paths)
	for deadline := time.Now().Add(soon); ; time.Sleep(100 * time.Microsecond) {
		r.mu.Lock()
		seen := r.seen
		r.mu.Unlock()
		if seen == truth {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s later a reader still believes what was before %s\nit saw:   %s\nthere is: %s", soon, after, seen, truth)
		}
	}
}

// content is all that one who reads the paths can tell: bytes, mode, names in a folder, or that there is nothing.
func content(paths []string) string {
	var all []string
	for _, path := range paths {
		all = append(all, contentOf(path))
	}
	return strings.Join(all, "; ")
}

func contentOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "none"
	}
	if !info.IsDir() {
		data, err := os.ReadFile(path)
		if err != nil {
			return "none"
		}
		return fmt.Sprintf("%s %q", info.Mode(), data)
	}
	var names []string
	entries, _ := os.ReadDir(path)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	slices.Sort(names)
	return fmt.Sprintf("%s [%s]", info.Mode(), strings.Join(names, " "))
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	must(tb, os.WriteFile(path, []byte(text), 0o600))
}

func mkdirs(tb testing.TB, dirs ...string) {
	tb.Helper()
	for _, dir := range dirs {
		must(tb, os.MkdirAll(dir, 0o755))
	}
}

// replace makes path a link to target as everybody does who cares: in one step.
func replace(tb testing.TB, target, path string) {
	tb.Helper()
	temp := filepath.Join(filepath.Dir(path), "..link.tmp")
	must(tb, os.Symlink(target, temp))
	must(tb, os.Rename(temp, path))
}

// watches are the inotify watches of this process, as the kernel counts them.
func watches(tb testing.TB) int {
	tb.Helper()
	count := 0
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	must(tb, err)
	for _, name := range infos {
		text, err := os.ReadFile(name)
		if err == nil {
			count += strings.Count(string(text), "inotify wd:")
		}
	}
	return count
}

func openFiles(tb testing.TB) int {
	tb.Helper()
	var entries []fs.DirEntry
	entries, err := os.ReadDir("/proc/self/fd")
	must(tb, err)
	return len(entries)
}
