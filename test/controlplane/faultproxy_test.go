package controlplane

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

// The API server behind a proxy: what tests of faults count on, with the real thing on both sides.

func proxied(t *testing.T) *faultproxy.Proxy {
	t.Helper()
	proxy, err := faultproxy.New(strings.TrimPrefix(shared.Server(), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	return proxy
}

// through is a client that gets to the API server by way of the proxy.
func through(t *testing.T, proxy *faultproxy.Proxy, user clientcmdapi.AuthInfo) kubernetes.Interface {
	t.Helper()
	content, err := shared.Kubeconfig(proxy.URL(), user)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestAClientCertificatePassesThroughTheProxy(t *testing.T) {
	t.Parallel()
	certPEM, keyPEM, err := shared.ClientCertificate("system:node:proxied", "system:nodes")
	if err != nil {
		t.Fatal(err)
	}
	user := whoAmI(t, through(t, proxied(t), clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM}))
	if user.Username != "system:node:proxied" {
		t.Errorf("got %s", user.Username)
	}
}

func TestACSRIsCreatedThoughItsAnswerIsLost(t *testing.T) {
	t.Parallel()
	proxy := proxied(t)
	certificate, err := shared.ServingCertificate(ServingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	forward, err := proxy.Forward(shared.CA())
	if err != nil {
		t.Fatal(err)
	}
	proxy.CloseMidBody(certificate, forward)

	client := through(t, proxy, clientcmdapi.AuthInfo{Token: shared.Token(Unapproved)})
	node := unique("answer-lost")
	csr, _ := nodeCSR(t, node, certificatesv1.KubeAPIServerClientKubeletSignerName)
	if _, err := client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), csr, metav1.CreateOptions{}); err == nil {
		t.Error("half an answer was taken for a whole one")
	}
	if list, err := shared.CSRs(t.Context(), node); err != nil || len(list) != 1 {
		t.Errorf("%d CSRs, %v; want the one that was sent", len(list), err)
	}
}

func TestAStandInOfTheAPIServerIsTrustedAndItsStatusUnderstood(t *testing.T) {
	t.Parallel()
	good, err := shared.ServingCertificate(ServingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	expired, err := shared.ServingCertificate(ServingOptions{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	// Each with a proxy of its own, since client-go keeps connections and finds out only at the next request that one is broken.
	ask := func(certificate tls.Certificate, handler http.Handler) (*faultproxy.Recording, error) {
		proxy := proxied(t)
		recording := proxy.Handler(certificate, handler)
		client := through(t, proxy, clientcmdapi.AuthInfo{Token: "any"})
		// without client-go's own retries, which would take 10 s of 429
		return recording, client.Discovery().RESTClient().Get().AbsPath("/api").MaxRetries(0).Do(t.Context()).Error()
	}

	recording, err := ask(good, faultproxy.Status(http.StatusUnauthorized))
	if !apierrors.IsUnauthorized(err) {
		t.Errorf("got %v, want 401", err)
	}
	if requests := recording.Requests(); len(requests) != 1 || !requests[0].Authorization {
		t.Errorf("recorded: %v", requests)
	}
	_, err = ask(good, faultproxy.RetryAfter(http.StatusTooManyRequests, time.Second))
	if seconds, ok := apierrors.SuggestsClientDelay(err); !apierrors.IsTooManyRequests(err) || !ok || seconds != 1 {
		t.Errorf("got %v (%d s), want 429 and a second", err, seconds)
	}
	recording, err = ask(expired, nil)
	if err == nil || !strings.Contains(err.Error(), "expired") || len(recording.Requests()) > 0 {
		t.Errorf("got %v, recorded %v; want a TLS error and nothing", err, recording.Requests())
	}
}
