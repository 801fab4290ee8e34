package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// shared is the control plane of all tests that neither stop nor reconfigure it.
var shared *ControlPlane

func TestMain(m *testing.M) {
	if os.Getenv(orphanVariable) != "" {
		orphanMain()
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	begin := time.Now()
	var err error
	if shared, err = Start(ctx, Options{SplitCA: true, Log: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintf(os.Stderr, "control plane: all in %.1f s\n", time.Since(begin).Seconds())
	defer shared.Stop()
	return m.Run()
}

// clientOf is a client with a credential, for requests as somebody else than the admin.
func clientOf(t *testing.T, cp *ControlPlane, user clientcmdapi.AuthInfo) kubernetes.Interface {
	t.Helper()
	content, err := cp.Kubeconfig("", user)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	if err != nil {
		t.Fatal(err)
	}
	config.UserAgent = "test " + t.Name()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func whoAmI(t *testing.T, client kubernetes.Interface) authenticationv1.UserInfo {
	t.Helper()
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo
}

// nodeCSR is a CSR for a node, client or serving, and the key it was made with.
func nodeCSR(t *testing.T, node, signer string) (*certificatesv1.CertificateSigningRequest, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.CertificateRequest{Subject: pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}}
	usage := certificatesv1.UsageClientAuth
	if signer == certificatesv1.KubeletServingSignerName {
		template.DNSNames, usage = []string{node}, certificatesv1.UsageServerAuth
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM, err := marshalKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: unique(node)}, // given, so that the audit log has it
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: signer,
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, usage},
		},
	}, keyPEM
}

// unique makes a name that no other run of a test uses (go test -count).
func unique(prefix string) string { return strings.ToLower(prefix + "-" + rand.Text()) }

// ask creates a CSR.
func ask(t *testing.T, client kubernetes.Interface, node, signer string) (name string, keyPEM []byte) {
	t.Helper()
	csr, keyPEM := nodeCSR(t, node, signer)
	created, err := client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), csr, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created.Name, keyPEM
}

// issued waits for the certificate of a CSR.
func issued(t *testing.T, cp *ControlPlane, name string) []byte {
	t.Helper()
	var certificate []byte
	eventually(t, "CSR "+name+" to be issued", func() bool {
		csr, err := cp.AdminClient().CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		certificate = csr.Status.Certificate
		return len(certificate) > 0
	})
	return certificate
}

// eventually fails the test when the condition does not come true within 10 s.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
