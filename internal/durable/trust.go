package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrUntrusted is wrapped by errors about files and folders that somebody other than root and ourselves could have changed.
var ErrUntrusted = errors.New("not to be trusted")

// File is a file that was opened once and judged by what was opened.
type File struct {
	Path string
	Data []byte
	Info fs.FileInfo
}

// ReadFile reads a regular file of at most limit bytes, following links. It does not wait at a fifo or a device.
func ReadFile(path string, limit int64) (File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) { // what the kernel says of a socket: no such device
		if info, statErr := os.Stat(path); statErr == nil {
			return File{}, fmt.Errorf("read %s: %s, not a regular file", path, kindOf(info.Mode()))
		}
	}
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return File{}, err
	}
	if !info.Mode().IsRegular() {
		return File{}, fmt.Errorf("read %s: %s, not a regular file", path, kindOf(info.Mode()))
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return File{}, err
	}
	if int64(len(data)) > limit {
		return File{}, fmt.Errorf("read %s: larger than the %d bytes that such a file can need", path, limit)
	}
	return File{Path: path, Data: data, Info: info}, nil
}

// ReadTrusted is ReadFile for a file that decides whom to trust or holds a secret: it must belong to root or to us, be writable
// by nobody else, and lie in a trusted folder; so must every link on the way to it. Otherwise the error wraps [ErrUntrusted].
func ReadTrusted(path string, limit int64) (File, error) {
	file, err := ReadFile(path, limit)
	if err != nil {
		return File{}, err
	}
	if err := trust(path, file.Info, false); err != nil {
		return File{}, err
	}
	return file, trustWay(path, 1)
}

// TrustFolder checks that path is a folder and that it and every folder on the way there, by its name and through links, belong
// to root or to us and are writable by nobody else. Above path, a sticky folder of root's (such as /tmp) is accepted: nobody can
// rename what is not theirs there.
func TrustFolder(path string) error { return trustWay(path, 0) }

// maxLinks is where the kernel gives up, too.
const maxLinks = 40

// trustWay walks to path and judges what it passes, for whoever can change a folder or a link on the way decides where it leads.
// The last tail names of path are not folders.
func trustWay(path string, tail int) error {
	path, err := absolute(path)
	if err != nil {
		return err
	}
	dir, rest := "/", names(path)
	for links := 0; links <= maxLinks; {
		if err := trustDir(dir, len(rest) > tail); err != nil || len(rest) == 0 {
			return err
		}
		target, err := followLink(filepath.Join(dir, rest[0]))
		switch {
		case err != nil:
			return err
		case target != "":
			links++
			rest = append(names(target), rest[1:]...)
			if filepath.IsAbs(target) {
				dir = "/"
			}
		case len(rest) == tail:
			return nil
		default:
			dir, rest = filepath.Join(dir, rest[0]), rest[1:]
		}
	}
	return fmt.Errorf("%s: %w", path, unix.ELOOP)
}

// absolute is filepath.Abs without cleaning: behind a link ".." is another folder than its name says.
func absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	dir, err := os.Getwd()
	return dir + "/" + path, err
}

// followLink returns where the link at path leads; nothing: it is no link.
func followLink(path string) (target string, err error) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return "", err
	}
	if err := trustOwner(path, info); err != nil {
		return "", err
	}
	return os.Readlink(path)
}

func trustDir(dir string, stickyAccepted bool) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: %s, not a folder", dir, kindOf(info.Mode()))
	}
	return trust(dir, info, stickyAccepted)
}

func names(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == filepath.Separator })
}

func trustOwner(path string, info fs.FileInfo) error {
	if owner := OwnerOf(info); owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d: %w; as root: chown -h root %s", path, owner, ErrUntrusted, path)
	}
	return nil
}

func trust(path string, info fs.FileInfo, stickyAccepted bool) error {
	if err := trustOwner(path, info); err != nil {
		return err
	}
	sticky := stickyAccepted && OwnerOf(info) == 0 && info.Mode()&fs.ModeSticky != 0
	if info.Mode().Perm()&0o022 != 0 && !sticky {
		return fmt.Errorf("%s is writable by others (mode %04o): %w; as root: chmod go-w %s", path, info.Mode().Perm(), ErrUntrusted, path)
	}
	return nil
}

// OwnerOf returns the numeric user id that a file belongs to.
func OwnerOf(info fs.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// LinksOf returns how many names a file has.
func LinksOf(info fs.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Nlink)
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode.IsRegular():
		return "a regular file"
	case mode&fs.ModeNamedPipe != 0:
		return "a fifo"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	default:
		return "a special file"
	}
}
