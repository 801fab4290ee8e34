package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// securityBlock returns a fenced block of docs/security.md that follows the comment with its name, with one word replaced.
func securityBlock(t *testing.T, name, word, by string) string {
	t.Helper()
	page, err := os.ReadFile(securityPage)
	must(t, err)
	match := regexp.MustCompile("(?s)<!-- " + name + ": [^\n]* -->\n```[a-z]*\n(.*?)```").FindSubmatch(page)
	if match == nil || !strings.Contains(string(match[1]), word) {
		t.Fatalf("docs/security.md has no block %s with the word %s", name, word)
	}
	return strings.ReplaceAll(string(match[1]), word, by)
}

// asksAgain sends a request for the node's next client certificate and returns its name.
func (v *visitor) asksAgain() (string, error) {
	object, err := v.as.CertificatesV1().CertificateSigningRequests().Create(v.t.Context(), alter(v.t, v.n.wish(csr.Client, "ecdsa-p256", 0), unaltered), metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return object.Name, nil
}

// registers makes the Node object.
func (v *visitor) registers() error {
	_, err := v.as.CoreV1().Nodes().Create(v.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: v.n.name}}, metav1.CreateOptions{})
	return err
}

func TestAStolenNodeKeyOutlivesItsNodeAndIsStoppedByThePolicy(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	v.as = v.n.asNode()
	must(t, v.registers())
	v.runsAPod()

	must(t, v.n.cp.AdminClient().CoreV1().Nodes().Delete(t.Context(), v.n.name, metav1.DeleteOptions{}))
	name, err := v.asksAgain()
	must(t, err)
	eventually(t, "the key without a Node gets the next certificate", func() bool { return approver(t, v.n.cp, name) == "AutoApproved" })
	must(t, v.registers())
	must(t, v.readsSecret())

	g := &guide{t: t, dir: t.TempDir(), bin: filepath.Dir(v.n.kubectl()), cp: v.n.cp}
	policy := filepath.Join(g.dir, "policy.yaml")
	must(t, os.WriteFile(policy, []byte(securityBlock(t, "policy", "worker-1", v.n.name)), 0o600))
	g.run("kubectl apply -f " + policy)
	t.Cleanup(func() { _, _ = v.n.cp.Kubectl("delete", "-f", policy) })
	refused := func(err error) bool {
		return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "this node's key was stolen")
	}
	eventually(t, "the policy refuses the key's requests", func() bool {
		_, err := v.asksAgain()
		return refused(err)
	})
	g.run(securityBlock(t, "stolen-node", "worker-1", v.n.name))
	if err := v.registers(); !refused(err) {
		t.Errorf("it registers the node anew: %v", err)
	}
	eventually(t, "the Secret of the pod that ran there cannot be read any more", func() bool { return apierrors.IsForbidden(v.readsSecret()) })
	if _, err := v.n.cp.AdminClient().CoreV1().Nodes().Patch(t.Context(), v.other(), "application/merge-patch+json", []byte(`{"metadata":{"labels":{"x":"y"}}}`), metav1.PatchOptions{}); err != nil {
		t.Errorf("the policy is in others' way: %v", err)
	}
	if _, err := v.as.CoreV1().Services("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("the page says that Services can be read still: %v", err)
	}
}

func TestTheCommandsForAStolenTokenEndItAndListWhatItAskedFor(t *testing.T) {
	t.Parallel()
	v := newVisitor(t)
	token := v.as
	v.as = v.impersonated() // with the token itself the API server would remember for 10 s that it was good
	name, err := v.asksAgain()
	must(t, err)
	g := &guide{t: t, dir: t.TempDir(), bin: filepath.Dir(v.n.kubectl()), cp: v.n.cp}
	printed := g.run(securityBlock(t, "stolen-token", "abcdef", v.token))
	if !strings.Contains(printed, name) || strings.Contains(printed, v.request) || !strings.Contains(printed, v.other()) {
		t.Errorf("it prints\n%s\nexpected the request %s, not %s of somebody else, and node %s", printed, name, v.request, v.other())
	}
	eventually(t, "the token is refused", func() bool {
		_, err := token.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		return apierrors.IsUnauthorized(err)
	})
}

// impersonated is a client that is taken for the token.
func (v *visitor) impersonated() kubernetes.Interface {
	v.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", v.n.cp.AdminKubeconfig())
	must(v.t, err)
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:bootstrap:" + v.token, Groups: []string{"system:bootstrappers"}}
	client, err := kubernetes.NewForConfig(config)
	must(v.t, err)
	return client
}

// kubectl is the program's path.
func (n *node) kubectl() string {
	n.t.Helper()
	path, err := controlplane.Program("kubectl")
	must(n.t, err)
	return path
}
