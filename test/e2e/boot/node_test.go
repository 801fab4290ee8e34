package boot

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/machine"
)

// Where things are on a node.
const (
	bootstrapFile  = "/etc/kubernetes/bootstrap.kubeconfig"
	kubeconfigFile = "/etc/kubernetes/kubelet.kubeconfig"
	configFile     = "/etc/bootstrap-agent/config.yaml"
	certDir        = "/var/lib/kubelet/pki"

	agentUnit   = "bootstrap-agent.service"
	kubeletUnit = "kubelet.service"
)

// options say how a node differs from the ordinary one, which has containerd, a kubelet that is enabled, and the agent as the package
// installs it, enabled; no credential.
type options struct {
	// prepare is called with the node, its root below n.Root, before it boots for the first time.
	prepare func(n *node)
	// kubeletConfig are further lines of its KubeletConfiguration, kubeletArgs further arguments.
	kubeletConfig, kubeletArgs string
	// noAgent leaves the agent out, noKubelet the kubelet.
	noAgent, noKubelet bool
	// CgroupV2 as [machine.Options] has it. A kubelet does not run there: the hierarchy has no controllers.
	cgroupV2 bool
}

// node is a machine of the cluster.
type node struct {
	*machine.Machine
	t   *testing.T
	cp  *controlplane.ControlPlane
	way *way
	options
}

// bootNode boots a node and waits until the boot is over.
func bootNode(t *testing.T, o options) *node {
	t.Helper()
	n := newNode(t, o)
	n.Start()
	n.AwaitBoot(time.Minute)
	return n
}

// newNode makes a node that is switched off.
func newNode(t *testing.T, o options) *node {
	t.Helper()
	n := &node{t: t, cp: cluster(t), options: o}
	n.way = newWay(t, n.cp)
	programs, err := controlplane.Program("kubelet")
	must(t, err)
	n.Machine = machine.New(t, machine.Options{
		Containers: true, CgroupV2: o.cgroupV2,
		Binds: map[string]string{"/opt/kubernetes": filepath.Dir(programs), "/opt/test": built},
	})
	n.installContainerd()
	if !o.noKubelet {
		n.installKubelet()
	}
	if !o.noAgent {
		n.installAgent()
	}
	if o.prepare != nil {
		o.prepare(n)
	}
	return n
}

const containerdConfig = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true # a container may not lower it
  sandbox_image = "` + imageName + `"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
`

func (n *node) installContainerd() {
	host := n.IP.To4()[3]
	n.Write("/etc/containerd/config.toml", containerdConfig, 0o644)
	n.Write("/etc/cni/net.d/10-test.conflist", fmt.Sprintf(`{"cniVersion":"0.4.0","name":"test","plugins":[
  {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.244.%d.0/24"}]]}},
  {"type":"loopback"}]}`, host), 0o644)
	n.Enable("/lib/systemd/system/containerd.service")
}

const kubeletConfiguration = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: ` + certDir + `/kubelet-client-ca.crt}}
authorization: {mode: Webhook}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
staticPodPath: /etc/kubernetes/manifests
nodeStatusUpdateFrequency: 2s
`

const kubeletService = `[Unit]
Description=kubelet
Wants=containerd.service
After=containerd.service
[Service]
ExecStart=/opt/kubernetes/kubelet --config=/var/lib/kubelet/config.yaml --kubeconfig=` + kubeconfigFile + ` --cert-dir=` + certDir + ` --node-ip=%s %s
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
`

func (n *node) installKubelet() {
	n.Write("/var/lib/kubelet/config.yaml", kubeletConfiguration+n.kubeletConfig, 0o644)
	n.Write("/etc/systemd/system/kubelet.service", fmt.Sprintf(kubeletService, n.IP, n.kubeletArgs), 0o644)
	n.Enable("/etc/systemd/system/kubelet.service")
	must(n.t, os.MkdirAll(n.Path("/etc/kubernetes/manifests"), 0o755))
}

// installAgent lays out what the package installs.
func (n *node) installAgent() {
	const top = "../../../"
	for path, source := range map[string]string{
		"/usr/bin/bootstrap-agent":                                          filepath.Join(built, "bootstrap-agent"),
		"/usr/lib/systemd/system/bootstrap-agent.service":                   top + "deploy/systemd/bootstrap-agent.service",
		"/usr/lib/systemd/system/kubelet.service.d/20-bootstrap-agent.conf": top + "deploy/systemd/kubelet.service.d/20-bootstrap-agent.conf",
	} {
		content, err := os.ReadFile(source)
		must(n.t, err)
		mode := os.FileMode(0o644)
		if strings.HasPrefix(path, "/usr/bin/") {
			mode = 0o755
		}
		n.Write(path, string(content), mode)
	}
	for _, folder := range []string{"/etc/bootstrap-agent", "/etc/kubernetes", "/var/lib/kubelet"} {
		must(n.t, os.MkdirAll(n.Path(folder), 0o755))
	}
	n.Enable("/usr/lib/systemd/system/bootstrap-agent.service")
}

// Enable has multi-user.target want a unit, on a machine that need not run.
func (n *node) Enable(file string) {
	link := n.Path("/etc/systemd/system/multi-user.target.wants/" + filepath.Base(file))
	must(n.t, os.MkdirAll(filepath.Dir(link), 0o755))
	must(n.t, os.Symlink(file, link))
}

// credential is a bootstrap.kubeconfig with a fresh bootstrap token.
func (n *node) credential() string {
	n.t.Helper()
	token, err := n.cp.CreateBootstrapToken(n.t.Context(), controlplane.TokenOptions{TTL: time.Hour})
	must(n.t, err)
	return n.credentialOf(token)
}

// credentialOf is a bootstrap.kubeconfig with a token.
func (n *node) credentialOf(token string) string {
	n.t.Helper()
	content, err := n.cp.Kubeconfig(n.way.url(), clientcmdapi.AuthInfo{Token: token})
	must(n.t, err)
	return string(content)
}

// giveCredential puts one where the agent looks, as cloud-init's write_files does.
func (n *node) giveCredential() { n.t.Helper(); n.Write(bootstrapFile, n.credential(), 0o600) }

// approveServing approves this node's serving requests from now until the test ends, each after the delay.
func (n *node) approveServing(delay time.Duration) (stop func()) {
	stop = n.cp.ApproveServing(n.t.Context(), isOf(n.Name), delay)
	n.t.Cleanup(stop)
	return stop
}

// object is the Node of the API; nil when there is none, or nobody answers.
func (n *node) object() *corev1.Node {
	object, err := n.cp.AdminClient().CoreV1().Nodes().Get(context.Background(), n.Name, metav1.GetOptions{})
	if err != nil {
		return nil
	}
	return object
}

func (n *node) isReady() bool {
	object := n.object()
	if object == nil {
		return false
	}
	for _, condition := range object.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (n *node) awaitReady() {
	n.t.Helper()
	eventually(n.t, n.Name+" is Ready", n.isReady)
}

// runPod runs a pod on the node and waits until it runs. There is no scheduler: it says itself where it belongs.
func (n *node) runPod(name string) {
	n.t.Helper()
	n.importImage()
	pods := n.cp.AdminClient().CoreV1().Pods("default")
	no := false
	grace := int64(0)
	eventually(n.t, "the pod is made (its service account must be there)", func() bool {
		_, err := pods.Create(n.t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.PodSpec{
				NodeName: n.Name, AutomountServiceAccountToken: &no, TerminationGracePeriodSeconds: &grace,
				Containers: []corev1.Container{{Name: "pod", Image: imageName, ImagePullPolicy: corev1.PullNever}},
			},
		}, metav1.CreateOptions{})
		return err == nil || apierrors.IsAlreadyExists(err)
	})
	eventually(n.t, "the pod runs", func() bool {
		pod, err := pods.Get(n.t.Context(), name, metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning
	})
}

// importImage gives containerd the image of the pods; it forgets it when the machine is switched off.
func (n *node) importImage() {
	n.t.Helper()
	eventually(n.t, "containerd takes the image", func() bool {
		_, err := n.Try("ctr", "--namespace=k8s.io", "images", "import", "/opt/test/image.tar")
		return err == nil
	})
}

// logs is what kubectl logs prints of a pod: the API server calls the kubelet for it, and verifies its serving certificate.
func (n *node) logs(pod string) (string, error) { return n.cp.Kubectl("logs", pod) }

// exec is what kubectl exec prints.
func (n *node) exec(pod string, args ...string) (string, error) {
	return n.cp.Kubectl(append([]string{"exec", pod, "--"}, args...)...)
}

// requests are the CSRs of the node: those of its client certificate and of its serving certificate.
func (n *node) requests() (client, serving []string) {
	n.t.Helper()
	csrs, err := n.cp.CSRs(context.Background(), n.Name)
	must(n.t, err)
	for _, csr := range csrs {
		if csr.Spec.SignerName == "kubernetes.io/kubelet-serving" {
			serving = append(serving, csr.Name)
		} else {
			client = append(client, csr.Name)
		}
	}
	return client, serving
}

// status is the agent's STATUS= line.
func (n *node) status() string { n.t.Helper(); return n.Unit(agentUnit, "StatusText") }
