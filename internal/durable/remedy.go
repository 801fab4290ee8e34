package durable

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

// remedies are what a person can do about the kernel's refusal to read or change a file.
var remedies = map[syscall.Errno]string{
	syscall.ENOSPC: "free space or inodes on its file system (df, df -i)",
	syscall.EDQUOT: "free space or inodes below its quota, or raise that",
	syscall.EROFS:  "remount its file system read-write, or add the folder to ReadWritePaths= of the agent's unit",
	syscall.EIO:    "the disk may be failing: look at the kernel's log (dmesg)",
	syscall.EMFILE: "raise the agent's limit of open files (LimitNOFILE= of its unit)",
	syscall.ENFILE: "raise the machine's limit of open files (sysctl fs.file-max)",
	syscall.EFBIG:  "raise the agent's limit of a file's size (LimitFSIZE= of its unit)",
	syscall.EACCES: "the agent runs as root; find out what denies it (owner, mode, SELinux, AppArmor)",
	syscall.EPERM:  "find out what denies it (lsattr, SELinux, AppArmor)",
	syscall.EBUSY:  "find out what holds it (findmnt, fuser)",
	// what os.Rename says when a folder stands where a file belongs, what the kernel does, and what it says of a full one
	syscall.EEXIST:    "a folder stands there; move it away",
	syscall.EISDIR:    "a folder stands there; move it away",
	syscall.ELOOP:     "a link stands there that leads to itself, or where none may be; remove it",
	syscall.ENXIO:     "a socket stands there; move it away",
	syscall.ENOTEMPTY: "a folder stands there, with files in it; move it away",
}

// explained is an error of the kernel's with a better remedy than it usually has.
type explained struct {
	error
	remedy string
}

// Unwrap returns the kernel's error.
func (e *explained) Unwrap() error { return e.error }

// missing is for a file that cannot be made, since its folder is not there.
func (d Disk) missing(path string, err error) error {
	remedy := "make the folder " + filepath.Dir(path)
	if d.ReadOnly != nil {
		remedy = cmp.Or(d.ReadOnly(path), remedy) // once it is there, it would be read-only
	}
	return &explained{err, remedy}
}

// Explain gives an error about path, that its file system is read-only, the remedy that d.ReadOnly knows, if it does. Errors of d's
// own changes have it.
func (d Disk) Explain(path string, err error) error {
	if d.ReadOnly == nil || !errors.Is(err, syscall.EROFS) {
		return err
	}
	if remedy := d.ReadOnly(path); remedy != "" {
		return &explained{err, remedy}
	}
	return err
}

// Remedy is what a person can do about an error of the kernel's, in a few words; empty when there is nothing to say.
func Remedy(err error) string {
	if better, ok := errors.AsType[*explained](err); ok {
		return better.remedy
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return ""
	}
	return remedies[errno]
}

// WithRemedy returns err with what a person can do about it, if there is something to say.
func WithRemedy(err error) error {
	if remedy := Remedy(err); remedy != "" {
		return fmt.Errorf("%w; %s", err, remedy)
	}
	return err
}
