package kubeconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Narrowed is a file with a secret that others could read. Err says why they still can.
type Narrowed struct {
	File string
	Mode fs.FileMode
	Err  error
}

// ErrNotOurs says that a file was put where it is by somebody who may want it as it is.
var ErrNotOurs = errors.New("not ours to change; as root: chmod 0600")

// Narrow takes from the files that hold the secret the permissions of everybody but their owner: from the kubeconfig, and from a
// tokenFile in its folder. Others are only told of. Files that nobody else could read are not among the answers.
func (b *Bootstrap) Narrow(disk durable.Disk) []Narrowed {
	var all []Narrowed
	if b.Mode&0o077 != 0 {
		all = append(all, Narrowed{b.Path, b.Mode, Narrow(disk, b.Path)})
	}
	if b.SecretMode&0o077 != 0 {
		err := ErrNotOurs
		if b.Source == TokenFile && inFolder(filepath.Dir(b.Path), b.SecretFile) {
			err = Narrow(disk, b.SecretFile)
		}
		all = append(all, Narrowed{b.SecretFile, b.SecretMode, err})
	}
	return all
}

// Narrow takes from the file at path, opened and judged once, the permissions of everybody but its owner. A link is not
// followed, for what it leads to may be somebody else's; nor is a file touched that is only mounted there.
func Narrow(disk durable.Disk, path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() || durable.LinksOf(info) != 1 {
		return fmt.Errorf("%s is not a regular file with one name", path)
	}
	if owner := durable.OwnerOf(info); owner != 0 && owner != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d", path, owner)
	}
	if mounted(f) {
		return fmt.Errorf("%s is mounted from elsewhere: %w", path, ErrNotOurs)
	}
	return disk.Narrow(f, 0o600)
}

// mounted says whether the open file is itself the root of a mount, as a single file in a container is. Kernels before 5.8 do
// not tell.
func mounted(f *os.File) bool {
	var stat unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, 0, &stat)
	return err == nil && stat.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}
