package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// agent is a running "bootstrap-agent run", with a service manager that listens.
type agent struct {
	screen  *screen
	command *exec.Cmd
	manager *net.UnixConn
	started time.Time
	lines   chan logLine
	shown   []logLine
}

// startAgent shows the command line and runs it.
func startAgent(ctx context.Context, s *screen, path, dir string, args ...string) (*agent, error) {
	socket := "@" + filepath.Base(dir) // abstract: a path may be too long for a socket
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	a := &agent{screen: s, manager: manager, lines: make(chan logLine, 256)}
	a.command = program.Command(ctx, path, args...)
	a.command.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	log, err := a.command.StderrPipe()
	if err != nil {
		return nil, errors.Join(err, manager.Close())
	}
	s.command(append([]string{path}, args...)...)
	a.started = time.Now()
	if err := a.command.Start(); err != nil {
		return nil, errors.Join(err, manager.Close())
	}
	go a.read(log)
	return a, nil
}

func (a *agent) read(log io.Reader) {
	defer close(a.lines)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		a.lines <- parseLine(lines.Text())
	}
}

// logLine is what the agent logged.
type logLine struct {
	at                         time.Time
	level, message, attributes string
}

var logText = regexp.MustCompile(`^time=(\S+) level=(\S+) msg=("(?:[^"\\]|\\.)*"|\S+)(.*)$`)

func parseLine(text string) logLine {
	parts := logText.FindStringSubmatch(text)
	if parts == nil {
		return logLine{message: text}
	}
	l := logLine{level: parts[2], message: parts[3], attributes: strings.TrimSpace(parts[4])}
	l.at, _ = time.Parse(time.RFC3339Nano, parts[1])
	if unquoted, err := strconv.Unquote(l.message); err == nil {
		l.message = unquoted
	}
	return l
}

// show prints what the agent says, with the time since its start, up to the first line that has all of texts.
func (a *agent) show(ctx context.Context, texts ...string) error {
	timeout := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-a.lines:
			if !ok {
				return fmt.Errorf("the agent ended before it said %q", texts)
			}
			a.print(line)
			if line.has(texts) {
				return nil
			}
		case <-timeout:
			return fmt.Errorf("the agent has not said %q within 30 s", texts)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l logLine) has(texts []string) bool {
	return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(l.message+" "+l.attributes, text) })
}

func (a *agent) print(l logLine) {
	a.shown = append(a.shown, l)
	text := l.message
	if l.level != "INFO" {
		text = l.level + " " + text
	}
	if l.attributes != "" {
		text += "  " + l.attributes
	}
	a.screen.sayShort("%5d ms │ %s", a.since(l), text)
}

// since is how many milliseconds after the start of the process a line was written.
func (a *agent) since(l logLine) int64 {
	return l.at.Sub(a.started.Truncate(time.Millisecond)).Milliseconds()
}

// saidAfter is how many milliseconds after its start the agent said something that was shown.
func (a *agent) saidAfter(message string) (int64, error) {
	for _, line := range a.shown {
		if strings.Contains(line.message, message) {
			return a.since(line), nil
		}
	}
	return 0, fmt.Errorf("the agent did not say %q", message)
}

// ready waits for READY=1, and returns how long after the start it came.
func (a *agent) ready(ctx context.Context) (time.Duration, error) {
	defer context.AfterFunc(ctx, func() { _ = a.manager.SetReadDeadline(time.Now()) })()
	if err := a.manager.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, err
	}
	message := make([]byte, 64<<10)
	for {
		size, err := a.manager.Read(message)
		if err != nil {
			return 0, fmt.Errorf("wait for READY=1 of the agent: %w", err)
		}
		if string(message[:size]) == "READY=1" {
			return time.Since(a.started), nil
		}
	}
}

// end sends a signal, waits until the process is gone and returns its state. It may be called again. The socket goes too.
func (a *agent) end(s syscall.Signal) *os.ProcessState {
	if a.command.ProcessState == nil {
		_ = a.command.Process.Signal(s) // gone already: the state tells
		kill := time.AfterFunc(10*time.Second, func() { _ = a.command.Process.Kill() })
		for range a.lines { // to the end: Wait would take away what was not read yet
		}
		_ = a.command.Wait()
		kill.Stop()
	}
	a.manager.Close()
	return a.command.ProcessState
}
