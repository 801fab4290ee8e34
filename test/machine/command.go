package machine

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Command is a command that will run in the machine, with its namespaces, cgroup of its PID 1 and an environment of its own.
func (m *Machine) Command(args ...string) *exec.Cmd {
	enter := []string{
		"--target", strconv.Itoa(m.leader), "--all", "--", "/usr/bin/env", "-i",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0",
	}
	command := exec.Command("nsenter", append(enter, args...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // "kill 0" in the machine reaches nothing outside
	return command
}

// Try runs a command in the machine and returns what it prints, on both streams.
func (m *Machine) Try(args ...string) (string, error) {
	output, err := m.Command(args...).CombinedOutput()
	if err != nil {
		return string(output), fmt.Errorf("%s: %q: %w: %s", m.Name, args, err, output)
	}
	return string(output), nil
}

func (m *Machine) try(args ...string) string {
	output, err := m.Try(args...)
	if err != nil {
		return err.Error()
	}
	return output
}

// Run is Try for a command that must succeed.
func (m *Machine) Run(args ...string) string {
	m.t.Helper()
	output, err := m.Try(args...)
	must(m.t, err)
	return output
}

// Shell runs a script in the machine, which must succeed.
func (m *Machine) Shell(script string) string {
	m.t.Helper()
	return m.Run("/bin/sh", "-ec", script)
}

// State is what "systemctl is-system-running" says: initializing, starting, running, degraded, maintenance, stopping.
func (m *Machine) State() string {
	output, _ := m.Command("systemctl", "is-system-running").Output() // exit 1 unless running
	return strings.TrimSpace(string(output))
}

// Booted says whether all has been started that is enabled.
func (m *Machine) Booted() bool { s := m.State(); return s == "running" || s == "degraded" }

// AwaitBoot waits until it is booted, and fails the test when it is not by then.
func (m *Machine) AwaitBoot(limit time.Duration) {
	m.t.Helper()
	if !m.await(limit, m.Booted) {
		m.t.Fatalf("%s is still %s after %s; waiting for:\n%s", m.Name, m.State(), limit, m.try("systemctl", "list-jobs"))
	}
}

func (m *Machine) await(limit time.Duration, condition func() bool) bool {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if condition() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// Unit is a property of a unit, as systemctl show prints it.
func (m *Machine) Unit(unit, property string) string {
	m.t.Helper()
	return strings.TrimSpace(m.Run("systemctl", "show", "--property="+property, "--value", unit))
}

// MainPID is the PID, in the machine, of a service; 0 when it does not run.
func (m *Machine) MainPID(unit string) int {
	m.t.Helper()
	pid, err := strconv.Atoi(m.Unit(unit, "MainPID"))
	must(m.t, err)
	return pid
}

// Time is a time stamp of a unit since the machine's kernel started, ActiveEnterTimestampMonotonic for example.
func (m *Machine) Time(unit, property string) time.Duration {
	m.t.Helper()
	microseconds, err := strconv.ParseInt(m.Unit(unit, property), 10, 64)
	must(m.t, err)
	return time.Duration(microseconds) * time.Microsecond
}

// Journal is what a unit has logged in this boot, without time and name.
func (m *Machine) Journal(unit string) string {
	m.t.Helper()
	return m.Run("journalctl", "--no-pager", "--boot", "--output=cat", "--unit="+unit)
}
