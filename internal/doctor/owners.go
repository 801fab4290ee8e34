package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
)

// fileChecks are about the files and what they lie on.
func fileChecks() []Check {
	return []Check{
		{"owners-and-modes", "Whether nobody but root can change the files and the folders above them, or read a key.", owners},
		{"storage", "Whether the files lie on a disk that can be written and that a reboot does not empty.", storage},
		{"space", "Whether there is room for new certificates: bytes and inodes.", space},
	}
}

func owners(_ context.Context, p *Patient) []Result {
	dir := certdir.Dir{Path: p.Config.CertDir}
	found := p.folders(dir)
	for _, path := range dir.Obstacles() {
		found = append(found, broken("%s is where a file of the agent's belongs, and is none", path).with("move it away, "+asRoot, "mv "+quoted(path)+" "+quoted(path+".moved")))
	}
	secrets := slices.Concat(dir.Pairs(certdir.Client), dir.Pairs(certdir.Serving), dir.Requests(), keysOf(dir), []string{p.Config.Kubeconfig})
	for _, path := range secrets {
		found = append(found, judge(path, 0o077, "others may read or change it", "chmod 0600 ")...)
	}
	for _, path := range dir.CAs() {
		found = append(found, judge(path, 0o022, "others may change it", "chmod go-w ")...)
	}
	return orWell(found, "%s, %s and the folders above them are only for their owner to change", dir.Path, p.Config.Kubeconfig)
}

// folders are the three that files are made in and removed from.
func (p *Patient) folders(dir certdir.Dir) []Result {
	var found []Result
	seen := map[string]bool{}
	for _, folder := range []string{dir.Path, filepath.Dir(p.Config.Kubeconfig), filepath.Dir(p.Config.BootstrapKubeconfig), folderOf(p.Config.DiscoveryTokenFile)} {
		if folder == "" || seen[folder] {
			continue
		}
		seen[folder] = true
		err := certdir.Dir{Path: folder}.Check()
		switch errno := syscall.Errno(0); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case os.Geteuid() != 0 && errors.As(err, &errno):
			found = append(found, p.unread(problem(err), ""))
		case errors.Is(err, syscall.EROFS): // storage says so, with what to do
		default:
			found = append(found, fromError(Broken, err, "make it a folder that belongs to root, with the mode 0755"))
		}
	}
	return found
}

// keysOf are the files under the kubelet's own name for a key, if they are files.
func keysOf(dir certdir.Dir) []string {
	var files []string
	for _, name := range []string{"kubelet.key", "kubelet.key.orig"} {
		path := filepath.Join(dir.Path, name)
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
	}
	return files
}

// judge says what is wrong with the owner and the mode of a file, or of what it leads to.
func judge(path string, forbidden fs.FileMode, means, mend string) []Result {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() { // what cannot be seen, or is none, is said elsewhere
		return nil
	}
	if link, err := os.Lstat(path); err == nil && link.Mode()&os.ModeSymlink != 0 && filepath.Dir(path) == filepath.Dir(endOf(path)) {
		return nil // what it leads to is looked at by its own name
	}
	var found []Result
	if stat, is := info.Sys().(*syscall.Stat_t); is && stat.Uid != 0 && int(stat.Uid) != os.Geteuid() {
		found = append(found, broken("%s belongs to user %d", path, stat.Uid).with(asRoot, "chown root:root "+quoted(path)))
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		found = append(found, attention("%s has the mode %04o: %s", path, mode, means).with(asRoot, mend+quoted(path)))
	}
	return found
}

func endOf(path string) string {
	end, err := filepath.EvalSymlinks(path)
	if err != nil {
		return path
	}
	return end
}

// nearest is path, or the first folder above it that is there.
func nearest(path string) (string, error) {
	for {
		_, err := os.Stat(path)
		switch {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist) || filepath.Dir(path) == path:
			return "", fmt.Errorf("look at %s: %w", path, err)
		}
		path = filepath.Dir(path)
	}
}
