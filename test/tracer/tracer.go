// Package tracer runs a program and kills it (-9) at the K-th of its system calls that others can see the effect of, counted over
// all its threads; strace's inject=…:when= counts for each thread by itself. It says where that was.
//
// It is Linux's ptrace, for amd64 and arm64. Left to the caller: what program, which K, and what must be true afterwards.
// The program runs in a process group of its own; other programs that it starts are not followed.
package tracer

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Kill says where a program is killed. The zero value lets it live.
type Kill struct {
	// Call is the number of the counted call, from 1; with a Point, among those at this point.
	Call int
	// Point is where in the program's story the call is, see [Call.Point].
	Point string
	// After: the call is made first. Otherwise it never is.
	After bool
}

// Trace is what was seen of a program.
type Trace struct {
	// Calls are the counted calls in the order in which they began; with a kill, the last one is where that was.
	Calls []Call
	// Killed says that it came to the kill.
	Killed bool
	// Status is how the program ended.
	Status unix.WaitStatus
}

// Run starts the command and returns when it has ended, by itself, by the kill, or because its context did. Each counted call is
// told to counted, if that is not nil, before it is made. The command's own Wait must not be called, and what its context does
// besides killing is not done.
func Run(command *exec.Cmd, kill Kill, counted func(Call)) (Trace, error) {
	return onThread(command, &tracer{kill: kill, counted: counted})
}

func onThread(command *exec.Cmd, t *tracer) (Trace, error) {
	type result struct {
		trace Trace
		err   error
	}
	results := make(chan result)
	go func() {
		// ptrace knows threads, not processes. The thread is given back at the end, for it may have started other programs, whom
		// its own end would kill (PR_SET_PDEATHSIG).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		trace, err := run(command, t)
		results <- result{trace, err}
	}()
	r := <-results
	return r.trace, r.err
}

func run(command *exec.Cmd, t *tracer) (Trace, error) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Ptrace, command.SysProcAttr.Setpgid = true, true
	if err := command.Start(); err != nil {
		return Trace{}, fmt.Errorf("trace %s: %w", command.Path, err)
	}
	t.pid, t.threads, t.peers = command.Process.Pid, map[int]*thread{}, map[string]string{}
	err := t.begin()
	if err == nil {
		err = t.follow()
	}
	if err != nil {
		t.end()
		err = fmt.Errorf("trace %s: %w", command.Path, err)
	}
	_ = command.Wait() // the process is reaped already; this waits for its output
	return t.trace, err
}

// tracer follows one process. All its methods run on one thread.
type tracer struct {
	pid     int
	kill    Kill
	counted func(Call)
	// entered is told of every call, if it is not nil ([Watch]).
	entered func(Entry)
	threads map[int]*thread
	// peers are whom sockets are connected to, by their descriptor's name, e.g. "socket:[4711]".
	peers map[string]string
	trace Trace
	// passed is how many calls were among those from which the kill's is counted; until is how many there were up to that one.
	passed, until int
}

// thread is one thread between two stops.
type thread struct {
	// last says that the call under way is where the kill is, after it was made.
	last bool
	// receiving is what the call under way will count as, if it brings something.
	receiving *Call
}

// options: threads are followed from their first moment, and nothing outlives the tracer.
const options = unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL

// begin takes the process over when it has just become the program.
func (t *tracer) begin() error {
	var status unix.WaitStatus
	if _, err := wait(t.pid, &status); err != nil {
		return err
	}
	if !status.Stopped() {
		return fmt.Errorf("it did not stop at its beginning: %#x", status)
	}
	if err := unix.PtraceSetOptions(t.pid, options); err != nil {
		return fmt.Errorf("ptrace: %w; is ptrace allowed here?", err)
	}
	t.threads[t.pid] = &thread{}
	return t.resume(t.pid, 0)
}

// follow goes from stop to stop until the process has ended. Its first thread is reported last.
func (t *tracer) follow() error {
	for {
		var status unix.WaitStatus
		tid, err := wait(-t.pid, &status) // of its process group: the caller's other children are none of ours
		if err != nil {
			return err
		}
		if status.Exited() || status.Signaled() {
			delete(t.threads, tid)
			if tid == t.pid {
				t.trace.Status = status
				return nil
			}
			continue
		}
		signal, err := t.stopped(tid, status)
		if err != nil {
			return err
		}
		if err := t.resume(tid, signal); err != nil {
			return err
		}
	}
}

// end kills the process and waits for the last of it.
func (t *tracer) end() {
	_ = unix.Kill(t.pid, unix.SIGKILL)
	for {
		if _, err := wait(-t.pid, new(unix.WaitStatus)); err != nil {
			return
		}
	}
}

func wait(pid int, status *unix.WaitStatus) (int, error) {
	for {
		tid, err := unix.Wait4(pid, status, unix.WALL, nil)
		if !errors.Is(err, unix.EINTR) {
			return tid, err
		}
	}
}

// stopped deals with a stop, and returns the signal that the thread is to get.
func (t *tracer) stopped(tid int, status unix.WaitStatus) (int, error) {
	if t.threads[tid] == nil {
		t.threads[tid] = &thread{}
		if status.StopSignal() == unix.SIGSTOP {
			return 0, nil // how a new thread begins
		}
	}
	switch signal := status.StopSignal(); {
	case signal == unix.SIGTRAP|0x80:
		return 0, t.atCall(tid)
	case signal == unix.SIGTRAP && status.TrapCause() > 0:
		return 0, nil // a thread was made
	default:
		return int(signal), nil
	}
}

// resume lets a thread go on to its next stop. One that was killed meanwhile is waited for all the same.
func (t *tracer) resume(tid, signal int) error {
	if err := unix.PtraceSyscall(tid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ptrace: go on: %w", err)
	}
	return nil
}

// atCall is at the beginning or the end of a system call.
func (t *tracer) atCall(tid int) error {
	if t.trace.Killed {
		return nil
	}
	info, err := syscallInfo(tid)
	if errors.Is(err, unix.ESRCH) {
		return nil // killed by somebody else
	}
	if err != nil {
		return err
	}
	this := t.threads[tid]
	if info.op == unix.PTRACE_SYSCALL_INFO_ENTRY {
		*this = thread{}
		return t.enter(tid, this, info)
	}
	if this.receiving != nil && info.returned() > 0 {
		t.count(this, *this.receiving)
	}
	if this.last {
		return t.shoot()
	}
	return nil
}

func (t *tracer) enter(tid int, this *thread, info callInfo) error {
	if t.entered != nil {
		t.entered(Entry{tid, info})
	}
	call, ok := t.look(tid, info)
	switch {
	case !ok:
	case call.receives: // one that brings nothing is no event, and how many there are is chance
		this.receiving = &call
	default:
		t.count(this, call)
		if this.last && !t.kill.After {
			return t.shoot()
		}
	}
	return nil
}

func (t *tracer) count(this *thread, call Call) {
	t.trace.Calls = append(t.trace.Calls, call)
	if t.kill.Point == "" || t.kill.Point == call.Point() {
		t.passed++
		this.last = t.passed == t.kill.Call
	}
	if this.last {
		t.until = len(t.trace.Calls)
	}
	if t.counted != nil {
		t.counted(call)
	}
}

// shoot is kill -9. The call at whose beginning a thread stands is not made any more (ptrace(2): the kernel looks for a fatal
// signal before it goes on), and no other thread gets past the beginning of one; what another one was in the middle of may be
// cut off, as at any kill.
func (t *tracer) shoot() error {
	t.trace.Killed = true
	t.trace.Calls = t.trace.Calls[:t.until]
	return unix.Kill(t.pid, unix.SIGKILL)
}
