package certdir

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// sweepAge is how old a file must be before it is swept, so that nothing which is just being made is.
const sweepAge = time.Minute

// Sweep removes what nothing needs any more: temporary files that a crash left, and data files of the given kinds that no link
// names, but for the newest keep of them. It touches only regular files of root's or ours, and says what it removed.
func (d Dir) Sweep(kinds []Kind, keep int, now time.Time) (removed []string, err error) {
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return nil, err
	}
	var errs []error
	remove := func(path string) {
		if !d.sweepable(path, now) {
			return
		}
		if err := d.Disk.Remove(path); err != nil {
			errs = append(errs, err)
			return
		}
		removed = append(removed, path)
	}
	for _, entry := range entries {
		if durable.IsTemp(entry.Name()) {
			remove(filepath.Join(d.Path, entry.Name()))
		}
	}
	for _, kind := range kinds {
		unused, err := d.unused(kind, keep)
		if err != nil {
			errs = append(errs, err)
		}
		for _, path := range unused {
			remove(path)
		}
	}
	return removed, errors.Join(errs...)
}

// unused returns the data files that no link names, without the keep newest readable ones. An error means that it cannot be told.
func (d Dir) unused(kind Kind, keep int) ([]string, error) {
	kept, err := d.linked()
	if err != nil {
		return nil, err
	}
	for i, pair := range d.Older(kind) {
		if i < keep {
			kept[pair.File] = true
		}
	}
	var unused []string
	for _, path := range d.dataFiles(kind) {
		if real, err := filepath.EvalSymlinks(path); err != nil || kept[real] {
			continue
		}
		if _, err := readPair(path); keep > 0 && Unread(err) {
			continue // it may be one of those to keep
		}
		unused = append(unused, path)
	}
	return unused, nil
}

// linked returns the files that a link in the folder leads to. One that a crash left unfinished names nothing.
func (d Dir) linked() (map[string]bool, error) {
	linked := map[string]bool{}
	entries, err := os.ReadDir(d.Path)
	if err != nil {
		return nil, err // not "no links": the pair in use would pass for one that nothing needs
	}
	for _, entry := range entries {
		if entry.Type()&os.ModeSymlink == 0 || durable.IsTemp(entry.Name()) {
			continue
		}
		switch real, err := filepath.EvalSymlinks(filepath.Join(d.Path, entry.Name())); {
		case err == nil:
			linked[real] = true
		case Unread(err):
			return nil, err
		}
	}
	return linked, nil
}

func (d Dir) sweepable(path string, now time.Time) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	owner := durable.OwnerOf(info)
	old := info.Mode()&os.ModeSymlink != 0 || now.Sub(info.ModTime()) > sweepAge
	temporaryLink := info.Mode()&os.ModeSymlink != 0 && durable.IsTemp(info.Name())
	return old && (info.Mode().IsRegular() || temporaryLink) && (owner == 0 || owner == os.Geteuid())
}
