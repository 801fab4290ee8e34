package join_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
)

// lot is the files of one token, told from another's by a letter.
func lot(letter string, names ...string) []join.File {
	var files []join.File
	for _, name := range names {
		files = append(files, join.File{Name: name, Content: letter + " of " + name})
	}
	return files
}

var (
	plain    = []string{"secret.yaml", "bootstrap.kubeconfig", "user-data.yaml"}
	discover = []string{"secret.yaml", "bootstrap.token", "config.yaml", "user-data.yaml"}
)

// contents are those of a folder by name; nil: it is not there.
func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	must(t, err)
	found := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		must(t, err)
		found[e.Name()] = string(text)
	}
	return found
}

func asMap(files []join.File) map[string]string {
	m := map[string]string{}
	for _, f := range files {
		m[f.Name] = f.Content
	}
	return m
}

func TestAFolderAndItsFilesAreForTheirOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	must(t, join.Folder{Path: dir}.Put(lot("A", plain...)))
	info, err := os.Stat(dir)
	must(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has mode %04o", info.Mode().Perm())
	}
	if got := contents(t, dir); !maps.Equal(got, asMap(lot("A", plain...))) {
		t.Errorf("it has %q", got)
	}
	for _, name := range plain {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %s", name, info.Mode())
		}
	}
}

func TestAFolderThatIsThereKeepsWhatIsOthersAndItsMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "notes"), []byte("mine"), 0o644))
	must(t, join.Folder{Path: dir}.Put(lot("A", plain...)))
	want := asMap(lot("A", plain...))
	want["notes"] = "mine"
	if got := contents(t, dir); !maps.Equal(got, want) {
		t.Errorf("it has %q", got)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("its mode is changed: %v", err)
	}
}

// A Secret made of them may be in the cluster, and each of the names matters: the files belong together.
func TestFilesThatAreThereAreNotReplaced(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"secret.yaml", "bootstrap.kubeconfig", "bootstrap.token", "config.yaml", "user-data.yaml"} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o600))
		err := join.Folder{Path: dir}.Put(lot("A", plain...))
		if !errors.Is(err, join.ErrThere) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "--force") {
			t.Errorf("%s: %v", name, err)
		}
		if got := contents(t, dir); !maps.Equal(got, map[string]string{name: "old"}) {
			t.Errorf("%s: the folder has %q", name, got)
		}
	}
}

func TestForceReplacesAllThatBelongedTogether(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, join.Folder{Path: dir}.Put(lot("A", plain...)))
	must(t, join.Folder{Path: dir, Force: true}.Put(lot("B", discover...)))
	if got := contents(t, dir); !maps.Equal(got, asMap(lot("B", discover...))) {
		t.Errorf("it has %q", got)
	}
}

func TestForceReplacesNothingButFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Symlink("elsewhere", filepath.Join(dir, "user-data.yaml")))
	must(t, os.WriteFile(filepath.Join(dir, "secret.yaml"), []byte("old"), 0o600))
	if err := (join.Folder{Path: dir, Force: true}).Put(lot("A", plain...)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a link: %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, "user-data.yaml")))
	if got := contents(t, dir); !maps.Equal(got, map[string]string{"secret.yaml": "old"}) {
		t.Errorf("it has %q", got)
	}
}

func TestAFolderWhereEverybodyMayReplaceFilesIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o777))
	if err := (join.Folder{Path: dir}).Put(lot("A", plain...)); err == nil || !strings.Contains(err.Error(), "chmod o-w") {
		t.Errorf("%v", err)
	}
	if got := contents(t, dir); len(got) != 0 {
		t.Errorf("it has %q", got)
	}
	must(t, os.Chmod(dir, 0o777|fs.ModeSticky))
	must(t, join.Folder{Path: dir}.Put(lot("A", plain...)))
}

func TestWhatIsNoFolderIsSaidToBeNone(t *testing.T) {
	t.Parallel()
	path := file(t, "file", "x")
	for _, p := range []string{path, filepath.Join(path, "below")} {
		if err := (join.Folder{Path: p}).Put(lot("A", plain...)); err == nil {
			t.Errorf("%s is taken for a folder", p)
		}
	}
}

var errBroken = errors.New("broken by a test")

// situations are a folder before, and what is put there.
var situations = []struct {
	name  string
	old   []join.File
	files []join.File
}{
	{"no folder", nil, lot("B", plain...)},
	{"files that are replaced", lot("A", plain...), lot("B", plain...)},
	{"files of which some have no place in the new ones", lot("A", plain...), lot("B", discover...)},
}

// attempt puts a situation's files there while the k-th change to the file system (from 0), or with crashed also all after it, fails.
func attempt(t *testing.T, old, files []join.File, k int, crashed bool) (got map[string]string, err error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "out")
	if old != nil {
		must(t, join.Folder{Path: dir}.Put(old))
	}
	calls := 0
	disk := durable.Disk{Before: func(op durable.Op) error {
		calls++
		if calls == k+1 || crashed && calls > k {
			return fmt.Errorf("%s: %w", op.Call, errBroken)
		}
		return nil
	}}
	err = join.Folder{Path: dir, Force: true, Disk: disk}.Put(files)
	return contents(t, dir), err
}

func TestAnErrorAtAnyChangeLeavesAllOrNothing(t *testing.T) {
	t.Parallel()
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			points := 0
			for ; ; points++ {
				got, err := attempt(t, s.old, s.files, points, false)
				if err == nil {
					if !maps.Equal(got, asMap(s.files)) {
						t.Errorf("without an error it has %q", got)
					}
					break
				}
				if !errors.Is(err, errBroken) {
					t.Fatal(err)
				}
				if before := asMap(s.old); !maps.Equal(got, before) || s.old == nil && got != nil {
					t.Errorf("change %d failed (%v), and it has %q", points, err, got)
				}
			}
			if points < 15 {
				t.Errorf("%d points of failure only", points)
			}
		})
	}
}

// A crash cannot be taken back. What is left then is one token's, under its name or another's that nobody reads.
func TestACrashAtAnyChangeNeverLeavesFilesOfTwoTokens(t *testing.T) {
	t.Parallel()
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			for k := 0; ; k++ {
				got, err := attempt(t, s.old, s.files, k, true)
				if err == nil {
					break
				}
				if !errors.Is(err, errBroken) {
					t.Fatal(err)
				}
				letters := map[byte]bool{}
				for name, text := range got {
					if !durable.IsTemp(name) {
						letters[text[0]] = true
					}
				}
				if len(letters) > 1 {
					t.Errorf("crashed at change %d, and it has %q", k, got)
				}
			}
		})
	}
}

func TestOfTwoThatWriteAtOnceOneWinsAndTheOtherSaysSo(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := filepath.Join(t.TempDir(), "out")
		errs, letters := make([]error, 4), []string{"A", "B", "C", "D"}
		var all sync.WaitGroup
		for n, letter := range letters {
			all.Go(func() { errs[n] = join.Folder{Path: dir}.Put(lot(letter, plain...)) })
		}
		all.Wait()
		winner := ""
		for n, err := range errs {
			switch {
			case err == nil && winner != "":
				t.Fatalf("%s and %s have both written", winner, letters[n])
			case err == nil:
				winner = letters[n]
			case !errors.Is(err, join.ErrThere):
				t.Errorf("%s: %v", letters[n], err)
			}
		}
		if got := contents(t, dir); winner == "" || !maps.Equal(got, asMap(lot(winner, plain...))) {
			t.Errorf("%s has won, and it has %q", winner, got)
		}
	}
}

// Some network file systems, where an admin's home may be, have no rename that replaces nothing.
func TestAFileSystemThatCannotRenameWithoutReplacingDoesTheRest(t *testing.T) {
	t.Parallel()
	disk := durable.Disk{Before: func(op durable.Op) error {
		if op.Call == "rename-noreplace" {
			return unix.EINVAL
		}
		return nil
	}}
	dir := filepath.Join(t.TempDir(), "out")
	must(t, join.Folder{Path: dir, Disk: disk}.Put(lot("A", plain...)))
	if got := contents(t, dir); !maps.Equal(got, asMap(lot("A", plain...))) {
		t.Errorf("it has %q", got)
	}
}
