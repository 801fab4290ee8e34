package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The tests of this file break the control plane, so none of them is parallel to others, and one has its own.

func TestARestartedAPIServerKeepsPortAndData(t *testing.T) {
	server := shared.Server()
	name, _ := ask(t, clientOf(t, shared, clientcmdapi.AuthInfo{Token: shared.Token(Unapproved)}), "restarted", certificatesv1.KubeAPIServerClientKubeletSignerName)

	if err := shared.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(server, "https://")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while it is stopped: got %v, want connection refused", err)
	}
	if err := shared.StopAPIServer(); !errors.Is(err, errNotRunning) {
		t.Errorf("stopped twice: got %v", err)
	}
	begin := time.Now()
	if err := shared.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready again after %v", time.Since(begin))

	if shared.Server() != server {
		t.Errorf("it moved from %s to %s", server, shared.Server())
	}
	if _, err := shared.AdminClient().CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{}); err != nil {
		t.Errorf("a CSR from before: %v", err)
	}
	if err := shared.Approve(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	issued(t, shared, name) // kube-controller-manager has found it again
}

func TestAnApproverLivesThroughARestart(t *testing.T) {
	stop := shared.ApproveServing(t.Context(), nil, 0)
	defer stop()
	if err := shared.RestartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := shared.ClientCertificate("system:node:late", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	name, _ := ask(t, clientOf(t, shared, clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM}), "late", certificatesv1.KubeletServingSignerName)
	issued(t, shared, name)
}

func TestAPausedAPIServerAnswersNothingAndGoesOn(t *testing.T) {
	if err := shared.PauseAPIServer(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := shared.AdminClient().CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if resumeErr := shared.ResumeAPIServer(); resumeErr != nil {
		t.Fatal(resumeErr)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is paused: got %v, want the time-out", err)
	}
	if _, err := shared.AdminClient().CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAPausedEtcdHoldsUpWhatNeedsDataAndGoesOn(t *testing.T) {
	if err := shared.PauseEtcd(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := shared.AdminClient().CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "paused"}}, metav1.CreateOptions{})
	_, versionErr := shared.AdminClient().Discovery().ServerVersion()
	if resumeErr := shared.ResumeEtcd(); resumeErr != nil {
		t.Fatal(resumeErr)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is paused: got %v, want the time-out", err)
	}
	if versionErr != nil {
		t.Errorf("what needs no data: %v", versionErr)
	}
	if _, err := shared.AdminClient().CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAPausedControllerManagerIssuesNothingAndGoesOn(t *testing.T) {
	if err := shared.PauseControllerManager(); err != nil {
		t.Fatal(err)
	}
	name, _ := ask(t, clientOf(t, shared, clientcmdapi.AuthInfo{Token: shared.Token(KubeletBootstrap)}), "paused", certificatesv1.KubeAPIServerClientKubeletSignerName)
	time.Sleep(500 * time.Millisecond)
	got := conditions(t, name)
	if err := shared.ResumeControllerManager(); err != nil {
		t.Fatal(err)
	}
	if len(got) > 0 {
		t.Errorf("while it is paused the CSR was decided: %v", got)
	}
	issued(t, shared, name)
}

// alive are those of the processes that still run; a zombie does not.
func alive(pids []int) (running []int) {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && !bytes.Contains(stat, []byte(") Z ")) {
			running = append(running, pid)
		}
	}
	return running
}

func (cp *ControlPlane) pids() []int {
	return []int{cp.etcd.pid(), cp.apiServer.pid(), cp.controllerManager.pid()}
}

func TestStopLeavesNoProcessAndNoFolderEvenWhenTheAPIServerIsPaused(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	further := net.IPv4(127, 0, 0, 2)
	cp, err := Start(ctx, Options{Addresses: []net.IP{further}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cp.Kubectl("--server=https://"+net.JoinHostPort(further.String(), strconv.Itoa(cp.port.Number())), "get", "nodes"); err != nil {
		t.Errorf("at its further address: %v", err)
	}
	if string(cp.CA()) != string(cp.SignerCA()) {
		t.Error("without SplitCA there are two CAs")
	}
	pids, dir := cp.pids(), cp.Dir()
	if got := alive(pids); len(got) != 3 {
		t.Fatalf("of %v only %v run", pids, got)
	}
	if err := cp.PauseAPIServer(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	cp.Stop()
	t.Logf("stopped in %v", time.Since(begin))
	if got := alive(pids); len(got) > 0 {
		t.Errorf("still running after Stop: %v", got)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	cp.Stop() // a second time does nothing
}

// orphanVariable makes the test binary a program that starts a control plane, prints its pids and hangs.
const orphanVariable = "CONTROLPLANE_TEST_ORPHAN_DIR"

func orphanMain() {
	cp, err := Start(context.Background(), Options{Dir: os.Getenv(orphanVariable)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(strings.Trim(fmt.Sprint(cp.pids()), "[]"))
	time.Sleep(time.Hour)
}

func TestAKilledTestBinaryLeavesNoProcess(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), orphanVariable+"="+t.TempDir())
	parent.Stderr = os.Stderr
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { // if the test ends early
		_ = parent.Process.Kill()
		_ = parent.Wait()
	}()
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for field := range strings.FieldsSeq(line) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if got := alive(pids); len(got) != 3 {
		t.Fatalf("of %v only %v run", pids, got)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	defer func() { // if the test fails
		for _, pid := range alive(pids) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	eventually(t, "the processes of a killed test binary to end", func() bool { return len(alive(pids)) == 0 })
}

func TestAMissingProgramIsSaidWithTheRemedy(t *testing.T) {
	t.Setenv(assetsVariable, t.TempDir())
	_, err := Start(t.Context(), Options{})
	if err == nil || !strings.Contains(err.Error(), "run make control-plane") {
		t.Errorf("got %v", err)
	}
}

func TestAComponentThatEndsAtOnceIsSaidWithItsLastWordsAndNothingIsLeft(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	_, err := Start(t.Context(), Options{APIServerFlags: []string{"--no-such-flag"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(temporary); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
