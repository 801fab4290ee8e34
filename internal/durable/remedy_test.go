package durable

import (
	"errors"
	"fmt"
	"io/fs"
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
