package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The order of the calls is the promise: contents are on the disk before they get their name, and the folder after each change
// of one.
func TestEachChangeIsMadeInTheOrderThatSurvivesAPowerCut(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(Disk) error
		calls  []string
	}{
		{"a file is written under another name, synced, renamed, and the folder synced", func(d Disk) error {
			return d.WriteFile("old", []byte("new"), 0o640)
		}, []string{"open .old.*", "chmod .old.*", "write .old.* 3", "fsync .old.*", "rename old from .old.*", "fsync-dir ."}},
		{"a link is made under another name and renamed, never removed first", func(d Disk) error {
			return d.Symlink("target", "link")
		}, []string{"symlink .link.* from target", "rename link from .link.*", "fsync-dir ."}},
		{"a removal is synced", func(d Disk) error { return d.Remove("old") }, []string{"unlink old", "fsync-dir ."}},
		{"what is not there need not be synced", func(d Disk) error { return d.Remove("none") }, []string{"unlink none"}},
		{
			"a rename is synced", func(d Disk) error { return d.RenameNoReplace("old", "new") },
			[]string{"rename-noreplace new from old", "fsync-dir ."},
		},
		{
			"each folder is made and its parent synced, the outermost first", func(d Disk) error { return d.MkdirAll("a/b/c", 0o700) },
			[]string{"mkdir a", "fsync-dir .", "mkdir a/b", "fsync-dir a", "mkdir a/b/c", "fsync-dir a/b"},
		},
		{"permissions are taken, then synced", func(d Disk) error {
			f, err := os.Open("old")
			if err != nil {
				return err
			}
			defer f.Close()
			return d.Narrow(f, 0o400)
		}, []string{"chmod old", "fsync old"}},
		{"a folder that is there is left alone", func(d Disk) error { return d.MkdirAll("folder", 0o700) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(furnished(t))
			var calls []string
			must(t, c.change(Disk{Before: func(op Op) error {
				calls = append(calls, textOf(op))
				return nil
			}}))
			if !slices.Equal(calls, c.calls) {
				t.Errorf("calls:\n%s\nexpected:\n%s", strings.Join(calls, "\n"), strings.Join(c.calls, "\n"))
			}
		})
	}
}

func TestAFileHasExactlyItsModeWhateverTheUmask(t *testing.T) {
	dir := furnished(t)
	defer syscall.Umask(syscall.Umask(0o777))
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o644, 0o400} {
		path := filepath.Join(dir, "old")
		must(t, Disk{}.WriteFile(path, []byte("new"), mode))
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("mode %v (%v), expected %v", info.Mode(), err, mode)
		}
	}
}

// Between open and chmod the file has at most its final mode, so that there is no moment at which a key can be read by others.
func TestAFileIsNeverWiderThanItsModeNotEvenForAMoment(t *testing.T) {
	dir := furnished(t)
	defer syscall.Umask(syscall.Umask(0))
	d := Disk{Before: func(op Op) error {
		if info, err := os.Stat(op.Path); err == nil && IsTemp(filepath.Base(op.Path)) && info.Mode() != 0o600 {
			return fmt.Errorf("%s has mode %v before %s", op.Path, info.Mode(), op.Call)
		}
		return nil
	}}
	must(t, d.WriteFile(filepath.Join(dir, "key"), []byte("secret"), 0o600))
}

func TestALinkIsReplacedAndNotFollowed(t *testing.T) {
	dir := furnished(t)
	link := filepath.Join(dir, "link")
	must(t, Disk{}.WriteFile(link, []byte("new"), 0o600))
	if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v (%v) stands where the link was, expected a regular file", info.Mode(), err)
	}
	expectContent(t, filepath.Join(dir, "old"), "old") // what the link led to
}

func TestALinkReplacesWhateverStoodThere(t *testing.T) {
	for _, name := range []string{"none", "old", "link", "dangling"} {
		path := filepath.Join(furnished(t), name)
		must(t, Disk{}.Symlink("target", path))
		if target, err := os.Readlink(path); err != nil || target != "target" {
			t.Errorf("%s leads to %q (%v)", name, target, err)
		}
	}
}

func TestRenameNoReplaceNeverReplaces(t *testing.T) {
	dir := furnished(t)
	old, other := filepath.Join(dir, "old"), filepath.Join(dir, "other")
	if err := (Disk{}).RenameNoReplace(old, other); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v, expected that the file exists", err)
	}
	expectContent(t, old, "old")
	expectContent(t, other, "other")
	if err := (Disk{}).RenameNoReplace(old, filepath.Join(dir, "dangling")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("%v over a dangling link, expected that the file exists", err)
	}
	must(t, Disk{}.RenameNoReplace(old, filepath.Join(dir, "free")))
	expectContent(t, filepath.Join(dir, "free"), "old")
	if err := (Disk{}).RenameNoReplace(old, other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, expected that there is nothing to rename", err)
	}
}

func TestMkdirAllGivesOnlyTheLastFolderItsMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o022))
	dir := furnished(t)
	must(t, Disk{}.MkdirAll(filepath.Join(dir, "a", "b"), 0o700))
	for name, mode := range map[string]fs.FileMode{"a": 0o755, "a/b": 0o700} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v (%v), expected %v", name, info.Mode(), err, mode)
		}
	}
	if err := (Disk{}).MkdirAll(filepath.Join(dir, "old", "below a file"), 0o700); err == nil {
		t.Error("a folder below a file was made")
	}
}

func TestNarrowTakesPermissionsAndNeverGivesAny(t *testing.T) {
	for _, c := range []struct{ before, mode, after fs.FileMode }{
		{0o644, 0o600, 0o600}, {0o600, 0o600, 0o600}, {0o400, 0o600, 0o400}, {0o666, 0o644, 0o644}, {0o070, 0o600, 0},
	} {
		path := filepath.Join(furnished(t), "old")
		f, err := os.Open(path)
		must(t, err)
		must(t, os.Chmod(path, c.before))
		calls := 0
		must(t, Disk{Before: func(Op) error { calls++; return nil }}.Narrow(f, c.mode))
		f.Close()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != c.after {
			t.Errorf("%v narrowed to %v is %v (%v), expected %v", c.before, c.mode, info.Mode(), err, c.after)
		}
		if expected := 2 * min(1, int(c.before^c.after)); calls != expected { // chmod and fsync
			t.Errorf("%v narrowed to %v took %d calls, expected %d", c.before, c.mode, calls, expected)
		}
	}
}

func TestOnlyNamesOfUnfinishedFilesAreTemporary(t *testing.T) {
	for name, is := range map[string]bool{
		filepath.Base(temp("/a/kubelet.crt")): true,
		filepath.Base(temp("/a/.hidden")):     true,
		"kubelet.crt":                         false,
		".kubelet.crt.tmp":                    false,
		".bootstrap-agent.lock":               false,
		".x.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp":   true,
		".x.ABCDEFGHIJKLMNOPQRSTUVWXY1.tmp":   false,
		"x.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp":    false,
		".x.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp2":  false,
	} {
		if IsTemp(name) != is {
			t.Errorf("IsTemp(%s) is %v", name, !is)
		}
	}
}
