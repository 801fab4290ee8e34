package machine

import (
	"os"
	"path/filepath"
	"sort"
)

// first is the machine's first program: it puts right what nspawn shows and systemd looks at once.
const first = `#!/bin/sh
# nspawn mounts the controllers of cgroup v1 read-only
for c in cpu cpuacct cpuset memory blkio pids devices freezer; do
  [ -n "$CONTAINERS" ] && [ -d /sys/fs/cgroup/$c ] && mount -o remount,rw,bind /sys/fs/cgroup/$c
done
# a kubelet insists on these values; /proc/sys belongs to the host, so it is shown what it wants to read
[ -n "$CONTAINERS" ] && for kv in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1; do
  f=/test-sysctl/$(echo "${kv%=*}" | tr / .); mkdir -p /test-sysctl; echo "${kv#*=}" >"$f"; mount --bind "$f" "/proc/sys/${kv%=*}"
done
# pod networks are this namespace's own
[ -n "$CONTAINERS" ] && mount --bind /proc/sys/net /proc/sys/net && mount -o remount,rw,bind /proc/sys/net
unset CONTAINERS
exec /lib/systemd/systemd "$@"
`

const firstFile = "/test-init"

// install makes of the shared root file system a machine with a name.
func (m *Machine) install() error {
	for path, content := range map[string]string{
		firstFile: first, "/etc/resolv.conf": "", "/etc/hostname": m.Name + "\n", "/etc/machine-id": "", "/etc/fstab": "", "/etc/cloud/cloud-init.disabled": "",
		"/etc/hosts": "127.0.0.1 localhost\n" + m.IP.String() + " " + m.Name + "\n",
	} {
		path = filepath.Join(m.Root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(m.Root, firstFile), 0o755)
}

// arguments are those of systemd-nspawn. It is not registered: outside there is no system bus to do it at.
func (m *Machine) arguments() []string {
	args := []string{
		"--quiet", "--kill-signal=SIGRTMIN+3", "--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
		"--network-namespace-path=/run/netns/" + m.Name, "--machine=" + m.Name, "--hostname=" + m.Name, "--directory=" + m.Root, "--console=pipe",
	}
	var paths []string
	for path := range m.options.Binds {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	for _, path := range paths {
		args = append(args, "--bind-ro="+m.options.Binds[path]+":"+path)
	}
	if m.options.Containers {
		args = append(args, "--setenv=CONTAINERS=1", "--capability=all", "--system-call-filter=@mount", "--system-call-filter=@keyring",
			"--system-call-filter=bpf", "--system-call-filter=perf_event_open", "--bind=/dev/kmsg",
			"--tmpfs=/var/lib/containerd") // not on an overlay
	}
	return append(args, firstFile)
}

func (m *Machine) environment() []string {
	if m.options.CgroupV2 {
		return []string{"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"}
	}
	return []string{"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=0"}
}

// Path is the path of the machine's file, seen from the tests.
func (m *Machine) Path(path string) string { return filepath.Join(m.Root, path) }

// Write writes a file of the machine, with the folders above it, all of them root's.
func (m *Machine) Write(path, content string, mode os.FileMode) {
	m.t.Helper()
	WriteTo(m.t, m.Root, path, content, mode)
}

// Read reads a file of the machine.
func (m *Machine) Read(path string) string {
	m.t.Helper()
	content, err := os.ReadFile(m.Path(path))
	must(m.t, err)
	return string(content)
}

// Exists says whether the machine has a file, without following a link.
func (m *Machine) Exists(path string) bool {
	_, err := os.Lstat(m.Path(path))
	return err == nil
}

// fatal is what WriteTo needs of a test.
type fatal interface {
	Helper()
	Fatal(...any)
}

// WriteTo writes a file below the root of a machine that is being prepared. It is renamed into place: whoever looks sees the whole.
func WriteTo(t fatal, root, path, content string, mode os.FileMode) {
	t.Helper()
	path = filepath.Join(root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path+".new", mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
