package main

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
)

// A person checks the settings before the machine is started anew: what would be said then is said now, with the same words.
func TestADiscoveryTokenAndTheFileThatBelongsToItAreChecked(t *testing.T) {
	const token = "abcdef.0123456789abcdef"
	server := httptest.NewTLSServer(nil)
	server.Close()
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	cluster := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://192.0.2.1:6443', certificate-authority-data: " + ca + "}}]\n"
	pin := "--discovery-ca-cert-hash=sha256:" + strings.Repeat("a", 64)
	for _, c := range []struct {
		name           string
		token, cluster string
		args           []string
		code           int
		says           []string
	}{
		{"a token and servers", token, "", []string{"--api-server=b,a:443", pin}, 0, []string{"configuration: ok", "discovery token: ok", "found out at https://b:6443, https://a:443"}},
		{"no token yet", "", "", []string{"--api-server=a", pin}, 0, []string{"configuration: ok", "discovery token: none"}},
		{"a token and a file", token, cluster, nil, 0, []string{"discovery token: ok", "for https://192.0.2.1:6443"}},
		{"a malformed token", token + "x", cluster, nil, 2, []string{"TOKEN is malformed"}},
		{"a file with a credential", token, cluster + "users: [{name: u, user: {token: a}}]\n", nil, 2, []string{"CLUSTER: holds a credential"}},
		{"a file whose CA is not pinned", token, cluster, []string{pin}, 2, []string{"CLUSTER", "is pinned by --discovery-ca-cert-hash"}},
		{"a file that is not there", token, "", []string{"--discovery-file=/none"}, 2, []string{"discovery file", "/none"}},
		{"servers and no hash", token, "", []string{"--api-server=a"}, 2, []string{"--discovery-ca-cert-hash"}},
	} {
		folder := t.TempDir()
		path := func(name string) string { return filepath.Join(folder, name) }
		args := append([]string{"config", "check", "--cert-dir=" + path("pki"), "--bootstrap-kubeconfig=" + path("none"), "--discovery-token-file=" + path("TOKEN")}, c.args...)
		for name, text := range map[string]string{"TOKEN": c.token, "CLUSTER": c.cluster} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.cluster != "" {
			args = append(args, "--discovery-file="+path("CLUSTER"))
		}
		var out bytes.Buffer
		cmd := root()
		cmd.SetOut(&out)
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(t.Context())
		code, said := 0, out.String()
		if exit, ok := errors.AsType[*agent.ExitError](err); ok {
			code, said = exit.Code, exit.Err.Error()
		}
		if code != c.code {
			t.Errorf("%s: exit code %d, expected %d: %s", c.name, code, c.code, said)
		}
		for _, text := range c.says {
			if !strings.Contains(said, text) {
				t.Errorf("%s: %q is not in %q", c.name, text, said)
			}
		}
		if strings.Contains(said, "0123456789") {
			t.Errorf("%s: the token is in %q", c.name, said)
		}
	}
}

func TestTheDropInHasWhatADiscoveryFileNames(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cluster.kubeconfig")
	text := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://192.0.2.1:6443', certificate-authority: /srv/ca.crt}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := root()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"config", "check", "--systemd", "--discovery-file=" + file, "--discovery-token-file=/opt/join/token"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"RequiresMountsFor=/opt/join /srv/ca.crt\n", "ReadWritePaths=-/opt/join\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%s\ndoes not have %q", out.String(), line)
		}
	}
}
