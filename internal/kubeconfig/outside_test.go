package kubeconfig_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// identity is a folder with everything in it that a change would show: inode, mode, owner, names, time and content. The time of an
// inode's last change is not among it: a second name that is renamed and renamed back, in our folder, changes that.
func (f folder) identity() map[string]string {
	f.t.Helper()
	all := map[string]string{}
	must(f.t, filepath.WalkDir(f.path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("inode %d, %s of %d, %d names, written %v", stat.Ino, info.Mode(), stat.Uid, stat.Nlink, stat.Mtim)
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			must(f.t, err)
			text += ", holds " + string(content)
		}
		all[path] = text
		return nil
	}))
	return all
}

// assertUntouched shows that a folder is as it was.
func (f folder) assertUntouched(before map[string]string) {
	f.t.Helper()
	now := f.identity()
	for _, path := range slices.Sorted(maps.Keys(before)) {
		if now[path] != before[path] {
			f.t.Errorf("%s was %.80s, and is %.80s", path, before[path], now[path])
		}
	}
	if len(now) != len(before) {
		f.t.Errorf("outside were %q, and are %q", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(now)))
	}
}

// lead makes a name in the folder lead to the file "secret" outside of it, which is there already. What it needs outside is made
// by furnish, before anybody looks.
type lead func(f, outside folder, name string)

var leads = map[string]lead{
	"an absolute link":      func(f, outside folder, name string) { f.symlink(outside.in("secret"), name) },
	"a relative link":       func(f, outside folder, name string) { f.symlink(f.relative(outside, "secret"), name) },
	"a link to a link here": func(f, outside folder, name string) { f.symlink(outside.in("secret"), "hop"); f.symlink("hop", name) },
	"a link to a link there": func(f, outside folder, name string) {
		f.symlink(outside.in("link-to-secret"), name)
	},
	"a link through a linked folder": func(f, outside folder, name string) {
		f.symlink(outside.path, "linked-folder")
		f.symlink("linked-folder/secret", name)
	},
	"a link through a linked folder and back": func(f, outside folder, name string) {
		f.symlink(outside.in("deep"), "linked-folder")
		f.symlink("linked-folder/../secret", name)
	},
	"a link to nothing there": func(f, outside folder, name string) { f.symlink(outside.in("nothing"), name) },
	"a link to a folder":      func(f, outside folder, name string) { f.symlink(outside.path, name) },
	"links in a ring":         func(f, outside folder, name string) { f.symlink(name, "hop"); f.symlink("hop", name) },
	"a second name":           func(f, outside folder, name string) { must(f.t, os.Link(outside.in("secret"), f.in(name))) },
}

func (f folder) relative(other folder, name string) string {
	f.t.Helper()
	path, err := filepath.Rel(f.path, other.in(name))
	must(f.t, err)
	return path
}

// furnish puts the worst outside: the very bytes that were used, readable by others, under every name that could be meant, and
// what looks like a credential that lies aside.
func (f folder) furnish(d deletion, content string) {
	f.t.Helper()
	for _, name := range []string{"secret", d.file, "." + d.file + ".used", ".secret.used", ".link-to-secret.used"} {
		f.write(name, content)
		must(f.t, os.Chmod(f.in(name), 0o644))
	}
	f.symlink("secret", "link-to-secret")
	must(f.t, os.Mkdir(f.in("deep"), 0o755))
}

// replace puts the lead in place of what has the name.
func (l lead) replace(f, outside folder, name string) {
	f.t.Helper()
	if err := os.Remove(f.in(name)); err != nil && !os.IsNotExist(err) {
		f.t.Fatal(err)
	}
	l(f, outside, name)
}

// lookAgain is what the agent does with what it finds: settle, narrow, dispose of; twice, as it looks again after every change.
func lookAgain(t *testing.T, f folder) (last kubeconfig.Disposal) {
	t.Helper()
	for range 2 {
		settle(t, f)
		b, err := f.credential()
		if err != nil {
			return last
		}
		b.Narrow(durable.Disk{})
		done, err := b.Dispose(durable.Disk{}, "")
		must(t, err)
		last = done.Disposal
	}
	return last
}

// TestWhatLiesOutsideIsNeverTouched has every way out of the folder stand in the secret's place from the beginning.
func TestWhatLiesOutsideIsNeverTouched(t *testing.T) {
	t.Parallel()
	cases := 0
	for _, d := range deletions() {
		for how, l := range leads {
			for _, name := range d.names() {
				cases++
				t.Run(fmt.Sprintf("%s, %s for %s", d.name, how, name), func(t *testing.T) {
					f, outside := newFolder(t), newFolder(t)
					d.make(f, outside)
					outside.furnish(d, d.holding(token))
					l.replace(f, outside, name)
					before, loaded := outside.identity(), false
					if b, err := f.credential(); err == nil {
						loaded = b.Credential.Token == token
					}
					if last := lookAgain(t, f); loaded && last != kubeconfig.Exposed {
						t.Errorf("the token, which is still outside, is said to be %s", last)
					}
					outside.assertUntouched(before)
				})
			}
		}
	}
	t.Logf("%d ways out of the folder", cases)
}

// names are those of the secret: the file's, and where the link leads if it is one.
func (d deletion) names() []string {
	if d.target == "" {
		return []string{d.file}
	}
	return []string{d.file, d.target}
}

// race is a way out of the folder that appears in place of name before an operation of the disposal.
type race struct {
	deletion
	how, name string
	number    int
	op        durable.Op
}

func races(t *testing.T) (all []race) {
	t.Helper()
	for _, d := range deletions() {
		operations := d.operations(t)
		for _, how := range slices.Sorted(maps.Keys(leads)) {
			for _, name := range d.names() {
				for number, op := range operations {
					all = append(all, race{d, how, name, number, op})
				}
			}
		}
	}
	return all
}

// sampled returns size of the cases, others in each run; with SOAK set all of them.
func sampled[T any](t *testing.T, cases []T, size int) []T {
	t.Helper()
	total := len(cases)
	if os.Getenv("SOAK") == "" && total > size {
		sample.Random(t).Shuffle(total, func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
		cases = cases[:size]
	}
	t.Logf("%d of %d cases", len(cases), total)
	return cases
}

// TestWhatLiesOutsideIsNeverTouchedWheneverTheWayThereAppears puts the way out there before each operation of the disposal, when
// everything was looked at and found good. Only root could do that; a mistake must not cost more than itself.
func TestWhatLiesOutsideIsNeverTouchedWheneverTheWayThereAppears(t *testing.T) {
	t.Parallel()
	for _, r := range sampled(t, races(t), 80) {
		t.Run(fmt.Sprintf("%s, %s for %s, before %d %s", r.deletion.name, r.how, r.name, r.number, r.op.Call), func(t *testing.T) {
			f, b := r.load(t)
			outside := newFolder(t)
			outside.furnish(r.deletion, r.holding(token))
			before := outside.identity()
			done, err := b.Dispose(at(r.number, func() error {
				leads[r.how].replace(f, outside, r.name)
				before = outside.identity() // a second name changes what it is a name of
				return nil
			}), "")
			must(t, err)
			outside.assertUntouched(before)
			settle(t, f)
			b, err = f.credential()
			if last := lookAgain(t, f); err == nil && b.Credential.Token == token && last != kubeconfig.Exposed {
				t.Errorf("the token, which is still outside, is said to be %s, then %s", done.Disposal, last)
			}
			outside.assertUntouched(before)
			if r.name == r.file && !exists(f.in(r.name)) {
				t.Errorf("what was put under the name in the meantime was deleted; the folder holds %q", f.content())
			}
		})
	}
}

// TestAPathWithDotsBehindALinkDoesNotLeadIntoTheFolder: by its name such a file lies in the folder, and in truth elsewhere.
func TestAPathWithDotsBehindALinkDoesNotLeadIntoTheFolder(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"the token", "the kubeconfig"} {
		for _, dots := range []string{"linked-folder/..", "./linked-folder/..", "linked-folder/.././"} {
			t.Run(secret+" by "+dots, func(t *testing.T) {
				f, outside := newFolder(t), newFolder(t)
				d := deletions()[1]
				outside.furnish(d, token)
				outside.bootstrap(withToken(token))
				must(t, os.Chmod(outside.bootstrapFile(), 0o644))
				f.symlink(outside.in("deep"), "linked-folder")
				path := f.path + "/" + dots
				kubeconfigPath := path + "/bootstrap.kubeconfig"
				if secret == "the token" {
					f.bootstrap(kubeconfigOf(goodCluster(), "tokenFile: "+path+"/token"))
					kubeconfigPath = f.bootstrapFile()
				}
				before := outside.identity()
				b, err := kubeconfig.LoadBootstrap(kubeconfigPath)
				must(t, err)
				if secret == "the token" {
					b.Narrow(durable.Disk{})
				}
				done, err := b.Dispose(durable.Disk{}, "")
				must(t, err)
				if done.Disposal != kubeconfig.Exposed {
					t.Errorf("it is %s: %s", done.Disposal, done.Said)
				}
				for _, aside := range kubeconfig.Aside(kubeconfigPath) {
					t.Errorf("%s is taken for one that lies aside", aside)
				}
				outside.assertUntouched(before)
			})
		}
	}
}

// TestWhatLiesAsideInAnotherFolderIsNotOurs: the tokenFile may be another agent's as well.
func TestWhatLiesAsideInAnotherFolderIsNotOurs(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		f, outside := newFolder(t), newFolder(t)
		tokenFile("ELSEWHERE/token")(f, outside)
		outside.write(".token.used", otherToken)
		if !there {
			must(t, os.Remove(outside.in("token")))
		}
		before := outside.identity()
		settle(t, f)
		outside.assertUntouched(before)
	}
}

// TestAFileThatIsMountedInItsPlaceIsLeftAsItIs: it is another folder's file under our name.
func TestAFileThatIsMountedInItsPlaceIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	for _, d := range deletions()[:2] {
		inOwnMounts(t, func() {
			f, outside := newFolder(t), newFolder(t)
			d.make(f, outside)
			outside.furnish(d, d.holding(token))
			must(t, unix.Mount(outside.in("secret"), f.in(d.file), "", unix.MS_BIND, ""))
			before := outside.identity()
			b, err := f.credential()
			must(t, err)
			narrowed := b.Narrow(durable.Disk{})
			if len(narrowed) != 1 || narrowed[0].Err == nil || !strings.Contains(narrowed[0].Err.Error(), "mounted") {
				t.Errorf("%s: narrowed: %+v", d.name, narrowed)
			}
			if _, err := b.Dispose(durable.Disk{}, ""); err == nil || !strings.Contains(err.Error(), f.in(d.file)) {
				t.Errorf("%s: what is mounted cannot be deleted, and the error is %v", d.name, err)
			}
			outside.assertUntouched(before)
			must(t, unix.Unmount(f.in(d.file), 0))
		})
	}
}

// inOwnMounts runs a test on a thread with mounts of its own, which are gone when it ends.
func inOwnMounts(t *testing.T, test func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		defer close(done)
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err != nil {
			done <- fmt.Errorf("run this test as root, who alone may mount: %w", err)
			return
		}
		test()
	}()
	must(t, <-done)
}
