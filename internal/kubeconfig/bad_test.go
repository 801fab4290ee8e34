package kubeconfig_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func TestABadBootstrapKubeconfigIsRefusedWithFileAndField(t *testing.T) {
	t.Parallel()
	pair, server, data := client(), "server: https://10.0.0.1:6443\n", "certificate-authority-data: "+b64(ca())
	user := func(fields string) string { return kubeconfigOf(goodCluster(), fields) }
	cluster := func(fields string) string { return kubeconfigOf(fields, "token: "+token) }
	without := func(text string) string { return strings.Replace(withToken(token), text, "", 1) }
	tests := []struct{ name, text, says string }{
		{"an empty file", "", "is empty"},
		{"white space", " \n\n", "is empty"},
		{"no YAML", "a: [", "is not a kubeconfig (line 1)"},
		{"another kind", "apiVersion: v1\nkind: Pod\n", "is not a kubeconfig"},
		{"a CA that is not base64", cluster(server + "certificate-authority-data: '*'"), "is not a kubeconfig"},
		{"no current-context", without("current-context: the-context\n"), "has no current-context"},
		{"an unknown current-context", strings.Replace(withToken(token), "current-context: the-", "current-context: no-", 1), "current-context"},
		{"an unknown cluster", strings.Replace(withToken(token), "cluster: the-", "cluster: no-", 1), "cluster"},
		{"an unknown user", strings.Replace(withToken(token), "user: the-", "user: no-", 1), "user"},

		{"no server", cluster(data), "server is missing"},
		{"plain http", cluster("server: http://10.0.0.1:6443\n" + data), "it must be https"},
		{"a server without scheme", cluster("server: 10.0.0.1:6443\n" + data), "server is not"},
		{"a server that is a path", cluster("server: /api\n" + data), "server is not"},
		{"a server without host", cluster("server: https://:6443\n" + data), "server is not"},
		{"another scheme", cluster("server: ftp://10.0.0.1\n" + data), "server is not"},
		{"a password in the server", cluster("server: https://user:word@10.0.0.1\n" + data), "user name or password"},
		{"a query in the server", cluster("server: https://10.0.0.1?a=b\n" + data), "query or fragment"},
		{"a fragment in the server", cluster("server: 'https://10.0.0.1#a'\n" + data), "query or fragment"},
		{"a proxy that is no URL", cluster(server + data + "\nproxy-url: '::'"), "proxy-url is not a URL"},
		{"a proxy without host", cluster(server + data + "\nproxy-url: proxy"), "proxy-url is not a URL"},
		{"TLS verification switched off", cluster(server + "insecure-skip-tls-verify: true"), "insecure-skip-tls-verify"},
		{"TLS verification switched off beside a CA", cluster(server + data + "\ninsecure-skip-tls-verify: true"), "insecure-skip-tls-verify"},
		{"no CA", cluster("server: https://10.0.0.1"), "has no CA"},
		{"an empty CA", cluster(server + "certificate-authority-data: ''"), "has no CA"},
		{"a CA that is no certificate", cluster(server + "certificate-authority-data: " + b64("CA")), "certificate-authority-data holds no PEM certificate"},
		{"a key in place of the CA", cluster(server + "certificate-authority-data: " + b64(pair.key)), "certificate-authority-data holds no PEM certificate"},
		{"a CA file that is not there", cluster(server + "certificate-authority: gone.crt"), "certificate-authority"},
		{"a CA file that is none", cluster(server + "certificate-authority: bootstrap.kubeconfig"), "holds no PEM certificate"},

		{"no credential", user("{}"), "has no credential"},
		{"a certificate without its key", user("client-certificate-data: " + b64(pair.certificate)), "has no credential"},
		{"token and tokenFile", user("token: " + token + "\ntokenFile: token"), "more than one credential (token, tokenFile)"},
		{"token and key", user("token: " + token + "\nclient-key-data: " + b64(pair.key)), "more than one credential (token, client-key-data)"},
		{"key inline and by path", user("client-key: a\nclient-key-data: " + b64(pair.key)), "more than one credential (client-key-data, client-key)"},
		{"user name and password", user("username: a\npassword: b"), "username, password and auth-provider"},
		{"an auth-provider", user("auth-provider: {name: gcp}"), "username, password and auth-provider"},
		{"impersonation", user("token: " + token + "\nas: admin"), "impersonation"},
		{"impersonation of a group", user("token: " + token + "\nas-groups: [system:masters]"), "impersonation"},
		{"a token with a space", user("token: a b"), "token is malformed"},
		{"a token with a line feed", user("token: |\n  abcdef"), "token is malformed"},
		{"a template that was not filled in", user("token: '{{ token }}'"), "token is malformed"},
		{"a key without its certificate", user("client-key-data: " + b64(pair.key)), "no client certificate"},
		{"a key that is none", user("client-certificate-data: " + b64(pair.certificate) + "\nclient-key-data: " + b64("key")), "do not make a pair"},
		{"the key of another certificate", user("client-certificate-data: " + b64(ca()) + "\nclient-key-data: " + b64(pair.key)), "do not make a pair"},
		{"a certificate file that is not there", user("client-certificate: gone.crt\nclient-key-data: " + b64(pair.key)), "client-certificate"},
		{"an exec plugin without command", user("exec: {apiVersion: client.authentication.k8s.io/v1}"), "exec.command is missing"},
		{"an exec plugin that wants to ask a person", user("exec: {apiVersion: client.authentication.k8s.io/v1, command: a, interactiveMode: Always}"), "exec.interactiveMode"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFolder(t)
			f.bootstrap(test.text)
			refused(t, f, test.says)
		})
	}
}

// refused shows that the bootstrap kubeconfig is refused, for this reason, with the file's name.
func refused(t *testing.T, f folder, says string) {
	t.Helper()
	b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	if err == nil || b != nil {
		t.Fatalf("it is taken")
	}
	if errors.Is(err, kubeconfig.ErrNoCredential) {
		t.Errorf("it counts as no credential: %v", err)
	}
	for _, text := range []string{says, f.bootstrapFile()} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in: %v", text, err)
		}
	}
}

func TestAFileThatOthersCouldHaveChangedIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(folder)
		says   string
	}{
		{"writable by its group", func(f folder) { must(f.t, os.Chmod(f.bootstrapFile(), 0o620)) }, "writable by others"},
		{"writable by everybody", func(f folder) { must(f.t, os.Chmod(f.bootstrapFile(), 0o602)) }, "writable by others"},
		{"of another user", func(f folder) { f.giveAway("bootstrap.kubeconfig") }, "belongs to user 12345"},
		{"in a folder of another user", func(f folder) { f.giveAway("") }, "belongs to user 12345"},
		{"in a folder that everybody can write to", func(f folder) { must(f.t, os.Chmod(f.path, 0o777)) }, "writable by others"},
		{"in a sticky folder, where others can still put files", func(f folder) { must(f.t, os.Chmod(f.path, 0o777|os.ModeSticky)) }, "writable by others"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFolder(t)
			f.bootstrap(withToken(token))
			test.change(f)
			_, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
			if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), f.path) {
				t.Errorf("%v, expected is %q", err, test.says)
			}
		})
	}
}

func TestEveryFileThatTheKubeconfigNamesMustBeTrusted(t *testing.T) {
	t.Parallel()
	pair := client()
	for field, fields := range map[string][2]string{
		"certificate-authority": {"server: https://10.0.0.1\ncertificate-authority: file", "token: " + token},
		"tokenFile":             {goodCluster(), "tokenFile: file"},
		"client-key":            {goodCluster(), "client-certificate-data: " + b64(pair.certificate) + "\nclient-key: file"},
		"client-certificate":    {goodCluster(), "client-certificate: file\nclient-key-data: " + b64(pair.key)},
	} {
		content := map[string]string{"certificate-authority": ca(), "tokenFile": token, "client-key": pair.key, "client-certificate": pair.certificate}[field]
		f := newFolder(t)
		f.bootstrap(kubeconfigOf(fields[0], fields[1]))
		f.write("file", content)
		if _, err := kubeconfig.LoadBootstrap(f.bootstrapFile()); err != nil {
			t.Fatalf("%s: a good file is refused: %v", field, err)
		}
		must(t, os.Chmod(f.in("file"), 0o666))
		refused(t, f, field)
		refused(t, f, "writable by others")
	}
}

func TestWhatIsNoFileIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(folder){
		"a folder":              func(f folder) { must(f.t, os.Mkdir(f.bootstrapFile(), 0o700)) },
		"a fifo":                func(f folder) { must(f.t, syscall.Mkfifo(f.bootstrapFile(), 0o600)) }, // opening it the usual way would wait
		"a link to a device":    func(f folder) { f.symlink("/dev/zero", "bootstrap.kubeconfig") },
		"a file without an end": func(f folder) { f.bootstrap(""); must(f.t, os.Truncate(f.bootstrapFile(), 1<<30)) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			make(f)
			says := "not a regular file"
			if name == "a file without an end" {
				says = "larger than"
			}
			refused(t, f, says)
		})
	}
}

func TestABadTokenFileIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"an empty one": "", "two lines": token + "\n" + otherToken + "\n", "a whole kubeconfig": withToken(token)} {
		f := newFolder(t)
		f.write("token", text)
		f.bootstrap(kubeconfigOf(goodCluster(), "tokenFile: token"))
		t.Run(name, func(t *testing.T) { refused(t, f, "tokenFile "+f.in("token")+" is malformed") })
	}
}
