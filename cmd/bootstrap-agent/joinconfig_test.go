package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

const (
	joinServer = "--server=https://api.example.com:6443"
	// joinToken has no piece that an ordinary word could have.
	joinToken  = "q7xz9k.w3vj8yq2hg5tzx4p"
	joinSecret = "w3vj8yq2hg5tzx4p"
)

// joinCA is the PEM of a CA, and of its key.
var joinCA = sync.OnceValues(makeCA)

func makeCA() (ca, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	signed, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "kubernetes"}, private)
	if err != nil {
		panic(err)
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(private)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed.Raw})), string(keyPEM)
}

// admin is somebody who calls join-config, in a folder that has ca.crt.
type admin struct {
	t     *testing.T
	dir   string
	stdin string
}

func newAdmin(t *testing.T) *admin {
	t.Helper()
	a := &admin{t: t, dir: t.TempDir()}
	ca, _ := joinCA()
	a.write("ca.crt", ca)
	return a
}

func (a *admin) path(name string) string { return filepath.Join(a.dir, name) }

func (a *admin) write(name, text string) {
	a.t.Helper()
	must(a.t, os.MkdirAll(filepath.Dir(a.path(name)), 0o700))
	must(a.t, os.WriteFile(a.path(name), []byte(text), 0o600))
}

func (a *admin) read(name string) string {
	a.t.Helper()
	text, err := os.ReadFile(a.path(name))
	must(a.t, err)
	return string(text)
}

// calls runs join-config; DIR in an argument is the admin's folder. said is standard error, with the error if it ends with one.
func (a *admin) calls(args ...string) (out, said string, code int) {
	a.t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "DIR", a.dir)
	}
	var stdout, stderr bytes.Buffer
	cmd := root()
	cmd.SetIn(strings.NewReader(a.stdin))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	cmd.SetArgs(append([]string{"join-config"}, args...))
	err := cmd.ExecuteContext(a.t.Context())
	if err != nil {
		exit := &agent.ExitError{Code: 2}
		errors.As(err, &exit)
		fmt.Fprintln(&stderr, err)
		code = exit.Code
	}
	return stdout.String(), stderr.String(), code
}

// makes is calls that must succeed, and tell no secret but on standard output.
func (a *admin) makes(args ...string) (out, said string) {
	a.t.Helper()
	out, said, code := a.calls(args...)
	if code != 0 {
		a.t.Fatalf("%q: exit code %d: %s", args, code, said)
	}
	return out, said
}

// secretIn is the token in a Secret's manifest.
func secretIn(t *testing.T, manifest string) (token string, groups string) {
	t.Helper()
	var secret struct{ StringData map[string]string }
	must(t, yaml.Unmarshal([]byte(manifest), &secret))
	return secret.StringData["token-id"] + "." + secret.StringData["token-secret"], secret.StringData["auth-extra-groups"]
}

func TestAFolderAndWhatIsPrintedAreAboutOneToken(t *testing.T) {
	a := newAdmin(t)
	out, said := a.makes(joinServer, "--ca-file=DIR/ca.crt", "-o", "DIR/out", "--print=rbac,secret", "--group=system:bootstrappers:a")
	documents := strings.Split(out, "\n---\n")
	token, groups := secretIn(t, documents[len(documents)-1])
	if len(documents) != 4 || len(token) != 23 || groups != "system:bootstrappers:a" {
		t.Fatalf("%d documents, groups %q", len(documents), groups)
	}
	if again, _ := secretIn(t, a.read("out/secret.yaml")); again != token {
		t.Error("secret.yaml is about another token than what is printed")
	}
	b, err := kubeconfig.LoadBootstrap(a.path("out/bootstrap.kubeconfig"))
	must(t, err)
	if b.Credential.Token != token || b.Endpoint.Server != "https://api.example.com:6443" {
		t.Error("bootstrap.kubeconfig is about another token or server")
	}
	id, secret, _ := strings.Cut(token, ".")
	if !strings.Contains(a.read("out/user-data.yaml"), token) {
		t.Error("user-data.yaml is about another token")
	}
	if strings.Contains(said, secret) {
		t.Errorf("the token is told on standard error: %s", said)
	}
	for _, word := range []string{"token " + id, "system:bootstrappers:a", "Z", a.path("out/user-data.yaml"), "/etc/kubernetes/bootstrap.kubeconfig"} {
		if !strings.Contains(said, word) {
			t.Errorf("it does not say %q: %s", word, said)
		}
	}
	if strings.Contains(said, "kubectl apply") {
		t.Errorf("it tells to apply what has been printed for kubectl: %s", said)
	}
}

func TestWhoWritesFilesOnlyIsToldHowToApplyThem(t *testing.T) {
	a := newAdmin(t)
	out, said := a.makes(joinServer, "--ca-file=DIR/ca.crt", "-o", "DIR/a folder")
	if out != "" || !strings.Contains(said, "kubectl apply -f '"+a.path("a folder/secret.yaml")+"'") {
		t.Errorf("printed %q, said %s", out, said)
	}
}

func TestEachCallMakesAnotherTokenUnlessItIsGivenOne(t *testing.T) {
	a := newAdmin(t)
	first, _ := a.makes("--print=token")
	second, _ := a.makes("--print=token")
	if first == second || len(first) != 24 || !strings.HasSuffix(first, "\n") {
		t.Errorf("tokens of %d and %d bytes, the same: %v", len(first), len(second), first == second)
	}
	a.write("token", " "+first+"\n")
	a.stdin = first
	for _, from := range []string{"DIR/token", "-"} {
		for _, output := range []string{"token", "secret", "kubeconfig", "user-data", "static-token-line"} {
			out, _ := a.makes(joinServer, "--ca-file=DIR/ca.crt", "--token-file="+from, "--print="+output)
			id, secret, _ := strings.Cut(strings.TrimSpace(first), ".")
			if !strings.Contains(out, secret) || !strings.Contains(out, id) {
				t.Errorf("%s from %s is about another token", output, from)
			}
		}
	}
}

// <(…) of a shell is a pipe with a name.
func TestAPipeIsAsGoodAsAFile(t *testing.T) {
	a := newAdmin(t)
	read, write, err := os.Pipe()
	must(t, err)
	defer read.Close()
	_, err = write.WriteString(joinToken + "\n")
	must(t, errors.Join(err, write.Close()))
	if out, _ := a.makes(fmt.Sprintf("--token-file=/proc/self/fd/%d", read.Fd()), "--print=token"); out != joinToken+"\n" {
		t.Error("the token is another one")
	}
	ca, _ := joinCA()
	a.stdin = ca
	if out, _ := a.makes("--ca-file=-", "--print=ca-cert-hash"); !strings.HasPrefix(out, "sha256:") || len(out) != 72 {
		t.Errorf("printed %q", out)
	}
}

func TestWithDiscoveryTheFolderHasTokenAndConfigurationAndNoKubeconfig(t *testing.T) {
	a := newAdmin(t)
	_, said := a.makes(joinServer, "--ca-file=DIR/ca.crt", "-o", "DIR/out", "--discovery")
	hash, _ := a.makes("--ca-file=DIR/ca.crt", "--print=ca-cert-hash")
	token, _ := secretIn(t, a.read("out/secret.yaml"))
	if a.read("out/bootstrap.token") != token+"\n" || !strings.Contains(a.read("out/user-data.yaml"), token) {
		t.Error("the files are about several tokens")
	}
	for _, file := range []string{"out/config.yaml", "out/user-data.yaml"} {
		if text := a.read(file); !strings.Contains(text, strings.TrimSpace(hash)) || !strings.Contains(text, "api.example.com:6443") {
			t.Errorf("%s:\n%s", file, text)
		}
	}
	if _, err := os.Stat(a.path("out/bootstrap.kubeconfig")); err == nil {
		t.Error("there is a kubeconfig, which would win over the token")
	}
	if !strings.Contains(said, "/etc/kubernetes/bootstrap.token") || !strings.Contains(said, "/etc/bootstrap-agent/config.yaml") {
		t.Errorf("where the files belong is not said: %s", said)
	}
	if _, said, code := a.calls(joinServer, "--ca-file=DIR/ca.crt", "-o", "DIR/out"); code != 1 || !strings.Contains(said, "--force") {
		t.Errorf("files that are there: exit code %d: %s", code, said)
	}
	a.makes(joinServer, "--ca-file=DIR/ca.crt", "-o", "DIR/out", "--force")
	if _, err := os.Stat(a.path("out/bootstrap.token")); err == nil {
		t.Error("a token lies beside a kubeconfig with another one")
	}
}

func TestWhatIsWorthAWordIsSaid(t *testing.T) {
	a := newAdmin(t)
	a.write("proxied", joinKubeconfig("server: https://127.0.0.1:6443, proxy-url: 'http://u:"+joinSecret+"@proxy:1'", "token: x"))
	for says, args := range map[string][]string{
		"more than a day":       {"--print=secret", "--ttl=25h"},
		"this machine alone":    {"--server=https://localhost:6443", "--ca-file=DIR/ca.crt", "--print=kubeconfig"},
		"no end":                {"--print=static-token-line", "--ttl=48h"},
		"leads through a proxy": {"--kubeconfig=DIR/proxied", "--print=secret"},
	} {
		_, said := a.makes(args...)
		if !strings.Contains(said, says) || strings.Contains(said, joinSecret) {
			t.Errorf("%q: %s", args, said)
		}
	}
	for _, quiet := range [][]string{{"--print=rbac"}, {"--print=ca-cert-hash", "--ca-file=DIR/ca.crt"}} {
		if _, said := a.makes(quiet...); said != "" {
			t.Errorf("%q: %s", quiet, said)
		}
	}
}

func TestUserDataThatSomeCloudDoesNotTakeAreNoticed(t *testing.T) {
	a := newAdmin(t)
	var bundle strings.Builder
	for range 30 {
		ca, _ := makeCA()
		bundle.WriteString(ca)
	}
	a.write("bundle.crt", bundle.String())
	for discovery, notices := range map[string]bool{"--discovery": false, "--discovery=false": true} {
		for _, where := range [][]string{{"-o", "DIR/" + discovery}, {"--print=user-data"}} {
			_, said := a.makes(append(where, joinServer, "--ca-file=DIR/bundle.crt", discovery)...)
			if strings.Contains(said, "some clouds take") != notices {
				t.Errorf("%s: %s", discovery, said)
			}
		}
	}
}

func TestWhatCannotBeWrittenEndsWithOneAndSaysWhatThereIs(t *testing.T) {
	a := newAdmin(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	defer full.Close()
	for says, args := range map[string][]string{
		"nothing else was written": {"--print=token"},
		"with the same token":      {joinServer, "--ca-file=DIR/ca.crt", "-o", "DIR/out", "--print=secret"},
	} {
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "DIR", a.dir)
		}
		cmd := root()
		cmd.SetOut(full)
		cmd.SetErr(new(bytes.Buffer))
		cmd.SetArgs(append([]string{"join-config"}, args...))
		exit, is := errors.AsType[*agent.ExitError](cmd.ExecuteContext(t.Context()))
		if !is || exit.Code != 1 || !strings.Contains(exit.Error(), says) {
			t.Errorf("%q: %v", args, exit)
		}
	}
	a.write("file", "")
	if _, said, code := a.calls(joinServer, "--ca-file=DIR/ca.crt", "-o", "DIR/file"); code != 1 || !strings.Contains(said, "not a folder") {
		t.Errorf("a file for a folder: exit code %d: %s", code, said)
	}
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestAShellCompletesTheFlags(t *testing.T) {
	for typed, want := range map[string]string{
		"--print=": "static-token-line", "--ttl=": "15m", "--output-dir=": ":16", "--ca-file=": ":0", "--server=": ":4", "--disc": "--discovery",
	} {
		var out bytes.Buffer
		cmd := root()
		cmd.SetOut(&out)
		cmd.SetErr(new(bytes.Buffer))
		cmd.SetArgs([]string{"__complete", "join-config", typed})
		must(t, cmd.ExecuteContext(t.Context()))
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s", typed, out.String())
		}
	}
}
