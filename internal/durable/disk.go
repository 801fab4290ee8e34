// Package durable is how bytes reach the disk, and the only package that changes files.
//
// Each method returns only when its effect survives a power cut: file contents are synced before they get their name, and the
// folder is synced after every change of a name. A reader sees the old file or the new one, never a part: contents arrive by
// rename, links are swapped by rename, nothing live is removed first. What a crash can leave behind is a file that [IsTemp]
// knows. Nothing here decides what to write, or where.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// Op is one change to the file system, as the kernel is asked for it.
type Op struct {
	// Call is one of open, write, fsync, fsync-dir, chmod, utimes, rename, rename-noreplace, symlink, unlink, mkdir.
	Call string
	// Path is what the call acts on; for rename and symlink the name that appears.
	Path string
	// From is the old name (rename) or the link's target (symlink).
	From string
	// Mode is what open, mkdir and chmod give, before the umask takes its part.
	Mode fs.FileMode
	// Data is what a write puts into the file.
	Data []byte
	// Time is the modification time that utimes gives.
	Time time.Time
}

// Disk changes files durably. The zero value works on the real file system.
type Disk struct {
	// Before, when set, is told of each change before it is made; an error stops it and is returned in its place.
	// Tests record with it, and break things.
	Before func(Op) error
	// ReadOnly, when set, says what a person can do when path cannot be made, since its file system is read-only or its folder missing;
	// empty: what is usual.
	ReadOnly func(path string) string
}

const tempSuffix = ".tmp"

// tempName matches what temp makes: a dot, the name it is for (a line feed in it, too), a dot, 26 characters of randomness.
var tempName = regexp.MustCompile(`(?s)^\..+\.[A-Z2-7]{26}\.tmp$`)

// IsTemp says whether name, without its folder, is one that this package gives to a file before it is complete.
func IsTemp(name string) bool { return tempName.MatchString(name) }

func temp(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()+tempSuffix)
}

// WriteFile makes path hold data with exactly this mode, whatever was there before (a link is replaced, not followed).
// An error before the rename leaves the old content untouched; when only the folder could not be synced after it, the new one is
// there and may be lost in a power cut.
func (d Disk) WriteFile(path string, data []byte, mode fs.FileMode) error {
	return d.WriteFileOf(path, data, mode, time.Time{})
}

// WriteFileOf is WriteFile for content that is older than the file: modified, unless it is zero, becomes the file's time.
func (d Disk) WriteFileOf(path string, data []byte, mode fs.FileMode, modified time.Time) error {
	tmp := temp(path)
	if err := d.create(tmp, data, mode, modified); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, d.discard(tmp)))
	}
	if err := d.rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Join(err, d.discard(tmp)))
	}
	return d.syncDir(path)
}

// Symlink makes path a link to target, replacing what was there in one step.
func (d Disk) Symlink(target, path string) error {
	tmp := temp(path)
	err := d.do(Op{Call: "symlink", Path: tmp, From: target}, func() error { return os.Symlink(target, tmp) })
	if err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	if err := d.rename(tmp, path); err != nil {
		return fmt.Errorf("link %s: %w", path, errors.Join(err, d.discard(tmp)))
	}
	return d.syncDir(path)
}

// Remove unlinks path. That it was not there is no error.
func (d Disk) Remove(path string) error {
	err := d.do(Op{Call: "unlink", Path: path}, func() error { return os.Remove(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return d.syncDir(path)
}

// RenameNoReplace renames from to path and fails with [fs.ErrExist] when path is there. Both lie in one folder.
// A file system that cannot do it (EINVAL, e.g. some network ones) gives an error and leaves both names alone.
func (d Disk) RenameNoReplace(from, path string) error {
	err := d.do(Op{Call: "rename-noreplace", Path: path, From: from}, func() error {
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	})
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, path, err)
	}
	return d.syncDir(path)
}

// MkdirAll makes path and the missing folders above it. The last one gets mode, the others 0755, less what the umask takes. Of
// folders that are there it does not know whether their names are durable: see [Disk.SyncWay].
func (d Disk) MkdirAll(path string, mode fs.FileMode) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := d.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	err := d.do(Op{Call: "mkdir", Path: path, Mode: mode}, func() error { return os.Mkdir(path, mode) })
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make folder %s: %w", path, err)
	}
	return d.syncDir(path)
}

// Narrow takes from the open file the permissions that mode does not have. It never widens.
func (d Disk) Narrow(f *os.File, mode fs.FileMode) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	narrowed := info.Mode().Perm() & mode
	if narrowed == info.Mode().Perm() {
		return nil
	}
	err = d.do(Op{Call: "chmod", Path: f.Name(), Mode: narrowed}, func() error { return f.Chmod(narrowed) })
	if err != nil {
		return err
	}
	return d.do(Op{Call: "fsync", Path: f.Name()}, f.Sync)
}

func (d Disk) create(path string, data []byte, mode fs.FileMode, modified time.Time) error {
	var f *os.File
	err := d.do(Op{Call: "open", Path: path, Mode: mode}, func() (err error) {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return d.missing(path, err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// the umask may have taken permissions away that the kubelet's user needs for a 0644 file
	if err := d.do(Op{Call: "chmod", Path: path, Mode: mode}, func() error { return f.Chmod(mode) }); err != nil {
		return err
	}
	if err := d.do(Op{Call: "write", Path: path, Data: data}, func() error { _, err := f.Write(data); return err }); err != nil {
		return err
	}
	if !modified.IsZero() {
		err := d.do(Op{Call: "utimes", Path: path, Time: modified}, func() error { return os.Chtimes(path, modified, modified) })
		if err != nil {
			return err
		}
	}
	if err := d.do(Op{Call: "fsync", Path: path}, f.Sync); err != nil {
		return err
	}
	return f.Close()
}

func (d Disk) rename(from, path string) error {
	return d.do(Op{Call: "rename", Path: path, From: from}, func() error { return os.Rename(from, path) })
}

// discard takes a temporary file away after a failure. What it cannot remove is swept at the next start; that the file system is
// read-only was said by what failed.
func (d Disk) discard(tmp string) error {
	err := d.do(Op{Call: "unlink", Path: tmp}, func() error { return os.Remove(tmp) })
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}

func (d Disk) syncDir(path string) error { return d.SyncFolder(filepath.Dir(path)) }

// SyncFolder makes the names in a folder durable: those that somebody else has changed, or that an earlier sync failed to cover. A
// file system that has nothing to sync in folders (EINVAL) has done all it can.
func (d Disk) SyncFolder(folder string) error {
	err := d.do(Op{Call: "fsync-dir", Path: folder}, func() error {
		f, err := os.Open(folder)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("sync folder %s: %w", folder, err)
	}
	return nil
}

// SyncWay makes the names of the folders durable that lead to path. One that may not be read cannot have been made by us.
func (d Disk) SyncWay(path string) error {
	for parent := filepath.Dir(path); parent != path; path, parent = parent, filepath.Dir(parent) {
		if err := d.SyncFolder(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	return nil
}

func (d Disk) do(op Op, call func() error) error {
	if d.Before != nil {
		if err := d.Before(op); err != nil {
			return d.Explain(op.Path, err)
		}
	}
	return d.Explain(op.Path, call())
}
