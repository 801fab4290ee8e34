// Command demo shows on one screen what bootstrap-agent is, by doing it: a real control plane, a real node's certificates, a
// person's kubectl. Every command that it shows is the one that it runs. It leaves no process and no file behind.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

const nodeName = "worker-1"

func main() { program.Main("demo", demo) }

func demo(ctx context.Context) error {
	path, err := program.Agent()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bootstrap-agent-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	short := strings.NewReplacer(dir, "…", path, "bin/bootstrap-agent")
	s := &story{screen: newScreen(os.Stdout, short), dir: dir, path: path}
	defer s.end()
	s.screen.title("bootstrap-agent turns the bootstrap token of a Kubernetes node into the node's certificates, before its kubelet starts.")
	for _, part := range []struct {
		heading string
		show    func(context.Context) error
	}{
		{"A control plane: etcd, kube-apiserver, kube-controller-manager", s.startControlPlane},
		{"The admin makes a bootstrap token", s.makeToken},
		{"A node starts, and the agent before its kubelet", s.startNode},
		{"The serving certificate is approved by a person, or an approver of the cluster's own", s.approve},
		{"What the kubelet finds, and who it is with that", s.showFiles},
		{"The token is gone", s.showTokenGone},
		{"What the agent says about the node", s.showStatus},
		{"What it took", s.showCost},
		{"A new client certificate, asked for with the old one", s.rotate},
		{"Its file is damaged, and comes back", s.heal},
		{"What Prometheus sees of it", s.showMetrics},
		{"Killed, and started again", s.restart},
	} {
		s.screen.heading(part.heading)
		if err := part.show(ctx); err != nil {
			return err
		}
	}
	return nil
}

// story is what the parts of the demo hand on to each other.
type story struct {
	screen *screen
	dir    string // of the node
	path   string // of the agent
	cp     *controlplane.ControlPlane
	admin  *admin
	token  token
	agent  *agent
}

// end takes away what is running. The agent goes first, since it would look for its API server.
func (s *story) end() {
	s.screen.finish()
	if s.agent != nil {
		s.agent.end(syscall.SIGKILL)
	}
	if s.cp != nil {
		s.cp.Stop()
	}
}

func (s *story) file(name string) string { return filepath.Join(s.dir, name) }

func (s *story) startControlPlane(ctx context.Context) (err error) {
	s.screen.begin("starting …")
	begin := time.Now()
	if s.cp, err = controlplane.Start(ctx, controlplane.Options{}); err != nil {
		return err
	}
	took := time.Since(begin)
	version, err := s.cp.AdminClient().Discovery().ServerVersion()
	if err != nil {
		return err
	}
	s.screen.say("Kubernetes %s is up after %.1f s, on 127.0.0.1 and for this demo only. Nothing is faked.", version.GitVersion, took.Seconds())
	s.admin, err = newAdmin(s.screen, s.cp)
	return err
}

func (s *story) makeToken(ctx context.Context) (err error) {
	if s.token, err = s.admin.makeToken(ctx, s.dir); err != nil {
		return err
	}
	bootstrap, err := s.cp.Kubeconfig("", clientcmdapi.AuthInfo{Token: s.token.String()})
	if err != nil {
		return err
	}
	s.screen.say("…/bootstrap.kubeconfig gets the API server's address, its CA and the token: from an image, or by cloud-init.")
	return os.WriteFile(s.file("bootstrap.kubeconfig"), bootstrap, 0o600)
}

// nodeConfig stands in for the defaults: /etc/kubernetes and /var/lib/kubelet/pki.
const nodeConfig = `apiVersion: bootstrap-agent.io/v1alpha1
kind: BootstrapAgentConfiguration
bootstrapKubeconfig: %[1]s/bootstrap.kubeconfig
kubeconfig: %[1]s/kubelet.kubeconfig
certDir: %[1]s/pki
hostnameOverride: %[2]s
nodeIP: 192.0.2.10
webListenAddress: 127.0.0.1:0
`

func (s *story) startNode(ctx context.Context) (err error) {
	if err := os.WriteFile(s.file("config.yaml"), fmt.Appendf(nil, nodeConfig, s.dir, nodeName), 0o644); err != nil {
		return err
	}
	if s.agent, err = startAgent(ctx, s.screen, s.path, s.dir, "run", "--config", s.file("config.yaml")); err != nil {
		return err
	}
	return s.agent.show(ctx, "the API server has the certificate signing request", "certificate=serving")
}

func (s *story) approve(ctx context.Context) error {
	if err := s.admin.run(ctx, "get", "csr"); err != nil {
		return err
	}
	if err := s.agent.show(ctx, "waiting for approval"); err != nil {
		return err
	}
	requests, err := s.cp.CSRs(ctx, nodeName)
	if err != nil {
		return err
	}
	for _, request := range requests {
		if len(request.Status.Conditions) > 0 {
			continue
		}
		if err := s.admin.run(ctx, "certificate", "approve", request.Name); err != nil {
			return err
		}
	}
	return s.agent.show(ctx, "serving", "valid until")
}
