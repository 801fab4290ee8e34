package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// files are those that the agent has no business with.
func files() []attempt {
	var all []attempt
	for _, folder := range []string{
		"/etc", "/etc/systemd/system", "/usr/bin", "/usr/local/bin", "/boot", "/opt", "/srv", "/root", "/home", "/var", "/var/lib", "/var/log", "/var/spool",
		"/run", "/run/systemd/system", "/dev/shm", "/var/lib/kubelet/pods",
	} {
		all = append(all, attempt{"write below " + folder, write(folder + "/probe")})
	}
	for _, path := range []string{"/root", "/var/lib/kubelet/pods", "/run/containerd", "/dev/kmsg", "/tmp/of-another"} {
		all = append(all, attempt{"read " + path, read(path)})
	}
	return append(all,
		attempt{"change its own program", func() error { return os.Chmod("/usr/bin/bootstrap-agent", 0o755) }},
		attempt{"write a kernel setting", func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }},
		attempt{"make a cgroup", func() error {
			defer os.Remove(cgroup() + "/probe")
			return os.Mkdir(cgroup()+"/probe", 0o755)
		}},
		attempt{"mount", func() error { return unix.Mount("none", "/mnt", "no-such-type", 0, "") }},
		attempt{"unmount", func() error { return unix.Unmount("/etc/kubernetes/no-mount", 0) }},
		attempt{"change the root", func() error { return unix.Chroot("/") }},
		attempt{"make a device node", func() error {
			defer os.Remove("/etc/kubernetes/probe-device")
			return unix.Mknod("/etc/kubernetes/probe-device", unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0)))
		}},
		attempt{"give a file to another user", func() error { return ownFile(func(path string) error { return unix.Chown(path, 1000, 1000) }) }},
		attempt{"make a program set-user-ID", func() error { return ownFile(func(path string) error { return unix.Chmod(path, 0o4755) }) }},
		attempt{"open a file by its number on the disk", func() error {
			handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/run", 0)
			if err != nil {
				return fail("its number: %v", err)
			}
			fd, err := unix.Open("/run", unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			_, err = unix.OpenByHandleAt(fd, handle, unix.O_RDONLY)
			return err
		}},
	)
}

func ownFile(change func(path string) error) error {
	const path = "/etc/kubernetes/probe-file"
	defer os.Remove(path)
	if err := os.WriteFile(path, nil, 0o700); err != nil {
		return fail("make it: %v", err)
	}
	return change(path)
}

// cgroup is a folder of a cgroup hierarchy.
func cgroup() string {
	if _, err := os.Stat("/sys/fs/cgroup/systemd"); err == nil {
		return "/sys/fs/cgroup/systemd"
	}
	return "/sys/fs/cgroup"
}

// programs are the ways to run one.
func programs() []attempt {
	itself, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		panic(err)
	}
	copied := func(path string) func() error {
		return func() error {
			defer os.Remove(path)
			if err := os.WriteFile(path, itself, 0o700); err != nil {
				return fail("copy: %v", err)
			}
			return run(path, "true")
		}
	}
	return []attempt{
		{"run /bin/true", func() error { return run("/bin/true") }},
		{"run a program by the loader", func() error { return run(loader(), "/bin/true") }},
		{"run a program of its own below /var/lib/kubelet", copied("/var/lib/kubelet/probe-program")},
		{"run a program of its own in /tmp", copied("/tmp/probe-program")},
		{"run a program out of memory", func() error {
			fd, err := unix.MemfdCreate("probe", 0)
			if err != nil {
				return err
			}
			if _, err := unix.Write(fd, itself); err != nil {
				return err
			}
			return run(fmt.Sprintf("/proc/self/fd/%d", fd), "true")
		}},
		{"map memory that can be written and executed", func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		}},
		{"map a library to execute it", func() error {
			f, err := os.Open("/bin/true")
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
			return err
		}},
	}
}

// loader is the program that starts all those that are not static.
func loader() string {
	found, err := filepath.Glob("/lib*/ld-linux*.so.*")
	if err != nil || len(found) == 0 {
		panic(fmt.Sprintf("no loader: %v", err))
	}
	return found[0]
}

func run(path string, args ...string) error {
	out, err := exec.Command(path, args...).CombinedOutput()
	if exit, ended := err.(*exec.ExitError); ended { //nolint:errorlint // as os/exec returns it
		return fail("%v: %s", exit, bytes.TrimSpace(out))
	}
	return err
}

// processes are the ways to look into another process of root's.
func processes() []attempt {
	proc := "/proc/" + target()
	pid, err := strconv.Atoi(target())
	if err != nil {
		panic(err)
	}
	link := func(name string) func() error { return func() error { _, err := os.Readlink(proc + name); return err } }
	return []attempt{
		{"read another process's environ", func() error { _, err := os.ReadFile(proc + "/environ"); return err }},
		{"limit: read the environ of a process without capabilities", func() error { _, err := os.ReadFile("/proc/" + said("probe-powerless") + "/environ"); return err }},
		{"read another process's exe", link("/exe")},
		{"read another process's cwd", link("/cwd")},
		{"read another process's fd", link("/fd/0")},
		{"open another process's fd", func() error { return opened(proc + "/fd/0") }},
		{"open another process's mem", func() error { return opened(proc + "/mem") }},
		{"read another process's maps", func() error { return opened(proc + "/maps") }},
		{"see the files as PID 1 does", func() error { _, err := os.ReadDir("/proc/1/root/etc"); return err }},
		{"see the files as another process does", func() error { _, err := os.ReadDir(proc + "/root/etc"); return err }},
		{"read another process's memory", func() error {
			buffer := make([]byte, 1)
			local := []unix.Iovec{{Base: &buffer[0], Len: 1}}
			_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 1, Len: 1}}, 0)
			if err == unix.EFAULT { // it was let read, and nothing is there
				return nil
			}
			return err
		}},
		{"trace another process", func() error { return one(unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0)) }},
		{"take another process's file", func() error {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return err
			}
			_, err = unix.PidfdGetfd(fd, 0, 0)
			return err
		}},
		{"enter another process's mounts", func() error {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return err
			}
			if err := unix.Unshare(unix.CLONE_FS); err != nil {
				return err
			}
			return unix.Setns(fd, unix.CLONE_NEWNS)
		}},
	}
}

func opened(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// sockets are those that reach further than an API server.
func sockets() []attempt {
	open := func(domain, kind, protocol int) func() error {
		return func() error {
			fd, err := unix.Socket(domain, kind, protocol)
			if err != nil {
				return err
			}
			return unix.Close(fd)
		}
	}
	dial := func(path string) func() error {
		return func() error {
			c, err := net.Dial("unix", path)
			if err != nil {
				return err
			}
			return c.Close()
		}
	}
	return []attempt{
		{"open a raw socket", open(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{"open a packet socket", open(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{"listen on a port below 1024", func() error {
			l, err := net.Listen("tcp", "127.0.0.1:1023")
			if err != nil {
				return err
			}
			return l.Close()
		}},
		{"mark packets for a route", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				return err
			}
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, 1)
		}},
		{"talk to the system bus", dial("/run/dbus/system_bus_socket")},
		{"talk to systemd", dial("/run/systemd/private")},
		{"talk to containerd", dial("/run/containerd/containerd.sock")},
	}
}

// kernel is what changes the machine. Arguments are such that nothing happens where it is allowed, but another error.
func kernel() []attempt {
	none := unsafe.Pointer(nil)
	return []attempt{
		{"load a module", func() error { return one(unix.Syscall(unix.SYS_FINIT_MODULE, ^uintptr(0), uintptr(none), 0)) }},
		{"set the clock", func() error { return unix.ClockSettime(unix.CLOCK_REALTIME, &unix.Timespec{Nsec: -1}) }},
		{"tune the clock", func() error { _, err := unix.Adjtimex(&unix.Timex{}); return err }},
		{"reboot", func() error { return one(unix.Syscall(unix.SYS_REBOOT, 0, 0, 0)) }},
		{"swap", func() error { return one(unix.Syscall(unix.SYS_SWAPOFF, uintptr(none), 0, 0)) }},
		{"set the host name", func() error {
			name, err := os.Hostname()
			if err != nil {
				return err
			}
			return unix.Sethostname([]byte(name))
		}},
		{"become another user", func() error { return one(unix.RawSyscall(unix.SYS_SETRESUID, 1000, 1000, 1000)) }},
		{"make a user namespace", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{"make a namespace", func() error { return unix.Unshare(unix.CLONE_NEWUTS) }},
		{"run at real-time priority", func() error {
			param := struct{ priority int32 }{0} // too low
			return one(unix.Syscall(unix.SYS_SCHED_SETSCHEDULER, 0, 1, uintptr(unsafe.Pointer(&param))))
		}},
		{"come before others", func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -1) }},
		{"read the kernel's log", func() error { _, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil); return err }},
		{"load a BPF program", func() error { return one(unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(none), 0)) }},
		{"use io_uring", func() error { return one(unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(none), 0)) }},
		{"change the personality", func() error { return one(unix.RawSyscall(unix.SYS_PERSONALITY, 0x0008, 0, 0)) }},
	}
}
