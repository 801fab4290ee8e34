package cloudinit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/chroot"
)

// debian is a root file system that is not booted: files over one of Debian, which stays as it is.
type debian struct {
	t           *testing.T
	root, files string
}

// enter lays a file system in memory over Debian's ($1), at $2, puts the files of $3 into it, and becomes the command that follows, with it
// as its root. The mounts are the process's own and go with it.
const enter = `
mount -t tmpfs tmpfs "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
cp -a "$3/." "$2/root"
mount -t proc proc "$2/root/proc"
root=$2/root; shift 3
exec chroot "$root" "$@"`

// write has the root file system hold a file.
func (d debian) write(path, content string, mode os.FileMode) {
	d.t.Helper()
	path = filepath.Join(d.files, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		d.t.Fatal(err)
	}
}

// run runs a command in it and returns all that it says, and its exit code. What it changes is gone afterwards.
func (d debian) run(args ...string) (string, int) {
	d.t.Helper()
	return chroot.Run(d.t, nil, enter, append([]string{d.root, d.t.TempDir(), d.files}, args...)...)
}
