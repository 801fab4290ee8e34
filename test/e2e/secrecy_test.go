package e2e

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// leak returns the first piece of six characters of the secret that is in text.
func leak(text, secret string) string {
	for i := range len(secret) - 5 {
		if piece := secret[i : i+6]; strings.Contains(text, piece) {
			return piece
		}
	}
	return ""
}

// slip is a mistake by which a secret comes to where it does not belong.
type slip struct {
	name string
	// pattern in the good text is replaced by this.
	pattern, by string
	// says is what the agent says of it; code is that of config check.
	says string
	code int
}

// slips of the pen, in a kubeconfig with a token; TOKEN is the token. The unit tests of internal/kubeconfig have thousands.
var slips = []slip{
	{"the token alone in the file", `(?s).*`, "TOKEN\n", "is not a kubeconfig", 2},
	{"the token without indentation", ` +token: .*`, "token: TOKEN", "has no credential", 2},
	{"the token as a field", ` +token: .*`, "    TOKEN: a", "has no credential", 2},
	{"the token in a list", `token: .*`, "token: [TOKEN]", "is not a kubeconfig", 2},
	{"the token after another word", `token: `, "token: Bearer ", "token is malformed", 2},
	{"the token as the tokenFile", `token: `, "tokenFile: ", "tokenFile names does not exist", 0},
	{"the token as the server", `server: .*`, "server: TOKEN", "server is not", 2},
	{"the token as the user's name", `user: user`, "user: TOKEN", "the user of the current context", 2},
	{"the token as the CA's file", `certificate-authority-data: .*`, "certificate-authority: TOKEN", "certificate-authority", 2},
}

func TestNothingThatTheAgentSaysOfABadKubeconfigHasAPieceOfTheToken(t *testing.T) {
	t.Parallel()
	for _, s := range slips {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			n := clientOnly(t)
			token := rand.Text()[:6] + "." + rand.Text()[:16]
			good := n.bootstrapText(clientcmdapi.AuthInfo{Token: token})
			replaced(s.pattern, strings.ReplaceAll(s.by, "TOKEN", token))(n, good)
			n.assertSaysNothingOf(s, token)
		})
	}
}

func TestNothingThatTheAgentSaysOfABadKeyHasAPieceOfIt(t *testing.T) {
	t.Parallel()
	n := clientOnly(t)
	certificate, key := n.clientCertificate()
	user := clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	secret := base64.StdEncoding.EncodeToString(key)
	lines := strings.Split(string(key), "\n")
	for _, s := range []slip{
		{"the key's PEM instead of its base64", `client-key-data: .*`, "client-key-data: |\n      " + strings.Join(lines, "\n      "), "is not a kubeconfig", 2},
		{"the key's base64 as its path", `client-key-data: `, "client-key: ", "client-key names cannot be read", 2},
		{"half of the key", `(client-key-data: .{80}).*`, "$1", "do not make a pair", 2},
		{"the key in place of the certificate", `client-certificate-data: .*`, "client-certificate-data: " + secret, "do not make a pair", 2},
		{"the key as a token with a space", `client-certificate-data: .*\n +client-key-data: `, "token: a ", "token is malformed", 2},
	} {
		t.Run(s.name, func(t *testing.T) {
			n := clientOnly(t)
			replaced(s.pattern, s.by)(n, n.bootstrapText(user))
			n.assertSaysNothingOf(s, append(lines[1:len(lines)-2], secret)...)
		})
	}
}

// assertSaysNothingOf runs every command that reads the bootstrap kubeconfig, and looks for pieces of the secrets in what it says.
func (n *node) assertSaysNothingOf(s slip, secrets ...string) {
	n.t.Helper()
	check := n.run([]string{"config", "check"})
	n.expect(check, s.code, s.says)
	once := n.once()
	n.expect(once, map[int]int{0: 3, 2: 2}[s.code], s.says)
	d := n.start("--log-level=debug")
	d.awaitReady()
	d.awaitStatus(s.says)
	if code, _ := d.stop(); code != 0 {
		n.t.Errorf("the daemon ended with %d", code)
	}
	text, asJSON := n.run([]string{"status"}), n.run([]string{"status", "-o", "json"})
	doctor := n.run([]string{"doctor", "-o", "json"})
	if text.stdout == "" || asJSON.stdout == "" || !strings.Contains(doctor.stdout, "bootstrap-kubeconfig") {
		n.t.Errorf("status or doctor says nothing: %s%s%s", text.stderr, asJSON.stderr, doctor.stderr)
	}
	for what, said := range map[string]string{
		"config check": check.stdout + check.stderr, "run --once": once.stdout + once.stderr, "status": text.stdout + text.stderr,
		"status -o json": asJSON.stdout + asJSON.stderr, "doctor": doctor.stdout + doctor.stderr, "the log": d.log(), "STATUS=": strings.Join(d.statuses(), "\n"),
	} {
		for _, secret := range secrets {
			if piece := leak(said, secret); piece != "" {
				n.t.Errorf("%s has %q of the secret:\n%s", what, piece, said)
			}
		}
	}
}

// asUser starts the daemon as another user than root, where the kernel's protection shows: root may read everything.
func (n *node) asUser(user uint32, wrap ...string) *exec.Cmd {
	n.t.Helper()
	c := n.command(context.WithoutCancel(n.t.Context()), []string{"run"})
	if len(wrap) > 0 {
		c.Path, c.Args = wrap[0], append(wrap, c.Args...)
	}
	c.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: user}
	c.Dir = n.dir
	return c
}

// begin starts a command and returns what it says, as it says it.
func (n *node) begin(c *exec.Cmd) *daemon {
	n.t.Helper()
	d := &daemon{t: n.t, node: n, cmd: c, ended: make(chan struct{})}
	c.Stdout, c.Stderr = d, d
	must(n.t, c.Start())
	go func() {
		_ = c.Wait()
		close(d.ended)
	}()
	n.t.Cleanup(func() {
		n.assertProcessIsClean(c)
		d.kill()
		fmt.Fprintln(&n.said, d.log())
	})
	return d
}

func TestNoOtherProcessOfItsUserCanReadTheDaemonsMemory(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	n.becomeNobody()
	must(t, os.Chown(n.dir, nobody, nobody))
	d := n.begin(n.asUser(nobody))
	d.awaitLog("the kubelet can start")
	other := n.begin(n.asUser(nobody, "/bin/sh", "-c", "echo begun; exec sleep 60"))
	other.awaitLog("begun")

	files := []string{"mem", "environ", "maps", "auxv"}
	for _, file := range files {
		path := func(d *daemon) string { return fmt.Sprintf("/proc/%d/%s", d.cmd.Process.Pid, file) }
		if owner := ownerOf(t, path(d)); owner != 0 {
			t.Errorf("%s of the daemon belongs to user %d, not to root: it is dumpable", file, owner)
		}
		if owner := ownerOf(t, path(other)); owner != nobody { // what is looked at would show
			t.Errorf("%s of an ordinary process belongs to user %d", file, owner)
		}
		if file == "mem" {
			continue // cannot be read from its beginning
		}
		if code := n.read(path(d)); code == 0 {
			t.Errorf("a process of the same user can read %s of the daemon", file)
		}
		if code := n.read(path(other)); code != 0 {
			t.Errorf("a process of the same user cannot read %s of an ordinary one, so that the test shows nothing", file)
		}
	}
	if limit := coreLimit(t, d.cmd.Process.Pid); limit != "0 0" {
		t.Errorf("the core file's limit is %s", limit)
	}
}

// read reads a file as nobody, and returns the exit code.
func (n *node) read(path string) int {
	c := exec.CommandContext(n.t.Context(), "/bin/cat", path)
	c.SysProcAttr = &syscall.SysProcAttr{}
	asNobody(c.SysProcAttr)
	_ = c.Run()
	return c.ProcessState.ExitCode()
}

func ownerOf(t *testing.T, path string) int {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

// coreLimit returns the soft and the hard limit of the core file's size.
func coreLimit(t *testing.T, pid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			return strings.Join(strings.Fields(rest)[:2], " ")
		}
	}
	t.Fatalf("no limit of the core file in:\n%s", text)
	return ""
}

// TestADaemonThatIsAbortedLeavesNoCore starts it with every permission to leave one.
func TestADaemonThatIsAbortedLeavesNoCore(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	n.secret([]byte("9k2jx7wq5zr4hf3t"))
	n.write(n.bootstrapFile(), []byte("token: m4nb6v.9k2jx7wq5zr4hf3t\n"), 0o600) // for there to be a secret in its memory
	n.keeps(n.bootstrapFile())
	shell := []string{"/bin/sh", "-c", `ulimit -c "$(ulimit -H -c)"; exec "$0" "$@"`}
	c := n.asUser(uint32(os.Geteuid()), shell...)
	c.SysProcAttr.Credential = nil
	c.Env = append(c.Environ(), "GOTRACEBACK=crash") // the runtime ends itself by the signal
	d := n.begin(c)
	d.awaitLog("not usable")
	if limit := coreLimit(t, c.Process.Pid); limit != "0 0" {
		t.Errorf("the core file's limit is %s", limit)
	}
	must(t, c.Process.Signal(syscall.SIGABRT))
	<-d.ended
	status := c.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.CoreDump() {
		t.Errorf("it ended with %s, by a signal: %t, with a core dump: %t", c.ProcessState, status.Signaled(), status.CoreDump())
	}
	if found, _ := filepath.Glob(n.path("*core*")); len(found) > 0 {
		t.Errorf("it left %q", found)
	}
}
