package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// kubeletConfig has the kubelet bootstrap first and only then go on: rotateCertificates: false (with true it writes its
// kubeconfig before it has any certificate).
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
rotateCertificates: false
serverTLSBootstrap: false
failCgroupV1: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix://%s
`

// joinKubelet has the kubelet bootstrap itself and kills it before it does any work: it never gets past waiting for its container
// runtime, so it makes no mount and no cgroup. As it comes it makes a serving pair of its own first, with two RSA keys.
func (t *track) joinKubelet(ctx context.Context, ownPair, idle bool) (join, error) {
	n, err := t.newNode(ctx)
	if err != nil {
		return join{}, err
	}
	defer n.changes.close()
	config := fmt.Sprintf(kubeletConfig, t.runtime.socket)
	if !ownPair { // told of one, which it would read later than this
		config += fmt.Sprintf("tlsCertFile: %[1]s/served.crt\ntlsPrivateKeyFile: %[1]s/served.key\n", n.dir)
	}
	if err := os.WriteFile(n.file("config.yaml"), []byte(config), 0o600); err != nil {
		return join{}, err
	}
	command := program.Command(ctx, t.kubelet,
		"--config="+n.file("config.yaml"), "--bootstrap-kubeconfig="+n.file("bootstrap.kubeconfig"), "--kubeconfig="+n.file("kubelet.kubeconfig"),
		"--cert-dir="+n.file("pki"), "--root-dir="+n.file("root"), "--hostname-override="+n.name)
	// It tries out umount and systemd-run at start, which leave traces in /run: here it finds neither, and is a little faster for it.
	command.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PATH=") }),
		"PATH="+n.file("pki"), "TMPDIR="+n.dir)
	p, err := start(ctx, command)
	if err != nil {
		return join{}, err
	}
	defer p.kill()
	j := join{}
	if j.identity, err = p.until(ctx, n, n.file("kubelet.kubeconfig"), unix.IN_CLOSE_WRITE); err != nil {
		return join{}, err
	}
	if j.requests, err = t.requests(n, p.started); err != nil {
		return join{}, err
	}
	if idle {
		j.resident, err = p.residentIdle(ctx)
	}
	return j, err
}

// silentRuntime is where a container runtime would listen. Nobody answers there.
type silentRuntime struct {
	socket   string
	listener net.Listener
}

func newSilentRuntime(dir string) (*silentRuntime, error) {
	s := &silentRuntime{socket: filepath.Join(dir, "cri.sock")}
	var err error
	s.listener, err = net.Listen("unix", s.socket)
	return s, err
}

func (s *silentRuntime) close() { s.listener.Close() }
