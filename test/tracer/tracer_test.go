package tracer_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// command is this binary in one of the roles, and its folder.
func command(t *testing.T, as string) (*exec.Cmd, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	dir := t.TempDir()
	c := exec.CommandContext(ctx, os.Args[0])
	c.Env = append(os.Environ(), role+"="+as, folder+"="+dir, "GORACE=atexit_sleep_ms=0")
	c.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return c, dir
}

func run(t *testing.T, c *exec.Cmd, kill tracer.Kill) tracer.Trace {
	t.Helper()
	var said bytes.Buffer
	c.Stderr = &said
	trace, err := tracer.Run(c, kill, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	if gone := unix.Kill(c.Process.Pid, 0); gone != unix.ESRCH {
		t.Errorf("the process is still there: %v", gone)
	}
	if killed := trace.Status.Signaled() && trace.Status.Signal() == unix.SIGKILL; killed != trace.Killed {
		t.Errorf("killed: %v, ended with %#x\n%s", trace.Killed, trace.Status, said.String())
	}
	return trace
}

func points(trace tracer.Trace) []string {
	var points []string
	for _, call := range trace.Calls {
		points = append(points, call.Point())
	}
	return points
}

func TestEveryChangeOfAFileCountsInItsOrderAndUnderAReadableName(t *testing.T) {
	t.Parallel()
	c, dir := command(t, "one of each")
	trace := run(t, c, tracer.Kill{})
	here := filepath.Base(dir)
	expected := []string{
		"mkdirat sub", "openat .name.*.tmp", "fchmod .name.*.tmp", "write .name.*.tmp", "pwrite64 .name.*.tmp", "fsync .name.*.tmp",
		"ftruncate .name.*.tmp", "flock .name.*.tmp", "renameat name-<time>.pem", "symlinkat current", "unlinkat current", "fsync " + here,
		"openat relative", "write relative",
	}
	if got := points(trace); !slices.Equal(got, expected) {
		t.Errorf("counted:\n%s\nexpected:\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
	}
	for _, call := range trace.Calls {
		if !strings.HasPrefix(call.On, dir) {
			t.Errorf("%s %q: not the whole path", call.Name, call.On)
		}
	}
}

func TestWhatNobodyElseCanSeeDoesNotCount(t *testing.T) {
	t.Parallel()
	c, _ := command(t, "reader")
	if trace := run(t, c, tracer.Kill{}); len(trace.Calls) != 0 {
		t.Errorf("counted %v", trace.Calls)
	}
}

// The writer opens and writes 8 files: 16 calls.
func TestAKillBeforeACallPreventsItAndOneAfterItDoesNot(t *testing.T) {
	t.Parallel()
	kills := 0
	for k := 1; k <= 17; k++ {
		for _, after := range []bool{false, true} {
			c, dir := command(t, "writer")
			trace := run(t, c, tracer.Kill{Call: k, After: after})
			made := k
			if !after {
				made--
			}
			if killed := k <= 16; trace.Killed != killed || len(trace.Calls) != min(k, 16) {
				t.Errorf("kill at call %d (after: %v): killed %v, %d calls", k, after, trace.Killed, len(trace.Calls))
			}
			if trace.Killed {
				kills++
			}
			if effects := effects(t, dir); effects != min(made, 16) {
				t.Errorf("kill at call %d (after: %v): %d calls had their effect", k, after, effects)
			}
		}
	}
	t.Logf("%d kills", kills)
}

// effects counts the files that are there, and again those that have their content.
func effects(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	count := len(entries)
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Size() > 0 {
			count++
		}
	}
	return count
}

func TestAKillAtAPointIsCountedAmongTheCallsThere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kill  tracer.Kill
		calls int
	}{{tracer.Kill{Point: "write a3", Call: 1}, 8}, {tracer.Kill{Point: "write a3", Call: 2}, 0}, {tracer.Kill{Point: "openat a3", Call: 1}, 7}} {
		program, _ := command(t, "writer")
		if trace := run(t, program, c.kill); trace.Killed != (c.calls > 0) || c.calls > 0 && len(trace.Calls) != c.calls {
			t.Errorf("kill at %+v: killed %v, after %d calls, expected %d", c.kill, trace.Killed, len(trace.Calls), c.calls)
		}
	}
}

func TestCallsAreCountedOverAllThreads(t *testing.T) {
	t.Parallel()
	const all = 2 * files * threads
	c, dir := command(t, "writers")
	if trace := run(t, c, tracer.Kill{}); len(trace.Calls) != all || effects(t, dir) != all {
		t.Errorf("%d calls counted, expected %d", len(trace.Calls), all)
	}
	for k := 1; k <= all; k += 7 {
		c, dir := command(t, "writers")
		trace := run(t, c, tracer.Kill{Call: k})
		// the calls that other threads were in the middle of may have been cut off too
		if got := effects(t, dir); !trace.Killed || len(trace.Calls) != k || got >= k || got < k-threads {
			t.Errorf("killed before call %d: %d calls had their effect", k, got)
		}
	}
}

func TestAPeerIsNamedAndWhatItSaysCounts(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go serve(listener)
	expected := []string{"connect tcp", "write tcp", "read tcp", "openat answered", "write answered"}
	for k := range expected {
		c, dir := command(t, "caller")
		if err := os.WriteFile(filepath.Join(dir, "address"), []byte(listener.Addr().String()), 0o600); err != nil {
			t.Fatal(err)
		}
		trace := run(t, c, tracer.Kill{Call: k})
		wanted := expected
		if k > 0 {
			wanted = expected[:k]
		}
		if !slices.Equal(points(trace), wanted) || trace.Calls[0].On != "tcp "+listener.Addr().String() {
			t.Errorf("kill at %d: %v, expected %v", k, trace.Calls, wanted)
		}
	}
}

// serve answers each question a little later.
func serve(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			if n, _ := connection.Read(make([]byte, 100)); n > 0 {
				_, _ = connection.Write([]byte("answer"))
			}
		}()
	}
}

func TestTheProgramsOwnEndAndItsSignalsAreItsOwn(t *testing.T) {
	t.Parallel()
	c, _ := command(t, "failing")
	if trace := run(t, c, tracer.Kill{Call: 1}); trace.Killed || trace.Status.ExitStatus() != 7 {
		t.Errorf("ended with %#x, expected exit code 7", trace.Status)
	}

	c, _ = command(t, "signalled")
	trace, err := tracer.Run(c, tracer.Kill{}, func(tracer.Call) { _ = c.Process.Signal(unix.SIGTERM) })
	if err != nil || trace.Status.ExitStatus() != 3 {
		t.Errorf("ended with %#x (%v), expected that it deals with SIGTERM itself", trace.Status, err)
	}
}

func TestTheEndOfTheContextEndsTheProgram(t *testing.T) {
	t.Parallel()
	c, dir := command(t, "hanging")
	ctx, cancel := context.WithCancel(t.Context())
	ended := exec.CommandContext(ctx, c.Path)
	ended.Env = c.Env
	calls := 0
	trace, err := tracer.Run(ended, tracer.Kill{}, func(tracer.Call) {
		if calls++; calls == 2*files*threads {
			cancel()
		}
	})
	if err != nil || trace.Killed || !trace.Status.Signaled() {
		t.Errorf("ended with %#x, killed by the tracer: %v (%v)", trace.Status, trace.Killed, err)
	}
	if got := effects(t, dir); got < 2*files*threads-1 {
		t.Errorf("%d calls had their effect", got)
	}
}

// A tracer lends itself a thread that may have started other programs, which are to end with it.
func TestOtherProgramsAreLeftAlone(t *testing.T) {
	t.Parallel()
	var others []*exec.Cmd
	for range 8 {
		other, _ := command(t, "signalled")
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		others = append(others, other)
		c, _ := command(t, "writers")
		run(t, c, tracer.Kill{Call: 20})
	}
	for _, other := range others {
		if err := other.Process.Kill(); err != nil {
			t.Errorf("it has ended already: %v", err)
		}
		if err := other.Wait(); err == nil || err.Error() != "signal: killed" {
			t.Errorf("%v, expected that it is there to be killed", err)
		}
	}
}

func TestAProgramThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := tracer.Run(exec.Command(filepath.Join(t.TempDir(), "none")), tracer.Kill{}, nil); err == nil {
		t.Error("no error")
	}
}
