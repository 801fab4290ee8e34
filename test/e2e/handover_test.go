package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/cert"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// kubeletConf is the kubelet's kubeconfig on a node that kubeadm made.
func (n *node) kubeletConf() string { return n.path("kubelet.conf") }

// kubeadmDropIn makes of a test's kubelet one as kubeadm configures it: it rotates its client certificate, and knows its callers by the
// cluster's own CA file.
const kubeadmDropIn = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
rotateCertificates: true
enforceNodeAllocatable: [none] # a kubelet that merges drop-ins forgets the empty list
authentication: {x509: {clientCAFile: %[1]s/ca.crt}}
%[2]s`

// kubeadmFlags are those of a kubelet that bootstraps itself as kubeadm has it do it: with a token in a file of its own, to a kubeconfig with
// the CA in it and the path of its client certificate.
func (n *node) kubeadmFlags(more string) []string {
	n.t.Helper()
	n.write(n.path("ca.crt"), n.cp.CA(), 0o644)
	n.write(n.path("kubelet.d", "00-kubeadm.conf"), fmt.Appendf(nil, kubeadmDropIn, n.dir, more), 0o644)
	return []string{"--bootstrap-kubeconfig=" + n.path("bootstrap-kubelet.conf"), "--kubeconfig=" + n.kubeletConf(), "--config-dir=" + n.path("kubelet.d")}
}

// bootstrapsItself starts such a kubelet, and returns when it has its identity. Its token is what kubeadm leaves to nobody: it goes.
func (n *node) bootstrapsItself(more string) *kubelet {
	n.t.Helper()
	k := n.bootstrapsItselfBeside(more)
	eventually(n.t, "the kubelet has an identity", func() bool { _, err := n.certDir().Read(certdir.Client); return err == nil })
	return k
}

func (n *node) bootstrapsItselfBeside(more string) *kubelet {
	n.t.Helper()
	content, err := n.cp.Kubeconfig("", n.secretToken())
	must(n.t, err)
	file := n.path("bootstrap-kubelet.conf")
	n.write(file, content, 0o600)
	n.t.Cleanup(func() { os.Remove(file) }) // also where the test fails: before it is looked for secrets
	k := n.startKubelet(freeAddress(n.t), "", n.kubeadmFlags(more)...)
	eventually(n.t, "the kubelet has registered its Node", func() bool { k.assertRuns(n.t); return n.isRegistered() })
	must(n.t, os.Remove(file))
	return k
}

func (n *node) isRegistered() bool {
	_, err := n.cp.AdminClient().CoreV1().Nodes().Get(n.t.Context(), n.name, metav1.GetOptions{})
	return err == nil
}

// requestsBy are the names of the node's requests of a kind that the agent has made, or the kubelet.
func (n *node) requestsBy(kind csr.Kind, agent bool) []string {
	n.t.Helper()
	var names []string
	for _, c := range n.csrs(kind) {
		if strings.HasPrefix(c.Name, "csr-") != agent { // the kubelet leaves the name to the API server
			names = append(names, c.Name)
		}
	}
	return names
}

func (n *node) assertRequests(kind csr.Kind, agents, kubelets int) {
	n.t.Helper()
	if a, k := n.requestsBy(kind, true), n.requestsBy(kind, false); len(a) != agents || len(k) != kubelets {
		n.t.Fatalf("%s requests: the agent's %q and the kubelet's %q, expected %d and %d", kind, a, k, agents, kubelets)
	}
}

// TestAKubeletThatBootstrappedItselfIsTakenOverAndGivenBack goes the way of docs/taking-over.md, there and back.
func TestAKubeletThatBootstrappedItselfIsTakenOverAndGivenBack(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	k := n.bootstrapsItself("")
	conf, err := os.ReadFile(n.kubeletConf())
	must(t, err)
	if !bytes.Contains(conf, []byte("certificate-authority-data:")) || !bytes.Contains(conf, []byte(n.certDir().Current(certdir.Client))) {
		t.Fatalf("the kubelet wrote another kubeconfig than kubeadm's nodes have:\n%s", conf)
	}
	its := n.serial(certdir.Client)

	n.approveServing(0)
	n.flags = append(n.flags, "--kubeconfig="+n.kubeletConf())
	d := n.start()
	d.awaitReady()
	n.awaitServing()
	d.awaitStatus("so does the agent; restart the kubelet with --rotate-certificates=false")
	n.expect(n.run([]string{"status"}), 4, "attention", "rotates the client certificate (rotateCertificates: true in "+n.path("kubelet.d", "00-kubeadm.conf")+")")
	d.awaitLog("took over the identity that the kubelet has")
	if warnings := strings.Count(d.log(), "level=WARN"); warnings != 1 || strings.Contains(d.log(), "level=ERROR") {
		t.Errorf("%d warnings, expected one, of the two rotators", warnings)
	}
	n.assertRequests(csr.Client, 0, 1)
	n.assertRequests(csr.Serving, 1, 0)
	n.assertHolds(n.kubeletConf(), conf)
	if now := n.serial(certdir.Client); now != its {
		t.Error("the client certificate is not the kubelet's own any more")
	}
	k.assertRuns(t)

	k.end() // and the drop-in for kubeadm's nodes says this
	k = n.startKubelet(freeAddress(t), "", "--kubeconfig="+n.kubeletConf(), "--config-dir="+n.path("kubelet.d"), "--rotate-certificates=false")
	n.awaitServes(k)
	n.expect(n.run([]string{"status"}), 0, "well")
	n.age(certdir.Client)
	n.expect(n.rotate("client"), 0)
	eventually(t, "the client certificate is another", func() bool { return n.serial(certdir.Client) != its })
	n.assertRequests(csr.Client, 1, 1)
	n.assertHolds(n.kubeletConf(), conf)
	n.assertKubeadmFinds(n.name)

	n.giveBack(d, k, conf)
}

// giveBack lets the kubelet rotate again, without the agent.
func (n *node) giveBack(d *daemon, k *kubelet, conf []byte) {
	n.t.Helper()
	if code, _ := d.stop(); code != 0 {
		n.t.Fatalf("the agent ended with %d", code)
	}
	ours := n.serial(certdir.Client)
	n.expect(n.run([]string{"reset", "--keep-identity", "--yes"}), 0)
	k.assertRuns(n.t)
	k.end()
	k = n.startKubelet(freeAddress(n.t), "", n.kubeadmFlags("")...) // its bootstrap file is gone, as on any node that kubeadm made
	eventually(n.t, "the kubelet serves", func() bool { _, err := serving.Served(n.t.Context(), k.address); return err == nil })
	time.Sleep(aWhile())
	k.assertRuns(n.t)
	n.assertRequests(csr.Client, 1, 1)
	n.assertHolds(n.kubeletConf(), conf)
	if now := n.serial(certdir.Client); now != ours {
		n.t.Error("the kubelet did not go on with the agent's certificate")
	}
	for _, name := range []string{"kubelet.crt", "kubelet.key"} {
		n.assertRegular(n.path("pki", name), 0o600)
	}
}

// assertKubeadmFinds does what "kubeadm upgrade node" does to find out for which node it works: the user of the kubelet's kubeconfig, its
// certificate, the name in it (k8s.io/kubernetes cmd/kubeadm/app/util/config, getNodeNameFromKubeletConfig).
func (n *node) assertKubeadmFinds(name string) {
	n.t.Helper()
	config, err := clientcmd.LoadFromFile(n.kubeletConf())
	must(n.t, err)
	content, err := os.ReadFile(config.AuthInfos[config.Contexts[config.CurrentContext].AuthInfo].ClientCertificate)
	must(n.t, err)
	certificates, err := cert.ParseCertsPEM(content)
	must(n.t, err)
	if found := certificates[0].Subject.CommonName; found != "system:node:"+name {
		n.t.Errorf("kubeadm would work for %s", found)
	}
	who, err := n.cp.KubectlWith(n.kubeletConf(), "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	must(n.t, err)
	if who != "system:node:"+name {
		n.t.Errorf("with the kubelet's kubeconfig one is %q", who)
	}
}

func (n *node) awaitServes(k *kubelet) {
	n.t.Helper()
	eventually(n.t, "the kubelet serves what is on the disk", func() bool { return n.compare(k).Taken == serving.Took })
}

// end kills the kubelet.
func (k *kubelet) end() {
	_ = k.cmd.Process.Kill() // gone already is as good
	<-k.ended
}

// TestAnIdentityOfAnotherKubeconfigIsLeftAloneUntilItIsKnownWhereTheClusterIs has an agent that was told nothing come to a node of kubeadm's.
func TestAnIdentityOfAnotherKubeconfigIsLeftAloneUntilItIsKnownWhereTheClusterIs(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrapsItself("")
	its, before := n.serial(certdir.Client), n.files()
	d := n.start("--serving=off")
	d.awaitReady() // a kubelet that runs has what it needs
	d.awaitStatus("put a bootstrap kubeconfig")
	d.awaitStatus("set kubeconfig: " + n.kubeletConf() + " in the agent's configuration")
	n.expect(n.run([]string{"status"}, "--serving=off"), 3, "set kubeconfig: "+n.kubeletConf())
	if now := n.files(); !slices.Equal(before, slices.DeleteFunc(now, func(name string) bool { return name == "pki/.bootstrap-agent.lock" })) {
		t.Errorf("there is %q, and was %q", now, before)
	}

	n.bootstrap(n.secretToken())
	eventually(t, "the kubeconfig is there and the token is not", func() bool {
		_, err := os.Lstat(n.bootstrapFile())
		return errors.Is(err, fs.ErrNotExist) && n.whoAmI() == "system:node:"+n.name
	})
	n.assertJoined()
	n.assertRequests(csr.Client, 0, 1)
	if now := n.serial(certdir.Client); now != its {
		t.Error("the client certificate is not the kubelet's own any more")
	}
}

// TestAnAgentThatWasThereFirstAdoptsWhatTheKubeletGetsForItself is a node that kubeadm lets join, with the agent installed before.
func TestAnAgentThatWasThereFirstAdoptsWhatTheKubeletGetsForItself(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.flags = append(n.flags, "--kubeconfig="+n.kubeletConf())
	n.approveServing(0)
	d := n.start()
	if took := d.awaitReady(); took > 10*time.Second {
		t.Errorf("the kubelet was held back for %s", took)
	}
	k := n.bootstrapsItself("")
	n.awaitServing()
	d.awaitStatus("serving: valid until")
	n.awaitServes(k)
	n.assertRequests(csr.Client, 0, 1)
	n.assertRequests(csr.Serving, 1, 0)
	n.assertKubeadmFinds(n.name)
}
