package powercut_test

import (
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/powercut"
)

// after returns what a file can hold when the power goes after each of the operations, "-" for no file; in order of appearance.
func after(t *testing.T, top, name string, log *powercut.Log) [][]string {
	t.Helper()
	var all [][]string
	for k := range log.Len() + 1 {
		var found []string
		for _, cut := range log.Cuts(k, 100, rand.New(rand.NewPCG(1, 1))) {
			must(t, cut.Disk().LayOut())
			content, err := os.ReadFile(filepath.Join(top, name))
			text := string(content)
			if err != nil {
				text = "-"
			}
			if !slices.Contains(found, text) {
				found = append(found, text)
			}
		}
		slices.Sort(found)
		all = append(all, found)
	}
	return all
}

// record runs a change on a folder with the file a, which holds old, and returns the folder and the log.
func record(t *testing.T, change func(d durable.Disk, top string) error) (string, *powercut.Log) {
	t.Helper()
	top := t.TempDir()
	must(t, os.WriteFile(filepath.Join(top, "a"), []byte("old"), 0o600))
	log, err := powercut.NewLog(top)
	must(t, err)
	must(t, change(durable.Disk{Before: func(op durable.Op) error { log.Record(op); return nil }}, top))
	found, err := powercut.ReadDisk(top)
	must(t, err)
	if modelled := log.Kill(log.Len()).Disk(); modelled.Same() != found.Same() {
		t.Fatalf("the model holds\n%sthe disk\n%s", modelled, found)
	}
	return top, log
}

func TestADurableWriteLeavesTheOldOrTheNew(t *testing.T) {
	top, log := record(t, func(d durable.Disk, top string) error {
		return d.WriteFile(filepath.Join(top, "a"), []byte("new!"), 0o600)
	})
	found := after(t, top, "a", log)
	for k, contents := range found[:5] {
		if !slices.Equal(contents, []string{"old"}) {
			t.Errorf("after operation %d: %q", k, contents)
		}
	}
	if !slices.Equal(found[5], []string{"new!", "old"}) || !slices.Equal(found[6], []string{"new!"}) {
		t.Errorf("after the rename %q, and when the folder is synced %q", found[5], found[6])
	}
}

// A file's time is lost with all that is not synced; a file that keeps it is a file that was whole before it had its name.
func TestATimeThatAFileWasGivenIsLostUnlessItWasSynced(t *testing.T) {
	then := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	top, log := record(t, func(d durable.Disk, top string) error {
		return d.WriteFileOf(filepath.Join(top, "a"), []byte("new!"), 0o600, then)
	})
	a, afterwards := filepath.Join(top, "a"), log.Kill(log.Len()).Disk().Times()
	if !afterwards[a].Equal(then) {
		t.Errorf("the model says %v", afterwards)
	}
	for k := range log.Len() + 1 {
		for _, cut := range log.Cuts(k, 100, rand.New(rand.NewPCG(1, 1))) {
			must(t, cut.Disk().LayOut())
			content, err := os.ReadFile(a)
			must(t, err)
			info, err := os.Stat(a)
			must(t, err)
			if (string(content) == "new!") != info.ModTime().Equal(then) {
				t.Errorf("%s: holds %q of %s", cut, content, info.ModTime())
			}
		}
	}
	careless := []durable.Op{
		{Call: "open", Path: filepath.Join(top, "b"), Mode: 0o600},
		{Call: "fsync", Path: filepath.Join(top, "b")},
		{Call: "utimes", Path: filepath.Join(top, "b"), Time: then},
		{Call: "fsync-dir", Path: top},
	}
	for _, op := range careless {
		log.Record(op)
	}
	b := filepath.Join(top, "b")
	if cuts := log.Cuts(log.Len(), 100, nil); len(cuts) != 2 || !cuts[0].Disk().Times()[b].IsZero() || !cuts[1].Disk().Times()[b].Equal(then) {
		t.Errorf("a time that was given after the sync can be kept in %d ways", len(cuts))
	}
}

// What the model is for: each of these is what careless code does, and it must show.
func TestWhatWasNotSyncedCanBeLostInAnyCombination(t *testing.T) {
	op := func(call, path, from string) durable.Op {
		return durable.Op{Call: call, Path: path, From: from, Mode: 0o600, Data: []byte("new!")}
	}
	for name, c := range map[string]struct {
		calls    [][3]string
		expected []string
	}{
		"renamed without a sync":               {[][3]string{{"open", "b"}, {"write", "b"}, {"rename", "a", "b"}}, []string{"", "\x00\x00w!", "ne", "new!", "old"}},
		"synced, and renamed":                  {[][3]string{{"open", "b"}, {"write", "b"}, {"fsync", "b"}, {"rename", "a", "b"}}, []string{"new!", "old"}},
		"the folder synced and not the file":   {[][3]string{{"open", "b"}, {"write", "b"}, {"rename", "a", "b"}, {"fsync-dir", "."}}, []string{"", "\x00\x00w!", "ne", "new!"}},
		"removed, then renamed":                {[][3]string{{"open", "b"}, {"write", "b"}, {"fsync", "b"}, {"unlink", "a"}, {"rename", "a", "b"}}, []string{"-", "new!", "old"}},
		"written in place":                     {[][3]string{{"write", "a"}}, []string{"ned", "new!", "old", "olw!"}},
		"renamed over a name that is taken":    {[][3]string{{"open", "b"}, {"fsync-dir", "."}, {"rename-noreplace", "a", "b"}, {"fsync-dir", "."}}, []string{"old"}},
		"in a folder whose own name is lost":   {[][3]string{{"mkdir", "d"}, {"rename", "d/a", "a"}, {"fsync-dir", "d"}}, []string{"-"}},
		"all synced":                           {[][3]string{{"open", "b"}, {"write", "b"}, {"fsync", "b"}, {"rename", "a", "b"}, {"fsync-dir", "."}}, []string{"new!"}},
		"nothing to remove, nothing to rename": {[][3]string{{"unlink", "b"}, {"rename", "a", "b"}, {"mkdir", "a"}}, []string{"old"}},
	} {
		top, log := record(t, func(durable.Disk, string) error { return nil })
		for _, call := range c.calls {
			from := call[2]
			if from != "" {
				from = filepath.Join(top, from)
			}
			log.Record(op(call[0], filepath.Join(top, call[1]), from))
		}
		found := after(t, top, "a", log)
		if last := found[len(found)-1]; !slices.Equal(last, c.expected) {
			t.Errorf("%s: can hold %q, expected %q", name, last, c.expected)
		}
	}
}

func TestEverySubsetIsTriedUpToTwelveEffectsAndSamplesAbove(t *testing.T) {
	_, log := record(t, func(durable.Disk, string) error { return nil })
	random := rand.New(rand.NewPCG(1, 1))
	for n := range 20 {
		if cuts := len(log.Cuts(n, 50, random)); n <= 12 && cuts != 1<<n || n > 12 && cuts != 52 {
			t.Errorf("%d effects pending: %d cuts", n, cuts)
		}
		log.Record(durable.Op{Call: "symlink", Path: filepath.Join(t.TempDir(), "link"), From: "a"})
	}
}

func TestLaidOutIsWhatWasRead(t *testing.T) {
	top := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(top, "folder", "deeper"), 0o700))
	must(t, os.WriteFile(filepath.Join(top, "folder", "file"), []byte("content"), 0o640))
	must(t, os.Symlink("nothing", filepath.Join(top, "link")))
	before, err := powercut.ReadDisk(top)
	must(t, err)
	info, err := os.Stat(filepath.Join(top, "folder", "file"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(top, "folder", "more"), nil, 0o600))
	must(t, os.Remove(filepath.Join(top, "link")))
	must(t, before.LayOut())
	again, err := powercut.ReadDisk(top)
	must(t, err)
	if again.Same() != before.Same() {
		t.Errorf("laid out:\n%s\nread:\n%s", again, before)
	}
	after, err := os.Stat(filepath.Join(top, "folder", "file"))
	if err != nil || !after.ModTime().Equal(info.ModTime()) || after.Mode() != fs.FileMode(0o640) {
		t.Errorf("mode %v, time %v (%v)", after.Mode(), after.ModTime(), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
