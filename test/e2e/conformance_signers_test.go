package e2e

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// asker sends requests by the agent's own code, with the identity of a node.
func (n *node) asker() *csr.Asker {
	n.t.Helper()
	certPEM, keyPEM, err := n.cp.ClientCertificate("system:node:"+n.name, csr.NodesGroup)
	must(n.t, err)
	endpoint := apiserver.Endpoint{Server: n.cp.Server(), CA: n.cp.CA()}
	client, err := apiserver.New(endpoint, apiserver.Credential{CertificatePEM: certPEM, KeyPEM: keyPEM}, "bootstrap-agent/test", clock.RealClock{})
	must(n.t, err)
	n.t.Cleanup(client.Close)
	return &csr.Asker{API: client, Clock: clock.RealClock{}, AsNode: true, Accepted: func(*certificatesv1.CertificateSigningRequest) {}, Unwatchable: func(error) {}}
}

// wish is what the node would ask for.
func (n *node) wish(kind csr.Kind, algorithm string, seconds int32) csr.Wish {
	wish := csr.Wish{Kind: kind, NodeName: n.name, KeyAlgorithm: algorithm, ExpirationSeconds: seconds}
	if kind == csr.Serving {
		wish.DNSNames, wish.IPAddresses = []string{n.name}, []string{"192.0.2.10", "2001:db8::10"}
	}
	return wish
}

// clientAs is client-go's client with a credential.
func clientAs(t *testing.T, cp *controlplane.ControlPlane, user clientcmdapi.AuthInfo) kubernetes.Interface {
	t.Helper()
	content, err := cp.Kubeconfig("", user)
	must(t, err)
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	must(t, err)
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}

// The rules of kube-controller-manager's signers and the lifetimes of its TestCSRDuration and Test_signer_duration, with the requests
// that the agent makes: a control plane whose own duration is an hour issues what was asked for, no longer than that, and nothing else.
func TestEveryRequestOfOursIsSignedAsItAsksAndForAsLong(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.approveServing(0)
	asker, requests := n.asker(), 0
	for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
		for _, algorithm := range []string{"ecdsa-p256", "ecdsa-p384", "rsa-2048"} {
			for seconds, life := range map[int32]time.Duration{0: time.Hour, 600: 10 * time.Minute, 1800: 30 * time.Minute, 3600: time.Hour, 10800: time.Hour} {
				requests++
				t.Run(fmt.Sprintf("%s %s for %d s", kind, algorithm, seconds), func(t *testing.T) {
					t.Parallel()
					expectSigned(t, asker, n.wish(kind, algorithm, seconds), life)
				})
			}
		}
	}
	t.Logf("%d requests", requests)
}

func expectSigned(t *testing.T, asker *csr.Asker, wish csr.Wish, life time.Duration) {
	t.Helper()
	p, err := csr.New(wish, asker.API.Endpoint)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	before := time.Now()
	outcome, err := asker.Ask(ctx, p)
	must(t, err)
	if outcome.Result != csr.Issued {
		t.Fatalf("%s: %s %s", outcome.Result, outcome.Reason, outcome.Message)
	}
	p.CertificatePEM = outcome.CertificatePEM
	leaf, err := p.Check()
	must(t, err)
	if left := leaf.NotAfter.Sub(before).Round(time.Minute); left != life {
		t.Errorf("lives for %s, expected %s", left, life)
	}
	usage, extended := x509.KeyUsageDigitalSignature, x509.ExtKeyUsageClientAuth
	if strings.HasPrefix(wish.KeyAlgorithm, "rsa") {
		usage |= x509.KeyUsageKeyEncipherment
	}
	if wish.Kind == csr.Serving {
		extended = x509.ExtKeyUsageServerAuth
	}
	if leaf.KeyUsage != usage || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{extended}) {
		t.Errorf("usages %b %v, expected %b %v", leaf.KeyUsage, leaf.ExtKeyUsage, usage, extended)
	}
	if len(leaf.DNSNames) != len(wish.DNSNames) || len(leaf.IPAddresses) != len(wish.IPAddresses) {
		t.Errorf("names %v %v, asked were %v %v", leaf.DNSNames, leaf.IPAddresses, wish.DNSNames, wish.IPAddresses)
	}
}

// altered is a request like ours but for one thing.
type altered struct {
	template x509.CertificateRequest
	spec     certificatesv1.CertificateSigningRequestSpec
}

// alterations break each of the signers' rules, for one kind or for both.
var alterations = []struct {
	name   string
	kinds  []csr.Kind
	change func(*altered)
}{
	{"a DNS name", []csr.Kind{csr.Client}, func(a *altered) { a.template.DNSNames = []string{"a"} }},
	{"an address", []csr.Kind{csr.Client}, func(a *altered) { a.template.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 10)} }},
	{"no name", []csr.Kind{csr.Serving}, func(a *altered) { a.template.DNSNames, a.template.IPAddresses = nil, nil }},
	{"an email address", []csr.Kind{csr.Client, csr.Serving}, func(a *altered) { a.template.EmailAddresses = []string{"a@example.com"} }},
	{"a URI", []csr.Kind{csr.Client, csr.Serving}, func(a *altered) { a.template.URIs = []*url.URL{{Scheme: "spiffe", Host: "a"}} }},
	{"no organization", []csr.Kind{csr.Client, csr.Serving}, func(a *altered) { a.template.Subject.Organization = nil }},
	{"an organization more", []csr.Kind{csr.Client, csr.Serving}, func(a *altered) { a.template.Subject.Organization = []string{csr.NodesGroup, "more"} }},
	{"another organization", []csr.Kind{csr.Client, csr.Serving}, func(a *altered) { a.template.Subject.Organization = []string{"more"} }},
	{"the name of no node", []csr.Kind{csr.Client, csr.Serving}, func(a *altered) { a.template.Subject.CommonName = "mike" }},
	{"the usage of the other kind", []csr.Kind{csr.Client}, func(a *altered) { a.spec.Usages[1] = certificatesv1.UsageServerAuth }},
	{"the usage of the other kind", []csr.Kind{csr.Serving}, func(a *altered) { a.spec.Usages[1] = certificatesv1.UsageClientAuth }},
	{"both usages", []csr.Kind{csr.Client}, func(a *altered) { a.spec.Usages = append(a.spec.Usages, certificatesv1.UsageServerAuth) }},
	{"both usages", []csr.Kind{csr.Serving}, func(a *altered) { a.spec.Usages = append(a.spec.Usages, certificatesv1.UsageClientAuth) }},
	{"no digital signature", []csr.Kind{csr.Client, csr.Serving}, func(a *altered) { a.spec.Usages = a.spec.Usages[1:] }},
}

// alter makes the object of a wish with one thing changed.
func alter(t *testing.T, wish csr.Wish, change func(*altered)) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	a := &altered{
		template: x509.CertificateRequest{Subject: pkix.Name{CommonName: wish.CommonName(), Organization: []string{csr.NodesGroup}}, DNSNames: wish.DNSNames},
		spec:     certificatesv1.CertificateSigningRequestSpec{SignerName: wish.Kind.Signer(), Usages: wish.Usages()},
	}
	for _, ip := range wish.IPAddresses {
		a.template.IPAddresses = append(a.template.IPAddresses, net.ParseIP(ip))
	}
	change(a)
	key, err := csr.NewKey(wish.KeyAlgorithm)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &a.template, key)
	must(t, err)
	a.spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: wish.NodeName + "-" + randomText(10)}, Spec: a.spec}
}

// unaltered is what alter makes of a wish as it is.
func unaltered(*altered) {}

func TestARequestLikeOursThatBreaksARuleOfTheSignersFails(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	requests := 0
	for _, a := range append(slices.Clone(alterations), struct {
		name   string
		kinds  []csr.Kind
		change func(*altered)
	}{"", []csr.Kind{csr.Client, csr.Serving}, unaltered}) {
		for _, kind := range a.kinds {
			requests++
			t.Run(string(kind)+" "+a.name, func(t *testing.T) {
				t.Parallel()
				object := alter(t, n.wish(kind, "ecdsa-p256", 0), a.change)
				csrs := n.cp.AdminClient().CertificatesV1().CertificateSigningRequests()
				_, err := csrs.Create(t.Context(), object, metav1.CreateOptions{})
				must(t, err)
				must(t, n.cp.Approve(t.Context(), object.Name))
				var after *certificatesv1.CertificateSigningRequest
				eventually(t, "the signer's answer", func() bool {
					after, err = csrs.Get(t.Context(), object.Name, metav1.GetOptions{})
					must(t, err)
					return len(after.Status.Certificate) > 0 || len(after.Status.Conditions) > 1
				})
				failed := slices.ContainsFunc(after.Status.Conditions, func(c certificatesv1.CertificateSigningRequestCondition) bool {
					return c.Type == certificatesv1.CertificateFailed && c.Reason == "SignerValidationFailure"
				})
				if failed == (a.name == "") || failed == (len(after.Status.Certificate) > 0) {
					t.Errorf("%v, a certificate: %v", after.Status.Conditions, len(after.Status.Certificate) > 0)
				}
			})
		}
	}
	t.Logf("%d requests", requests)
}

// The API server stores no request for less than ten minutes. The agent's own least is three times that, for the kubelet looks at its
// client certificate every five minutes only.
func TestALifeUnderTenMinutesIsRefusedByTheAPIServer(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	csrs := n.cp.AdminClient().CertificatesV1().CertificateSigningRequests()
	for seconds, good := range map[int32]bool{600: true, 599: false, 180: false, 1: false, 0: false, -420: false} {
		_, err := csrs.Create(t.Context(), alter(t, n.wish(csr.Client, "ecdsa-p256", 0), func(a *altered) { a.spec.ExpirationSeconds = &seconds }), metav1.CreateOptions{})
		if good && err != nil || !good && !apierrors.IsInvalid(err) {
			t.Errorf("%d seconds: %v, expected to be taken: %v", seconds, err, good)
		}
	}
	n.expect(n.once("--expiration-seconds=1799"), 2, "expiration-seconds")
}
