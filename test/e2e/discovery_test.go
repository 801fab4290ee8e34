package e2e

import (
	"bytes"
	"context"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

// town is a control plane with cluster-info, which leads to a proxy: where somebody may stand in between.
type town struct {
	cp  *controlplane.ControlPlane
	way *faultproxy.Proxy
}

// TestDiscoveryAtAControlPlane has real bootstrapsigner and tokencleaner, and one control plane for all that is about cluster-info.
func TestDiscoveryAtAControlPlane(t *testing.T) {
	t.Parallel()
	v := &town{cp: own(t)}
	var err error
	v.way, err = faultproxy.New(strings.TrimPrefix(v.cp.Server(), "https://"))
	must(t, err)
	t.Cleanup(func() { _ = v.way.Close() })
	if !t.Run("waits for what the cluster has not yet", v.waits) {
		return
	}
	t.Run("joins with an address, a token and a hash", v.joins) // alone, for its requests are counted
	t.Run("joins with a systemd credential", v.joinsByCredential)
	t.Run("nobody in between", func(t *testing.T) {
		for name, test := range map[string]func(*testing.T){
			"joins with a file in place of the address":                    v.joinsByFile,
			"a rogue CA beside the pinned one is trusted nowhere":          v.leavesRogueOut,
			"a token that is deleted after the discovery is asked anew":    v.tokenDeleted,
			"a bootstrap kubeconfig that appears wins":                     v.kubeconfigWins,
			"an API server that has moved is found again":                  v.moves,
			"another token is tried at once, and the first one is no more": v.anotherToken,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
		t.Run("hostile", v.hostile)
	})
	t.Run("a man in the middle", v.manInTheMiddle)
}

// publish makes cluster-info, which names the proxy.
func (v *town) publish(t *testing.T) {
	t.Helper()
	publishClusterInfo(t, v.cp)
	kubeconfig, err := v.cp.Kubeconfig(v.way.URL(), clientcmdapi.AuthInfo{})
	must(t, err)
	maps := v.cp.AdminClient().CoreV1().ConfigMaps(metav1.NamespacePublic)
	eventually(t, "cluster-info names the proxy", func() bool { // the signer may write at the same time
		object, err := maps.Get(t.Context(), "cluster-info", metav1.GetOptions{})
		must(t, err)
		object.Data["kubeconfig"] = string(kubeconfig)
		_, err = maps.Update(t.Context(), object, metav1.UpdateOptions{})
		return err == nil
	})
}

func (v *town) address() string { return strings.TrimPrefix(v.cp.Server(), "https://") }

func (v *town) waits(t *testing.T) {
	token := randomToken()
	n := newDiscoverer(t, v.cp, token, v.address())
	d := n.startHurried(hurry(30))
	d.awaitLog("reason=forbidden")
	d.awaitStatus("lets system:anonymous read it")
	v.publish(t)
	d.awaitLog("reason=not-signed")
	d.awaitStatus("it is not signed with the token " + token[:6])
	newToken(t, v.cp) // another one
	d.awaitStatus("but with 1 other tokens")
	n.assertGone(n.kubeconfig())
	id, secret, _ := strings.Cut(token, ".")
	_, err := v.cp.CreateBootstrapToken(t.Context(), controlplane.TokenOptions{ID: id, Secret: secret})
	must(t, err)
	d.awaitLog("found out where the cluster is")
	n.awaitDiscovered()
	if strings.Contains(d.log(), secret) {
		t.Error("the secret is in the log")
	}
}

// joins has the agent as it is shipped, the first of whose servers is dead, and counts what the API server was asked.
func (v *town) joins(t *testing.T) {
	token := newToken(t, v.cp)
	dead, err := faultproxy.New(v.address())
	must(t, err)
	t.Cleanup(func() { _ = dead.Close() })
	dead.Down()
	n := newDiscoverer(t, v.cp, token, dead.Address(), v.address())
	n.approveServing(0)
	begin := time.Now()
	d := n.start()
	d.awaitLog("found out where the cluster is")
	n.awaitDiscovered()
	n.awaitServing()
	d.awaitReady()
	if c := n.kubeletCluster(); c.Server != v.way.URL() {
		t.Errorf("the kubelet is led to %s, and cluster-info names %s", c.Server, v.way.URL())
	}
	n.assertTrusts(v.cp.CA())
	v.assertAsked(t, begin, []string{"get configmaps as system:anonymous", "get configmaps as system:anonymous", "create certificatesigningrequests as system:bootstrap:" + token[:6]},
		map[string]int{"configmaps": 2, "certificatesigningrequests": 4, "selfsubjectreviews": 1, "nodes": 1})
	for _, name := range n.secretsLeft() {
		t.Errorf("the token is in %s", name)
	}
}

// assertTrusts shows that the node has these certificates and no other, as the API server's CA and as that of the kubelet's clients.
func (n *node) assertTrusts(ca []byte) {
	n.t.Helper()
	for _, path := range []string{n.certDir().ServerCA(), n.certDir().ClientCA()} {
		content, err := os.ReadFile(path)
		must(n.t, err)
		if !bytes.Equal(bytes.TrimSpace(content), bytes.TrimSpace(ca)) {
			n.t.Errorf("%s holds something else than the cluster's CA:\n%s", path, content)
		}
	}
}

// assertAsked compares the first requests of the agents since then with these, and how many there were of each resource.
func (v *town) assertAsked(t *testing.T, since time.Time, first []string, times map[string]int) {
	t.Helper()
	requests, err := v.cp.Requests("", controlplane.ByUserAgent("bootstrap-agent/"), controlplane.Since(since))
	must(t, err)
	var asked []string
	counted := map[string]int{}
	for _, r := range requests {
		asked = append(asked, r.Verb+" "+r.Resource+" as "+r.User)
		counted[r.Resource]++
	}
	if len(asked) < len(first) || !slices.Equal(asked[:len(first)], first) || !maps.Equal(counted, times) {
		t.Errorf("the agent has asked %q, expected to begin with %q, and in all %v", asked, first, times)
	}
}

func (v *town) joinsByFile(t *testing.T) {
	n := newDiscoverer(t, v.cp, newToken(t, v.cp))
	file, err := v.cp.Kubeconfig("", clientcmdapi.AuthInfo{})
	must(t, err)
	n.write(n.path("cluster-info.kubeconfig"), file, 0o644)
	n.flags = append(n.flags, "--discovery-file="+n.path("cluster-info.kubeconfig"))
	n.expect(n.once("--serving=off"), 0)
	n.awaitDiscovered()
	n.assertThere(n.path("cluster-info.kubeconfig"))
	n.assertTrusts(v.cp.CA())
}

// joinsByCredential has systemd give the token, which cannot be deleted, and means nothing beside an identity.
func (v *town) joinsByCredential(t *testing.T) {
	n := newDiscoverer(t, v.cp, newToken(t, v.cp), v.address())
	must(t, os.Rename(n.tokenFile(), n.path("discovery.token")))
	n.asSystemdCredentials("discovery.token")
	n.keeps(n.path("credentials", "discovery.token"))
	n.expect(n.once("--serving=off"), 0)
	n.assertJoined()
	n.assertThere(n.path("credentials", "discovery.token"))

	begin := time.Now()
	n.expect(n.once("--serving=off"), 0)
	n.csr(csr.Client)
	v.assertAsked(t, begin, nil, map[string]int{})
}

func (v *town) leavesRogueOut(t *testing.T) {
	f := newFront(t, v.cp, newToken(t, v.cp))
	rogue := rogueCA(t)
	signed := f.signs(clusterKubeconfig(f.proxy.URL(), append(rogue.pem(), v.cp.CA()...)))
	f.answersFirst(2, f.trusted(), func(w http.ResponseWriter, _ *http.Request) { answerInfo(w, signed) }, f.through)
	d := f.start()
	d.awaitLog("cluster-info names a CA that is neither pinned nor signed by one that is; it is not trusted")
	f.awaitDiscovered()
	f.assertTrusts(v.cp.CA())
	f.assertTrustedWithNothing()
	if !strings.Contains(d.log(), "CN=rogue") || strings.Contains(d.log(), f.token[7:]) {
		t.Error("the rogue CA is not named in the log, or the secret is")
	}
}

// tokenDeleted has an administrator delete the token when the agent has just found out where the cluster is.
func (v *town) tokenDeleted(t *testing.T) {
	f := newFront(t, v.cp, newToken(t, v.cp))
	signed := f.signs(clusterKubeconfig(f.proxy.URL(), v.cp.CA()))
	times := make(chan struct{}, 2)
	f.answersFirst(2, f.trusted(), func(w http.ResponseWriter, _ *http.Request) {
		if times <- struct{}{}; len(times) == 2 {
			if err := v.cp.DeleteBootstrapToken(context.WithoutCancel(t.Context()), f.token); err != nil {
				t.Error(err)
			}
		}
		answerInfo(w, signed)
	}, f.through)
	d := f.start()
	d.awaitLog("reason=unauthorized")
	d.awaitStatus("client: unauthorized: create certificate signing request")
	f.assertThere(f.tokenFile())
	f.give(newToken(t, v.cp))
	d.awaitLog("a new bootstrap credential is there")
	f.awaitDiscovered()
}

func (v *town) kubeconfigWins(t *testing.T) {
	f := newFront(t, v.cp, randomToken())
	f.keeps(f.tokenFile())
	d := f.start()
	d.awaitLog("reason=not-signed")
	f.bootstrap(f.secretToken())
	f.awaitJoined()
	f.awaitRid()
	if c := f.kubeletCluster(); c.Server != v.cp.Server() {
		t.Errorf("the kubelet is led to %s, expected the kubeconfig's server", c.Server)
	}
	f.csr(csr.Client)
}

// anotherToken is put there while the agent would wait for minutes.
func (v *town) anotherToken(t *testing.T) {
	good := newToken(t, v.cp)
	f := newFront(t, v.cp, good[:7]+randomToken()[7:])
	d := f.start()
	d.awaitLog("reason=signature")
	d.awaitStatus("has signed it with another secret of the token " + good[:6])
	f.give(good)
	d.awaitLog("found out where the cluster is")
	f.awaitDiscovered()
}

// moves has the API server go from where it was found before the node has its certificate.
func (v *town) moves(t *testing.T) {
	token := newToken(t, v.cp)
	f, gone := newFront(t, v.cp, token), newFront(t, v.cp, token) // of which only the address is used
	gone.keeps(gone.tokenFile())
	signed := f.signs(clusterKubeconfig(gone.proxy.URL(), v.cp.CA()))
	serve := func(w http.ResponseWriter, _ *http.Request) { answerInfo(w, signed) }
	f.answered(f.untrusted(), serve)
	gone.answersFirst(1, gone.trusted(), serve, func(net.Conn) {})
	d := f.startHurried(hurry(200), "--serving=off")
	d.awaitLog("server=" + gone.proxy.URL())
	d.awaitLog("reason=unreachable")
	f.proxy.Pass()
	f.awaitDiscovered()
	if c := f.kubeletCluster(); c.Server != v.way.URL() {
		t.Errorf("the kubelet is led to %s", c.Server)
	}
	f.assertTrustedWithNothing()
}
