package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// judged is what the kernel says about a file, so that every owner can be tried without being root.
type judged struct {
	owner uint32
	mode  fs.FileMode
}

func (j judged) Name() string       { return "name" }
func (j judged) Size() int64        { return 0 }
func (j judged) Mode() fs.FileMode  { return j.mode }
func (j judged) ModTime() time.Time { return time.Time{} }
func (j judged) IsDir() bool        { return j.mode.IsDir() }
func (j judged) Sys() any           { return &syscall.Stat_t{Uid: j.owner} }

func TestOnlyWhatNobodyElseCanChangeIsTrusted(t *testing.T) {
	me, other := uint32(os.Geteuid()), uint32(12345)
	const folder, sticky = fs.ModeDir, fs.ModeDir | fs.ModeSticky
	for _, c := range []struct {
		name    string
		what    judged
		above   bool
		trusted bool
	}{
		{"a file of root's", judged{0, 0o600}, false, true},
		{"a file of ours", judged{me, 0o600}, false, true},
		{"a file that others may read", judged{0, 0o644}, false, true},
		{"a file that its group may write", judged{0, 0o620}, false, false},
		{"a file that all may write", judged{0, 0o602}, false, false},
		{"a file of somebody else", judged{other, 0o600}, false, false},
		{"a folder that its group may write", judged{0, folder | 0o770}, false, false},
		{"a folder above that its group may write", judged{0, folder | 0o770}, true, false},
		{"root's sticky folder above", judged{0, sticky | 0o777}, true, true},
		{"root's sticky folder as the cert-dir itself", judged{0, sticky | 0o777}, false, false},
		{"a sticky folder of somebody else above", judged{other, sticky | 0o777}, true, false},
		{"a narrow sticky folder", judged{0, sticky | 0o755}, false, true},
	} {
		err := trust("/the/path", c.what, c.above)
		if (err == nil) != c.trusted || err != nil && !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %v, expected trusted: %v", c.name, err, c.trusted)
		}
		if err != nil && (!strings.Contains(err.Error(), "/the/path") || !strings.Contains(err.Error(), "as root: ch")) {
			t.Errorf("%s: %q names neither path nor remedy", c.name, err)
		}
	}
}

// tree makes what is asked below a trusted folder.
func tree(t *testing.T, entries ...func(dir string) error) string {
	t.Helper()
	dir := t.TempDir()
	for _, entry := range entries {
		must(t, entry(dir))
	}
	return dir
}

func folder(name string, mode fs.FileMode) func(string) error {
	return func(dir string) error {
		return errors.Join(os.MkdirAll(filepath.Join(dir, name), 0o700), os.Chmod(filepath.Join(dir, name), mode))
	}
}

func file(name string, mode fs.FileMode) func(string) error {
	return func(dir string) error {
		path := filepath.Join(dir, name)
		return errors.Join(os.WriteFile(path, []byte(name), 0o600), os.Chmod(path, mode))
	}
}

func link(target, name string) func(string) error {
	return func(dir string) error { return os.Symlink(target, filepath.Join(dir, name)) }
}

func TestAFolderIsTrustedOnlyIfTheWayThereIs(t *testing.T) {
	dir := tree(t,
		folder("ours/pki", 0o700),
		folder("shared/pki", 0o700), folder("shared", 0o770),
		folder("open", 0o777),
		file("file", 0o600),
		link("ours", "link"), link("../ours", "open/link"), link("open/link", "detour"),
		link("shared/pki", "link-to-shared"), link("circle", "circle"), link("nothing", "dangling"),
	)
	for name, trusted := range map[string]bool{
		".": true, "ours/pki": true, "link/pki": true, "link": true, "link/../ours/pki": true,
		"shared/pki": false, "shared": false, "open": false, "link-to-shared": false,
		"open/link": false, "open/link/pki": false, // others can make the link lead elsewhere
		"detour/pki": false,
	} {
		err := TrustFolder(filepath.Join(dir, name))
		if name == "link/../ours/pki" {
			err = TrustFolder(dir + "/" + name)
		}
		if trusted && err != nil || !trusted && !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %v, expected trusted: %v", name, err, trusted)
		}
	}
	t.Chdir(dir)
	if TrustFolder("link/../ours") != nil || !errors.Is(TrustFolder("shared"), ErrUntrusted) {
		t.Error("a relative path is judged as another")
	}
	for _, name := range []string{"file", "file/below", "circle", "dangling", "none"} {
		if err := TrustFolder(filepath.Join(dir, name)); err == nil || errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %v, expected that it is no folder", name, err)
		}
	}
}

// Whoever owns a link in a sticky folder can make it lead elsewhere at any time.
func TestALinkOfSomebodyElseIsNotFollowed(t *testing.T) {
	if err := trustOwner("/tmp/link", judged{12345, fs.ModeSymlink | 0o777}); !errors.Is(err, ErrUntrusted) {
		t.Errorf("%v, expected that it is not trusted", err)
	}
	if os.Geteuid() != 0 {
		return // only root can make one; the line above is the same check
	}
	dir := tree(t, folder("sticky", 0o777|fs.ModeSticky), folder("ours", 0o700), link("../ours", "sticky/link"))
	path := filepath.Join(dir, "sticky", "link")
	must(t, TrustFolder(path))
	must(t, os.Lchown(path, 12345, -1))
	if err := TrustFolder(path); !errors.Is(err, ErrUntrusted) {
		t.Errorf("%v, expected that it is not trusted", err)
	}
}

func TestAFileIsTrustedOnlyIfItAndItsFoldersAre(t *testing.T) {
	dir := tree(t,
		folder("ours", 0o755), file("ours/good", 0o644), file("ours/writable", 0o660),
		folder("shared", 0o770), file("shared/good", 0o600),
		folder("sticky", 0o777|fs.ModeSticky), file("sticky/good", 0o600),
		link("good", "ours/link"), link("../shared/good", "ours/link-to-shared"), link("../ours/good", "shared/link"),
	)
	for name, trusted := range map[string]bool{
		"ours/good": true, "ours/writable": false, "ours/link": true,
		"shared/good": false, "sticky/good": false, "ours/link-to-shared": false, "shared/link": false,
	} {
		f, err := ReadTrusted(filepath.Join(dir, name), 100)
		if trusted && err != nil || !trusted && !errors.Is(err, ErrUntrusted) {
			t.Errorf("%s: %v, expected trusted: %v", name, err, trusted)
		}
		if trusted && string(f.Data) != "ours/good" {
			t.Errorf("%s: read %q", name, f.Data)
		}
	}
	if _, err := ReadTrusted(filepath.Join(dir, "ours", "none"), 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, expected that it is not there", err)
	}
}
