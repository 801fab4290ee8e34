package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// kubelet is the real one, as far as it comes on a container runtime that is never ready: it registers its Node and serves, and makes
// no cgroup and no pod.
type kubelet struct {
	cmd     *exec.Cmd
	address string
	ended   chan struct{}

	mu   sync.Mutex
	said bytes.Buffer
}

// kubeletConfig keeps it from everything that lasts longer than the test. Of the host it changes nothing: what it mounts and makes
// outside of its folders goes with its mount namespace.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
rotateCertificates: false
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
makeIPTablesUtilChains: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: %[1]s/pki/kubelet-client-ca.crt}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://%[2]s/cri.sock
podLogsDir: %[1]s/logs
volumePluginDir: %[1]s/plugins
address: %[3]s
port: %[4]s
healthzPort: 0
`

// startKubelet starts a kubelet at address with what the agent has written and nothing else. It is killed when the test ends.
func (n *node) startKubelet(address, config string, args ...string) *kubelet {
	n.t.Helper()
	program, err := controlplane.Program("kubelet")
	must(n.t, err)
	folder, err := os.MkdirTemp("", "kubelet-") // the path of a socket in there has at most 107 bytes, less than some test's own folder
	must(n.t, err)
	n.t.Cleanup(func() { os.RemoveAll(folder) })
	neverReadyRuntime(n.t, folder+"/cri.sock")
	k := &kubelet{address: address, ended: make(chan struct{})}
	host, port, _ := strings.Cut(k.address, ":")
	n.write(n.path("kubelet.yaml"), fmt.Appendf(nil, kubeletConfig+config, n.dir, folder, host, port), 0o600)
	args = append([]string{
		"-c", `mount -t tmpfs tmpfs /var/log && PATH="$1" && shift && exec "$@"`, "sh", n.dir, program, // it finds no iptables, no mount
		"--config=" + n.path("kubelet.yaml"), "--kubeconfig=" + n.kubeconfig(), "--cert-dir=" + n.certDir().Path, "--root-dir=" + folder + "/root",
		"--hostname-override=" + n.name,
	}, args...)
	k.cmd = exec.CommandContext(context.Background(), "sh", args...)
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Unshareflags: syscall.CLONE_NEWNS}
	k.cmd.Stdout, k.cmd.Stderr = k, k
	if err := k.cmd.Start(); err != nil {
		n.t.Fatalf("start a kubelet with mounts of its own, which is for root, who must run this test: %v", err)
	}
	go func() {
		defer close(k.ended)
		_ = k.cmd.Wait() // its state tells
	}()
	n.t.Cleanup(func() {
		_ = k.cmd.Process.Kill() // gone already is as good
		<-k.ended
		fmt.Fprintln(&n.said, k.log())
		if n.t.Failed() {
			n.t.Logf("the kubelet said:\n%s", k.log())
		}
	})
	return k
}

func (k *kubelet) Write(text []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.said.Write(text)
}

func (k *kubelet) log() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.said.String()
}

func (k *kubelet) assertRuns(t *testing.T) {
	t.Helper()
	select {
	case <-k.ended:
		t.Fatalf("the kubelet has ended: %v", k.cmd.ProcessState)
	default:
	}
}

// compare is what the agent would find out by dialling: whether the kubelet serves the pair that is current on the disk.
func (n *node) compare(k *kubelet) serving.Comparison {
	n.t.Helper()
	k.assertRuns(n.t)
	pair, err := n.certDir().Read(certdir.Serving)
	must(n.t, err)
	return serving.Compare(n.t.Context(), []string{k.address}, pair.Leaf)
}

// freeAddress is one of loopback where nobody listens, and nobody will soon: no outgoing connection is given a port of this address.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.10:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}

// neverReadyRuntime is a container runtime (CRI over gRPC) that knows its version and nothing more. Without a status of it the kubelet
// does not begin with what needs a runtime.
func neverReadyRuntime(t *testing.T, socket string) {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(answerVersion), Protocols: &http.Protocols{}}
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(listener) }() // until it is closed
	t.Cleanup(func() { server.Close() })
}

// answerVersion answers with a VersionResponse, whose four fields are strings, and to anything else with an empty message.
func answerVersion(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	var message []byte
	if strings.HasSuffix(r.URL.Path, "RuntimeService/Version") {
		for i, text := range []string{"0.1.0", "never-ready", "1.0.0", "v1"} {
			const lengthDelimited = 2
			message = append(append(message, byte(i+1)<<3|lengthDelimited, byte(len(text))), text...)
		}
	}
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write(append([]byte{0, 0, 0, 0, byte(len(message))}, message...)) // not compressed, and how long it is
	w.Header().Set("Grpc-Status", "0")
}
