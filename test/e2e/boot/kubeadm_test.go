package boot

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// A node as kubeadm and its packages make it: the unit, its drop-in, what kubeadm join leaves behind.
const (
	kubeadmUnit = `[Unit]
Description=kubelet: The Kubernetes Node Agent
Wants=network-online.target
After=network-online.target
[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10
[Install]
WantedBy=multi-user.target
`
	kubeadmDropIn = `[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`
	kubeadmKubeconfig = "/etc/kubernetes/kubelet.conf"
	kubeadmBootstrap  = "/etc/kubernetes/bootstrap-kubelet.conf"
	dropInFolder      = "/etc/systemd/system/kubelet.service.d"
)

// installKubeadms is what kubeadm join does, up to where it waits for the kubelet.
func (n *node) installKubeadms() {
	n.t.Helper()
	must(n.t, os.Symlink("/opt/kubernetes/kubelet", n.Path("/usr/bin/kubelet")))
	n.Write("/usr/lib/systemd/system/kubelet.service", kubeadmUnit, 0o644)
	n.Write("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", kubeadmDropIn, 0o644)
	n.Write("/etc/kubernetes/pki/ca.crt", string(n.cp.CA()), 0o644)
	must(n.t, os.MkdirAll(n.Path("/etc/kubernetes/manifests"), 0o755))
	n.kubeadmConfigures()
	n.Write("/var/lib/kubelet/kubeadm-flags.env", `KUBELET_KUBEADM_ARGS="--node-ip=`+n.IP.String()+"\"\n", 0o644)
	token, err := n.cp.CreateBootstrapToken(n.t.Context(), controlplane.TokenOptions{})
	must(n.t, err)
	content, err := n.cp.Kubeconfig(server(n.cp), clientcmdapi.AuthInfo{Token: token})
	must(n.t, err)
	n.Write(kubeadmBootstrap, string(content), 0o600)
	n.Enable("/usr/lib/systemd/system/kubelet.service")
}

// kubeadmConfigures writes the kubelet's configuration, as kubeadm join does, and each kubeadm upgrade node again.
func (n *node) kubeadmConfigures() {
	config := strings.ReplaceAll(kubeletConfiguration, certDir+"/kubelet-client-ca.crt", "/etc/kubernetes/pki/ca.crt")
	n.Write("/var/lib/kubelet/config.yaml", config+"rotateCertificates: true\n", 0o644)
}

// TestANodeThatKubeadmMadeIsTakenOverAndGivenBack goes the way of docs/kubeadm.md and docs/taking-over.md with the shipped files.
func TestANodeThatKubeadmMadeIsTakenOverAndGivenBack(t *testing.T) {
	t.Parallel()
	n := bootNode(t, options{noAgent: true, noKubelet: true, prepare: (*node).installKubeadms})
	n.awaitReady()
	must(t, os.Remove(n.Path(kubeadmBootstrap))) // by kubeadm join
	conf := n.read(kubeadmKubeconfig)
	pid := n.MainPID(kubeletUnit)
	health := n.watchHealth()
	n.approveServing(0)

	n.installAgent()
	n.Write(configFile, "apiVersion: bootstrap-agent.io/v1alpha1\nkind: BootstrapAgentConfiguration\nkubeconfig: "+kubeadmKubeconfig+"\nnodeIP: "+n.IP.String()+"\n", 0o644)
	n.Shell("systemctl daemon-reload && systemctl start bootstrap-agent")
	eventually(t, "the agent says that there are two rotators", func() bool {
		return strings.Contains(n.status(), "rotates the client certificate (rotateCertificates: true in /var/lib/kubelet/config.yaml), and so does the agent")
	})
	n.assertServes("taken-over")
	n.assertAgentSays("attention", "restart the kubelet with --rotate-certificates=false")
	if now := n.MainPID(kubeletUnit); now != pid {
		t.Errorf("the kubelet's pid was %d and is %d", pid, now)
	}
	n.assertRequested(1, 1)

	dropIn, err := os.ReadFile("../../../deploy/systemd/kubelet.service.d/30-kubeadm.conf")
	must(t, err)
	n.Write(dropInFolder+"/30-kubeadm.conf", string(dropIn), 0o644)
	n.Shell("systemctl daemon-reload && systemctl restart kubelet")
	n.assertAgentSays("well")
	n.kubeadmConfigures() // as kubeadm upgrade node does
	n.Shell("systemctl restart kubelet")
	n.assertAgentSays("well")
	n.assertServes("upgraded")
	n.assertRequested(1, 1)

	n.Shell("systemctl disable --now bootstrap-agent && bootstrap-agent reset --keep-identity --yes && rm " + dropInFolder + "/30-kubeadm.conf && systemctl daemon-reload && systemctl restart kubelet")
	n.assertServes("given-back")
	n.assertRequested(1, 1)
	if now := n.read(kubeadmKubeconfig); now != conf {
		t.Errorf("%s was\n%s\nand is\n%s", kubeadmKubeconfig, conf, now)
	}
	if restarts := n.Unit(kubeletUnit, "NRestarts"); restarts != "0" {
		t.Errorf("the kubelet ended by itself, %s times:\n%s", restarts, n.Journal(kubeletUnit))
	}
	if missed := health(); missed > 0 {
		t.Errorf("the Node was not Ready at %d looks", missed)
	}
}

// watchHealth looks at the Node until the function that it returns is called, which returns how often it was not Ready.
func (n *node) watchHealth() func() int {
	stop, done, missed := make(chan struct{}), make(chan struct{}), 0
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
				if object := n.object(); object != nil && !n.isReady() {
					missed++
				}
			}
		}
	}()
	return func() int {
		close(stop)
		<-done
		return missed
	}
}

func (n *node) read(path string) string {
	n.t.Helper()
	content, err := os.ReadFile(n.Path(path))
	must(n.t, err)
	return string(content)
}

// assertAgentSays waits until bootstrap-agent status says so.
func (n *node) assertAgentSays(texts ...string) {
	n.t.Helper()
	says := func() (said string, all bool) {
		said, _ = n.Try("bootstrap-agent", "status") // its exit code is not 0 in most states
		return said, !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(said, text) })
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, all := says(); all {
			return
		}
	}
	said, _ := says()
	n.t.Fatalf("not within a minute: %q in\n%s", texts, said)
}

func (n *node) assertRequested(client, serving int) {
	n.t.Helper()
	if c, s := n.requests(); len(c) != client || len(s) != serving {
		n.t.Errorf("client requests %q and serving requests %q, expected %d and %d", c, s, client, serving)
	}
}
