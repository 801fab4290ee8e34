package e2e

import (
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// asNode is client-go's client with the identity of a node.
func (n *node) asNode() kubernetes.Interface {
	n.t.Helper()
	certPEM, keyPEM, err := n.cp.ClientCertificate("system:node:"+n.name, csr.NodesGroup)
	must(n.t, err)
	return clientAs(n.t, n.cp, clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM})
}

// approver is who has approved, by the reason that the controller gives; nothing: nobody.
func approver(t *testing.T, cp *controlplane.ControlPlane, name string) string {
	t.Helper()
	object, err := cp.AdminClient().CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{})
	must(t, err)
	for _, condition := range object.Status.Conditions {
		if condition.Type == certificatesv1.CertificateApproved {
			return condition.Reason
		}
	}
	return ""
}

// Which requests kube-controller-manager approves by itself: those of its TestRecognizers and of the integration test
// TestController_AutoApproval, sent by whom they would be sent here. It looks at requests in turn, so what is refused is created first.
func TestTheClusterApprovesOurClientRequestsByItselfAndNeverTheServingOnes(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	token, self := clientAs(t, n.cp, n.secretToken()), n.asNode()
	static := clientAs(t, n.cp, n.staticToken(controlplane.KubeletBootstrap))
	none := clientAs(t, n.cp, n.staticToken(controlplane.Unapproved))
	signer := func(name string) func(*altered) { return func(a *altered) { a.spec.SignerName = name } }
	other := func(a *altered) { a.template.Subject.CommonName = "system:node:" + n.name + "-2" }
	type request struct {
		name     string
		by       kubernetes.Interface
		kind     csr.Kind
		change   func(*altered)
		approved bool
	}
	requests := []request{
		{"the client's, by a user without the right", none, csr.Client, unaltered, false},
		{"the serving one, by the node", self, csr.Serving, unaltered, false},
		{"the serving one, by a token", token, csr.Serving, unaltered, false},
		{"the client's, for any client's signer, by the node", self, csr.Client, signer(certificatesv1.KubeAPIServerClientSignerName), false},
		{"the client's, for a signer of nobody, by a token", token, csr.Client, signer("example.com/another"), false},
	}
	for _, a := range alterations {
		if slices.Contains(a.kinds, csr.Client) && a.name != "the name of no node" { // as a node that is 403, see below
			requests = append(requests, request{"the client's with " + a.name + ", by a token", token, csr.Client, a.change, false})
			requests = append(requests, request{"the client's with " + a.name + ", by the node", self, csr.Client, a.change, false})
		}
	}
	requests = append(requests,
		request{"the client's with the name of no node, by a token", token, csr.Client, func(a *altered) { a.template.Subject.CommonName = "mike" }, false},
		request{"the client's, by a token", token, csr.Client, unaltered, true},
		request{"the client's of any other node, by a token", token, csr.Client, other, true},
		request{"the client's, by a static token", static, csr.Client, unaltered, true},
		request{"the client's, by the node itself", self, csr.Client, unaltered, true},
	)
	names := make([]string, len(requests))
	for i, r := range requests {
		object := alter(t, n.wish(r.kind, "ecdsa-p256", 0), r.change)
		names[i] = object.Name
		if _, err := r.by.CertificatesV1().CertificateSigningRequests().Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
	if t.Failed() {
		return
	}
	for i, r := range requests {
		if r.approved {
			eventually(t, r.name+" is approved", func() bool { return approver(t, n.cp, names[i]) == "AutoApproved" })
		}
	}
	for i, r := range requests {
		if by := approver(t, n.cp, names[i]); !r.approved && by != "" {
			t.Errorf("%s: approved (%s)", r.name, by)
		}
	}
	t.Logf("%d requests", len(requests))
}

// The cases about requests in the admission plugin NodeRestriction's test: a node may ask for itself only. So a machine that has got
// another name can rotate under the old one, and needs a bootstrap credential for the new one.
func TestANodeMayAskForACertificateOfItsOwnNameOnly(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	self := n.asNode()
	named := func(name string) func(*altered) { return func(a *altered) { a.template.Subject.CommonName = name } }
	for _, c := range []struct {
		name   string
		kind   csr.Kind
		change func(*altered)
		says   string
	}{
		{"its own client certificate", csr.Client, unaltered, ""},
		{"its own serving certificate", csr.Serving, unaltered, ""},
		{"no node's, from another signer", csr.Client, func(a *altered) {
			a.template.Subject.CommonName, a.spec.SignerName = "some-other-identity", certificatesv1.KubeAPIServerClientSignerName
		}, ""},
		{"another node's client certificate", csr.Client, named("system:node:other"), "can only create a node CSR with CN=system:node:" + n.name},
		{"another node's serving certificate", csr.Serving, named("system:node:other"), "can only create a node CSR with CN=system:node:" + n.name},
		{"nobody's client certificate", csr.Client, named("mike"), "can only create a node CSR with CN=system:node:" + n.name},
		{"its own under the name in capitals", csr.Client, named("system:node:" + strings.ToUpper(n.name)), "can only create a node CSR with CN=system:node:" + n.name},
	} {
		object := alter(t, n.wish(c.kind, "ecdsa-p256", 0), c.change)
		_, err := self.CertificatesV1().CertificateSigningRequests().Create(t.Context(), object, metav1.CreateOptions{})
		if c.says == "" && err != nil || c.says != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.says)
		}
	}
	damaged := alter(t, n.wish(csr.Client, "ecdsa-p256", 0), unaltered)
	damaged.Spec.Request = []byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----")
	if _, err := self.CertificatesV1().CertificateSigningRequests().Create(t.Context(), damaged, metav1.CreateOptions{}); err == nil {
		t.Error("a request that cannot be parsed was taken")
	}
}

// The admission plugins of the certificates API, which are on by default: none stands in the way of a request of ours (all the other
// tests here would fail), and none lets its sender go further than to ask.
func TestWhoAsksCanNeitherApproveNorSignNorAskForMore(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	masters := alter(t, n.wish(csr.Client, "ecdsa-p256", 0), func(a *altered) {
		a.spec.SignerName = certificatesv1.KubeAPIServerClientSignerName
		a.template.Subject.Organization = []string{"system:masters"}
	})
	for who, client := range map[string]kubernetes.Interface{"the node": n.asNode(), "a token": clientAs(t, n.cp, n.secretToken())} {
		csrs := client.CertificatesV1().CertificateSigningRequests()
		if _, err := csrs.Create(t.Context(), masters, metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:masters") {
			t.Errorf("%s asks to be in system:masters: %v, expected 403", who, err)
		}
		object, err := csrs.Create(t.Context(), alter(t, n.wish(csr.Serving, "ecdsa-p256", 0), unaltered), metav1.CreateOptions{})
		must(t, err)
		object.Status.Conditions = append(object.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved, Status: "True", Reason: "Self"})
		if _, err := csrs.UpdateApproval(t.Context(), object.Name, object, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s approves its own request: %v, expected 403", who, err)
		}
		object.Status = certificatesv1.CertificateSigningRequestStatus{Certificate: n.cp.CA()}
		if _, err := csrs.UpdateStatus(t.Context(), object, metav1.UpdateOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s signs its own request: %v, expected 403", who, err)
		}
		if err := csrs.Delete(t.Context(), object.Name, metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("%s deletes its own request: %v, expected 403: a person has to", who, err)
		}
	}
}

// What the agent asks for as a node is within what the node authorizer grants (TestNodeAuthorizer is about much that the agent never
// asks for): its own Node, requests, and who it is; of other nodes nothing.
func TestANodeMayReadItselfAndRequestsAndNoOtherNode(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	self := n.asNode()
	for _, name := range []string{n.name, n.name + "-2"} {
		_, err := n.cp.AdminClient().CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		must(t, err)
	}
	object := alter(t, n.wish(csr.Serving, "ecdsa-p256", 0), unaltered)
	csrs, nodes := self.CertificatesV1().CertificateSigningRequests(), self.CoreV1().Nodes()
	for _, c := range []struct {
		name string
		try  func() error
		good bool
	}{
		{"create a request", func() error { _, err := csrs.Create(t.Context(), object, metav1.CreateOptions{}); return err }, true},
		{"read it", func() error { _, err := csrs.Get(t.Context(), object.Name, metav1.GetOptions{}); return err }, true},
		{"watch it", func() error {
			w, err := csrs.Watch(t.Context(), metav1.SingleObject(metav1.ObjectMeta{Name: object.Name}))
			if err == nil {
				w.Stop()
			}
			return err
		}, true},
		{"ask who it is", func() error {
			_, err := self.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
			return err
		}, true},
		{"read its own Node", func() error { _, err := nodes.Get(t.Context(), n.name, metav1.GetOptions{}); return err }, true},
		{"read another Node", func() error { _, err := nodes.Get(t.Context(), n.name+"-2", metav1.GetOptions{}); return err }, false},
		{"read a Node that is not there", func() error { _, err := nodes.Get(t.Context(), n.name+"-3", metav1.GetOptions{}); return err }, false},
		{"list Nodes", func() error { _, err := nodes.List(t.Context(), metav1.ListOptions{}); return err }, false},
	} {
		if err := c.try(); c.good && err != nil || !c.good && !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v, expected to be allowed: %v", c.name, err, c.good)
		}
	}
}
