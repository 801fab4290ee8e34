package kubeconfig_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func TestAPlaceIsTheClusterOfTheContextThatIsNamedOrCurrent(t *testing.T) {
	t.Parallel()
	text := kubeconfigOf(goodCluster()+"\ntls-server-name: kubernetes\nproxy-url: http://user:"+token+"@proxy:3128", "token: "+token) + `- name: other-user
  user: {}
` // the last list is that of the users
	text = strings.Replace(text, "clusters:\n", "clusters:\n- name: other\n  cluster: {server: 'https://192.0.2.9', insecure-skip-tls-verify: true, certificate-authority: pki/ca.crt}\n- name: third\n  cluster: {certificate-authority: /abs/ca.crt}\n", 1)
	text = strings.Replace(text, "contexts:\n", "contexts:\n- name: second\n  context: {cluster: other, user: nobody}\n- name: third\n  context: {cluster: third}\n", 1)
	for context, want := range map[string]kubeconfig.Place{
		"":       {Server: "https://10.0.0.1:6443", TLSServerName: "kubernetes", CA: []byte(ca()), Proxied: true},
		"second": {Server: "https://192.0.2.9", CAFile: "/home/admin/pki/ca.crt", Unverified: true},
		"third":  {CAFile: "/abs/ca.crt"},
	} {
		got, err := kubeconfig.PlaceIn("/home/admin/config", []byte(text), context)
		must(t, err)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("context %q: %v", context, got)
		}
	}
}

// credentials are all kinds that a user entry can have.
var credentials = []string{
	"token: " + token, "tokenFile: /home/admin/" + token, "username: admin\npassword: " + token,
	"client-certificate-data: CERT\nclient-key-data: KEY", "client-certificate: /c/" + token + "\nclient-key: /k/" + token,
	"as: " + token + "\nas-groups: ['" + token + "']\nas-user-extra: {a: ['" + token + "']}",
	"exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/" + token + ", args: ['" + token + "'], env: [{name: A, value: '" + token + "'}], interactiveMode: Never}",
	"auth-provider: {name: oidc, config: {id-token: '" + token + "', refresh-token: '" + token + "'}}",
}

func TestNothingOfACredentialIsInAPlace(t *testing.T) {
	t.Parallel()
	for _, user := range credentials {
		user = strings.NewReplacer("CERT", b64(client().certificate), "KEY", b64(client().key)).Replace(user)
		got, err := kubeconfig.PlaceIn("/home/admin/config", []byte(kubeconfigOf(goodCluster(), user)), "")
		must(t, err)
		want := kubeconfig.Place{Server: "https://10.0.0.1:6443", CA: []byte(ca())}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%.20s: %v", user, got)
		}
	}
}

func TestWhatIsWrongWithAnAdminsKubeconfigIsSaidWithoutASecret(t *testing.T) {
	t.Parallel()
	good := withToken(token)
	for says, c := range map[string][2]string{
		"is empty":                        {" \n", ""},
		"is not a kubeconfig (line 1":     {"a: [" + token, ""},
		"has no such context":             {good, token},
		"has no current-context":          {strings.Replace(good, "current-context: the-context", "", 1), ""},
		"has no entry for the cluster of": {strings.Replace(good, "cluster: the-cluster", "cluster: "+token, 1), ""},
	} {
		_, err := kubeconfig.PlaceIn("config", []byte(c[0]), c[1])
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, expected %q", err, says)
			continue
		}
		if piece := leaks(err.Error(), token); piece != "" {
			t.Errorf("%q of the token is in the error: %v", piece, err)
		}
	}
}

// FuzzPlace looks for an admin's kubeconfig that panics, or of whose credentials something comes out.
func FuzzPlace(f *testing.F) {
	for _, user := range credentials {
		f.Add(kubeconfigOf(goodCluster(), user), "")
	}
	f.Add("contexts: [{name: a, context: null}]\nclusters: [{name: b, cluster: null}]\ncurrent-context: a", "a")
	f.Add(`{"contexts": [{"name": "a", "context": {"cluster": ""}}], "clusters": [{"name": "", "cluster": {}}]}`, "a")
	f.Add("users: TOKEN", "TOKEN")
	f.Fuzz(func(t *testing.T, text, context string) {
		with := strings.NewReplacer("TOKEN", token)
		place, err := kubeconfig.PlaceIn("/home/admin/config", []byte(with.Replace(text)), with.Replace(context))
		if err != nil {
			if piece := leaks(err.Error(), token); piece != "" {
				t.Errorf("%q of the token is in the error: %v", piece, err)
			}
			return
		}
		config, err := clientcmd.Load([]byte(with.Replace(text)))
		must(t, err)
		config.AuthInfos = nil
		bare, err := clientcmd.Write(*config)
		must(t, err)
		if same, err := kubeconfig.PlaceIn("/home/admin/config", bare, with.Replace(context)); err != nil || !reflect.DeepEqual(same, place) {
			t.Errorf("%v, and without the users %v (%v)", place, same, err)
		}
	})
}
