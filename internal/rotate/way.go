package rotate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mostLinks is how many links the kernel follows on one way (MAXSYMLINKS); behind more of them there is nothing to read.
const mostLinks = 40

// inode is what a folder is, whatever it is called.
type inode struct{ device, number uint64 }

// folder is a place where a change may alter what one of the paths leads to.
type folder struct {
	inode inode
	// at is the path under which its events come: a folder that is mounted twice has two paths and one watch. Empty: it is not watched.
	at string
	// names are the ones in it that matter; all of them when one of the paths is this folder.
	names map[string]bool
	all   bool
}

// survey is every folder on the way to some paths, each watched before it is looked into, so that nothing can change unseen between
// the look and the watch.
type survey struct {
	folders map[string]*folder // by path, with no link in it
	inodes  map[inode]*folder
	watch   func(s *survey, path string, is inode) error
	errs    []error
}

// follow goes from / to path, which is absolute, as the kernel does: through every folder and link, as far as there is something.
func (s *survey) follow(path string) {
	dir, rest, links := "/", steps(path), 0
	for {
		here := s.enter(dir)
		if here == nil {
			return
		}
		if len(rest) == 0 {
			here.all = true
			return
		}
		next := rest[0]
		rest = rest[1:]
		if next == ".." { // of a link's target; dir has no link in it, so this is the kernel's parent too
			dir = filepath.Dir(dir)
			continue
		}
		here.names[next] = true
		info, err := os.Lstat(filepath.Join(dir, next))
		switch {
		case gone(err):
			return
		case err != nil:
			s.errs = append(s.errs, err)
			return
		case info.IsDir():
			dir = filepath.Join(dir, next)
		case info.Mode().Type() == fs.ModeSymlink && links < mostLinks:
			links++
			target, err := os.Readlink(filepath.Join(dir, next))
			if err != nil {
				return // it is gone again, which its folder tells
			}
			if filepath.IsAbs(target) {
				dir = "/"
			}
			rest = append(steps(target), rest...)
		default:
			return
		}
	}
}

// enter watches a folder; nil when it is not there any more, which the folder above tells: it was looked up there a moment ago.
func (s *survey) enter(dir string) *folder {
	if known := s.folders[dir]; known != nil {
		return known
	}
	var info unix.Stat_t
	if err := unix.Lstat(dir, &info); err != nil || info.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	is := inode{info.Dev, info.Ino}
	here := s.inodes[is]
	if here == nil {
		here = &folder{inode: is, at: dir, names: map[string]bool{}}
		if err := s.watch(s, dir, is); gone(err) {
			return nil
		} else if err != nil {
			here.at = "" // and on it goes: what lies below may still be watched
			s.errs = append(s.errs, limit(dir, err))
		}
	}
	s.folders[dir], s.inodes[is] = here, here
	return here
}

// beyond says whether s has something to see that before did not have: what changed there until now went unseen.
func (s *survey) beyond(before map[string]*folder) bool {
	for path, now := range s.folders {
		old := before[path]
		if old == nil || old.inode != now.inode || old.at == "" && now.at != "" || now.all && !old.all {
			return true
		}
		for name := range now.names {
			if !old.names[name] && !old.all {
				return true
			}
		}
	}
	return false
}

// steps are the names in a path, which is not cleaned: behind a link, .. is another folder than the one before it.
func steps(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(name string) bool { return name == "" || name == "." })
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}
