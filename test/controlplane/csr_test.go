package controlplane

import (
	"errors"
	"slices"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func conditions(t *testing.T, name string) []certificatesv1.CertificateSigningRequestCondition {
	t.Helper()
	csr, err := shared.AdminClient().CertificatesV1().CertificateSigningRequests().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return csr.Status.Conditions
}

func TestAnUnapprovedUsersCSRStaysPendingUntilItIsApproved(t *testing.T) {
	t.Parallel()
	client := clientOf(t, shared, clientcmdapi.AuthInfo{Token: shared.Token(Unapproved)})
	name, _ := ask(t, client, "held-back", certificatesv1.KubeAPIServerClientKubeletSignerName)
	time.Sleep(time.Second) // the approver is quick: others' CSRs are approved in 50 ms
	if got := conditions(t, name); len(got) > 0 {
		t.Fatalf("the CSR was decided: %v", got)
	}
	for range 2 { // a second time changes nothing
		if err := shared.Approve(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	issued(t, shared, name)
}

func TestDenyAndFailAreSeenWithReasonAndMessage(t *testing.T) {
	t.Parallel()
	client := clientOf(t, shared, clientcmdapi.AuthInfo{Token: shared.Token(Unapproved)})
	for _, test := range []struct {
		condition certificatesv1.RequestConditionType
		decide    func(name string) error
	}{
		{certificatesv1.CertificateDenied, func(name string) error { return shared.Deny(t.Context(), name, "Because", "of this") }},
		{certificatesv1.CertificateFailed, func(name string) error { return shared.Fail(t.Context(), name, "Because", "of this") }},
	} {
		name, _ := ask(t, client, "decided", certificatesv1.KubeAPIServerClientKubeletSignerName)
		if err := test.decide(name); err != nil {
			t.Fatal(err)
		}
		got := conditions(t, name)
		if len(got) != 1 || got[0].Type != test.condition || got[0].Reason != "Because" || got[0].Message != "of this" {
			t.Errorf("want %s because of this, got %+v", test.condition, got)
		}
	}
}

func TestCSRsAreThoseOfOneNode(t *testing.T) {
	t.Parallel()
	client := clientOf(t, shared, clientcmdapi.AuthInfo{Token: shared.Token(Unapproved)})
	mine := unique("mine")
	first, _ := ask(t, client, mine, certificatesv1.KubeAPIServerClientKubeletSignerName)
	ask(t, client, mine+"-too", certificatesv1.KubeAPIServerClientKubeletSignerName)
	second, _ := ask(t, client, mine, certificatesv1.KubeletServingSignerName)

	list, err := shared.CSRs(t.Context(), mine)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, csr := range list {
		names = append(names, csr.Name)
	}
	slices.Sort(names)
	want := []string{first, second}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}

	if err := shared.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if list, err = shared.CSRs(t.Context(), mine); err != nil || len(list) != 1 {
		t.Errorf("after Delete: %d CSRs, %v", len(list), err)
	}
}

func TestServingCSRsAreApprovedOnlyByAnApproverAndOnlyMatchingOnes(t *testing.T) {
	t.Parallel()
	node := func(name string) string { // a serving CSR sent by the node itself
		certPEM, keyPEM, err := shared.ClientCertificate("system:node:"+name, "system:nodes")
		if err != nil {
			t.Fatal(err)
		}
		client := clientOf(t, shared, clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM})
		csr, _ := ask(t, client, name, certificatesv1.KubeletServingSignerName)
		return csr
	}
	before, other := node("approver-a"), node("approver-other")

	const delay = 500 * time.Millisecond
	begin := time.Now()
	stop := shared.ApproveServing(t.Context(), func(csr *certificatesv1.CertificateSigningRequest) bool {
		request, err := ParseRequest(csr)
		return err == nil && slices.Contains([]string{"approver-a", "approver-b"}, request.DNSNames[0])
	}, delay)
	after := node("approver-b")
	issued(t, shared, before)
	issued(t, shared, after)
	if waited := time.Since(begin); waited < delay {
		t.Errorf("approved after %v, before the delay was over", waited)
	}
	stop()
	if got := conditions(t, other); len(got) > 0 {
		t.Errorf("a CSR that does not match was decided: %v", got)
	}
}

func TestWithoutTheRightToWatchNothingButGetIsLeft(t *testing.T) {
	t.Parallel()
	for user, approved := range map[User]bool{NoWatch: false, NoWatchApproved: true} {
		client := clientOf(t, shared, clientcmdapi.AuthInfo{Token: shared.Token(user)})
		name, _ := ask(t, client, string(user), certificatesv1.KubeAPIServerClientKubeletSignerName)
		csrs := client.CertificatesV1().CertificateSigningRequests()
		if _, err := csrs.Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("%s: %v", user, err)
		}
		if _, err := csrs.Watch(t.Context(), metav1.SingleObject(metav1.ObjectMeta{Name: name})); !apierrors.IsForbidden(err) {
			t.Errorf("%s: watch: got %v, want 403", user, err)
		}
		if approved {
			issued(t, shared, name)
		} else if got := conditions(t, name); len(got) > 0 {
			t.Errorf("%s: the CSR was decided: %v", user, got)
		}
	}
}

func TestAStrangersCSRIsForbidden(t *testing.T) {
	t.Parallel()
	csr, _ := nodeCSR(t, "stranger", certificatesv1.KubeAPIServerClientKubeletSignerName)
	client := clientOf(t, shared, clientcmdapi.AuthInfo{Token: shared.Token(Stranger)})
	_, err := client.CertificatesV1().CertificateSigningRequests().Create(t.Context(), csr, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("got %v, want 403", err)
	}
}

func TestOnlySilenceAndOverloadAreTemporary(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want bool
	}{
		{errors.New("connection refused"), true},
		{apierrors.NewInternalError(errors.New("etcd")), true},
		{apierrors.NewTooManyRequests("later", 1), true},
		{apierrors.NewNotFound(certificatesv1.Resource("certificatesigningrequests"), "gone"), false},
	} {
		if got := temporary(test.err); got != test.want {
			t.Errorf("temporary(%v) = %t, want %t", test.err, got, test.want)
		}
	}
}
