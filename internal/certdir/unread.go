package certdir

import (
	"errors"
	"slices"
	"syscall"
)

// aboutTheFile are the kernel's errors that tell what is there, or that nothing is.
var aboutTheFile = []syscall.Errno{
	syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.ENXIO, syscall.ENODEV, syscall.EINVAL,
}

// Unread says whether err is the kernel's word that a file cannot be read now: too many open files, a failing disk, no permission.
// It tells nothing about what the file holds, not even whether it is there, so nothing may be put in its place. Every other
// error is about the file itself.
func Unread(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno) && !slices.Contains(aboutTheFile, errno)
}
