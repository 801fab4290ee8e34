package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
)

// checked is what "config check --systemd" prints, with the bootstrap kubeconfig of this user.
func checked(t *testing.T, user string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bootstrap.kubeconfig")
	text := `{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://192.0.2.1:6443", certificate-authority: /srv/ca.crt}}], users: [{name: u, user: ` + user + `}]}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := root()
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{"config", "check", "--systemd", "--bootstrap-kubeconfig=" + file}, args...))
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTheDropInIsForTheConfigurationAndWhatTheBootstrapKubeconfigNames(t *testing.T) {
	out := checked(t, "{tokenFile: /opt/token}", "--cert-dir=/srv/node/pki", "--kubeconfig=/opt/node/kubelet.kubeconfig")
	for _, line := range []string{"RequiresMountsFor=/opt/node /srv/node /opt/token /srv/ca.crt\n", "ReadWritePaths=-/opt/node -/srv/node\n"} {
		if !strings.Contains(out, line) {
			t.Errorf("%s\ndoes not have %q", out, line)
		}
	}
	if !strings.Contains(out, "bootstrap.kubeconfig has to lie elsewhere") { // it is below /tmp
		t.Errorf("%s\ndoes not say that the unit has a /tmp of its own", out)
	}
}

func TestTheDropInForAnExecPluginIsNamed(t *testing.T) {
	out := checked(t, `{exec: {apiVersion: client.authentication.k8s.io/v1, command: /usr/local/bin/get-token, interactiveMode: Never}}`)
	if !strings.Contains(out, "/usr/local/bin/get-token") || !strings.Contains(out, "exec-plugin.conf") {
		t.Errorf("%s", out)
	}
}

func TestOrdinaryPathsNeedNothing(t *testing.T) {
	var out bytes.Buffer
	cmd := root()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"config", "check", "--systemd"})
	if err := cmd.ExecuteContext(t.Context()); err != nil || !strings.HasPrefix(out.String(), "# Nothing is needed") {
		t.Errorf("%v: %s", err, out.String())
	}
}

func TestAWebConfigurationThatCannotBeUsedIsNamedWithoutItsSecrets(t *testing.T) {
	folder := t.TempDir()
	bootstrap, webConfig := filepath.Join(folder, "none"), filepath.Join(folder, "web.yaml")
	for text, says := range map[string]string{
		"basic_auth_users: {prometheus: hunter2-in-clear}": "is no bcrypt hash",
		"basic_auth_users: hunter2-in-clear":               "cannot unmarshal",
		"":                                                 "protects nothing",
		"tls_server_config: {cert_file: none.pem, key_file: none.pem}": "none.pem",
	} {
		if err := os.WriteFile(webConfig, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := root()
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetArgs([]string{"config", "check", "--cert-dir=" + folder + "/pki", "--bootstrap-kubeconfig=" + bootstrap, "--web.config.file=" + webConfig})
		err := cmd.ExecuteContext(t.Context())
		exit, ok := errors.AsType[*agent.ExitError](err)
		if !ok || exit.Code != 2 || !strings.Contains(exit.Err.Error(), webConfig) || !strings.Contains(exit.Err.Error(), says) {
			t.Errorf("%q: %v, expected exit code 2 with %q", text, err, says)
		}
		if ok && strings.Contains(exit.Err.Error(), "hunter") {
			t.Errorf("%q: the password is in %v", text, err)
		}
	}
}
