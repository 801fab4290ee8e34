package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// node is a machine that wants to join: a folder with the agent's files, and what was ever told to it that must stay secret.
type node struct {
	t    *testing.T
	cp   *controlplane.ControlPlane
	name string
	dir  string
	// program is the agent to run: agentProgram, unless a test measures time.
	program string
	// through is what starts the program, if not the test itself, e.g. setpriv.
	through []string
	// flags of every command, besides those that say where the files are.
	flags   []string
	secrets [][]byte
	// sent are the requests that the test itself has made in the node's name.
	sent map[string]bool
	// mayKeep are files that may hold a secret at the end.
	mayKeep []string
	// told are the secrets in what was written as its bootstrap kubeconfig.
	told []string
	said bytes.Buffer
}

// newNode returns a machine with a name of its own and no credential. When the test ends, no byte of a secret may be left in
// what its agents said, or in a file.
func newNode(t *testing.T, cp *controlplane.ControlPlane) *node {
	t.Helper()
	n := &node{t: t, cp: cp, dir: t.TempDir(), name: nodeName(t), program: agentProgram}
	n.flags = []string{"--hostname-override=" + n.name, "--node-ip=192.0.2.10"}
	if strings.HasPrefix(t.Name(), theScenarios+"/") {
		n.flags = append(n.flags, measured...)
	}
	t.Cleanup(n.assertNoSecretLeft)
	return n
}

// nodeName makes a node name from the test's: what a person sees in the CSR list.
func nodeName(t *testing.T) string {
	name := strings.ToLower(filepath.Base(t.Name()))
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
	return strings.Trim(name[:min(len(name), 40)], "-") + fmt.Sprintf("-%x", time.Now().UnixNano()%0xfffff)
}

func (n *node) path(parts ...string) string {
	return filepath.Join(append([]string{n.dir}, parts...)...)
}
func (n *node) bootstrapFile() string { return n.path("bootstrap.kubeconfig") }
func (n *node) kubeconfig() string    { return n.path("kubelet.kubeconfig") }
func (n *node) certDir() certdir.Dir  { return certdir.Dir{Path: n.path("pki")} }

// secret marks bytes that must never be seen.
func (n *node) secret(text []byte) { n.secrets = append(n.secrets, text) }

// bootstrap writes a bootstrap kubeconfig for the control plane with this user.
func (n *node) bootstrap(user clientcmdapi.AuthInfo) { n.bootstrapVia(n.cp.Server(), user) }

// bootstrapVia writes one that leads to another server, which stands in front.
func (n *node) bootstrapVia(server string, user clientcmdapi.AuthInfo) {
	n.t.Helper()
	content, err := n.cp.Kubeconfig(server, user)
	must(n.t, err)
	n.write(n.bootstrapFile(), content, 0o600)
}

func (n *node) write(path string, content []byte, mode fs.FileMode) {
	n.t.Helper()
	n.tell(path, content)
	must(n.t, os.MkdirAll(filepath.Dir(path), 0o755))
	temp := path + ".new"
	must(n.t, os.WriteFile(temp, content, mode))
	must(n.t, os.Rename(temp, path)) // as a careful writer would: the agent never sees half a file
}

// secretToken makes a bootstrap-token Secret and returns the user for it; its requests are approved.
func (n *node) secretToken() clientcmdapi.AuthInfo {
	n.t.Helper()
	token, err := n.cp.CreateBootstrapToken(n.t.Context(), controlplane.TokenOptions{})
	must(n.t, err)
	_, secret, _ := strings.Cut(token, ".")
	n.secret([]byte(secret))
	return clientcmdapi.AuthInfo{Token: token}
}

// staticToken returns the user for a line of the static token file.
func (n *node) staticToken(user controlplane.User) clientcmdapi.AuthInfo {
	token := n.cp.Token(user)
	n.secret([]byte(token))
	return clientcmdapi.AuthInfo{Token: token}
}

// command is one of the agent's commands with this node's files and flags.
func (n *node) command(ctx context.Context, command []string, args ...string) *exec.Cmd {
	all := append(slices.Clone(command), "--bootstrap-kubeconfig="+n.bootstrapFile(), "--kubeconfig="+n.kubeconfig(), "--cert-dir="+n.certDir().Path,
		"--web.listen-address=") // many nodes have one loopback; a test that wants the port says which
	all = append(append(all, n.flags...), args...)
	all = append(append(slices.Clone(n.through), n.program), all...)
	c := exec.CommandContext(ctx, all[0], all[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// result is a command that has ended.
type result struct {
	code           int
	stdout, stderr string
	elapsed        time.Duration
}

func (n *node) run(command []string, args ...string) result {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	return n.finish(n.command(ctx, command, args...))
}

// finish runs a command to its end.
func (n *node) finish(c *exec.Cmd) result {
	n.t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	start := time.Now()
	err := c.Run()
	r := result{code: c.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String(), elapsed: time.Since(start)}
	fmt.Fprintln(&n.said, c.Args, r.stdout, r.stderr)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatalf("run %v: %v", c.Args, err)
	}
	if r.code == 66 { // the race detector's
		n.t.Fatalf("data race:\n%s", r.stderr)
	}
	return r
}

// once is run --once.
func (n *node) once(args ...string) result {
	n.t.Helper()
	return n.run([]string{"run", "--once"}, args...)
}

// expect fails the test unless the command ended with code, and said what it should.
func (n *node) expect(r result, code int, says ...string) {
	n.t.Helper()
	if r.code != code {
		n.t.Fatalf("exit code %d, expected %d:\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	for _, text := range says {
		if !strings.Contains(r.stdout+r.stderr, text) {
			n.t.Fatalf("does not say %q:\n%s%s", text, r.stdout, r.stderr)
		}
	}
}

// csrs returns the node's requests of a kind.
func (n *node) csrs(kind csr.Kind) []certificatesv1.CertificateSigningRequest {
	n.t.Helper()
	all, err := n.cp.CSRs(n.t.Context(), n.name)
	must(n.t, err)
	return slices.DeleteFunc(all, func(c certificatesv1.CertificateSigningRequest) bool { return c.Spec.SignerName != kind.Signer() })
}

// csr returns the node's only request of a kind, once there is one.
func (n *node) csr(kind csr.Kind) certificatesv1.CertificateSigningRequest {
	n.t.Helper()
	var found []certificatesv1.CertificateSigningRequest
	eventually(n.t, "a "+string(kind)+" request of "+n.name, func() bool {
		found = n.csrs(kind)
		return len(found) > 0
	})
	if len(found) != 1 {
		n.t.Fatalf("%d %s requests, expected one", len(found), kind)
	}
	return found[0]
}

// approve approves the node's only request of a kind.
func (n *node) approve(kind csr.Kind) {
	n.t.Helper()
	must(n.t, n.cp.Approve(n.t.Context(), n.csr(kind).Name))
}

// approveServing approves the node's serving requests for the rest of the test, as an approver in the cluster would.
func (n *node) approveServing(delay time.Duration) {
	stop := n.cp.ApproveServing(context.WithoutCancel(n.t.Context()), func(c *certificatesv1.CertificateSigningRequest) bool {
		return c.Spec.Username == "system:node:"+n.name
	}, delay)
	n.t.Cleanup(stop)
}

// assertJoined shows that kubectl is this node with the kubeconfig that the agent wrote, that it holds paths only, and that the
// pair on the disk is the node's.
func (n *node) assertJoined() {
	n.t.Helper()
	who, err := n.cp.KubectlWith(n.kubeconfig(), "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
	must(n.t, err)
	if who != "system:node:"+n.name {
		n.t.Fatalf("kubectl is %q with the kubelet's kubeconfig, expected system:node:%s", who, n.name)
	}
	content, err := os.ReadFile(n.kubeconfig())
	must(n.t, err)
	if strings.Contains(string(content), "-data") {
		n.t.Fatalf("the kubelet's kubeconfig holds data:\n%s", content)
	}
	pair, err := n.certDir().Read(certdir.Client)
	must(n.t, err)
	if pair.Leaf.Subject.CommonName != "system:node:"+n.name {
		n.t.Fatalf("the client pair is for %s", pair.Leaf.Subject)
	}
}

func (n *node) assertGone(path string) {
	n.t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		n.t.Fatalf("%s is still there (%v)", path, err)
	}
}

func (n *node) assertThere(path string) {
	n.t.Helper()
	_, err := os.Lstat(path)
	must(n.t, err)
}

// files returns the names below the node's folder.
func (n *node) files() []string {
	var names []string
	must(n.t, filepath.WalkDir(n.dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && path != n.dir {
			names = append(names, strings.TrimPrefix(path, n.dir+"/"))
		}
		return nil
	}))
	return names
}

// assertNoSecretLeft looks for every secret in everything that the node's agents said and left.
func (n *node) assertNoSecretLeft() {
	n.assertTalkIsClean()
	for _, secret := range n.secrets {
		if bytes.Contains(n.said.Bytes(), secret) {
			n.t.Errorf("a secret is in what the agent said")
		}
	}
	if n.t.Failed() {
		return
	}
	for _, name := range n.secretsLeft() {
		n.t.Errorf("a bootstrap secret is left in %s", name)
	}
}

// secretsLeft are the files that hold a bootstrap secret, and may not.
func (n *node) secretsLeft() []string {
	var left []string
	for _, name := range n.files() {
		path := n.path(name)
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || slices.Contains(n.mayKeep, path) {
			continue
		}
		content, err := os.ReadFile(path)
		if err == nil && slices.ContainsFunc(n.secrets, func(secret []byte) bool { return bytes.Contains(content, secret) }) {
			left = append(left, name)
		}
	}
	return left
}

// keeps says that the test leaves these files on purpose.
func (n *node) keeps(paths ...string) { n.mayKeep = append(n.mayKeep, paths...) }

// eventually waits, for at most 30 s.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
