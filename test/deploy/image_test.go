// Package deploy holds what gets installed from deploy/ to what it must be, as the systemd of a real Debian reads it: order without
// a cycle next to every generation of cloud-init, no line that systemd does not know, exposure below the limit.
//
// What the units do to running processes is shown on booted machines: test/e2e/boot.
package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/chroot"
)

// Where the package puts things.
const (
	unitFolder    = "/usr/lib/systemd/system"
	agentUnit     = "bootstrap-agent.service"
	agentUnitPath = unitFolder + "/" + agentUnit
	agentDropIn   = "/etc/systemd/system/" + agentUnit + ".d/"
	kubeletDropIn = "/etc/systemd/system/kubelet.service.d/"
)

// kubeletUnit orders as the unit of kubeadm's packages does.
const kubeletUnit = `[Unit]
Description=kubelet
Wants=network-online.target containerd.service
After=network-online.target containerd.service
[Service]
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
`

// image is the root file system of a machine that is switched off: ours laid over Debian's, which stays as it is.
type image struct {
	t      *testing.T
	debian string
	layer  string
}

// newImage has the agent and the kubelet installed and enabled, with the shipped drop-in.
func newImage(t *testing.T) *image {
	t.Helper()
	i := &image{t: t, debian: chroot.Debian(t, "etc/os-release"), layer: t.TempDir()}
	i.write("/usr/bin/bootstrap-agent", "#!/bin/sh\n")
	must(t, os.Chmod(filepath.Join(i.layer, "/usr/bin/bootstrap-agent"), 0o755))
	i.write(agentUnitPath, shipped(t, "systemd/"+agentUnit))
	i.write(unitFolder+"/kubelet.service.d/20-bootstrap-agent.conf", shipped(t, "systemd/kubelet.service.d/20-bootstrap-agent.conf"))
	i.write(unitFolder+"/kubelet.service", kubeletUnit)
	i.enable(agentUnit, "multi-user.target")
	i.enable("kubelet.service", "multi-user.target")
	return i
}

// shipped is a file of deploy/.
func shipped(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../deploy", name))
	must(t, err)
	return string(content)
}

func (i *image) write(path, content string) {
	i.t.Helper()
	path = filepath.Join(i.layer, path)
	must(i.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(i.t, os.WriteFile(path, []byte(content), 0o644))
}

// hide takes a file of Debian's away: overlayfs knows a whiteout by its device number, 0.
func (i *image) hide(path string) {
	i.t.Helper()
	path = filepath.Join(i.layer, path)
	must(i.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(i.t, unix.Mknod(path, unix.S_IFCHR, 0))
}

// enable is what systemctl enable does with WantedBy=.
func (i *image) enable(unit, target string) {
	i.t.Helper()
	path := filepath.Join(i.layer, "/etc/systemd/system", target+".wants", unit)
	must(i.t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(i.t, os.Symlink(unitFolder+"/"+unit, path))
}

// enter mounts the image ($1 over $2, at $3) and becomes the command that follows, with the image as its root. The mounts are the
// process's own and go with it.
const enter = `
mount -t overlay overlay -o "lowerdir=$1:$2" "$3"
mount -t proc proc "$3/proc"
mount -t tmpfs tmpfs "$3/run"
mount -t tmpfs tmpfs "$3/tmp"
root=$3; shift 3
exec chroot "$root" "$@"`

// run runs a command in the image and returns all that it says, and its exit code.
func (i *image) run(args ...string) (string, int) {
	i.t.Helper()
	root := i.t.TempDir()
	return chroot.Run(i.t, []string{"SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"}, enter, append([]string{i.layer, i.debian, root}, args...)...)
}

// verify has systemd read the units, and work out a boot: whatever it finds to say, of any unit, empty when all is well.
func (i *image) verify(units ...string) string {
	i.t.Helper()
	output, code := i.run(append([]string{"systemd-analyze", "verify", "--man=no"}, units...)...)
	if code != 0 {
		output += fmt.Sprintf("exit code %d", code)
	}
	return strings.TrimSpace(output)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// with has the image hold one file more for a while.
func (i *image) with(path, content string, do func()) {
	i.t.Helper()
	i.write(path, content)
	defer func() { must(i.t, os.Remove(filepath.Join(i.layer, path))) }()
	do()
}
