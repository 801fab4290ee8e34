package durable

import (
	"errors"
	"fmt"
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

// Remedy is what a person can do about an error of the kernel's, in a few words; empty when there is nothing to say.
func Remedy(err error) string {
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
