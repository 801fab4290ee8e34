package packages

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/chroot"
)

// image is the root file system of a node, laid over Debian's, which stays as it is. What is done to it lasts for the test.
type image struct {
	t                    *testing.T
	debian, layer, calls string
	// systemd has the scripts believe that it runs: /run/systemd/system is there, and systemctl only notes what it is told to do
	// with processes. What it does to files it does.
	systemd bool
}

// recorder is systemctl in the image. That of Debian does what concerns files.
const recorder = `#!/bin/sh
for word; do
	case "$word" in
	start | stop | restart | try-restart | reload-or-restart | daemon-reload | kill) echo "$*" >>/var/tmp/systemctl; exit 0 ;;
	-*) ;;
	*) break ;;
	esac
done
export SYSTEMD_OFFLINE=1
exec /usr/bin/systemctl.debian "$@"
`

func newImage(t *testing.T) *image {
	t.Helper()
	debian := chroot.Debian(t, "usr/bin/rpm")
	i := &image{t: t, debian: debian, layer: t.TempDir()}
	i.calls = i.path("/var/tmp/systemctl")
	program, err := os.ReadFile(filepath.Join(debian, "usr/bin/systemctl"))
	must(t, err)
	i.write("/usr/bin/systemctl.debian", string(program), 0o755)
	i.write("/usr/bin/systemctl", recorder, 0o755)
	must(t, os.MkdirAll(i.path("/var/tmp"), 0o777))
	return i
}

// path is where a file is that the image has in place of Debian's, or beside them.
func (i *image) path(path string) string { return filepath.Join(i.layer, path) }

func (i *image) write(path, content string, mode os.FileMode) {
	i.t.Helper()
	must(i.t, os.MkdirAll(filepath.Dir(i.path(path)), 0o755))
	must(i.t, os.WriteFile(i.path(path), []byte(content), mode))
	must(i.t, os.Chmod(i.path(path), mode))
}

// enter mounts the image ($1 over $2, at $3), has systemd run ($4), and becomes the command that follows. The mounts go with it.
const enter = `
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1,workdir=$3.work" "$3"
mount -t proc proc "$3/proc"
mount -t tmpfs tmpfs "$3/run"
mount -t tmpfs tmpfs "$3/mnt"
mkdir "$3/mnt/packages" && mount --bind "$5" "$3/mnt/packages"
if [ "$4" = true ]; then mkdir -p "$3/run/systemd/system"; fi
root=$3; shift 5
exec chroot "$root" "$@"`

// run runs a command in the image, which sees the packages in /mnt/packages, and returns all that it says and its exit code.
func (i *image) run(args ...string) (string, int) {
	i.t.Helper()
	root := i.t.TempDir()
	must(i.t, os.Mkdir(root+".work", 0o755))
	systemd := "false"
	if i.systemd {
		systemd = "true"
	}
	return chroot.Run(i.t, []string{"DEBIAN_FRONTEND=noninteractive"}, enter, append([]string{i.layer, i.debian, root, systemd, packages(i.t)}, args...)...)
}

// must runs a command that has to succeed.
func (i *image) must(args ...string) string {
	i.t.Helper()
	said, code := i.run(args...)
	if code != 0 {
		i.t.Fatalf("%q ended with %d:\n%s", args, code, said)
	}
	return said
}

// told is what systemctl was told to do with processes since the last time.
func (i *image) told() []string {
	i.t.Helper()
	text, err := os.ReadFile(i.calls)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		i.t.Fatal(err)
	}
	must(i.t, os.RemoveAll(i.calls))
	return lines(strings.TrimSpace(string(text)))
}

// enabled is what systemctl says of the unit: enabled, disabled, masked, not-found.
func (i *image) enabled() string {
	i.t.Helper()
	said, _ := i.run("systemctl", "is-enabled", "bootstrap-agent.service")
	all := lines(said)
	return all[len(all)-1]
}
