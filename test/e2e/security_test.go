package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

const securityPage = "../../docs/security.md"

// pageTable returns the cells of each row of a table that stands between two comments of docs/security.md.
func pageTable(t *testing.T, name string) [][]string {
	t.Helper()
	page, err := os.ReadFile(securityPage)
	must(t, err)
	_, table, found := strings.Cut(string(page), "<!-- "+name+":")
	table, _, ended := strings.Cut(table, "<!-- end of "+name+" -->")
	if !found || !ended {
		t.Fatalf("docs/security.md has no table %s", name)
	}
	var rows [][]string
	for line := range strings.Lines(table) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i, cell := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cell), "`")
		}
		rows = append(rows, cells)
	}
	if len(rows) < 5 {
		t.Fatalf("docs/security.md: the table %s has %d lines", name, len(rows))
	}
	return rows[2:] // without the heading
}

// TestATokenAndANodeMayDoWhatThePageOnSecuritySays sends every request of the page's two tables to a real API server that has
// the bindings of deploy/rbac, with a real token and with a node's certificate.
func TestATokenAndANodeMayDoWhatThePageOnSecuritySays(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"token", "node"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			v := newVisitor(t)
			if table == "node" {
				v.as = v.n.asNode()
				v.runsAPod()
			}
			for _, row := range pageTable(t, table) {
				v.ask(row[0], row[1], row[2])
			}
			v.assertDecided()
		})
	}
}

// visitor is somebody with a credential who tries what it is good for.
type visitor struct {
	t  *testing.T
	n  *node
	as kubernetes.Interface
	// token is the ID of a bootstrap token, request a request of somebody else's, and pod the UID of a pod that runs on the node.
	token, request, pod string
	// issued and pending are the requests that were sent, by what the page says of each.
	issued, pending map[string]string
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	n := newNode(t, shared(t))
	user := n.secretToken()
	id, _, _ := strings.Cut(user.Token, ".")
	v := &visitor{t: t, n: n, as: clientAs(t, n.cp, user), token: id, issued: map[string]string{}, pending: map[string]string{}}
	_, err := n.cp.AdminClient().CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: v.other()}}, metav1.CreateOptions{})
	must(t, err)
	object, err := n.cp.AdminClient().CertificatesV1().CertificateSigningRequests().Create(t.Context(), alter(t, n.wish(csr.Serving, "ecdsa-p256", 0), unaltered), metav1.CreateOptions{})
	must(t, err)
	v.request = object.Name
	return v
}

// other is a node that lives.
func (v *visitor) other() string { return v.n.name + "-other" }

// ask sends the request of a row and compares the answer.
func (v *visitor) ask(what, request, answer string) {
	v.t.Helper()
	method, path, ok := strings.Cut(request, " ")
	if !ok {
		v.t.Fatalf("docs/security.md: %q is no request", request)
	}
	path = strings.NewReplacer("SELF", v.n.name, "OTHER", v.other(), "REQUEST", v.request, "TOKEN", v.token).Replace(path)
	r := v.as.Discovery().RESTClient().Verb(method).RequestURI(path).SetHeader("Content-Type", "application/json")
	if method == http.MethodPatch {
		r.SetHeader("Content-Type", "application/merge-patch+json")
	}
	if body := v.body(what); body != nil {
		content, err := json.Marshal(body)
		must(v.t, err)
		r.Body(content)
	} else if method == http.MethodPost && !strings.Contains(path, "/exec?") || method == http.MethodPatch {
		v.t.Fatalf("docs/security.md: what to send is not known for %q", what)
	}
	var code int
	result := r.Do(v.t.Context()).StatusCode(&code)
	want, becomes, _ := strings.Cut(answer, ", ")
	if strconv.Itoa(code) != want {
		v.t.Errorf("%s: %s is answered with %d, and the page says %s: %v", what, request, code, want, result.Error())
		return
	}
	switch object, _ := v.body(what).(*certificatesv1.CertificateSigningRequest); {
	case becomes == "issued":
		v.issued[what] = v.created(result.Raw())
	case becomes == "stays Pending":
		v.pending[what] = v.created(result.Raw())
	case becomes != "" || object != nil && code == http.StatusCreated:
		v.t.Errorf("%s: the page does not say what becomes of it: %q", what, answer)
	}
}

func (v *visitor) created(raw []byte, err error) string {
	v.t.Helper()
	must(v.t, err)
	var object metav1.PartialObjectMetadata
	must(v.t, json.Unmarshal(raw, &object))
	return object.Name
}

// assertDecided shows that what is issued is, and that nothing else was approved by then. kube-controller-manager looks at requests in
// turn: when one that was sent after all of them is issued it has seen them.
func (v *visitor) assertDecided() {
	v.t.Helper()
	if len(v.issued) == 0 || len(v.pending) == 0 {
		v.t.Error("the page has no request that is issued, or none that stays pending")
	}
	last, err := v.asksAgain()
	must(v.t, err)
	v.issued["the last one"] = last
	csrs := v.n.cp.AdminClient().CertificatesV1().CertificateSigningRequests()
	for what, name := range v.issued {
		eventually(v.t, what+": issued", func() bool {
			object, err := csrs.Get(v.t.Context(), name, metav1.GetOptions{})
			return err == nil && len(object.Status.Certificate) > 0
		})
	}
	for what, name := range v.pending {
		object, err := csrs.Get(v.t.Context(), name, metav1.GetOptions{})
		must(v.t, err)
		if len(object.Status.Conditions) > 0 {
			v.t.Errorf("%s: it does not stay pending: %+v", what, object.Status.Conditions)
		}
	}
}

// body is what a row's request sends; nil: nothing.
func (v *visitor) body(what string) any {
	asks := func(kind csr.Kind, change func(*altered)) any {
		return alter(v.t, v.n.wish(kind, "ecdsa-p256", 0), change)
	}
	named := func(name string) func(*altered) {
		return func(a *altered) { a.template.Subject.CommonName = "system:node:" + name }
	}
	user := func(organizations ...string) func(*altered) {
		return func(a *altered) {
			a.template.Subject.CommonName, a.template.Subject.Organization = "somebody", organizations
			a.spec.SignerName = certificatesv1.KubeAPIServerClientSignerName
		}
	}
	labelled := func(key string) any {
		return map[string]any{"metadata": map[string]any{"labels": map[string]string{key: "x"}}}
	}
	status := map[string]any{"status": map[string]any{"nodeInfo": map[string]string{"kubeletVersion": "v1.36.0"}}}
	switch what {
	case "asks who one is":
		return &authenticationv1.SelfSubjectReview{}
	case "asks for a node's client certificate, whatever node, also one that lives", "asks for another node's":
		return asks(csr.Client, named(v.other()))
	case "asks for its next client certificate":
		return asks(csr.Client, unaltered)
	case "asks for a serving certificate of any name", "asks for a serving certificate of its own, with any name in it":
		return asks(csr.Serving, func(a *altered) { a.template.DNSNames = []string{"any.example.com"} })
	case "asks for a user's client certificate":
		return asks(csr.Client, user())
	case "asks for an administrator's (`system:masters`)":
		return asks(csr.Client, user("system:masters"))
	case "registers a node", "registers the node":
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: v.n.name}}
	case "registers another node":
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: v.n.name + "-third"}}
	case "runs a pod", "runs a pod elsewhere":
		return v.podOn(v.other())
	case "tries out other tokens":
		return &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: "a"}}
	case "reports the node's status", "reports another node's":
		return status
	case "gives itself a label that NodeRestriction reserves":
		return labelled("node-restriction.kubernetes.io/x")
	case "gives itself a label of yours, to attract pods":
		return labelled("example.com/x")
	case "becomes the service account of a pod that runs there":
		return &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: v.n.name, UID: v.podUID()},
		}}
	case "becomes a service account without such a pod":
		return &authenticationv1.TokenRequest{}
	}
	return nil
}
