package node

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Proc is where the kernel tells of processes.
const Proc = "/proc"

// Process is one process, for as long as it lives: its number may be given to another one after that.
type Process struct {
	PID int
	// Started is in ticks since the machine's boot, as the kernel tells it.
	Started string
	// Since is that time by the machine's clock as it goes now, to a second; zero: not known.
	Since time.Time
}

// Kubelets returns the kubelets that run in this machine, or this container, as root or as whoever we are, with what each was told. Only what
// anybody may see of another process is looked at, for the agent's sandbox shows it nothing more: not its environment, not its files. proc
// is [Proc].
func Kubelets(proc string) ([]Kubelet, error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("look for a kubelet: %w", err)
	}
	var found []Kubelet
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		argv := commandLine(proc, pid)
		if !isKubelet(argv) || !trusted(entry) || !among(proc, pid) {
			continue
		}
		k := ParseKubelet(argv, root{})
		k.Process = ProcessOf(proc, pid)
		found = append(found, k)
	}
	slices.SortFunc(found, func(a, b Kubelet) int { return a.Process.PID - b.Process.PID })
	return found, nil
}

// ProcessOf is the process that has a number now; one that is not there has neither Started nor Since. proc is [Proc].
func ProcessOf(proc string, pid int) Process {
	p := Process{PID: pid, Started: started(proc, pid)}
	ticks, err := strconv.ParseInt(p.Started, 10, 64)
	if boot := bootTime(proc); err == nil && !boot.IsZero() {
		p.Since = boot.Add(time.Duration(ticks) * time.Second / ticksPerSecond)
	}
	return p
}

// ticksPerSecond is USER_HZ, which the kernel shows to programs whatever its own is.
const ticksPerSecond = 100

// bootTime is btime of /proc/stat; zero: not known.
func bootTime(proc string) time.Time {
	text, _ := read(os.DirFS(proc), "stat")
	for line := range strings.Lines(string(text)) {
		if seconds, found := strings.CutPrefix(line, "btime "); found {
			if at, err := strconv.ParseInt(strings.TrimSpace(seconds), 10, 64); err == nil {
				return time.Unix(at, 0)
			}
		}
	}
	return time.Time{}
}

// Runs says whether the process runs still.
func (p Process) Runs(proc string) bool {
	return p.Started != "" && started(proc, p.PID) == p.Started
}

// trusted says whether a process is root's, or ours: anybody may call a program kubelet.
func trusted(entry fs.DirEntry) bool {
	info, err := entry.Info()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Geteuid())
}

// commandLine is what a process was started with; nil: it has ended, or is the kernel's.
func commandLine(proc string, pid int) []string {
	text := firstBytes(proc, pid, "cmdline")
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(bytes.TrimSuffix(text, []byte{0})), "\x00")
}

// among says whether a process is in our own namespace of processes, and not in that of a container, whose kubelet is another node's.
func among(proc string, pid int) bool {
	for line := range strings.Lines(string(firstBytes(proc, pid, "status"))) {
		if numbers, found := strings.CutPrefix(line, "NSpid:"); found {
			return len(strings.Fields(numbers)) == 1
		}
	}
	return true // a kernel that does not tell: before 4.1
}

// started is the 22nd field of /proc/PID/stat. The second one, the name, may hold blanks and brackets.
func started(proc string, pid int) string {
	text := string(firstBytes(proc, pid, "stat"))
	_, after, found := strings.Cut(text[max(0, strings.LastIndexByte(text, ')')):], ") ")
	fields := strings.Fields(after)
	const third = 3 // what follows the name
	if !found || len(fields) <= 22-third {
		return ""
	}
	return fields[22-third]
}

// firstBytes reads one of a process's files, as far as anything in it can matter. It is done for each process of the machine again and
// again, so it takes four system calls and not ten.
func firstBytes(proc string, pid int, name string) []byte {
	file, err := unix.Open(filepath.Join(proc, strconv.Itoa(pid), name), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer func() { _ = unix.Close(file) }() // it was only read
	text := make([]byte, 4096)
	for filled := 0; ; {
		n, err := unix.Read(file, text[filled:])
		filled += max(n, 0)
		switch {
		case err != nil || filled > maxFile:
			return nil
		case n == 0:
			return text[:filled]
		}
		if filled == len(text) {
			text = slices.Concat(text, make([]byte, len(text)))
		}
	}
}

// root is the machine's file system.
type root struct{}

// Open does not wait for the other end of a pipe, which may be what a path leads to.
func (root) Open(name string) (fs.File, error) {
	return os.OpenFile("/"+name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}
