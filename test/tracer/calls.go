package tracer

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// Call is one system call that counts.
type Call struct {
	// Name is the kernel's, e.g. renameat.
	Name string
	// On is what it acts on: a file's path (for rename, link and symlink the name that appears), or "tcp 127.0.0.1:6443",
	// "unix /run/…" or "socket" for one that is not connected.
	On string

	receives bool
}

// Point is where in the program's story the call is, the same in every run: without folders, addresses, random names, times.
func (c Call) Point() string {
	on, _, _ := strings.Cut(Name(c.On), " ")
	return c.Name + " " + on
}

var (
	random = regexp.MustCompile(`[A-Z2-7]{26}`)
	moment = regexp.MustCompile(`\d{4}(-\d\d){5}`)
)

// Name is a file's name without what differs from run to run: the folder, the random part of a temporary name, the time.
func Name(path string) string {
	name := path
	if strings.HasPrefix(path, "/") {
		name = filepath.Base(path)
	}
	return moment.ReplaceAllString(random.ReplaceAllString(name, "*"), "<time>")
}

// shape says which arguments of a call tell what it acts on: a descriptor, or a path below a folder's descriptor.
type shape struct {
	name string
	// descriptor, dir and path are numbers of arguments; none where there is no such argument.
	descriptor, dir, path int
	// flags is the argument with open flags: only an open that may change something counts.
	flags int
	// connects and receives are for sockets only.
	connects, receives bool
}

const none = -1

// shapes are the calls that count: those whose effect somebody else can see, now or after a restart. They change a file or a
// name, or have it or its lock survive (flock, fsync), or tell a peer something, or are told something by it, which shows that
// the peer has acted. What a program only reads, its memory, timers, threads and log lines are nobody's loss when it dies.
var shapes = map[uint64]shape{
	unix.SYS_OPENAT:    {name: "openat", dir: 0, path: 1, flags: 2, descriptor: none},
	unix.SYS_OPENAT2:   at("openat2", 0, 1),
	unix.SYS_MKDIRAT:   at("mkdirat", 0, 1),
	unix.SYS_MKNODAT:   at("mknodat", 0, 1),
	unix.SYS_UNLINKAT:  at("unlinkat", 0, 1),
	unix.SYS_SYMLINKAT: at("symlinkat", 1, 2),
	unix.SYS_LINKAT:    at("linkat", 2, 3),
	unix.SYS_RENAMEAT:  at("renameat", 2, 3),
	unix.SYS_RENAMEAT2: at("renameat2", 2, 3),
	unix.SYS_FCHMODAT:  at("fchmodat", 0, 1),
	unix.SYS_FCHMODAT2: at("fchmodat2", 0, 1),
	unix.SYS_FCHOWNAT:  at("fchownat", 0, 1),
	unix.SYS_UTIMENSAT: at("utimensat", 0, 1),
	unix.SYS_TRUNCATE:  at("truncate", none, 0),

	unix.SYS_WRITE:           on("write"),
	unix.SYS_PWRITE64:        on("pwrite64"),
	unix.SYS_WRITEV:          on("writev"),
	unix.SYS_PWRITEV:         on("pwritev"),
	unix.SYS_PWRITEV2:        on("pwritev2"),
	unix.SYS_SENDFILE:        on("sendfile"),
	unix.SYS_COPY_FILE_RANGE: {name: "copy_file_range", descriptor: 2, dir: none, path: none, flags: none},
	unix.SYS_FTRUNCATE:       on("ftruncate"),
	unix.SYS_FALLOCATE:       on("fallocate"),
	unix.SYS_FCHMOD:          on("fchmod"),
	unix.SYS_FCHOWN:          on("fchown"),
	unix.SYS_FSYNC:           on("fsync"),
	unix.SYS_FDATASYNC:       on("fdatasync"),
	unix.SYS_FLOCK:           on("flock"),
	unix.SYS_SENDTO:          on("sendto"),
	unix.SYS_SENDMSG:         on("sendmsg"),

	unix.SYS_CONNECT:  {name: "connect", connects: true, dir: none, path: none, flags: none},
	unix.SYS_READ:     from("read"),
	unix.SYS_READV:    from("readv"),
	unix.SYS_RECVFROM: from("recvfrom"),
	unix.SYS_RECVMSG:  from("recvmsg"),
}

func at(name string, dir, path int) shape {
	return shape{name: name, dir: dir, path: path, descriptor: none, flags: none}
}

func on(name string) shape { return shape{name: name, dir: none, path: none, flags: none} }

func from(name string) shape {
	return shape{name: name, receives: true, dir: none, path: none, flags: none}
}

func shapeOf(info callInfo) (shape, bool) {
	s, ok := shapes[info.number()]
	if !ok {
		s, ok = oldShapes[info.number()]
	}
	return s, ok
}

// look says what a call that begins acts on, and whether it counts.
func (t *tracer) look(tid int, info callInfo) (Call, bool) {
	s, ok := shapeOf(info)
	if !ok || s.flags != none && info.argument(s.flags)&(unix.O_WRONLY|unix.O_RDWR|unix.O_CREAT|unix.O_TRUNC) == 0 {
		return Call{}, false
	}
	call := Call{Name: s.name, receives: s.receives}
	switch {
	case s.path != none:
		call.On = pathOf(tid, info, s)
		return call, isFile(call.On)
	case s.connects:
		name := descriptor(tid, info.argument(0))
		t.peers[name] = addressOf(tid, uintptr(info.argument(1)), int(info.argument(2)))
		call.On = t.peers[name]
		return call, true
	}
	call.On = descriptor(tid, info.argument(s.descriptor))
	if strings.HasPrefix(call.On, "socket:") {
		if call.On, ok = t.peers[call.On]; !ok {
			call.On = "socket"
		}
		return call, true
	}
	return call, !s.receives && isFile(call.On)
}

// isFile tells what lies on a disk from devices, pipes, timers and the kernel's own files.
func isFile(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "/dev/") && !strings.HasPrefix(path, "/proc/") && !strings.HasPrefix(path, "/sys/")
}

// addressOf reads a sockaddr.
func addressOf(tid int, address uintptr, size int) string {
	raw := memory(tid, address, min(size, 128))
	if len(raw) < 2 {
		return "socket"
	}
	switch family := uint16(raw[0]) | uint16(raw[1])<<8; {
	case family == unix.AF_INET && len(raw) >= 8:
		return fmt.Sprintf("tcp %s:%d", netip.AddrFrom4([4]byte(raw[4:8])), int(raw[2])<<8|int(raw[3]))
	case family == unix.AF_INET6 && len(raw) >= 24:
		return fmt.Sprintf("tcp [%s]:%d", netip.AddrFrom16([16]byte(raw[8:24])), int(raw[2])<<8|int(raw[3]))
	case family == unix.AF_UNIX:
		return "unix " + strings.TrimRight(string(raw[2:]), "\x00")
	default:
		return "socket"
	}
}
