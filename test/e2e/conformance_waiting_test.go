package e2e

import (
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// What takes long in the cluster: a kubelet gives up after 15 minutes and begins anew with another key, one more object each time.
func TestASlowClusterIsWaitedForWithOneRequest(t *testing.T) {
	t.Parallel()
	cp := manual(t)
	t.Run("the token expires and is cleaned away before anybody approves", func(t *testing.T) { outliveToken(t, cp) })
	t.Run("approved and not issued, over a restart", func(t *testing.T) { outwaitSigner(t, cp) })
}

// outliveToken has a token that ends while the request waits. The watch that was begun with it lives on, and brings the certificate.
func outliveToken(t *testing.T, cp *controlplane.ControlPlane) {
	t.Helper()
	n := newNode(t, cp)
	token, err := cp.CreateBootstrapToken(t.Context(), controlplane.TokenOptions{TTL: 3 * time.Second})
	must(t, err)
	id, secret, _ := strings.Cut(token, ".")
	n.secret([]byte(secret))
	n.bootstrap(clientcmdapi.AuthInfo{Token: token})
	n.start()
	n.expectVerbs(csr.Client, "create", "watch")
	eventually(t, "the expired token's Secret is deleted", func() bool {
		_, err := cp.AdminClient().CoreV1().Secrets(metav1.NamespaceSystem).Get(t.Context(), "bootstrap-token-"+id, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	n.approve(csr.Client)
	n.awaitJoined()
	n.expectVerbs(csr.Client, "create", "watch")
	n.awaitRid()
}

// outwaitSigner has a signer that does nothing about an approved request: it is not sent again, nor followed by another.
func outwaitSigner(t *testing.T, cp *controlplane.ControlPlane) {
	t.Helper()
	n := newNode(t, cp)
	n.bootstrap(n.secretToken())
	d := n.start()
	name := n.csr(csr.Client).Name
	n.expectVerbs(csr.Client, "create", "watch")
	must(t, cp.PauseControllerManager())
	defer func() { must(t, cp.ResumeControllerManager()) }()
	n.approve(csr.Client)
	d.awaitStatus("is approved and not issued yet")
	time.Sleep(aWhile())
	n.expectVerbs(csr.Client, "create", "watch")
	key := n.pending(certdir.Client).KeyPEM
	d.kill()
	d = n.start()
	d.awaitStatus("is approved and not issued yet")
	n.same(csr.Client, name)
	if after := n.pending(certdir.Client); string(after.KeyPEM) != string(key) {
		t.Error("there is another key after a restart")
	}
	must(t, cp.ResumeControllerManager())
	n.awaitJoined()
	n.same(csr.Client, name)
	n.expectVerbs(csr.Client, "create", "watch", "get", "watch")
}
