package tracer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// callInfo is the kernel's struct ptrace_syscall_info (linux/ptrace.h, since 5.3): the same on every architecture.
type callInfo struct {
	op uint8
	_  [3]byte
	_  uint32    // architecture
	_  [2]uint64 // instruction and stack pointer
	// values are number and six arguments at the beginning of a call, and its result at the end.
	values [8]uint64
}

func (i callInfo) number() uint64        { return i.values[0] }
func (i callInfo) argument(n int) uint64 { return i.values[1+n] }
func (i callInfo) returned() int64       { return int64(i.values[0]) }

func syscallInfo(tid int) (callInfo, error) {
	var info callInfo
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid),
		unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)), 0, 0)
	if errno != 0 {
		return info, fmt.Errorf("ptrace: ask for the system call: %w", errno)
	}
	return info, nil
}

// descriptor is what an open descriptor is for: a path, or e.g. "socket:[4711]"; "" if it is not open.
func descriptor(tid int, number uint64) string {
	name, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", tid, int32(number)))
	return name
}

// pathOf is the path that a call is about to act on, made absolute.
func pathOf(tid int, info callInfo, s shape) string {
	path := text(tid, uintptr(info.argument(s.path)))
	if filepath.IsAbs(path) {
		return path
	}
	dir, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", tid))
	if s.dir != none && int32(info.argument(s.dir)) != unix.AT_FDCWD {
		dir = descriptor(tid, info.argument(s.dir))
	}
	return filepath.Join(dir, path)
}

// text reads a string that ends with a zero.
func text(tid int, address uintptr) string {
	const page = 4096
	var read []byte
	for len(read) < unix.PathMax {
		part := memory(tid, address, int(page-address%page)) // the next page may not be there
		if before, _, ended := bytes.Cut(part, []byte{0}); ended {
			return string(append(read, before...))
		}
		if len(part) == 0 {
			break
		}
		read, address = append(read, part...), address+uintptr(len(part))
	}
	return string(read)
}

// memory reads what it can of size bytes of the program's memory.
func memory(tid int, address uintptr, size int) []byte {
	buffer := make([]byte, size)
	if size == 0 || address == 0 {
		return nil
	}
	local := []unix.Iovec{{Base: &buffer[0]}}
	local[0].SetLen(size)
	n, err := unix.ProcessVMReadv(tid, local, []unix.RemoteIovec{{Base: address, Len: size}}, 0)
	if err != nil {
		return nil
	}
	return buffer[:n]
}
