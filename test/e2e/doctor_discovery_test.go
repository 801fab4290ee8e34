package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/doctor"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// withDiscovery has doctor look at a node that has this token, and knows the cluster by this hash.
func withDiscovery(n *node, token, pin string) func(*doctor.Patient) {
	n.write(n.path("bootstrap.token"), []byte(token), 0o600)
	n.keeps(n.path("bootstrap.token"))
	return func(p *doctor.Patient) {
		p.Config.DiscoveryTokenFile, p.Config.APIServers = n.path("bootstrap.token"), []string{strings.TrimPrefix(n.cp.Server(), "https://")}
		p.Config.DiscoveryCACertHashes = []string{pin}
		p.Observed = status.Observe(p.Config, p.Observed.Now)
	}
}

// findsOutWhereTheClusterIs has doctor ask a real cluster-info, which the real bootstrapsigner signs, and holds the remedies against it.
func findsOutWhereTheClusterIs(t *testing.T, cp *controlplane.ControlPlane) {
	eventually(t, "cluster-info is published", func() bool { // by the test of refused tokens beside this one
		_, err := cp.AdminClient().CoreV1().ConfigMaps(metav1.NamespacePublic).Get(t.Context(), "cluster-info", metav1.GetOptions{})
		return err == nil
	})
	n := newNode(t, cp)
	token := n.secretToken().Token
	id, _, _ := strings.Cut(token, ".")
	awaitSigned(t, cp, id)
	eventually(t, "everybody may read cluster-info", func() bool {
		return strings.Contains(n.examine(withDiscovery(n, token, pinOf(t, cp))).String(), "signed with the token "+id)
	})
	before := n.questions()
	f := n.examine(withDiscovery(n, token, pinOf(t, cp)))
	f.says("discovery", doctor.OK, "signed with the token "+id+", that the cluster is "+cp.Server())
	f.says("tls", doctor.OK, "trusted by the CA in cluster-info")
	f.says("who-am-i", doctor.OK, "takes the bootstrap credential for system:bootstrap:"+id)
	f.says("node-taken", doctor.Unknown, "cannot be seen by the bootstrap credential")
	if asked := n.questions() - before; asked != 9 {
		t.Errorf("it has asked %d questions, expected 9: cluster-info twice, version, who am I, create, get, watch (which another test takes away at times), nodeclient, node", asked)
	}

	n.secret([]byte("0123456789abcdef"))
	n.examine(withDiscovery(n, id+".0123456789abcdef", pinOf(t, cp))).says("discovery", doctor.Broken, "(signature)", "kubeadm token list")
	unknown := n.examine(withDiscovery(n, "zzzzzz.0123456789abcdef", pinOf(t, cp)))
	unknown.says("discovery", doctor.Waiting, "(not-signed)", "get secret bootstrap-token-zzzzzz")
	pin := n.examine(withDiscovery(n, token, "sha256:"+strings.Repeat("0", 64))).says("discovery", doctor.Broken, "(pin)", pinOf(t, cp))
	printed, err := exec.Command("/bin/sh", "-c", strings.NewReplacer("bootstrap-agent ", plainProgram(t)+" ", "/etc/kubernetes/pki/ca.crt", filepath.Join(cp.Dir(), "pki", "ca.crt")).Replace(pin.Command)).CombinedOutput()
	if err != nil || strings.TrimSpace(string(printed)) != pinOf(t, cp) {
		t.Errorf("the command %q prints %q (%v), expected %s", pin.Command, printed, err, pinOf(t, cp))
	}
}
