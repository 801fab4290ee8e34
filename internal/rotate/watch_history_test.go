package rotate

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

func howMany(usually, soak int) int {
	if os.Getenv("SOAK") != "" {
		return soak
	}
	return usually
}

func TestAFileInFoldersThatAreMadeAtThatMomentIsNeverMissed(t *testing.T) {
	times := howMany(60, 2000)
	dir := t.TempDir()
	w := watching(t, dir)
	var slowest time.Duration
	for i := range times {
		path := filepath.Join(dir, fmt.Sprint(i), "a", "b", "file")
		w.Set([]string{path})
		r := read(w, path)
		begin := time.Now()
		mkdirs(t, filepath.Dir(path))
		write(t, path, "new")
		r.expectTruth(t, fmt.Sprintf("mkdir -p and write, number %d", i))
		slowest = max(slowest, time.Since(begin))
		r.stop()
	}
	t.Logf("%d times, noticed within %s at the latest", times, slowest.Round(time.Microsecond))
}

func TestAfterThousandsOfChangesTheLastOneIsKnown(t *testing.T) {
	times := howMany(1000, 50_000)
	dir := t.TempDir()
	w := watching(t, dir+"/file")
	r := read(w, dir+"/file")
	for i := range times {
		write(t, dir+"/temp", fmt.Sprint(i))
		must(t, os.Rename(dir+"/temp", dir+"/file"))
	}
	r.expectTruth(t, "many changes")
	r.stop()
	t.Logf("%d changes, %d looks", times, r.looks)
}

// What was lost with the kernel's queue is found by looking: here nobody takes events out of it while folders come and go.
func TestAnOverflowOfTheKernelsQueueLosesNothing(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	var queue int
	_, err = fmt.Sscan(string(text), &queue)
	must(t, err)
	dir := t.TempDir()
	flood := [2]string{dir + "/a", dir + "/b"} // of no interest; in turn, for the kernel keeps only one of two equal events in a row
	write(t, flood[0], "")
	write(t, flood[1], "")
	w := watching(t, dir+"/etc/file")
	r := read(w, dir+"/etc/file")
	changes := queue + 8192 // some are in the buffers on the way
	w.mu.Lock()
	for i := range changes {
		if err := os.Chmod(flood[i%2], 0o600); err != nil {
			t.Error(err)
			break
		}
	}
	mkdirs(t, dir+"/etc")
	w.mu.Unlock()
	expectWatched(t, w, dir+"/etc")
	write(t, dir+"/etc/file", "new")
	r.expectTruth(t, "an overflow")
	r.stop()
	t.Logf("%d changes, of which the kernel keeps %d", changes, queue)
}

func expectWatched(t *testing.T, w *Watcher, folder string) {
	t.Helper()
	for deadline := time.Now().Add(soon); ; time.Sleep(time.Millisecond) {
		w.mu.Lock()
		there := w.folders[folder] != nil
		w.mu.Unlock()
		if there {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not watched", folder)
		}
	}
}

func TestOfEventsThatComeTogetherEachIsSeen(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "")
	w := watching(t, dir+"/file", dir+"/etc/file")
	w.mu.Lock()
	for _, do := range []func(){
		func() { write(t, dir+"/file", "first") },
		func() { mkdirs(t, dir+"/etc") },
		func() { write(t, dir+"/file", "last") },
		func() {},
	} {
		do()
		time.Sleep(5 * time.Millisecond) // so that they are taken one by one, and wait for the first
	}
	w.mu.Unlock()
	expectWatched(t, w, dir+"/etc")
}

func TestWhatWasNotWatchedBeforeIsToBeLookedAt(t *testing.T) {
	dir := t.TempDir()
	mkdirs(t, dir+"/etc", dir+"/run")
	w := watching(t, dir+"/etc/file")
	for _, paths := range [][]string{
		{dir + "/etc/other"}, {dir + "/etc"}, {dir + "/run/file"}, {dir + "/etc"}, {dir + "/etc", dir + "/run"}, {dir + "/none/file"}, {dir}, {"/"},
	} {
		w.Set(paths)
		expectSignal(t, w, fmt.Sprint("Set ", paths))
		w.Set(append(paths, ""))
		select {
		case <-w.Changed():
			t.Errorf("%v was set twice, and there is nothing new to see", paths)
		default:
		}
	}
}

// tree is a few folders, files and links at random below dir, that change at random.
type tree struct {
	dir    string
	random *rand.Rand
	done   []string
}

var names = []string{"a", "b", "c"}

// path is one to three names long, so that the same few paths are met again and again.
func (tr *tree) path() string {
	path := tr.dir
	for range 1 + tr.random.IntN(3) {
		path += "/" + names[tr.random.IntN(len(names))]
	}
	return path
}

func (tr *tree) target() string {
	switch path := tr.path(); tr.random.IntN(3) {
	case 0:
		return path
	case 1:
		return "../" + names[tr.random.IntN(len(names))]
	default:
		return filepath.Base(path)
	}
}

// change does something; that it fails (there is something in the way, or nothing there) is as good as any other thing.
func (tr *tree) change() {
	path, other := tr.path(), tr.path()
	steps := []struct {
		name string
		do   func() error
	}{
		{"mkdir", func() error { return os.Mkdir(path, 0o755) }},
		{"mkdir -p", func() error { return os.MkdirAll(path, 0o755) }},
		{"write", func() error { return os.WriteFile(path, fmt.Append(nil, tr.random.IntN(1000)), 0o600) }},
		{"write", func() error { return os.WriteFile(path, fmt.Append(nil, tr.random.IntN(1000)), 0o600) }},
		{"rm", func() error { return os.Remove(path) }},
		{"rm -r", func() error { return os.RemoveAll(path) }},
		{"rename", func() error { return os.Rename(path, other) }},
		{"rename", func() error { return os.Rename(path, other) }},
		{"exchange", func() error { return unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE) }},
		{"symlink", func() error { return os.Symlink(tr.target(), path) }},
		{"symlink", func() error { return os.Symlink(tr.target(), path) }},
		{"chmod", func() error { return os.Chmod(path, 0o700|os.FileMode(tr.random.IntN(64))) }},
	}
	step := steps[tr.random.IntN(len(steps))]
	err := step.do()
	if err == nil {
		tr.done = append(tr.done, strings.ReplaceAll(fmt.Sprint(step.name, " ", path, " (", other, ")"), tr.dir+"/", ""))
	}
}

// After any history a reader knows what is there: folders that go and come, are exchanged, links to links, loops. No hard links: see
// what a Watcher does not promise.
func TestAfterAnyHistoryAReaderKnowsWhatIsThere(t *testing.T) {
	histories, moments := howMany(8, 400), 40
	random := sample.Random(t)
	changes := 0
	w := watching(t, t.TempDir())
	for range histories {
		tr := &tree{dir: t.TempDir(), random: random}
		paths := []string{tr.path(), tr.path(), tr.path()}
		w.Set(paths)
		r := read(w, paths...)
		for range moments {
			before := len(tr.done)
			for range 1 + random.IntN(8) {
				tr.change()
			}
			if random.IntN(10) == 0 {
				w.Set(paths)
			}
			if t.Failed() {
				return
			}
			r.expectTruth(t, strings.Join(tr.done[max(0, before-20):], ", "))
			changes += len(tr.done) - before
		}
		r.stop()
		must(t, w.Err())
	}
	t.Logf("%d histories, %d changes", histories, changes)
}

func TestManySetsLeaveNothingBehind(t *testing.T) {
	dir := t.TempDir()
	w := watching(t, dir)
	set := func(i int) {
		path := filepath.Join(dir, fmt.Sprint("folder", i), "sub", "file")
		mkdirs(t, filepath.Dir(path))
		w.Set([]string{path, filepath.Join(dir, "none", fmt.Sprint(i))})
		must(t, w.Err())
	}
	memory := func() (used uint64) {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	for i := range 100 {
		set(i)
	}
	watched, files, used := watches(t), openFiles(t), memory()
	sets := howMany(200, 1000)
	for i := range sets {
		set(100 + i)
	}
	if now := watches(t); now != watched {
		t.Errorf("%d folders are watched after %d Sets, %d before", now, sets, watched)
	}
	if now := openFiles(t); now != files {
		t.Errorf("%d open files after %d Sets, %d before", now, sets, files)
	}
	if now := memory(); now > used+256<<10 {
		t.Errorf("%d bytes in use after %d Sets, %d before", now, sets, used)
	}
	if expected := len(strings.Split(dir, "/")) + 2; watched != expected {
		t.Errorf("%d folders are watched, expected the %d on the way", watched, expected)
	}
	t.Logf("%d Sets, %d watches, %d bytes more", sets, watched, int64(memory())-int64(used))
}

func TestNothingIsLeftOfAWatcherThatWasClosed(t *testing.T) {
	routines, files := runtime.NumGoroutine(), openFiles(t)
	for range 10 {
		w := Watch()
		w.Set([]string{t.TempDir()})
		w.Close()
		w.Close()
		w.Set([]string{t.TempDir()})
	}
	never := Watch()
	never.Close()
	never.Set([]string{t.TempDir()})
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > routines || openFiles(t) > files; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines and %d files before, %d and %d after", routines, files, runtime.NumGoroutine(), openFiles(t))
		}
	}
}

func BenchmarkSetOfTheSamePaths(b *testing.B) {
	dir := b.TempDir()
	var paths []string
	for i := range 12 {
		paths = append(paths, fmt.Sprint(dir, "/file", i))
		write(b, paths[i], "")
	}
	w := watching(b, paths...)
	for b.Loop() {
		w.Set(paths)
	}
}
