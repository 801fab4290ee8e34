package certdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWhatTheKernelDoesNotLetUsReadIsNeitherMissingNorBroken(t *testing.T) {
	for errno, unread := range map[syscall.Errno]bool{
		syscall.EIO: true, syscall.EACCES: true, syscall.EPERM: true, syscall.EMFILE: true, syscall.ENFILE: true, syscall.ENOMEM: true,
		syscall.ESTALE: true, syscall.ETIMEDOUT: true, syscall.EBUSY: true, syscall.EINTR: true,
		syscall.ENOENT: false, syscall.ENOTDIR: false, syscall.EISDIR: false, syscall.ELOOP: false, syscall.ENAMETOOLONG: false, syscall.ENXIO: false,
	} {
		err := fmt.Errorf("kubelet kubeconfig: %w", &fs.PathError{Op: "open", Path: "/a", Err: errno})
		if Unread(err) != unread {
			t.Errorf("%v: unread %v, expected %v", err, !unread, unread)
		}
	}
	for _, err := range []error{nil, errors.New("not a certificate with its key"), ErrNoPair} {
		if Unread(err) {
			t.Errorf("%v counts as unread", err)
		}
	}
}

// What stands in the cert-dir instead of a pair is about the file: a new one may take its place.
func TestWhatIsNoPairIsNotUnread(t *testing.T) {
	d := Dir{Path: t.TempDir()}
	path := d.Current(Client)
	for name, make := range map[string]func() error{
		"nothing":          func() error { return nil },
		"a dangling link":  func() error { return os.Symlink("nothing", path) },
		"a ring of links":  func() error { return os.Symlink(filepath.Base(path), path) },
		"a folder":         func() error { return os.Mkdir(path, 0o700) },
		"an empty file":    func() error { return os.WriteFile(path, nil, 0o600) },
		"below a file":     func() error { return os.Symlink(filepath.Join(os.Args[0], "pair"), path) },
		"a name too long":  func() error { return os.Symlink(string(fmt.Appendf(nil, "%0300d", 0)), path) },
		"half of anything": func() error { return os.WriteFile(path, []byte("-----BEGIN"), 0o600) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(Client); err == nil || Unread(err) {
			t.Errorf("%s: %v counts as unread", name, err)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
}
