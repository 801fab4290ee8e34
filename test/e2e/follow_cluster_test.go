package e2e

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// clusterInfoFollowers are nodes that follow cluster-info, by a clock in which its ten minutes take two seconds.
type clusterInfoFollowers struct {
	t  *testing.T
	cp *controlplane.ControlPlane
	// pinned knows the next CA by its pin; crossed knows only the first one; late is like crossed, and away while all happens.
	pinned, crossed, late   *node
	pinnedSays, crossedSays hurriedDaemon
}

func followersOfClusterInfo(t *testing.T, cp *controlplane.ControlPlane) *clusterInfoFollowers {
	t.Helper()
	publishClusterInfo(t, cp)
	f := &clusterInfoFollowers{t: t, cp: cp}
	f.pinned, f.pinnedSays = f.node("pinned", "--discovery-ca-cert-hash="+caPinOf(t, first(cp.NextCA())))
	f.crossed, f.crossedSays = f.node("crossed")
	late, d := f.node("late")
	d.end()
	f.late = late
	return f
}

func caPinOf(t *testing.T, ca []byte) string {
	t.Helper()
	bundle, err := discovery.ParseBundle(ca)
	must(t, err)
	return string(discovery.PinOf(bundle[0]))
}

func (f *clusterInfoFollowers) node(name string, flags ...string) (*node, hurriedDaemon) {
	f.t.Helper()
	n := newNode(f.t, f.cp)
	n.dir, n.name = f.t.TempDir(), name
	n.flags = append([]string{"--hostname-override=" + name, "--node-ip=192.0.2.10", "--serving=off", "--ca-from-cluster-info"}, flags...)
	n.bootstrap(n.secretToken())
	d := n.startHurried(hurry(300))
	n.awaitJoined()
	n.awaitCA(f.cp.CA())
	return n, d
}

// publish changes the CA in cluster-info, as an administrator does with kubectl edit.
func (f *clusterInfoFollowers) publish(ca []byte) {
	f.t.Helper()
	was, err := f.cp.Kubeconfig("", clientcmdapi.AuthInfo{})
	must(f.t, err)
	text := strings.ReplaceAll(string(was), base64.StdEncoding.EncodeToString(f.cp.CA()), base64.StdEncoding.EncodeToString(ca))
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"kubeconfig": text}})
	must(f.t, err)
	_, err = f.cp.AdminClient().CoreV1().ConfigMaps(metav1.NamespacePublic).Patch(f.t.Context(), "cluster-info", types.MergePatchType, patch, metav1.PatchOptions{})
	must(f.t, err)
}

// learnOfTheNextCA shows what each of them makes of what the cluster publishes before the API server uses it.
func (f *clusterInfoFollowers) learnOfTheNextCA() {
	f.t.Helper()
	old := f.cp.CA()
	next, crossed := f.cp.NextCA()
	f.publish(slices.Concat(old, next)) // as the procedure says
	f.pinned.awaitCA(slices.Concat(old, next))
	f.crossedSays.awaitStatus("ca: cluster-info names a CA that is neither pinned nor signed by one in use, and is not trusted: " + caPinOf(f.t, next))
	f.crossedSays.awaitStatus("add " + caPinOf(f.t, next) + " to discoveryCACertHashes in /etc/bootstrap-agent/config.yaml, and then: systemctl restart bootstrap-agent")
	f.crossed.awaitCA(old)
	f.publish(slices.Concat(old, next, crossed))
	f.crossed.awaitCA(slices.Concat(old, next, crossed))
	f.pinned.awaitCA(slices.Concat(old, next, crossed))
}

// goOnWithTheNextCA shows that all of them can speak to the API server, and get their certificate from the new signer.
func (f *clusterInfoFollowers) goOnWithTheNextCA() {
	f.t.Helper()
	next, crossed := f.cp.NextCA()
	f.late.awaitCA(f.cp.CA())
	late := f.late.startHurried(hurry(300)) // it finds an API server that it does not know
	f.late.awaitCA(slices.Concat(f.cp.CA(), next, crossed))
	for _, n := range []*node{f.pinned, f.crossed, f.late} {
		must(f.t, n.certDir().AskToRotate(certdir.Client))
	}
	for _, n := range []*node{f.pinned, f.crossed, f.late} {
		eventually(f.t, n.name+" has a certificate of the new signer", func() bool { return n.leaf().Issuer.CommonName == "kubernetes-next" })
		n.assertJoined()
	}
	for _, d := range []hurriedDaemon{f.pinnedSays, f.crossedSays, late} { // in whose hours all expires that is valid for a day
		d.end()
	}
}
