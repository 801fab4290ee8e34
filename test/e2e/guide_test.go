package e2e

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// TestTheGuideToJoiningDoesWhatItSays runs every command, file and flag of docs/joining.md, in a cluster that has nothing of what
// the page makes, and has a node join by each of its ways.
func TestTheGuideToJoiningDoesWhatItSays(t *testing.T) {
	t.Parallel()
	g := readGuide(t)
	static := strings.TrimSpace(g.run(g.block(nil, "static-token"), `echo "$STATIC"`))
	must(t, os.WriteFile(filepath.Join(g.dir, "authentication.yaml"), []byte(g.block(nil, "anonymous")), 0o600))
	g.startControlPlane()
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"two commands bring a node into a cluster that had nothing", g.byTwoCommands},
		{"the bindings let tokens ask and nodes go on", g.bindings},
		{"a node joins with a token and a kubeconfig made by hand, and its serving certificate is approved", g.byHand},
		{"a node joins with a line of the static token file", func() { g.byStaticToken(static) }},
		{"cluster-info is published, signed, and all that anybody may read", g.clusterInfo},
		{"a token that has ended is deleted", g.cleaned},
		{"the three ways to the hash lead to the pin of the CA's key", g.hash},
		{"a node joins with an address, a token and a hash", g.byDiscovery},
		{"a node joins with a token and a file without a credential", g.byDiscoveryFile},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			g.t = t
			step.do()
		}) {
			return // what comes after it needs it
		}
	}
	g.t = t
	g.assertAllDone()
}

// startControlPlane starts an API server and a kube-controller-manager with the page's flags, and takes away the bindings that
// every other test has.
func (g *guide) startControlPlane() {
	g.t.Helper()
	flags := slices.Concat(g.lines("api-server-flags"), g.lines("static-token-flag"), g.lines("anonymous-flag"))
	given := slices.DeleteFunc(slices.Clone(flags), func(flag string) bool { // may not be said twice, and are the control plane's own
		return strings.HasPrefix(flag, "--authorization-mode=") || strings.HasPrefix(flag, "--enable-admission-plugins=")
	})
	cp, err := controlplane.Start(g.t.Context(), controlplane.Options{
		Dir: filepath.Join(g.dir, "control-plane"), APIServerFlags: given,
		Controllers: []string{ // these are the guide's
			"-certificatesigningrequest-approving-controller", "-certificatesigningrequest-signing-controller",
			"-bootstrap-signer-controller", "-token-cleaner-controller",
		},
	})
	must(g.t, err)
	g.t.Cleanup(cp.Stop)
	g.cp = cp
	running := commandLine(g.t, cp.Dir(), "kube-apiserver")
	for _, flag := range flags {
		if !slices.Contains(running, flag) {
			g.t.Errorf("the API server runs without %s", flag)
		}
	}
	g.withoutBindings()
	g.startControllerManager()
}

// withoutBindings takes away the bindings that every control plane of the tests has, and join-config makes.
func (g *guide) withoutBindings() {
	g.t.Helper()
	bindings := g.cp.AdminClient().RbacV1().ClusterRoleBindings()
	all, err := bindings.List(g.t.Context(), metav1.ListOptions{})
	must(g.t, err)
	for _, binding := range all.Items {
		if strings.HasPrefix(binding.Name, "bootstrap-agent:") {
			must(g.t, bindings.Delete(g.t.Context(), binding.Name, metav1.DeleteOptions{}))
		}
	}
	may := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "system:bootstrap:abcdef", Groups: []string{"system:bootstrappers"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Group: "certificates.k8s.io", Resource: "certificatesigningrequests"},
	}}
	eventually(g.t, "bootstrappers may not ask", func() bool {
		answer, err := g.cp.AdminClient().AuthorizationV1().SubjectAccessReviews().Create(g.t.Context(), may, metav1.CreateOptions{})
		return err == nil && !answer.Status.Allowed
	})
}

// guideLifetime is what the test has in place of the page's year: a certificate cannot outlive its CA, and the test's lives for a day.
const guideLifetime = 3 * time.Hour

func (g *guide) startControllerManager() {
	g.t.Helper()
	flags := g.lines("controller-manager-flags")
	for i, flag := range flags {
		flag = strings.ReplaceAll(flag, "8760h", guideLifetime.String())
		if os.Getenv("SOAK") == "" {
			flag = strings.ReplaceAll(flag, "=*,", "=csrapproving,csrsigning,") // of the forty that * starts, those that the page speaks of
		}
		flags[i] = flag
	}
	program, err := controlplane.Program("kube-controller-manager")
	must(g.t, err)
	c := exec.Command(program, append([]string{"--kubeconfig=" + filepath.Join(g.cp.Dir(), "controller-manager.kubeconfig"), "--secure-port=0", "--leader-elect=false"}, flags...)...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Dir = g.dir
	log, err := os.Create(filepath.Join(g.dir, "controller-manager.log"))
	must(g.t, err)
	c.Stdout, c.Stderr = log, log
	must(g.t, c.Start())
	g.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if text, _ := os.ReadFile(log.Name()); g.t.Failed() {
			g.t.Logf("kube-controller-manager with the page's flags said:\n%s", text[max(0, len(text)-3000):])
		}
		log.Close()
	})
}

// commandLine is that of the program which runs in a folder.
func commandLine(t *testing.T, dir, program string) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	must(t, err)
	for _, link := range links {
		if at, _ := os.Readlink(link); at != dir {
			continue
		}
		content, err := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
		if words := strings.Split(string(content), "\x00"); err == nil && filepath.Base(words[0]) == program {
			return words
		}
	}
	t.Fatalf("no %s runs in %s", program, dir)
	return nil
}

func (g *guide) bindings() {
	g.withoutBindings()
	g.run(g.block(nil, "bindings"))
	g.awaitThreeTimesYes()
}

// awaitThreeTimesYes waits until the API server has learned of the bindings.
func (g *guide) awaitThreeTimesYes() {
	g.t.Helper()
	eventually(g.t, "bootstrappers may ask and are approved, nodes too", func() bool {
		answers, err := g.try(g.block(nil, "may-they"))
		return err == nil && answers == "yes\nyes\nyes\n"
	})
}

func (g *guide) byHand() {
	t := g.t
	n := newNode(t, g.cp)
	token := strings.TrimSpace(g.run(g.block(nil, "token"), g.block(nil, "kubeconfig"), g.block(n, "node"), `echo "$ID.$SECRET"`))
	n.secret([]byte(strings.Split(token, ".")[1]))
	for _, left := range []string{"token.yaml", "bootstrap.kubeconfig"} {
		n.assertGone(filepath.Join(g.dir, left))
	}
	info, err := os.Stat(n.bootstrapFile())
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the bootstrap kubeconfig has mode %o", info.Mode().Perm())
	}
	n.start()
	n.awaitJoined()
	n.awaitRid()
	user := n.csr(csr.Client).Spec
	if !slices.Contains(user.Groups, "system:bootstrappers:workers") || !slices.Contains(user.Groups, "system:bootstrappers") {
		t.Errorf("the token's groups are %q", user.Groups)
	}
	pair, err := n.certDir().Read(certdir.Client)
	must(t, err)
	if left := time.Until(pair.Leaf.NotAfter); left > guideLifetime || left < guideLifetime-5*time.Minute {
		t.Errorf("the certificate lives for %s more, expected what --cluster-signing-duration says: %s", left, guideLifetime)
	}
	name := n.csr(csr.Serving).Name
	if listed := g.run(g.swap(g.block(nil, "approve"), "NAME", name)); !strings.Contains(listed, name) {
		t.Errorf("the request is not among\n%s", listed)
	}
	n.awaitServing()
}

func (g *guide) byStaticToken(static string) {
	t := g.t
	n := newNode(t, g.cp)
	n.secret([]byte(static))
	g.run(g.block(nil, "static-token-bindings"))
	g.run(g.swap(g.block(nil, "kubeconfig"), "$ID.$SECRET", static), g.block(n, "node"))
	n.expect(n.once("--serving=off"), 0)
	n.assertJoined()
	n.assertGone(n.bootstrapFile())
	if user := n.csr(csr.Client).Spec.Username; user != "kubelet-bootstrap" {
		t.Errorf("the request is of %s", user)
	}
}

func (g *guide) clusterInfo() {
	t := g.t
	g.run(g.block(nil, "cluster-info"))
	must(t, os.WriteFile(filepath.Join(g.dir, "cluster-info-rbac.yaml"), []byte(g.block(nil, "cluster-info-rbac")), 0o600))
	_, err := g.cp.Kubectl("apply", "-f", filepath.Join(g.dir, "cluster-info-rbac.yaml"))
	must(t, err)
	var printed string
	t.Cleanup(func() {
		if err != nil {
			t.Log(err)
		}
	})
	eventually(t, "cluster-info is signed, and anybody may read it", func() bool {
		printed, err = g.try(g.block(nil, "signed"))
		return err == nil
	})
	if !strings.HasPrefix(printed, "jws-kubeconfig-") || !strings.Contains(printed, `"kind":"ConfigMap"`) {
		t.Errorf("it is\n%s", printed)
	}
	nobody := clientAs(t, g.cp, clientcmdapi.AuthInfo{})
	for path, want := range map[string]int{
		"/api/v1/namespaces/kube-public/configmaps/cluster-info": http.StatusOK, "/readyz": http.StatusOK,
		"/version": http.StatusUnauthorized, "/api/v1/namespaces/kube-public/configmaps": http.StatusUnauthorized, "/api/v1/nodes": http.StatusUnauthorized,
	} {
		var got int
		_ = nobody.Discovery().RESTClient().Get().AbsPath(path).Do(t.Context()).StatusCode(&got).Error()
		if got != want {
			t.Errorf("%s is answered with %d to somebody without a credential, expected %d", path, got, want)
		}
	}
}

// cleaned shows that the page's flags start the token cleaner, which is off by default.
func (g *guide) cleaned() {
	token, err := g.cp.CreateBootstrapToken(g.t.Context(), controlplane.TokenOptions{TTL: -time.Minute})
	must(g.t, err)
	id, _, _ := strings.Cut(token, ".")
	eventually(g.t, "the Secret of a token that has ended is gone", func() bool {
		_, err := g.cp.AdminClient().CoreV1().Secrets(metav1.NamespaceSystem).Get(g.t.Context(), "bootstrap-token-"+id, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

// pin is the hash of the CA's key, computed from the certificate itself.
func (g *guide) pin() string {
	g.t.Helper()
	block, _ := pem.Decode(g.cp.CA())
	ca, err := x509.ParseCertificate(block.Bytes)
	must(g.t, err)
	return fmt.Sprintf("sha256:%x", sha256.Sum256(ca.RawSubjectPublicKeyInfo))
}

func (g *guide) hash() {
	pin := g.pin() + "\n"
	if printed := g.run(g.block(nil, "hash")); printed != pin+pin+pin {
		g.t.Errorf("they print\n%sexpected three times\n%s", printed, pin)
	}
}
