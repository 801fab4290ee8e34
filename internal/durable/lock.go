package durable

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// LockedError says that another process holds a lock.
type LockedError struct {
	Path string
	// Holder is what the holder wrote about itself, e.g. "pid 4711"; empty when it could not be read.
	Holder string
}

func (e *LockedError) Error() string {
	holder := e.Holder
	if holder == "" {
		holder = "another process"
	}
	return fmt.Sprintf("lock %s: held by %s: one agent per cert-dir; stop the other one or give this one its own --cert-dir", e.Path, holder)
}

// Lock takes an exclusive flock on path without waiting and writes who holds it into the file. The kernel lets go of it when
// the process ends, however it ends; the returned file must stay open until then. A held lock is a [*LockedError].
func (d Disk) Lock(path, holder string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		text := make([]byte, 256)
		n, _ := f.Read(text)
		return nil, &LockedError{Path: path, Holder: strings.TrimSpace(string(text[:n]))}
	}
	// Written in place and not synced: it is read only by those who fail to get the lock, while the writer lives. On a full disk the
	// lock is held without a word about the holder.
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt([]byte(holder+"\n"), 0)
	}
	return f, nil
}
