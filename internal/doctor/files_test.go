package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
)

// chmod gives a file another mode, wherever it lies on the node.
func chmod(mode os.FileMode, path func(*sick) string) func(*sick) {
	return func(n *sick) { must(n.t, os.Chmod(path(n), mode)) }
}

func fileIllnesses() []illness {
	clientPair := func(n *sick) string {
		pair, err := n.dir().Read(certdir.Client)
		must(n.t, err)
		return pair.File
	}
	kubeconfig := func(n *sick) string { return n.cfg.Kubeconfig }
	etc := func(n *sick) string { return n.path("/etc/kubernetes") }
	folder := func(n *sick) string { return n.cfg.CertDir }
	return []illness{
		{name: "others may read a key", make: chmod(0o640, clientPair), check: "owners-and-modes", verdict: Attention, says: []string{"kubelet-client-", "mode 0640", "as root", "chmod 0600"}, mends: true},
		{name: "others may read the kubeconfig", make: chmod(0o644, kubeconfig), check: "owners-and-modes", verdict: Attention, says: []string{"kubelet.kubeconfig", "mode 0644", "chmod 0600"}, mends: true},
		{name: "others may change a CA", make: chmod(0o666, func(n *sick) string { return n.dir().ClientCA() }), check: "owners-and-modes", verdict: Attention, says: []string{"kubelet-client-ca.crt", "mode 0666", "chmod go-w"}, mends: true},
		{name: "others may change the folder above", make: chmod(0o777, etc), check: "owners-and-modes", verdict: Broken, says: []string{"writable by others", "chmod go-w"}, mends: true},
		{name: "others may change the cert-dir", make: chmod(0o770, folder), check: "owners-and-modes", verdict: Broken, says: []string{"writable by others", "chmod go-w"}, mends: true},
		{name: "a key of another user", make: func(n *sick) { must(n.t, os.Chown(clientPair(n), 12345, 12345)) }, check: "owners-and-modes", verdict: Broken, says: []string{"belongs to user 12345", "chown root:root"}, mends: true},
		{name: "a cert-dir of another user", make: func(n *sick) { must(n.t, os.Chown(n.cfg.CertDir, 12345, 12345)) }, check: "owners-and-modes", verdict: Broken, says: []string{"belongs to user 12345", "chown -h root"}, mends: true},
		{name: "a folder where a file belongs", make: func(n *sick) { must(n.t, os.Mkdir(n.dir().PendingFile(certdir.Client), 0o755)) }, check: "owners-and-modes", verdict: Broken, says: []string{"pending.pem", "move it away", "mv "}, mends: true},
		{name: "a fifo where a file belongs", make: func(n *sick) { must(n.t, syscall.Mkfifo(n.dir().PendingFile(certdir.Serving), 0o600)) }, check: "owners-and-modes", verdict: Broken, says: []string{"move it away"}, mends: true},
		{name: "a name that a shell would take apart", make: func(n *sick) {
			n.cfg.Kubeconfig = n.path("/etc/kubernetes/it's; the node's")
			n.write(n.cfg.Kubeconfig, "", 0o644)
		}, check: "owners-and-modes", verdict: Attention, says: []string{`'\''`}, mends: true},

		{name: "in memory", make: func(n *sick) { n.cfg.CertDir = inMemory(n) }, check: "storage", verdict: Attention, says: []string{"tmpfs", "gone after a reboot", "certDir"}},
		{name: "immutable", make: func(n *sick) { n.lock(n.cfg.Kubeconfig) }, check: "storage", verdict: Broken, says: []string{"immutable", "chattr -ia"}, mends: true},

		{name: "a first boot without a clock", make: func(n *sick) {
			n.noIdentity()
			n.bootstrap(apiServer)
			n.now = time.Unix(0, 0)
		}, check: "time", verdict: Broken, says: []string{"1970-01-01", "the cluster's CA", "timedatectl set-ntp true"}},
		{name: "behind", make: func(n *sick) { n.now = n.now.Add(-90 * day) }, check: "time", verdict: Broken, says: []string{"it is behind", "timedatectl set-ntp true"}},
	}
}

// inMemory is a folder on a tmpfs.
func inMemory(n *sick) string {
	folder, err := os.MkdirTemp("/dev/shm", "doctor-")
	must(n.t, err)
	n.t.Cleanup(func() { os.RemoveAll(folder) })
	return filepath.Join(folder, "pki")
}

// lock makes a file immutable until the test ends.
func (n *sick) lock(path string) {
	n.t.Helper()
	const immutable = 0x10 // FS_IMMUTABLE_FL of linux/fs.h
	set := func(flags int) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}
	must(n.t, set(immutable))
	n.t.Cleanup(func() { _ = set(0) })
}

func TestWhatAFolderLiesOn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		on      volume
		verdict Verdict
		says    string
	}{
		"a disk":                               {volume{}, OK, "lasts"},
		"a disk that is read-only":             {volume{readOnly: true}, Broken, "read-only"},
		"memory":                               {volume{kind: "ramfs"}, Attention, "gone after a reboot"},
		"a network":                            {volume{network: true}, Attention, "network"},
		"an overlay with its layer on a disk":  {volume{overlay: true, upper: "/upper"}, OK, "lasts"},
		"an overlay with its layer elsewhere":  {volume{overlay: true}, Unknown, "cannot be seen from here"},
		"an overlay with its layer in memory":  {volume{overlay: true, upper: "/upper", kind: "tmpfs"}, Attention, "gone after a reboot"},
		"a read-only one that is in memory":    {volume{readOnly: true, kind: "tmpfs"}, Broken, "read-only"},
		"a read-only one that is on a network": {volume{readOnly: true, network: true}, Broken, "read-only"},
	} {
		r := judgeVolume("/pki", "/", c.on)
		if r.Verdict != c.verdict || !strings.Contains(r.Text, c.says) || (r.Remedy == "") != (r.Verdict == OK) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestTheLayerOfAnOverlayIsFoundByTheMountTable(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	upper := filepath.Join(folder, "the upper")
	must(t, os.Mkdir(upper, 0o755))
	table := filepath.Join(folder, "mountinfo")
	must(t, os.WriteFile(table, []byte(strings.Join([]string{
		`22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw`,
		`23 22 0:22 / /over\040there rw - overlay overlay rw,lowerdir=/l,upperdir=` + strings.ReplaceAll(upper, " ", `\040`) + `,workdir=/w`,
		`24 22 0:23 / /overlaid rw - overlay overlay rw,lowerdir=/l,upperdir=/not/here,workdir=/w`,
		`short line`,
	}, "\n")), 0o600))
	for path, want := range map[string]string{"/over there/pki": upper, "/over there": upper, "/overlaid/pki": "", "/over thereabouts": "", "/else": ""} {
		if got := upperOf(path, table); got != want {
			t.Errorf("%s has its layer in %q, expected %q", path, got, want)
		}
	}
}

func TestHowMuchIsFree(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bytes, inodes, all uint64
		verdict            Verdict
	}{
		"plenty":               {1 << 30, 1 << 20, 1 << 21, OK},
		"little":               {1 << 20, 1 << 20, 1 << 21, Attention},
		"nothing":              {4096, 1 << 20, 1 << 21, Broken},
		"few inodes":           {1 << 30, 100, 1 << 21, Attention},
		"no inodes":            {1 << 30, 0, 1 << 21, Broken},
		"inodes not counted":   {1 << 30, 0, 0, OK},
		"more for root":        {0, 1 << 20, 1 << 21, Broken},
		"as few as it can use": {noSpace, noInodes, 1 << 21, Attention},
	} {
		r := judgeSpace("/pki", "/", unix.Statfs_t{Bsize: 1, Bavail: c.bytes, Bfree: 1 << 30, Files: c.all, Ffree: c.inodes})
		if r.Verdict != c.verdict || (r.Remedy == "") != (r.Verdict == OK) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestWhoKeepsTheClock(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		keeps   timekeeping
		verdict Verdict
		says    string
	}{
		"an NTP client":                       {timekeeping{maxError: 20 * time.Millisecond}, OK, "within 20ms"},
		"timesyncd, before the kernel agrees": {timekeeping{unsynchronised: true, marked: true}, OK, "systemd-timesyncd"},
		"nobody":                              {timekeeping{unsynchronised: true}, Attention, "nothing keeps"},
		"the machine around a container":      {timekeeping{unsynchronised: true, contained: true}, Unknown, "container"},
		"nobody may ask":                      {timekeeping{err: syscall.EPERM}, Unknown, "operation not permitted"},
	} {
		r := c.keeps.judge(time.Now())
		if r.Verdict != c.verdict || !strings.Contains(r.Text, c.says) || (r.Remedy == "") != (r.Verdict == OK) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
