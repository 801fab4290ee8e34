package machine

import (
	"bytes"
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// Options say how a machine differs from the ordinary one: a fresh Debian with nothing of ours.
type Options struct {
	// Name is its host name; a name of its own when empty.
	Name string
	// Prepare is called with the path of its root before it boots for the first time.
	Prepare func(root string)
	// CgroupV2 shows it a unified hierarchy without controllers, instead of what the host has.
	CgroupV2 bool
	// Containers lets it run a kubelet and containers: more rights, the sysctls that a kubelet wants to read, folders for them.
	Containers bool
	// Binds are further folders of the host that it sees, read-only: path there → path of the host.
	Binds map[string]string
}

// Machine is a booted machine. Its methods fail the test when they cannot do what they are told to.
type Machine struct {
	// Name is its host name, and the name of its network namespace.
	Name string
	// Root is its root file system, seen from the tests. What is in /run, /tmp and /var/lib/containerd is not seen here.
	Root string
	IP   net.IP

	t       *testing.T
	options Options
	folder  string
	nspawn  *exec.Cmd
	ended   chan struct{}
	console bytes.Buffer
	leader  int
}

// bootLimit is thirty times what a boot takes on two idle cores.
const bootLimit = time.Minute

// Boot starts a machine and returns when systemd has started what is enabled ("running" or "degraded"), or is at it for ten seconds;
// [Machine.Booted] tells. It is gone when the test ends.
func Boot(t *testing.T, options Options) *Machine {
	t.Helper()
	m := New(t, options)
	m.Start()
	m.AwaitBoot(bootLimit)
	return m
}

// New makes a machine that is switched off.
func New(t *testing.T, options Options) *Machine {
	t.Helper()
	ip, err := nextIP()
	must(t, err)
	if options.Name == "" {
		options.Name = fmt.Sprintf("node-%d", ip.To4()[3])
	}
	m := &Machine{Name: options.Name, IP: ip, t: t, options: options}
	m.folder = t.TempDir()
	t.Cleanup(m.remove) // before the folder is removed
	must(t, m.disk())
	must(t, m.plug())
	must(t, m.install())
	if options.Prepare != nil {
		options.Prepare(m.Root)
	}
	return m
}

// disk lays a file system in memory over the root file system that all machines share.
func (m *Machine) disk() error {
	lower, err := nodeRoot()
	if err != nil {
		return err
	}
	m.Root = filepath.Join(m.folder, "root")
	layer := filepath.Join(m.folder, "layer")
	for _, folder := range []string{m.Root, layer} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
	}
	if err := syscall.Mount("tmpfs", layer, "tmpfs", 0, "mode=755,size=2g"); err != nil {
		return fmt.Errorf("mount a disk in memory: %w", err)
	}
	for _, folder := range []string{"upper", "work"} {
		if err := os.Mkdir(filepath.Join(layer, folder), 0o755); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, layer, layer)
	if err := syscall.Mount("overlay", m.Root, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount an overlay: %w", err)
	}
	return nil
}

// rootVariable names another root file system than bin/node-root, from the top of the repository.
const rootVariable = "NODE_ROOT"

// nodeRoot is the root file system that "make node-root" makes, absolute.
func nodeRoot() (string, error) {
	folder, err := program.Repository()
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, cmp.Or(os.Getenv(rootVariable), "bin/node-root"))
	if !exists(filepath.Join(path, "etc", "os-release")) {
		return "", fmt.Errorf("no root file system for machines in %s: run make node-root", path)
	}
	return path, nil
}

// running are the machines that run at this moment. All share the kernel's limit of inotify instances for one user, 128 by default, of
// which one with a kubelet takes about twenty.
var running = make(chan struct{}, 4)

// Start switches it on and returns when systemd is PID 1 in it. At most four machines run at a time: it waits for one to end.
func (m *Machine) Start() {
	m.t.Helper()
	running <- struct{}{}
	group := filepath.Join(root, m.Name)
	must(m.t, makeGroup(group))
	m.console.Reset()
	m.nspawn = exec.Command("/bin/sh", append([]string{"-c", enter(groups(group)) + `exec "$0" "$@"`, "systemd-nspawn"}, m.arguments()...)...)
	m.nspawn.Env = append(os.Environ(), m.environment()...)
	m.nspawn.Stdout, m.nspawn.Stderr = &m.console, &m.console
	if err := m.nspawn.Start(); err != nil {
		<-running
		m.t.Fatal(err)
	}
	m.ended = make(chan struct{})
	go func() {
		defer close(m.ended)
		_ = m.nspawn.Wait() // its state tells
		<-running
	}()
	begin := time.Now()
	for m.leader = 0; m.leader == 0; time.Sleep(10 * time.Millisecond) {
		if m.leader = m.findLeader(); time.Since(begin) > bootLimit || m.off() {
			m.t.Fatalf("%s does not start:\n%s", m.Name, m.console.String())
		}
	}
}

// enter is the shell's way into the machine's cgroups.
func enter(folders []string) string {
	var script strings.Builder
	for _, folder := range folders {
		fmt.Fprintf(&script, "echo $$ >%s/cgroup.procs || exit 1; ", folder)
	}
	return script.String()
}

// findLeader is the PID of the machine's systemd as the tests see it, 0 before there is one.
func (m *Machine) findLeader() int {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", m.nspawn.Process.Pid, m.nspawn.Process.Pid))
	for child := range strings.FieldsSeq(string(children)) {
		name, _ := os.ReadFile("/proc/" + child + "/comm")
		if strings.TrimSpace(string(name)) == "systemd" {
			var pid int
			_, _ = fmt.Sscan(child, &pid)
			return pid
		}
	}
	return 0
}

func (m *Machine) off() bool {
	if m.ended == nil {
		return true
	}
	select {
	case <-m.ended:
		return true
	default:
		return false
	}
}

// Halt shuts it down as a person does, and waits until it is off.
func (m *Machine) Halt() { m.t.Helper(); m.end(syscall.SIGTERM) }

// CutPower ends it at once.
func (m *Machine) CutPower() { m.t.Helper(); m.end(syscall.SIGKILL) }

// Reboot shuts it down and starts it again on the same disk.
func (m *Machine) Reboot() {
	m.t.Helper()
	m.Halt()
	m.Start()
	m.AwaitBoot(bootLimit)
}

func (m *Machine) end(signal syscall.Signal) {
	m.t.Helper()
	if m.off() {
		return
	}
	if signal == syscall.SIGKILL && m.leader > 0 {
		_ = syscall.Kill(m.leader, signal) // with PID 1 the kernel ends all that is in there
	}
	_ = m.nspawn.Process.Signal(signal)
	select {
	case <-m.ended:
	case <-time.After(30 * time.Second):
		_ = syscall.Kill(m.leader, syscall.SIGKILL)
		_ = m.nspawn.Process.Kill()
		<-m.ended
		m.t.Errorf("%s did not shut down within 30 s:\n%s", m.Name, m.console.String())
	}
	removeGroups(filepath.Join(root, m.Name))
}

// remove takes the machine away with all that it left.
func (m *Machine) remove() {
	if m.t.Failed() && !m.off() {
		m.t.Logf("%s, the end of its journal:\n%s", m.Name, m.try("journalctl", "--no-pager", "--lines=60", "--output=short-monotonic",
			"_TRANSPORT=journal", "+", "_TRANSPORT=stdout", "_SYSTEMD_UNIT=bootstrap-agent.service"))
	}
	m.end(syscall.SIGKILL)
	for _, mount := range []string{"root", "layer"} {
		_ = syscall.Unmount(filepath.Join(m.folder, mount), syscall.MNT_DETACH)
	}
	_, _ = execute("ip", "netns", "del", m.Name)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
