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
	log, err := os.Create(filepath.Join(cp.dir, auditLog))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for i, step := range []struct {
		written           string
		requests, entries int
	}{
		{"", 0, 0},
		{`{"auditID":"1","stage":"Res`, 0, 0},
		{`ponseStarted","verb":"get","user":{"username":"u"}}`, 0, 0},
		{"\n", 1, 1},
		{`{"auditID":"2",`, 1, 1},
		{`"user":{"username":"u"}}` + "\n" + `{"auditID":"1","stage":"ResponseComplete","user":{"username":"u"}}` + "\n" + `{"au`, 2, 3},
		{`ditID":"3","user":{"username":"another"}}` + "\n", 2, 4},
	} {
		if _, err := log.WriteString(step.written); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second look finds nothing new
			requests, err := cp.Requests("u")
			entries, auditErr := cp.Audit()
			if err != nil || auditErr != nil || len(requests) != step.requests || len(entries) != step.entries {
				t.Errorf("step %d: got %v, %v, and %d entries, %v; want %d and %d", i+1, requests, err, len(entries), auditErr, step.requests, step.entries)
			}
			if len(requests) > 0 && requests[0].Complete != (step.entries > 1) {
				t.Errorf("step %d: the first request is %+v", i+1, requests[0])
			}
		}
	}
}
