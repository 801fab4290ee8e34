package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// daemon is a running "bootstrap-agent run" with a service manager that listens.
type daemon struct {
	t       *testing.T
	node    *node
	cmd     *exec.Cmd
	started time.Time
	ended   chan struct{}

	mu     sync.Mutex
	output bytes.Buffer
	// notified are the messages to the service manager, with when they came.
	notified []notification
}

type notification struct {
	text  string
	after time.Duration
}

// start starts the daemon. It is killed when the test ends.
func (n *node) start(args ...string) *daemon {
	n.t.Helper()
	d := &daemon{t: n.t, node: n, ended: make(chan struct{}), started: time.Now()}
	d.cmd = n.command(context.Background(), []string{"run"}, args...)
	folder, err := os.MkdirTemp("", "notify-") // a socket's path has at most 107 bytes, less than some test's own folder
	must(n.t, err)
	socket := filepath.Join(folder, "s")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(n.t, err)
	d.cmd.Env = append(d.cmd.Environ(), "NOTIFY_SOCKET="+socket)
	d.cmd.Stdout, d.cmd.Stderr = d, d
	d.cmd.WaitDelay = 200 * time.Millisecond // an exec plugin that outlives the agent has its standard error
	must(n.t, d.cmd.Start())
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		d.listen(listener)
	}()
	go func() {
		_ = d.cmd.Wait()
		hangUp(listener) // and what the agent said last is heard before
		<-heard
		listener.Close()
		close(d.ended)
	}()
	n.t.Cleanup(func() {
		n.assertProcessIsClean(d.cmd)
		d.kill()
		os.RemoveAll(folder)
		fmt.Fprintln(&n.said, d.cmd.Args, d.log(), d.statuses())
		if strings.Contains(d.log(), "DATA RACE") {
			n.t.Errorf("data race:\n%s", d.log())
		}
		if n.t.Failed() {
			n.t.Logf("the agent said:\n%s\nto the service manager: %v", d.log(), d.statuses())
		}
	})
	return d
}

// Write collects what the daemon says.
func (d *daemon) Write(text []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.output.Write(text)
}

// hungUp is the last message of a socket.
const hungUp = "THE TEST HANGS UP"

func hangUp(listener *net.UnixConn) {
	c, err := net.Dial("unixgram", listener.LocalAddr().String())
	if err != nil {
		listener.Close()
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(hungUp))
}

func (d *daemon) listen(listener *net.UnixConn) {
	buffer := make([]byte, 64<<10)
	for {
		size, err := listener.Read(buffer)
		if err != nil || string(buffer[:size]) == hungUp {
			return
		}
		d.mu.Lock()
		d.notified = append(d.notified, notification{string(buffer[:size]), time.Since(d.started)})
		d.mu.Unlock()
	}
}

func (d *daemon) log() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.output.String()
}

// statuses are the STATUS= texts so far.
func (d *daemon) statuses() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var texts []string
	for _, n := range d.notified {
		if text, ok := strings.CutPrefix(n.text, "STATUS="); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

// ready says whether, and how long after the start, READY=1 came.
func (d *daemon) ready() (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.notified {
		if n.text == "READY=1" {
			return n.after, true
		}
	}
	return 0, false
}

// awaitLog waits until the daemon has said text.
func (d *daemon) awaitLog(text string) {
	d.t.Helper()
	eventually(d.t, fmt.Sprintf("the agent says %q", text), func() bool { return strings.Contains(d.log(), text) })
}

// awaitStatus waits until the last STATUS= holds text.
func (d *daemon) awaitStatus(text string) {
	d.t.Helper()
	eventually(d.t, fmt.Sprintf("STATUS= says %q", text), func() bool {
		texts := d.statuses()
		return len(texts) > 0 && strings.Contains(texts[len(texts)-1], text)
	})
}

// awaitReady waits for READY=1 and returns how long it took from the start of the process.
func (d *daemon) awaitReady() time.Duration {
	d.t.Helper()
	eventually(d.t, "READY=1", func() bool { _, ok := d.ready(); return ok })
	after, _ := d.ready()
	return after
}

// running says whether the daemon is still there.
func (d *daemon) running() bool {
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

// kill is kill -9.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// stop is SIGTERM; it returns the exit code and how long the end took.
func (d *daemon) stop() (code int, took time.Duration) {
	d.t.Helper()
	start := time.Now()
	must(d.t, d.cmd.Process.Signal(syscall.SIGTERM))
	return d.wait(), time.Since(start)
}

// wait returns the exit code.
func (d *daemon) wait() int {
	d.t.Helper()
	select {
	case <-d.ended:
		return d.cmd.ProcessState.ExitCode()
	case <-time.After(30 * time.Second):
		d.t.Fatal("the agent did not end within 30 s")
		return -1
	}
}
