package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestTheKernelsRefusalsComeWithWhatToDo(t *testing.T) {
	for errno, remedy := range map[syscall.Errno]string{
		syscall.ENOSPC: "df -i", syscall.EDQUOT: "quota", syscall.EROFS: "ReadWritePaths=", syscall.EIO: "dmesg", syscall.EMFILE: "LimitNOFILE=",
		syscall.EFBIG: "LimitFSIZE=", syscall.EACCES: "SELinux", syscall.EPERM: "lsattr", syscall.EBUSY: "findmnt", syscall.ENFILE: "fs.file-max",
	} {
		err := fmt.Errorf("write /a: %w", &fs.PathError{Op: "write", Path: "/a", Err: errno})
		with := WithRemedy(err)
		if !strings.HasPrefix(with.Error(), err.Error()+"; ") || !strings.Contains(with.Error(), remedy) || !errors.Is(with, errno) {
			t.Errorf("%v, expected a word about %s", with, remedy)
		}
	}
	for _, err := range []error{nil, errors.New("not the kernel's"), syscall.ENOENT} {
		if with := WithRemedy(err); !errors.Is(with, err) || Remedy(err) != "" {
			t.Errorf("%v became %v", err, with)
		}
	}
}

func TestAFileWhoseFolderIsMissingComesWithWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "a")
	err := Disk{}.WriteFile(path, nil, 0o600)
	if remedy := Remedy(err); remedy != "make the folder "+filepath.Dir(path) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v: %q", err, remedy)
	}
	known := Disk{ReadOnly: func(path string) string { return "give the unit " + filepath.Dir(path) }}
	if remedy := Remedy(known.WriteFile(path, nil, 0o600)); remedy != "give the unit "+filepath.Dir(path) {
		t.Errorf("%q", remedy)
	}
}

func TestAReadOnlyFileSystemComesWithWhatIsKnownAboutThePath(t *testing.T) {
	refuse := func(errno syscall.Errno) func(Op) error { return func(Op) error { return errno } }
	for name, c := range map[string]struct {
		disk   Disk
		remedy string
	}{
		"nothing is known":            {Disk{Before: refuse(syscall.EROFS)}, remedies[syscall.EROFS]},
		"nothing about this path":     {Disk{Before: refuse(syscall.EROFS), ReadOnly: func(string) string { return "" }}, remedies[syscall.EROFS]},
		"something about this path":   {Disk{Before: refuse(syscall.EROFS), ReadOnly: func(path string) string { return "mend " + path }}, "mend /a"},
		"it is something else":        {Disk{Before: refuse(syscall.ENOSPC), ReadOnly: func(path string) string { return "mend " + path }}, remedies[syscall.ENOSPC]},
		"the kernel does not tell it": {Disk{ReadOnly: func(path string) string { return "mend " + path }}, ""},
	} {
		if err := c.disk.Remove("/a"); Remedy(err) != c.remedy {
			t.Errorf("%s: %v: %q, expected %q", name, err, Remedy(err), c.remedy)
		}
	}
}
