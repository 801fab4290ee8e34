package main

import (
	"os"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// joinKubeconfig is one with these fields of its cluster and its user, in YAML's flow style.
func joinKubeconfig(cluster, user string) string {
	return `{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}, {name: second, context: {cluster: d, user: u}}],
clusters: [{name: c, cluster: {` + cluster + `}}, {name: d, cluster: {server: "https://other.example.com"}}], users: [{name: u, user: {` + user + `}}]}`
}

func TestServerAndCAComeFromAKubeconfigAndNothingOfItsCredential(t *testing.T) {
	ca, key := joinCA()
	for name, user := range map[string]string{
		"a token": "token: " + joinToken, "a token file": "tokenFile: DIR/secret", "a password": "username: admin, password: " + joinSecret,
		"a certificate": "client-certificate-data: " + b64(ca) + "x, client-key-data: " + b64(key), "a key file": "client-certificate: DIR/secret, client-key: DIR/secret",
		"a plugin":         "exec: {apiVersion: client.authentication.k8s.io/v1, command: DIR/plugin, args: [" + joinSecret + "], env: [{name: A, value: " + joinSecret + "}]}",
		"an old plugin":    "auth-provider: {name: oidc, config: {id-token: " + joinSecret + "}}",
		"an impersonation": "as: " + joinSecret + ", as-groups: [" + joinSecret + "]",
	} {
		t.Run(name, func(t *testing.T) {
			a := newAdmin(t)
			a.write("secret", joinToken)
			a.write("plugin", "#!/bin/sh\ntouch "+a.path("plugin-ran")+"\n")
			must(t, os.Chmod(a.path("plugin"), 0o700))
			user = strings.ReplaceAll(strings.ReplaceAll(user, b64(ca)+"x", b64(ca)), "DIR", a.dir)
			a.write("admin.conf", joinKubeconfig(`server: "https://192.0.2.1:6443", tls-server-name: kubernetes, certificate-authority: ca.crt`, user))
			out, said := a.makes("--kubeconfig=DIR/admin.conf", "-o", "DIR/out", "--print=rbac,secret")
			for _, file := range []string{"secret.yaml", "bootstrap.kubeconfig", "user-data.yaml"} {
				out += a.read("out/" + file)
			}
			for _, secret := range []string{joinSecret, b64(key), strings.Split(key, "\n")[1], a.path("secret"), a.path("plugin")} {
				if strings.Contains(out+said, secret) {
					t.Error("something of the credential is in what is made")
				}
			}
			if _, err := os.Stat(a.path("plugin-ran")); err == nil {
				t.Error("the plugin was started")
			}
			b, err := kubeconfig.LoadBootstrap(a.path("out/bootstrap.kubeconfig"))
			must(t, err)
			if b.Endpoint.Server != "https://192.0.2.1:6443" || b.Endpoint.TLSServerName != "kubernetes" || string(b.Endpoint.CA) != ca {
				t.Errorf("it leads to %s, verified as %q", b.Endpoint.Server, b.Endpoint.TLSServerName)
			}
		})
	}
}

func TestFlagsWinOverTheKubeconfig(t *testing.T) {
	a := newAdmin(t)
	ca, _ := joinCA()
	other, _ := makeCA()
	a.write("inline", joinKubeconfig(`server: "https://192.0.2.1:6443", tls-server-name: kubernetes, certificate-authority-data: `+b64(other), "token: x"))
	a.write("bare", joinKubeconfig(`server: "https://192.0.2.1:6443", insecure-skip-tls-verify: true`, "token: x"))
	a.write("admin.conf", joinKubeconfig(`server: "https://192.0.2.1:6443", certificate-authority: ca.crt`, "token: x"))
	for _, c := range []struct {
		args             []string
		server, name, ca string
	}{
		{[]string{"--kubeconfig=DIR/inline"}, "https://192.0.2.1:6443", "kubernetes", other},
		{[]string{"--kubeconfig=DIR/inline", joinServer}, "https://api.example.com:6443", "", other},
		{[]string{"--kubeconfig=DIR/inline", "--ca-file=DIR/ca.crt"}, "https://192.0.2.1:6443", "kubernetes", ca},
		{[]string{"--kubeconfig=DIR/bare", "--ca-file=DIR/ca.crt"}, "https://192.0.2.1:6443", "", ca},
		{[]string{"--kubeconfig=DIR/admin.conf", "--context=second", "--ca-file=DIR/ca.crt"}, "https://other.example.com", "", ca},
		{[]string{"--kubeconfig=DIR/admin.conf", "--context=x"}, "https://192.0.2.1:6443", "", ca},
	} {
		out, _ := a.makes(append(c.args, "--print=kubeconfig")...)
		a.write("made", out)
		b, err := kubeconfig.LoadBootstrap(a.path("made"))
		must(t, err)
		if b.Endpoint.Server != c.server || b.Endpoint.TLSServerName != c.name || string(b.Endpoint.CA) != c.ca {
			t.Errorf("%q: %s, verified as %q, or with another CA", c.args, b.Endpoint.Server, b.Endpoint.TLSServerName)
		}
	}
}

// A relative path is relative to the kubeconfig, wherever the command is called.
func TestTheCAOfAKubeconfigLiesBesideIt(t *testing.T) {
	a := newAdmin(t)
	a.write("admin.conf", joinKubeconfig(`server: "https://192.0.2.1:6443", certificate-authority: ca.crt`, "token: x"))
	t.Chdir(t.TempDir())
	a.makes("--kubeconfig=DIR/admin.conf", "--print=kubeconfig")
	t.Chdir(a.dir)
	a.makes("--kubeconfig=admin.conf", "--print=kubeconfig")
}

func TestWhatCannotBeUsedIsRefusedWithWhatToDoAndWithoutASecret(t *testing.T) {
	ca, key := joinCA()
	a := newAdmin(t)
	a.write("ca.key", key)
	a.write("both", ca+key)
	a.write("empty", "")
	a.write("token", "abc")
	a.write("insecure", joinKubeconfig(`server: "https://192.0.2.1", insecure-skip-tls-verify: true`, "token: "+joinToken))
	a.write("http", joinKubeconfig(`server: "http://192.0.2.1", certificate-authority: ca.crt`, "token: "+joinToken))
	a.write("key-inside", joinKubeconfig(`server: "https://192.0.2.1", certificate-authority-data: `+b64(ca+key), "token: "+joinToken))
	a.write("gone", joinKubeconfig(`server: "https://192.0.2.1", certificate-authority: gone.crt`, "token: "+joinToken))
	a.write("broken", "clusters: ["+joinToken)
	a.write("named", joinKubeconfig(`server: "https://192.0.2.1", tls-server-name: "a b", certificate-authority: ca.crt`, "token: "+joinToken))
	a.write("path", joinKubeconfig(`server: "https://192.0.2.1/k8s/a", certificate-authority: ca.crt`, "token: "+joinToken))
	a.write("large", strings.Repeat("x", 1<<20+1))
	good := []string{joinServer, "--ca-file=DIR/ca.crt"}
	for says, args := range map[string][]string{
		"neither -o DIR nor --print":                   good,
		"-o is empty":                                  append(good, "--output-dir="),
		"--force is about":                             append(good, "--print=token", "--force"),
		"--context is one of a --kubeconfig":           append(good, "--print=token", "--context=x"),
		"cannot both be standard input":                append(good, "--print=token", "--token-file=-", "--ca-file=-"),
		"--ca-file is empty":                           {"--ca-file=", "--print=rbac"},
		"--token-file is empty":                        {"--token-file=", "--print=secret"},
		"is not said; give --server":                   {"--ca-file=DIR/ca.crt", "-o", "DIR/out"},
		"verify the API server with is not said":       {joinServer, "--print=user-data"},
		"--server: server is plain http":               {"--server=http://a:6443", "--print=rbac"},
		"looks like https://HOST:6443":                 {"--server=a:6443", "--print=secret"},
		"credentials belong":                           {"--server=https://u:" + joinToken + "@a", "--print=secret"},
		"gone.pem cannot be read: no such":             {joinServer, "--ca-file=DIR/gone.pem", "--print=kubeconfig"},
		"ca.key: holds a private key":                  {joinServer, "--ca-file=DIR/ca.key", "-o", "DIR/out"},
		"both: holds a private key":                    {joinServer, "--ca-file=DIR/both", "-o", "DIR/out"},
		"empty: is empty":                              {"--ca-file=DIR/empty", "--print=ca-cert-hash"},
		"larger than":                                  {"--ca-file=DIR/large", "--print=ca-cert-hash"},
		"a directory":                                  {"--ca-file=DIR", "--print=ca-cert-hash"},
		"made by: bootstrap-agent join-config":         {"--token-file=DIR/token", "--print=secret"},
		"the token itself":                             {"--token-file=" + joinToken, "--print=secret"},
		"--token-file=-":                               {joinToken},
		"without an end":                               {"--ttl=0", "--print=secret"},
		"be a token without an end: whoever":           {"--ttl=never", "--print=secret"},
		"give 1m0s at least":                           {"--ttl=59s", "--print=secret"},
		"in the past":                                  {"--ttl=-1h", "--print=secret"},
		"as in 1h, 90m":                                {"--ttl=" + joinToken, "--print=secret"},
		"unknown flag":                                 {"--" + joinToken},
		"every bootstrap token in it":                  {"--group=system:bootstrappers", "--print=rbac"},
		"looks like system:bootstrappers:NAME":         {"--group=" + joinToken, "--print=rbac"},
		"what can be is secret":                        {"--print=" + joinToken},
		"file of its own":                              append(good, "--print=secret,kubeconfig"),
		"is there twice":                               append(good, "--print=secret,secret"),
		"with --discovery a node gets no kubeconfig":   append(good, "--print=kubeconfig", "--discovery"),
		"with --discovery the token has to":            append(good, "--print=static-token-line", "--discovery"),
		"has no CA, and nodes join nobody":             {"--kubeconfig=DIR/insecure", "--print=user-data"},
		"http: server is plain http":                   {"--kubeconfig=DIR/http", "--print=user-data"},
		"certificate-authority-data: holds a private":  {"--kubeconfig=DIR/key-inside", "--print=user-data"},
		"gone.crt cannot be read":                      {"--kubeconfig=DIR/gone", "--print=user-data"},
		"broken: is not a kubeconfig":                  {"--kubeconfig=DIR/broken", "--print=user-data"},
		"config get-contexts":                          {"--kubeconfig=DIR/http", "--context=z", "--print=user-data"},
		"tls-server-name is neither":                   {"--kubeconfig=DIR/named", "--print=user-data"},
		"server has a path":                            {"--kubeconfig=DIR/path", "--print=user-data", "--discovery"},
		"nothing.conf cannot be read: no such file or": {"--kubeconfig=DIR/nothing.conf", "--print=token"},
	} {
		out, said, code := a.calls(append([]string(nil), args...)...)
		if code != 2 || !strings.Contains(said, says) || out != "" {
			t.Errorf("%q: exit code %d, expected %q: %s", args, code, says, said)
		}
		for _, secret := range append(strings.Split(key, "\n")[1:3], joinSecret, b64(key)) {
			if strings.Contains(said, secret) {
				t.Errorf("%q: a secret is told", args)
			}
		}
	}
	if _, _, code := a.calls(joinServer, "--ca-file=DIR/ca.crt", "-o", "DIR/out", "--discovery", "--print=kubeconfig"); code != 2 {
		t.Errorf("a kubeconfig with discovery, beside a folder: exit code %d", code)
	}
	if _, err := os.Stat(a.path("out")); err == nil {
		t.Error("something was written all the same")
	}
}
