package kubeconfig_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// discoveryFile is a kubeconfig with these fields of its one cluster, and more after it.
func discoveryFile(cluster, more string) string {
	return "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    " + strings.ReplaceAll(cluster, "\n", "\n    ") + "\n" + more
}

func TestADiscoveryFileSaysWhereTheClusterIsAndHoldsNoCredential(t *testing.T) {
	t.Parallel()
	const server = "server: https://10.0.0.1:6443\n"
	good := goodCluster()
	user := func(fields string) string { return discoveryFile(good, "users: [{name: u, user: {"+fields+"}}]\n") }
	for _, c := range []struct {
		name, text, says string
	}{
		{"one cluster, as in cluster-info", discoveryFile(good, ""), ""},
		{"with a context", discoveryFile(good, "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"), ""},
		{"with a user who has nothing", user(""), ""},
		{"a CA by its path, beside it", discoveryFile(server+"certificate-authority: ca.crt", ""), ""},
		{"a CA in a folder below", discoveryFile(server+"certificate-authority: below/ca.crt", ""), ""},
		{"with all that belongs to the way", discoveryFile(good+"\ntls-server-name: kubernetes\nproxy-url: http://proxy:3128", ""), ""},
		{"two clusters, and the context says which", discoveryFile(good, "- name: other\n  cluster: {server: 'https://other'}\ncontexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n"), ""},

		{"an empty file", " \n", "still being written"},
		{"no kubeconfig", "good morning", "is not a kubeconfig"},
		{"no cluster", "apiVersion: v1\nkind: Config\n", "which of its clusters"},
		{"two clusters, and nothing says which", discoveryFile(good, "- name: other\n  cluster: {server: 'https://other'}\n"), "which of its clusters"},
		{"a context that is not there", discoveryFile(good, "current-context: x\n"), "which of its clusters"},
		{"a context of another cluster", discoveryFile(good, "contexts: [{name: x, context: {cluster: other}}]\ncurrent-context: x\n"), "which of its clusters"},
		{"a token", user("token: " + token), "holds a credential"},
		{"a tokenFile", user("tokenFile: token"), "holds a credential"},
		{"a client key", user("client-certificate: a, client-key: b"), "holds a credential"},
		{"a client key inside", user("client-key-data: " + b64(client().key)), "holds a credential"},
		{"an exec plugin", user("exec: {apiVersion: client.authentication.k8s.io/v1, command: a, interactiveMode: Never}"), "holds a credential"},
		{"a password", user("username: a, password: b"), "holds a credential"},
		{"an auth-provider", user("auth-provider: {name: gcp}"), "holds a credential"},
		{"a user whom no context names, with a token", discoveryFile(good, "users: [{name: a, user: {}}, {name: b, user: {token: "+token+"}}]\n"), "holds a credential"},
		{"no server", discoveryFile("certificate-authority-data: "+b64(ca()), ""), "server is missing"},
		{"plain http", discoveryFile("server: http://10.0.0.1:6443\ncertificate-authority-data: "+b64(ca()), ""), "must be https"},
		{"no CA", discoveryFile(server, ""), "has no CA"},
		{"a CA that is none", discoveryFile(server+"certificate-authority-data: "+b64("CA"), ""), "no PEM certificate"},
		{"a CA file that is not there", discoveryFile(server+"certificate-authority: gone.crt", ""), "certificate-authority"},
		{"TLS verification switched off", discoveryFile(server+"insecure-skip-tls-verify: true", ""), "insecure-skip-tls-verify"},
	} {
		f := newFolder(t)
		f.write("ca.crt", ca())
		must(t, os.Mkdir(f.in("below"), 0o700))
		f.write("below/ca.crt", ca())
		f.write("cluster.kubeconfig", c.text)
		endpoint, err := kubeconfig.LoadDiscovery(f.in("cluster.kubeconfig"))
		if c.says == "" {
			if err != nil || endpoint.Server != "https://10.0.0.1:6443" || string(endpoint.CA) != ca() {
				t.Errorf("%s: %+v, %v", c.name, endpoint, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), f.in("cluster.kubeconfig")) || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.says)
		}
	}
}

func TestTheWayInADiscoveryFileIsTakenWhole(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.write("d", discoveryFile(goodCluster()+"\ntls-server-name: kubernetes\nproxy-url: http://proxy:3128", ""))
	endpoint, err := kubeconfig.LoadDiscovery(f.in("d"))
	if err != nil || endpoint.TLSServerName != "kubernetes" || endpoint.ProxyURL != "http://proxy:3128" {
		t.Errorf("%+v, %v", endpoint, err)
	}
}

// Whoever writes it says which cluster the machine becomes a node of, and gets its token.
func TestADiscoveryFileIsReadOnlyIfNobodyElseCouldHaveWrittenIt(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	if _, err := kubeconfig.LoadDiscovery(f.in("d")); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, kubeconfig.ErrNoCredential) {
		t.Errorf("none: %v; a file that is set and not there is a mistake, and no missing credential", err)
	}
	f.write("d", discoveryFile(goodCluster(), ""))
	must(t, os.Chmod(f.in("d"), 0o666))
	if _, err := kubeconfig.LoadDiscovery(f.in("d")); err == nil || !strings.Contains(err.Error(), f.in("d")) {
		t.Errorf("writable by others: %v", err)
	}
}
