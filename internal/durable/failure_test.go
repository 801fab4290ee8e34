package durable

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// changes are the operations that replace something, and how to see which of the two is there.
var changes = []struct {
	name     string
	change   func(d Disk, dir string) error
	look     func(dir string) string
	old, new string
}{
	{"a file", func(d Disk, dir string) error { return d.WriteFile(filepath.Join(dir, "old"), []byte("new"), 0o600) }, contentOf("old"), "old", "new"},
	{"a link", func(d Disk, dir string) error { return d.Symlink("other", filepath.Join(dir, "link")) }, contentOf("link"), "old", "other"},
	{"a removed file", func(d Disk, dir string) error { return d.Remove(filepath.Join(dir, "old")) }, contentOf("old"), "old", ""},
	{"a renamed file", func(d Disk, dir string) error {
		return d.RenameNoReplace(filepath.Join(dir, "old"), filepath.Join(dir, "free"))
	}, contentOf("free"), "", "old"},
}

func contentOf(name string) func(string) string {
	return func(dir string) string {
		data, _ := os.ReadFile(filepath.Join(dir, name))
		return string(data)
	}
}

var errBroken = errors.New("broken by a test")

// failing fails the k-th operation (from 0), and when crashed all that follow. It says of each whether it was let through.
func failing(k int, crashed bool, done *[]Op) Disk {
	calls := 0
	return Disk{Before: func(op Op) error {
		calls++
		if calls == k+1 || crashed && calls > k {
			return fmt.Errorf("%s: %w", op.Call, errBroken)
		}
		*done = append(*done, op)
		return nil
	}}
}

func TestAnErrorAtAnyCallLeavesTheOldOrTheNewAndNothingElse(t *testing.T) {
	for _, c := range changes {
		for _, crashed := range []bool{false, true} {
			for k := 0; ; k++ {
				dir := furnished(t)
				var done []Op
				err := c.change(failing(k, crashed, &done), dir)
				if err == nil {
					break
				}
				when := fmt.Sprintf("%s, call %d, crashed %v", c.name, k, crashed)
				if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), dir) {
					t.Errorf("%s: the error names neither cause nor path: %v", when, err)
				}
				expected := c.old
				if renamed(done) {
					expected = c.new // only the folder was not synced: what is there is whole, and may be gone after a power cut
				}
				if found := c.look(dir); found != expected {
					t.Errorf("%s: %q is there, expected %q", when, found, expected)
				}
				expectLeftOver(t, when, dir, crashed)
			}
		}
	}
}

func renamed(done []Op) bool {
	for _, op := range done {
		if (op.Call == "rename" || op.Call == "rename-noreplace" || op.Call == "unlink") && !IsTemp(filepath.Base(op.Path)) {
			return true
		}
	}
	return false
}

// expectLeftOver shows that nothing new lies about, but after a crash what IsTemp knows, for a sweep.
func expectLeftOver(t *testing.T, when, dir string, crashed bool) {
	t.Helper()
	known := map[string]bool{"old": true, "other": true, "link": true, "dangling": true, "folder": true, "free": true}
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, entry := range entries {
		if !known[entry.Name()] && (!crashed || !IsTemp(entry.Name())) {
			t.Errorf("%s: %s is left over", when, entry.Name())
		}
	}
}

func TestAnErrorOfTheKernelIsReportedAndLeavesNothing(t *testing.T) {
	for name, change := range map[string]func(Disk, string) error{
		"a file over a folder": func(d Disk, dir string) error { return d.WriteFile(filepath.Join(dir, "folder"), nil, 0o600) },
		"a link over a folder": func(d Disk, dir string) error { return d.Symlink("old", filepath.Join(dir, "folder")) },
		"a file in no folder":  func(d Disk, dir string) error { return d.WriteFile(filepath.Join(dir, "none", "a"), nil, 0o600) },
		"a link in no folder":  func(d Disk, dir string) error { return d.Symlink("old", filepath.Join(dir, "none", "a")) },
		"a name that is too long": func(d Disk, dir string) error {
			return d.WriteFile(filepath.Join(dir, strings.Repeat("a", 240)), nil, 0o600)
		},
	} {
		dir := furnished(t)
		if err := change(Disk{}, dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", name, err)
		}
		expectLeftOver(t, name, dir, false)
	}
}

// A reader that looks as often as it can must find one content or the other, whole, and a link that leads somewhere.
func TestReadersSeeTheOldOrTheNewAtEveryMoment(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	contents := [][]byte{bytes.Repeat([]byte("a"), 1<<16), bytes.Repeat([]byte("b"), 1<<16)}
	change := func(i int) {
		must(t, Disk{}.WriteFile(file, contents[i%2], 0o600))
		must(t, Disk{}.Symlink([]string{"file", file}[i%2], link))
	}
	change(0)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for _, path := range []string{file, link} {
		readers.Go(func() {
			for {
				data, err := os.ReadFile(path)
				if err != nil || !bytes.Equal(data, contents[0]) && !bytes.Equal(data, contents[1]) {
					t.Errorf("%s: %d bytes, %v", path, len(data), err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 100 {
		change(i)
	}
	close(stop)
	readers.Wait()
}
