// Package powercut says what a disk can hold after the power went: a model of a file system that keeps, of all that was changed
// and not yet synced, whatever it likes.
//
// POSIX promises little and file systems keep more, each another part of it, so nothing is assumed but this: what a returned fsync
// covered is there; a rename happens or does not; a change of one name says nothing about another's. A file's content, mode and the
// time that it was given are covered by its own fsync, its name by that of its folder. A folder that was made and whose name is lost is lost with all in it.
package powercut

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Disk is what stands below a folder.
type Disk struct {
	top    string
	names  map[string]int // path, with every folder on the way by its name, to index of inodes
	inodes []inode
}

// inode is one file, link or folder.
type inode struct {
	kind    fs.FileMode // type bits
	mode    fs.FileMode // permissions
	content []byte      // of a link: where it leads
	info    fs.FileInfo // of what was there before anything was recorded
	// modified is the time that the file was given; zero: none.
	modified time.Time
}

// ReadDisk reads all that stands below top, which is taken to be durable.
func ReadDisk(top string) (*Disk, error) {
	d := &Disk{top: top, names: map[string]int{}}
	return d, filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		node := inode{kind: info.Mode().Type(), mode: info.Mode().Perm(), info: info}
		switch node.kind {
		case fs.ModeSymlink:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			node.content = []byte(target)
		case 0:
			if node.content, err = os.ReadFile(path); err != nil {
				return err
			}
		}
		d.add(path, node)
		return nil
	})
}

func (d *Disk) add(path string, node inode) int {
	d.inodes = append(d.inodes, node)
	d.names[path] = len(d.inodes) - 1
	return len(d.inodes) - 1
}

func (d *Disk) clone() *Disk {
	return &Disk{top: d.top, names: maps.Clone(d.names), inodes: slices.Clone(d.inodes)}
}

// LayOut replaces what stands below the folder by this disk.
func (d *Disk) LayOut() error {
	entries, err := os.ReadDir(d.top)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.RemoveAll(filepath.Join(d.top, entry.Name())); err != nil {
			return err
		}
	}
	for _, path := range slices.Sorted(maps.Keys(d.names)) { // folders before what is in them
		if !d.reachable(filepath.Dir(path)) {
			continue
		}
		if err := d.inodes[d.names[path]].layOut(path); err != nil {
			return err
		}
	}
	return nil
}

// reachable says whether the folder at path, and those above it, have their names.
func (d *Disk) reachable(path string) bool {
	if path == d.top {
		return true
	}
	i, there := d.names[path]
	return there && d.inodes[i].kind.IsDir() && d.reachable(filepath.Dir(path))
}

func (n inode) layOut(path string) error {
	switch {
	case n.kind.IsDir():
		return os.Mkdir(path, n.mode)
	case n.kind == fs.ModeSymlink:
		return os.Symlink(string(n.content), path)
	}
	if err := os.WriteFile(path, n.content, n.mode); err != nil {
		return err
	}
	switch {
	case !n.modified.IsZero():
		return os.Chtimes(path, n.modified, n.modified)
	case n.info != nil:
		return os.Chtimes(path, n.info.ModTime(), n.info.ModTime())
	}
	return nil
}
