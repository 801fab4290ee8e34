package node

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process puts a process into a folder that is like /proc.
func process(t *testing.T, proc string, pid int, namespaces string, argv ...string) {
	t.Helper()
	folder := filepath.Join(proc, fmt.Sprint(pid))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	cmdline := ""
	for _, arg := range argv {
		cmdline += arg + "\x00"
	}
	for name, text := range map[string]string{
		"cmdline": cmdline,
		"status":  "Name:\tkubelet\nNSpid:\t" + namespaces + "\nVmPeak: 1 kB\n",
		"stat":    fmt.Sprintf("%d (a ) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 %d 20 21\n", pid, pid+1000),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnlyAKubeletOfThisMachineThatBelongsToAClusterIsFound(t *testing.T) {
	proc := t.TempDir()
	if err := os.WriteFile(filepath.Join(proc, "stat"), []byte("cpu 1 2 3\nbtime 1750000000\nprocesses 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	process(t, proc, 30, "30", "/opt/bin/kubelet", "--kubeconfig=/30")
	process(t, proc, 7, "7", "kubelet", "--bootstrap-kubeconfig", "/7")
	process(t, proc, 8, "8", "kubelet", "--version")
	process(t, proc, 9, "9", "vim", "kubelet", "--kubeconfig=/9")
	process(t, proc, 10, "10 1", "kubelet", "--kubeconfig=/in-a-container")
	process(t, proc, 11, "11")
	process(t, proc, 12, "12", "kubelet", "--kubeconfig=/12", strings.Repeat("a", maxFile))
	process(t, proc, 13, "13", "kubelet", "--kubeconfig=/somebody-elses")
	if err := os.Lchown(filepath.Join(proc, "13"), 12345, 12345); err != nil {
		t.Fatalf("give a folder to another user, which is for root, who must run this test: %v", err)
	}
	found, err := Kubelets(proc)
	if err != nil || len(found) != 2 || found[0].BootstrapKubeconfig.Value != "/7" || found[1].Kubeconfig.Value != "/30" {
		t.Fatalf("found %+v, %v", found, err)
	}
	if got, want := found[1].Process, (Process{PID: 30, Started: "1030", Since: time.Unix(1750000010, 3e8)}); got != want {
		t.Errorf("process %+v, expected %+v", got, want)
	}
	if !found[0].Process.Runs(proc) {
		t.Error("a process that runs is said not to")
	}
	process(t, proc, 30, "30", "/opt/bin/kubelet", "--kubeconfig=/30")
	if err := os.WriteFile(filepath.Join(proc, "30", "stat"), []byte("30 (kubelet) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 5555 20\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found[1].Process.Runs(proc) || (Process{PID: 99}).Runs(proc) {
		t.Error("another process with the same number, or none at all, is taken for the one that ran")
	}
	if _, err := Kubelets(filepath.Join(proc, "gone")); err == nil {
		t.Error("no error without a folder of processes")
	}
}

// TestARealProcessIsFound shows that the kernel's files are as the reader expects them. The kubelet is one by its name only: a shell that
// waits for a line.
func TestARealProcessIsFound(t *testing.T) {
	certDir := t.TempDir()
	c := exec.CommandContext(t.Context(), "/bin/sh")
	c.Args = []string{"/usr/bin/kubelet", "-c", "read line", "--kubeconfig=/k", "--cert-dir=" + certDir}
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	found, err := Kubelets(Proc)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(found, func(k Kubelet) bool { return k.Process.PID == c.Process.Pid })
	if i < 0 {
		t.Fatalf("process %d is not among the %d kubelets that were found", c.Process.Pid, len(found))
	}
	if found[i].CertDir.Value != certDir || !found[i].Process.Runs(Proc) {
		t.Errorf("found as %+v", found[i])
	}
	stdin.Close()
	_ = c.Wait() // it got no line, and ends with 1
	if found[i].Process.Runs(Proc) {
		t.Error("a process that has ended is said to run")
	}
}
