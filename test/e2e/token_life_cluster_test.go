package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

// proxyOfClusterInfo is a proxy that the control plane's cluster-info leads to from now on.
func proxyOfClusterInfo(t *testing.T, cp *controlplane.ControlPlane) *faultproxy.Proxy {
	t.Helper()
	proxy, err := faultproxy.New(strings.TrimPrefix(cp.Server(), "https://"))
	must(t, err)
	t.Cleanup(func() { _ = proxy.Close() })
	maps := cp.AdminClient().CoreV1().ConfigMaps(metav1.NamespacePublic)
	if _, err := maps.Get(t.Context(), "cluster-info", metav1.GetOptions{}); apierrors.IsNotFound(err) {
		publishClusterInfo(t, cp)
	}
	kubeconfig, err := cp.Kubeconfig(proxy.URL(), clientcmdapi.AuthInfo{})
	must(t, err)
	eventually(t, "cluster-info leads through the proxy", func() bool { // bootstrapsigner writes there too
		info, err := maps.Get(t.Context(), "cluster-info", metav1.GetOptions{})
		must(t, err)
		info.Data["kubeconfig"] = string(kubeconfig)
		_, err = maps.Update(t.Context(), info, metav1.UpdateOptions{})
		return err == nil
	})
	return proxy
}

// pinOf is the hash that a node knows the control plane's CA by.
func pinOf(t *testing.T, cp *controlplane.ControlPlane) string {
	t.Helper()
	block, _ := pem.Decode(cp.CA())
	ca, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return string(discovery.PinOf(ca))
}

// A token whose time is over is deleted by the cluster itself (tokencleaner). A node that comes too late with it says what is
// wrong, and goes on with the next one that it is given.
func TestANodeThatComesWithATokenWhichTheClusterHasCleanedUpGoesOnWithTheNextOne(t *testing.T) {
	t.Parallel()
	cp := shared(t)
	n := newNode(t, cp)
	n.flags = append(n.flags, measured...)
	token := n.secretToken().Token
	n.bootstrap(clientcmdapi.AuthInfo{Token: token})
	must(t, cp.PatchBootstrapToken(t.Context(), token, map[string]string{controlplane.TokenExpiration: controlplane.Expiration(time.Now())}))
	id, _, _ := strings.Cut(token, ".")
	eventually(t, "tokencleaner has deleted the token", func() bool {
		_, err := cp.AdminClient().CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), "bootstrap-token-"+id, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	d := n.start()
	d.awaitLog("reason=unauthorized")
	d.awaitStatus("client: unauthorized: create certificate signing request " + n.name)
	d.awaitStatus("It is bootstrap-token-" + id + "; when it is good again, or another token is put in its place, the same request goes on")
	d.awaitMetric(`errors_total{phase="client",reason="unauthorized"} > 0`)
	n.assertNothingLost(n.bootstrapBytes())
	if requests := n.csrs(csr.Client); len(requests) > 0 {
		t.Errorf("%d requests with a token that is over", len(requests))
	}
	n.bootstrap(n.secretToken())
	n.awaitJoined()
	n.awaitRid()
	n.csr(csr.Client)
	if posts := n.asked(csr.Client); len(posts) != 2 || posts[0].Verb != "create" || posts[0].Code != http.StatusCreated {
		t.Errorf("the new token took %v, expected one POST and one WATCH", posts)
	}
}
