package certdir

import (
	"errors"
	"slices"
	"syscall"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
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

// Remedy is what a person can do about an error of reading a file, in a few words; empty when there is nothing to say. It is for those
// who only look, and do not import what changes files. See [durable.Remedy].
func Remedy(err error) string { return durable.Remedy(err) }
