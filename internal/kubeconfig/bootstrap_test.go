package kubeconfig_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func TestEachKindOfCredentialIsRead(t *testing.T) {
	t.Parallel()
	pair := client()
	tests := []struct {
		name, user string
		files      map[string]string
		source     kubeconfig.Source
		// secretFile is in the kubeconfig's folder.
		secretFile string
		credential apiserver.Credential
	}{
		{
			name: "an inline token", user: "token: " + token,
			source: kubeconfig.InlineToken, credential: apiserver.Credential{Token: token},
		},
		{
			name: "a token in a file beside it, with a line feed", user: "tokenFile: token", files: map[string]string{"token": token + "\n"},
			source: kubeconfig.TokenFile, secretFile: "token", credential: apiserver.Credential{Token: token},
		},
		{
			name: "an embedded client certificate with its key", user: "client-certificate-data: " + b64(pair.certificate) + "\nclient-key-data: " + b64(pair.key),
			source: kubeconfig.EmbeddedKey, credential: apiserver.Credential{CertificatePEM: []byte(pair.certificate), KeyPEM: []byte(pair.key)},
		},
		{
			name: "a client certificate and key in files beside it", user: "client-certificate: client.crt\nclient-key: client.key",
			files:  map[string]string{"client.crt": pair.certificate, "client.key": pair.key},
			source: kubeconfig.KeyFile, secretFile: "client.key", credential: apiserver.Credential{CertificatePEM: []byte(pair.certificate), KeyPEM: []byte(pair.key)},
		},
		{
			name: "an embedded certificate with the key in a file", user: "client-certificate-data: " + b64(pair.certificate) + "\nclient-key: client.key",
			files:  map[string]string{"client.key": pair.key},
			source: kubeconfig.KeyFile, secretFile: "client.key", credential: apiserver.Credential{CertificatePEM: []byte(pair.certificate), KeyPEM: []byte(pair.key)},
		},
		{
			name: "an embedded key with the certificate in a file", user: "client-certificate: client.crt\nclient-key-data: " + b64(pair.key),
			files:  map[string]string{"client.crt": pair.certificate},
			source: kubeconfig.EmbeddedKey, credential: apiserver.Credential{CertificatePEM: []byte(pair.certificate), KeyPEM: []byte(pair.key)},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFolder(t)
			for name, text := range test.files {
				f.write(name, text)
			}
			f.bootstrap(kubeconfigOf(goodCluster(), test.user))
			b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
			must(t, err)
			if test.secretFile != "" {
				test.secretFile = f.in(test.secretFile)
			}
			if b.Path != f.bootstrapFile() || b.Source != test.source || b.SecretFile != test.secretFile {
				t.Errorf("read as %s of %s with its secret in %q", b.Source, b.Path, b.SecretFile)
			}
			if !reflect.DeepEqual(b.Credential, test.credential) {
				t.Error("another credential was read than stands there")
			}
		})
	}
}

func TestAnExecPluginIsReadWithItsCommandInTheKubeconfigsFolder(t *testing.T) {
	t.Parallel()
	for command, want := range map[string]string{"./plugin": "plugin", "bin/plugin": "bin/plugin", "plugin": ""} {
		f := newFolder(t)
		f.bootstrap(kubeconfigOf(goodCluster(), "exec:\n  apiVersion: client.authentication.k8s.io/v1\n  command: "+command+
			"\n  args: [--region, here]\n  env: [{name: A, value: b}]\n  interactiveMode: Never"))
		b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
		must(t, err)
		if want = filepath.Join(f.path, want); !strings.Contains(command, "/") {
			want = command // searched for in $PATH
		}
		exec := b.Credential.Exec
		if b.Source != kubeconfig.ExecPlugin || exec == nil || exec.Command != want {
			t.Fatalf("command %s is read as %s %v, expected %s", command, b.Source, exec, want)
		}
		if !reflect.DeepEqual(exec.Args, []string{"--region", "here"}) || !reflect.DeepEqual(exec.Env, []clientcmdapi.ExecEnvVar{{Name: "A", Value: "b"}}) {
			t.Errorf("arguments and environment are read as %v, %v", exec.Args, exec.Env)
		}
	}
}

func TestTheClusterIsReadAsItStandsThere(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.write("ca.crt", ca())
	f.write("other.crt", client().certificate)
	full := apiserver.Endpoint{Server: "https://api.example.com/k8s", TLSServerName: "kubernetes", ProxyURL: "http://proxy.example.com:3128", CA: []byte(ca())}
	plain := apiserver.Endpoint{Server: "https://[fd00::1]", CA: []byte(ca())}
	tests := []struct {
		name, cluster string
		want          apiserver.Endpoint
	}{
		{
			"with everything and an inline CA",
			"server: https://api.example.com/k8s\ntls-server-name: kubernetes\nproxy-url: http://proxy.example.com:3128\ncertificate-authority-data: " + b64(ca()), full,
		},
		{"with a CA file beside the kubeconfig", "server: https://[fd00::1]\ncertificate-authority: ca.crt", plain},
		{"with a CA file by its whole path", "server: https://[fd00::1]\ncertificate-authority: " + f.in("ca.crt"), plain},
		{
			"with an inline CA that beats the CA file, as for kubectl",
			"server: https://[fd00::1]\ncertificate-authority: other.crt\ncertificate-authority-data: " + b64(ca()), plain,
		},
		{"with a field that nobody knows", "server: https://[fd00::1]\nfuture: 1\ncertificate-authority: ca.crt", plain},
	}
	for _, test := range tests {
		f.bootstrap(kubeconfigOf(test.cluster, "token: "+token))
		b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
		must(t, err)
		if !reflect.DeepEqual(b.Endpoint, test.want) {
			t.Errorf("%s: read as %+v", test.name, b.Endpoint)
		}
	}
}

func TestOnlyTheCurrentContextCounts(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.bootstrap(withToken(token) + `- name: admin
  user:
    username: admin
    password: not-ours
`)
	b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	must(t, err)
	if b.Credential.Token != token {
		t.Error("the credential of another user was read")
	}
}

func TestTheModeIsToldSoThatItCanBeNarrowed(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.bootstrap(withToken(token))
	must(t, os.Chmod(f.bootstrapFile(), 0o640))
	b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	must(t, err)
	if b.Mode != 0o640 {
		t.Errorf("the mode is told as %04o", b.Mode)
	}
}

func TestNoFileIsNoCredentialAndNothingElseIs(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	_, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	if !errors.Is(err, kubeconfig.ErrNoCredential) || !strings.Contains(err.Error(), f.bootstrapFile()) {
		t.Errorf("a missing file is %v", err)
	}
	f.bootstrap(kubeconfigOf(goodCluster(), "tokenFile: gone"))
	if _, err := kubeconfig.LoadBootstrap(f.bootstrapFile()); !errors.Is(err, kubeconfig.ErrNoCredential) {
		t.Errorf("a missing tokenFile is %v", err)
	}
	f.bootstrap("")
	if _, err := kubeconfig.LoadBootstrap(f.bootstrapFile()); err == nil || errors.Is(err, kubeconfig.ErrNoCredential) {
		t.Errorf("an empty file is %v", err)
	}
}

func TestTheFingerprintTellsCredentialsApartAndSaysNothingOfThem(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	fingerprint := func() string {
		b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
		must(t, err)
		return b.Fingerprint()
	}
	seen := map[string]string{}
	for name, change := range map[string]func(){
		"a token":                      func() { f.bootstrap(withToken(token)) },
		"another token":                func() { f.bootstrap(withToken(otherToken)) },
		"the same for another server":  func() { f.bootstrap(strings.ReplaceAll(withToken(token), "10.0.0.1", "10.0.0.2")) },
		"a tokenFile":                  func() { f.write("token", token); f.bootstrap(kubeconfigOf(goodCluster(), "tokenFile: token")) },
		"a tokenFile with another one": func() { f.write("token", otherToken); f.bootstrap(kubeconfigOf(goodCluster(), "tokenFile: token")) },
	} {
		change()
		got := fingerprint()
		if again := fingerprint(); again != got {
			t.Errorf("%s: the fingerprint is %s and then %s", name, got, again)
		}
		if before, there := seen[got]; there {
			t.Errorf("%s has the fingerprint of %s", name, before)
		}
		seen[got] = name
		if leaks(got, token) != "" || leaks(got, otherToken) != "" || len(got) > 16 {
			t.Errorf("the fingerprint %s of %s says too much", got, name)
		}
	}
}
