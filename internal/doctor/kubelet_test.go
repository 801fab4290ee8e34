package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// told gives the running kubelet further arguments.
func toldAlso(args ...string) func(*sick) {
	return func(n *sick) { n.kubelet = append(n.fitting(), args...) }
}

// stopped is a node without a running kubelet, whose unit gives it further arguments.
func stopped(args ...string) func(*sick) {
	return func(n *sick) {
		n.kubelet = nil
		n.write(kubeletFile, "[Service]\nEnvironment=\"KUBELET_ARGS="+strings.Join(append(n.fitting(), args...), " ")+"\"\nExecStart=/usr/bin/kubelet $KUBELET_ARGS\n", 0o644)
	}
}

func kubeletIllnesses() []illness {
	bootstrapHere := func(n *sick) { n.noIdentity(); n.bootstrap("https://127.0.0.1:6443") }
	staticPod := file("/etc/kubernetes/manifests/apiserver.yaml", "kind: Pod\nspec: {hostNetwork: true, containers: [{args: [--secure-port=6443]}]}\n")
	return []illness{
		{name: "two rotators", make: toldAlso("--rotate-certificates"), check: "kubelet-settings", verdict: Attention, says: []string{"rotates the client certificate", "and so does the agent", "restart the kubelet with --rotate-certificates=false"}},
		{name: "it bootstraps itself", make: toldAlso("--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf"), check: "kubelet-settings", verdict: Attention, says: []string{"--bootstrap-kubeconfig", "start it without that flag"}},
		{name: "nobody may call it", make: toldAlso("--client-ca-file="), check: "kubelet-settings", verdict: Attention, says: []string{"has no clientCAFile", "kubectl logs", "authentication.x509.clientCAFile"}},
		{name: "two rotators, when it runs again", make: stopped("--rotate-certificates"), check: "kubelet-settings", verdict: Attention, says: []string{"kubelet.service, which does not run now, rotates the client certificate"}},
		{name: "its unit is well", make: stopped(), check: "kubelet-settings", verdict: OK, says: []string{"kubelet.service, which does not run now, is told"}},
		{name: "none runs, and no unit tells", make: both(stopped(), without(kubeletFile)), check: "kubelet-settings", verdict: Unknown, says: []string{"no kubelet runs"}},
		{name: "its configuration cannot be read", make: toldAlso("--config=/not/there"), check: "kubelet-settings", verdict: Unknown, says: []string{"not/there"}},

		{name: "the kubeconfig was written since", make: func(n *sick) { n.age(n.now.Add(-time.Minute), n.cfg.Kubeconfig) }, check: "kubelet-restart", verdict: Attention, says: []string{"kubelet.kubeconfig was written after the kubelet was started", restartKubelet}},
		{name: "a CA was written since", make: func(n *sick) { n.age(n.now.Add(-time.Minute), n.dir().ClientCA()) }, check: "kubelet-restart", verdict: Unknown, says: []string{"CA file", "from version 1.36 on", "node-object", restartKubelet}},
		{name: "none runs", make: stopped(), check: "kubelet-restart", verdict: Unknown, says: []string{"no kubelet of this node runs", "systemctl start kubelet.service"}},

		{name: "the certificate before", make: func(n *sick) {
			n.serves(n.ca.issue(n.t, nodeSubject, n.now.Add(-day), n.now.Add(day)))
		}, check: "kubelet-serves", verdict: Attention, says: []string{"serves a certificate until", "1.31", restartKubelet}},
		{name: "the certificate before, for a moment", make: func(n *sick) {
			n.serves(n.current(certdir.Serving))
			n.storeServing(n.ca.issue(n.t, nodeSubject, n.now.Add(-time.Second), n.now.Add(day)))
		}, check: "kubelet-serves", verdict: OK, says: []string{"up to two minutes"}},
		{name: "not this node's", make: func(n *sick) {
			n.serves(n.ca.issue(n.t, "somebody", n.now.Add(-day), n.now.Add(day)))
		}, check: "kubelet-serves", verdict: Unknown, says: []string{"somebody", "--kubelet-address"}},
		{name: "none runs", make: both(stopped(), func(n *sick) { n.cfg.KubeletAddress = "127.0.0.1:1" }), check: "kubelet-serves", verdict: Unknown, says: []string{"no kubelet of this node runs"}},

		{name: "an API server elsewhere", make: func(n *sick) { n.bootstrap(apiServer) }, check: "own-endpoint", verdict: OK, says: []string{"is not on this machine"}},
		{name: "an API server here that is no static pod", make: bootstrapHere, check: "own-endpoint", verdict: OK, says: []string{"no static pods"}},
		{name: "an API server that the kubelet has to run", make: both(bootstrapHere, staticPod), check: "own-endpoint", verdict: Broken, says: []string{"/etc/kubernetes/manifests/apiserver.yaml serves it", "kubeletServer: https://127.0.0.1:6443"}},
		{name: "something here that the kubelet may have to run", make: both(bootstrapHere, file("/var/lib/kubelet/config.yaml", "staticPodPath: /srv/pods\n"), file("/srv/pods/proxy.json", `{"kind": "Pod"}`)), check: "own-endpoint", verdict: Attention, says: []string{"1 static pods in /srv/pods", "kubeletServer"}},
		{name: "with an identity the kubelet runs", make: both(staticPod, func(n *sick) { n.bootstrap("https://localhost:6443") }), check: "own-endpoint", verdict: OK, says: []string{"has its identity"}},
	}
}

// The words of the findings are another package's: each must come apart into what is the matter and what to do.
func TestEveryFindingAboutTheKubeletHasItsRemedy(t *testing.T) {
	t.Parallel()
	n := wellNode(t)
	n.write("/other.crt", string(newAuthority(t, "other", n.now.Add(day)).pem), 0o644)
	seen := 0
	for _, args := range [][]string{
		{"--kubeconfig=/other"},
		{"--cert-dir=/other"},
		{"--rotate-certificates"},
		{"--rotate-server-certificates"},
		{"--bootstrap-kubeconfig=/b"},
		{"--tls-cert-file=/a", "--tls-private-key-file=/b"},
		{"--client-ca-file="},
		{"--client-ca-file=" + n.path("/other.crt")},
		{"--hostname-override=worker-2"},
		{"--node-ip=192.0.2.77"},
	} {
		for _, rotates := range []bool{true, false} {
			cfg := n.cfg
			cfg.RotateCertificates, cfg.RotateServerCertificates, cfg.NodeIP = rotates, rotates, "192.0.2.10"
			seen += n.findings(cfg, args)
		}
	}
	if seen < 15 {
		t.Errorf("%d findings only", seen)
	}
}

func (n *sick) findings(cfg config.Config, args []string) int {
	n.t.Helper()
	o := status.Observe(cfg, n.now)
	for pid := range 2 { // two of them are a finding too
		k := node.ParseKubelet(append(append([]string{"/usr/bin/kubelet"}, n.fitting()...), args...), os.DirFS("/"))
		k.Process.PID = pid + 1
		o.Kubelets = append(o.Kubelets, k)
	}
	findings := o.KubeletFindings(cfg)
	for _, finding := range findings {
		r := fromFinding(finding, "")
		if r.Verdict != Attention || r.Remedy == "" || r.Text == "" || strings.Contains(r.Text, filepath.Base(restartKubelet)) {
			n.t.Errorf("%q becomes %+v", finding.Text, r)
		}
	}
	return len(findings)
}
