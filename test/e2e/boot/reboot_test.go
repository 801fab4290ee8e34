package boot

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

const staticPod = `apiVersion: v1
kind: Pod
metadata: {name: static}
spec:
  hostNetwork: true
  containers: [{name: pod, image: "` + imageName + `", imagePullPolicy: Never}]
`

// atOnce is what a test allows for what is promised within a second: four machines boot at a time, on two cores. What was measured is printed.
const atOnce = 4 * time.Second

// reboots are what a node can come up with, and nobody to ask. In each the kubelet is started at once and its static pods run; and when
// somebody can be asked again, the node is Ready without anything being restarted.
var reboots = []struct {
	name string
	// spoil is done to the disk of the machine while it is off.
	spoil func(n *node)
	// hold is the longest that the kubelet may be held back; --start-hold is 5 s here.
	hold time.Duration
	// credential: the identity is lost, and a new credential is needed afterwards.
	credential bool
	// hangs: the API server takes connections and never answers, instead of being down.
	hangs bool
	// kubeletEnds: the kubelet cannot run with what is there, and is started again and again by systemd until it can.
	kubeletEnds bool
}{
	{name: "all is well", hold: atOnce},
	{name: "the serving certificate is garbage", hold: atOnce, spoil: func(n *node) { n.garble("server") }},
	{name: "the serving certificate is garbage, and nobody answers", hold: atOnce, hangs: true, spoil: func(n *node) { n.garble("server") }},
	{name: "the target of kubelet.crt is gone", hold: atOnce, spoil: func(n *node) { must(n.t, os.Remove(n.current("server"))) }},
	{name: "the identity is expired", hold: atOnce, credential: true, spoil: (*node).expireClient},
	{name: "the identity is garbage and there is no credential", hold: atOnce, credential: true, kubeletEnds: true, spoil: func(n *node) { n.garble("client") }},
	{name: "the identity is garbage and there is a credential", hold: 5*time.Second + atOnce, kubeletEnds: true, spoil: func(n *node) {
		n.garble("client")
		n.giveCredential()
	}},
}

// TestANodeRebootsWhileTheAPIServerIsDown goes through them, each on a machine of its own.
func TestANodeRebootsWhileTheAPIServerIsDown(t *testing.T) {
	t.Parallel()
	for _, r := range reboots {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{prepare: func(n *node) {
				n.giveCredential()
				n.Write("/etc/kubernetes/manifests/static.yaml", staticPod, 0o644)
				n.Write(configFile, "apiVersion: bootstrap-agent.io/v1alpha1\nkind: BootstrapAgentConfiguration\nstartHold: 5s\n", 0o644)
			}})
			n.approveServing(0)
			n.Start()
			n.AwaitBoot(time.Minute)
			n.awaitReady()
			eventually(t, "the serving certificate is issued", func() bool { return strings.Contains(n.status(), "serving: valid until") })
			n.Halt()
			if r.spoil != nil {
				r.spoil(n)
			}
			n.way.down()
			if r.hangs {
				n.way.hang()
			}
			n.Start()
			n.AwaitBoot(time.Minute)
			held := n.Time(agentUnit, "ActiveEnterTimestampMonotonic") - n.Time(agentUnit, "ExecMainStartTimestampMonotonic")
			t.Logf("the kubelet was held back for %s", held.Round(time.Millisecond))
			if held > r.hold {
				t.Errorf("the kubelet was held back for %s", held)
			}
			if !r.kubeletEnds {
				n.awaitStaticPod()
				if restarts := n.Unit(kubeletUnit, "NRestarts"); restarts != "0" {
					t.Errorf("the kubelet was restarted %s times", restarts)
				}
			}
			agent := n.MainPID(agentUnit)
			n.way.up()
			up := time.Now()
			if r.credential {
				n.giveCredential()
			}
			eventually(t, "the node reports itself again", func() bool { return n.leaseRenewed().After(up) })
			n.awaitStaticPod()
			if now := n.MainPID(agentUnit); now != agent {
				t.Errorf("the agent's pid was %d and is %d", agent, now)
			}
		})
	}
}

// TestAKubeletStartedAloneIsNotLetLooseOnADanglingLink deletes the target of kubelet.crt while the agent is stopped: a kubelet would write
// its own key through the link and never start again. Its start brings the agent up first.
func TestAKubeletStartedAloneIsNotLetLooseOnADanglingLink(t *testing.T) {
	t.Parallel()
	n := bootNode(t, options{prepare: (*node).giveCredential})
	n.awaitReady()
	n.Run("systemctl", "stop", kubeletUnit, agentUnit)
	must(t, os.Remove(n.current("server")))
	n.Run("systemctl", "start", kubeletUnit)
	if state := n.Unit(agentUnit, "ActiveState"); state != "active" {
		t.Errorf("the agent is %s", state)
	}
	eventually(t, "the kubelet serves the pair that is there", func() bool {
		return n.servedLeaf() != "" && n.servedLeaf() == n.leaf("server")
	})
	if restarts := n.Unit(kubeletUnit, "NRestarts"); restarts != "0" {
		t.Errorf("the kubelet was restarted %s times:\n%s", restarts, n.Journal(kubeletUnit))
	}
}

// TestTheAgentJoinsUnderCgroupsOfBothVersions is the other one; all other tests have version 1, which is what a kubelet runs on here.
func TestTheAgentJoinsUnderCgroupsOfVersion2(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{cgroupV2: true, noKubelet: true, prepare: (*node).giveCredential})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(time.Minute)
	n.assertTokenGone()
	eventually(t, "both certificates are there", func() bool { return strings.Contains(n.status(), "serving: valid until") })
	if state := n.Unit(agentUnit, "ActiveState"); state != "active" {
		t.Errorf("the agent is %s:\n%s", state, n.Journal(agentUnit))
	}
}

// awaitStaticPod waits until containerd runs the static pod. Its images are gone with the power.
func (n *node) awaitStaticPod() {
	n.t.Helper()
	n.importImage()
	eventually(n.t, "the static pod runs", func() bool {
		tasks, err := n.Try("ctr", "--namespace=k8s.io", "tasks", "ls")
		return err == nil && strings.Count(tasks, "RUNNING") >= 2 // its sandbox and its container
	})
}

// garble makes of a pair what a power cut makes of it on other file systems than careful ones.
func (n *node) garble(kind string) {
	must(n.t, os.WriteFile(n.current(kind), make([]byte, 4096), 0o600))
}

// expireClient puts in place of the client pair one of the same name whose time is over.
func (n *node) expireClient() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(n.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "system:node:" + n.Name, Organization: []string{"system:nodes"}},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(n.t, err)
	private, err := x509.MarshalECPrivateKey(key)
	must(n.t, err)
	pair := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})...)
	must(n.t, os.WriteFile(n.current("client"), pair, 0o600))
}
