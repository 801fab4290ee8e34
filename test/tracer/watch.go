package tracer

import "os/exec"

// Entry is a system call that is about to be made, of whatever kind.
type Entry struct {
	tid  int
	info callInfo
}

// Number is the kernel's, e.g. unix.SYS_WRITE.
func (e Entry) Number() uint64 { return e.info.number() }

// Argument is one of the six, from 0.
func (e Entry) Argument(n int) uint64 { return e.info.argument(n) }

// Text is the string that an argument leads to.
func (e Entry) Text(n int) string { return text(e.tid, uintptr(e.Argument(n))) }

// Bytes are those that an argument leads to.
func (e Entry) Bytes(n, size int) []byte { return memory(e.tid, uintptr(e.Argument(n)), size) }

// Memory are bytes of the program at an address.
func (e Entry) Memory(address uintptr, size int) []byte { return memory(e.tid, address, size) }

// Descriptor is what an argument is open for: a path, or e.g. "socket:[4711]".
func (e Entry) Descriptor(n int) string { return descriptor(e.tid, e.Argument(n)) }

// Watch runs the command to its end and tells entered of every system call of every of its threads before it is made. It is told
// by one goroutine, which is not the caller's.
func Watch(command *exec.Cmd, entered func(Entry)) (Trace, error) {
	return onThread(command, &tracer{entered: entered})
}
