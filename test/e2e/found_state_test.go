package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/test/found"
)

// somebody is a user that is neither root nor us.
const somebody = 12345

const gigabyte = 1 << 30

// put makes the cell's state of its file.
func (n *node) put(c found.Cell) {
	n.t.Helper()
	path := n.path(c.File.Path)
	if c.File.Kind == found.Folder {
		n.putFolder(c.State.Name, path)
		return
	}
	content := spoiled(c, n.content(c))
	target, err := os.Readlink(path)
	if isLink := err == nil; isLink {
		content = spoiled(c, n.text(path)) // what it led to
	}
	must(n.t, os.RemoveAll(path))
	if n.putThing(c.State.Name, path, content) {
		return
	}
	if target != "" && c.State.Name == "of another user" {
		n.link(target, path)
		must(n.t, os.Lchown(path, somebody, somebody))
		return
	}
	must(n.t, os.WriteFile(path, content, 0o600))
	n.putMode(c.State.Name, path)
}

// putThing puts something other than a regular file there, or nothing.
func (n *node) putThing(state, path string, content []byte) bool {
	n.t.Helper()
	switch state {
	case "missing":
	case "dangling link":
		n.link("nothing", path)
	case "link in a ring":
		n.link(filepath.Base(path), path)
	case "link elsewhere":
		elsewhere := n.path("elsewhere", filepath.Base(path))
		must(n.t, os.WriteFile(elsewhere, content, 0o600))
		n.link(elsewhere, path)
	case "folder":
		must(n.t, os.MkdirAll(filepath.Join(path, "something"), 0o755))
	case "fifo":
		must(n.t, unix.Mkfifo(path, 0o600))
	case "socket":
		must(n.t, unix.Mknod(path, unix.S_IFSOCK|0o600, 0))
	case "1 GB":
		must(n.t, os.WriteFile(path, content, 0o600))
		must(n.t, os.Truncate(path, gigabyte))
		n.t.Cleanup(func() { _ = os.Truncate(path, 0) })
	default:
		return false
	}
	return true
}

// putMode gives a file another mode, owner or attribute.
func (n *node) putMode(state, path string) {
	n.t.Helper()
	switch state {
	case "unreadable":
		must(n.t, os.Chmod(path, 0))
	case "of another user":
		must(n.t, os.Chown(path, somebody, somebody))
	case "of another user, readable":
		must(n.t, os.Chown(path, somebody, somebody))
		must(n.t, os.Chmod(path, 0o644))
	case "writable by others":
		must(n.t, os.Chmod(path, 0o777))
	case "immutable":
		n.setImmutable(path, true)
		n.t.Cleanup(func() {
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) { // mended, and then removed by the agent
				n.setImmutable(path, false)
			}
		})
	}
}

// setImmutable is chattr +i and -i.
func (n *node) setImmutable(path string, immutable bool) {
	n.t.Helper()
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	must(n.t, err)
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil && immutable {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|unix.STATX_ATTR_IMMUTABLE)
	} else if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^unix.STATX_ATTR_IMMUTABLE)
	}
	if err != nil {
		n.t.Fatalf("chattr %s: %v; this test needs root, and a file system that knows immutable files (ext4, xfs, btrfs) at TMPDIR", path, err)
	}
}

func (n *node) putFolder(state, path string) {
	n.t.Helper()
	moved := n.path("elsewhere", "pki")
	switch state {
	case "unreadable":
		must(n.t, os.Chmod(path, 0))
	case "of another user", "of another user, readable":
		must(n.t, os.Chown(path, somebody, somebody))
		if state == "of another user, readable" {
			must(n.t, os.Chmod(path, 0o755))
		}
	case "writable by others":
		must(n.t, os.Chmod(path, 0o777))
	case "immutable":
		n.putMode(state, path)
	default:
		must(n.t, os.Rename(path, moved))
		switch state {
		case "missing":
		case "empty":
			must(n.t, os.Mkdir(path, 0o700))
		case "garbage":
			must(n.t, os.WriteFile(path, []byte("garbage"), 0o600))
		case "link elsewhere":
			n.link(moved, path)
		default:
			n.putThing(state, path, nil)
		}
	}
}

func (n *node) text(path string) []byte {
	n.t.Helper()
	content, err := os.ReadFile(path)
	must(n.t, err)
	return content
}
