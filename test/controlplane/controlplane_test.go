package controlplane

import (
	"crypto/x509"
	"encoding/pem"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

func TestWithSplitCAsANodesCertificateIsSignedByAnotherCAThanTheAPIServers(t *testing.T) {
	if string(shared.CA()) == string(shared.SignerCA()) {
		t.Fatal("CA and SignerCA are the same")
	}
	token, err := shared.CreateBootstrapToken(t.Context(), TokenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	name, keyPEM := ask(t, clientOf(t, shared, clientcmdapi.AuthInfo{Token: token}), "split", certificatesv1.KubeAPIServerClientKubeletSignerName)
	certPEM := issued(t, shared, name)

	block, _ := pem.Decode(certPEM)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(ca []byte) error {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		return err
	}
	if err := verify(shared.SignerCA()); err != nil {
		t.Errorf("the certificate does not verify against SignerCA: %v", err)
	}
	if verify(shared.CA()) == nil {
		t.Error("the certificate verifies against the API server's CA")
	}
	node := whoAmI(t, clientOf(t, shared, clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM}))
	if node.Username != "system:node:split" || !slices.Contains(node.Groups, "system:nodes") {
		t.Errorf("the API server takes the node for %s %v", node.Username, node.Groups)
	}
}

func TestEveryCredentialIsWhoItIsSaidToBe(t *testing.T) {
	bootstrap, err := shared.CreateBootstrapToken(t.Context(), TokenOptions{Groups: []string{"system:bootstrappers:racks"}})
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := shared.ClientCertificate("rack-7", "system:bootstrappers")
	if err != nil {
		t.Fatal(err)
	}
	static := func(user User) clientcmdapi.AuthInfo { return clientcmdapi.AuthInfo{Token: shared.Token(user)} }
	for name, test := range map[string]struct {
		credential clientcmdapi.AuthInfo
		user       string
		groups     []string
	}{
		"bootstrap token":    {clientcmdapi.AuthInfo{Token: bootstrap}, "system:bootstrap:" + bootstrap[:6], []string{"system:bootstrappers", "system:bootstrappers:racks"}},
		"client certificate": {clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM}, "rack-7", []string{"system:bootstrappers"}},
		"kubelet-bootstrap":  {static(KubeletBootstrap), "kubelet-bootstrap", []string{"system:kubelet-bootstrap"}},
		"unapproved":         {static(Unapproved), "unapproved", []string{"test:unapproved"}},
		"no-watch":           {static(NoWatch), "no-watch", []string{"test:no-watch"}},
		"no-watch-approved":  {static(NoWatchApproved), "no-watch-approved", []string{"test:no-watch", "test:approved"}},
		"stranger":           {static(Stranger), "stranger", []string{"test:stranger"}},
	} {
		t.Run(name, func(t *testing.T) {
			user := whoAmI(t, clientOf(t, shared, test.credential))
			got := slices.DeleteFunc(user.Groups, func(group string) bool { return group == "system:authenticated" })
			slices.Sort(got)
			slices.Sort(test.groups)
			if user.Username != test.user || !slices.Equal(got, test.groups) {
				t.Errorf("got %s %v, want %s %v", user.Username, got, test.user, test.groups)
			}
		})
	}
}

func TestRightsAreThoseOfTheManifestsAndOfTheTestUsers(t *testing.T) {
	const csrs = "certificatesigningrequests"
	for name, test := range map[string]struct {
		user, group                 string
		verb, resource, subresource string
		want                        bool
	}{
		"bootstrappers create CSRs":                        {"x", "system:bootstrappers", "create", csrs, "", true},
		"bootstrappers watch CSRs":                         {"x", "system:bootstrappers", "watch", csrs, "", true},
		"bootstrappers' CSRs are approved":                 {"x", "system:bootstrappers", "create", csrs, "nodeclient", true},
		"bootstrappers do not approve":                     {"x", "system:bootstrappers", "update", csrs, "approval", false},
		"the older group creates CSRs":                     {"x", "system:kubelet-bootstrap", "create", csrs, "", true},
		"the older group's CSRs are approved":              {"x", "system:kubelet-bootstrap", "create", csrs, "nodeclient", true},
		"nodes' rotations are approved":                    {"x", "system:nodes", "create", csrs, "selfnodeclient", true},
		"nodes are not approved for other nodes":           {"x", "system:nodes", "create", csrs, "nodeclient", false},
		"the API server reaches kubelets":                  {kubeletClientUser, "", "create", "nodes", "proxy", true},
		"unapproved creates CSRs":                          {"x", "test:unapproved", "create", csrs, "", true},
		"unapproved watches CSRs":                          {"x", "test:unapproved", "watch", csrs, "", true},
		"unapproved is not approved":                       {"x", "test:unapproved", "create", csrs, "nodeclient", false},
		"no-watch creates CSRs":                            {"x", "test:no-watch", "create", csrs, "", true},
		"no-watch gets CSRs":                               {"x", "test:no-watch", "get", csrs, "", true},
		"no-watch does not watch":                          {"x", "test:no-watch", "watch", csrs, "", false},
		"no-watch does not list":                           {"x", "test:no-watch", "list", csrs, "", false},
		"no-watch is not approved":                         {"x", "test:no-watch", "create", csrs, "nodeclient", false},
		"no-watch-approved is approved by its 2nd group":   {"x", "test:approved", "create", csrs, "nodeclient", true},
		"strangers do not create CSRs":                     {"x", "test:stranger", "create", csrs, "", false},
		"nobody is approved for serving (no such request)": {"x", "system:nodes", "create", csrs, "selfnodeserver", false},
	} {
		t.Run(name, func(t *testing.T) {
			attributes := &authorizationv1.ResourceAttributes{Verb: test.verb, Resource: test.resource, Subresource: test.subresource}
			if test.resource == csrs {
				attributes.Group = "certificates.k8s.io"
			}
			review, err := shared.AdminClient().AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{
				Spec: authorizationv1.SubjectAccessReviewSpec{User: test.user, Groups: []string{test.group}, ResourceAttributes: attributes},
			}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if review.Status.Allowed != test.want {
				t.Errorf("allowed: %t, want %t (%s)", review.Status.Allowed, test.want, review.Status.Reason)
			}
		})
	}
}

func TestTheManifestsAreWhatKubectlApplies(t *testing.T) {
	root, err := program.Repository()
	if err != nil {
		t.Fatal(err)
	}
	// server-side: nothing may change, since Start created the same objects
	output, err := shared.Kubectl("diff", "--server-side", "--force-conflicts", "-f", filepath.Join(root, "deploy", "rbac"))
	if err != nil {
		t.Errorf("kubectl diff: %v\n%s", err, output)
	}
}

func TestADeletedBootstrapTokenIsRefusedAtOnceIfItWasNotUsed(t *testing.T) {
	quickest := time.Hour
	for attempt := 0; attempt < 3 && quickest > 5*time.Second; attempt++ { // a machine that is busy may take long for one
		token, err := shared.CreateBootstrapToken(t.Context(), TokenOptions{TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := shared.DeleteBootstrapToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		quickest = min(quickest, time.Since(begin))
		client := clientOf(t, shared, clientcmdapi.AuthInfo{Token: token})
		_, err = client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), "Unauthorized") {
			t.Errorf("a deleted token was answered with %v", err)
		}
	}
	if quickest > 5*time.Second {
		t.Errorf("it took %v", quickest)
	}
}

func TestAnExpiredBootstrapTokenIsCleanedAway(t *testing.T) {
	token, err := shared.CreateBootstrapToken(t.Context(), TokenOptions{TTL: -time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	id, _, _ := strings.Cut(token, ".")
	eventually(t, "the token cleaner", func() bool {
		_, err := shared.Kubectl("-n", "kube-system", "get", "secret", "bootstrap-token-"+id)
		return err != nil
	})
}

func TestServingCertificatesForStandInsAreGoodOrBadAsAsked(t *testing.T) {
	verify := func(options ServingOptions) error {
		certificate, err := shared.ServingCertificate(options)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(shared.CA())
		_, err = certificate.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "127.0.0.1"})
		return err
	}
	now := time.Now()
	for name, test := range map[string]struct {
		options ServingOptions
		want    string
	}{
		"ordinary":      {ServingOptions{}, ""},
		"expired":       {ServingOptions{NotBefore: now.Add(-2 * time.Hour), NotAfter: now.Add(-time.Hour)}, "expired"},
		"not yet valid": {ServingOptions{NotBefore: now.Add(time.Hour), NotAfter: now.Add(2 * time.Hour)}, "not yet valid"},
		"other address": {ServingOptions{IPs: []net.IP{net.IPv4(127, 0, 0, 2)}}, "127.0.0.2"},
		"unknown CA":    {ServingOptions{Untrusted: true}, "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			switch err := verify(test.options); {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}
