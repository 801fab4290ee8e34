package controlplane

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func TestAnAnsweredRequestIsInTheAuditLogOnceAWatchToo(t *testing.T) {
	t.Parallel()
	token, err := shared.CreateBootstrapToken(t.Context(), TokenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	client := clientOf(t, shared, clientcmdapi.AuthInfo{Token: token})
	name, _ := ask(t, client, "audited", certificatesv1.KubeAPIServerClientKubeletSignerName)
	watcher, err := client.CertificatesV1().CertificateSigningRequests().Watch(t.Context(), metav1.SingleObject(metav1.ObjectMeta{Name: name}))
	if err != nil {
		t.Fatal(err)
	}
	requests := func() []Request {
		got, err := shared.Requests("system:bootstrap:"+token[:6], ByResource("certificatesigningrequests"), ByUserAgent(t.Name()), Since(begin))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}

	got := requests()
	if len(got) != 2 {
		t.Fatalf("want 2 requests, got %v", got)
	}
	if r := got[0]; r.Verb != "create" || r.Name != name || r.Code != 201 || !r.Complete || !strings.HasPrefix(r.UserAgent, "test ") {
		t.Errorf("create: got %+v", r)
	}
	if r := got[1]; r.Verb != "watch" || r.Code != 200 || r.Complete || r.Groups[0] != "system:bootstrappers" {
		t.Errorf("running watch: got %+v", r)
	}
	watcher.Stop()
	eventually(t, "the end of the watch in the audit log", func() bool { return requests()[1].Complete })
	if got := requests(); len(got) != 2 {
		t.Errorf("after the watch want 2 requests still, got %v", got)
	}
}

func TestTheAuditLogTellsCredentialsOfOneUserApart(t *testing.T) {
	t.Parallel()
	user := unique("system:node:audited")
	for range 2 {
		certPEM, keyPEM, err := shared.ClientCertificate(user, "system:nodes")
		if err != nil {
			t.Fatal(err)
		}
		whoAmI(t, clientOf(t, shared, clientcmdapi.AuthInfo{ClientCertificateData: certPEM, ClientKeyData: keyPEM}))
	}
	got, err := shared.Requests(user)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !strings.HasPrefix(got[0].CredentialID, "X509SHA256=") || got[0].CredentialID == got[1].CredentialID {
		t.Errorf("want two requests with two credentials, got %+v", got)
	}
}

func TestARefusedTokenIsARequestOfNobodyAndOfItsProgram(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	client := clientOf(t, shared, clientcmdapi.AuthInfo{Token: "aaaaaa.aaaaaaaaaaaaaaaa"})
	_, err := client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err == nil {
		t.Fatal("a made-up token was accepted")
	}
	got, err := shared.Requests("", ByUserAgent(t.Name()), Since(begin))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Code != 401 || got[0].User != "" {
		t.Errorf("want one request answered with 401, got %+v", got)
	}
}

func TestAHalfWrittenLastLineIsLeftForLater(t *testing.T) {
	t.Parallel()
	cp := &ControlPlane{dir: t.TempDir()}
	const whole = `{"auditID":"1","stage":"ResponseComplete","verb":"get","user":{"username":"u"}}` + "\n"
	for content, want := range map[string]int{
		"":                      0,
		`{"audi`:                0,
		whole:                   1,
		whole + `{"auditID":"2`: 1,
		whole + strings.Replace(whole, `"1"`, `"2"`, 1): 2,
	} {
		if err := os.WriteFile(filepath.Join(cp.dir, auditLog), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := cp.Requests("u"); err != nil || len(got) != want {
			t.Errorf("of %q: got %v, %v; want %d", content, got, err, want)
		}
	}
}
