package doctor

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// standin is in the place of an API server, which is well until a test has it lie. The real one is in test/e2e.
type standin struct {
	t      *testing.T
	ca     authority
	server *httptest.Server

	mu      sync.Mutex
	answers map[string]http.HandlerFunc // by path
	asked   []string                    // "METHOD /path", and who asked
}

const (
	reviewPath     = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	accessPath     = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
	csrPath        = "/apis/certificates.k8s.io/v1/certificatesigningrequests/"
	nodePath       = "/api/v1/nodes/worker-1"
	infoPath       = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
	serverLifetime = 365 * day
)

// newStandin starts a cluster's API server; change is told of it before it starts.
func newStandin(t *testing.T, change ...func(*standin)) *standin {
	t.Helper()
	s := &standin{t: t, ca: newAuthority(t, "kubernetes", time.Now().Add(3650*day))}
	s.answers = map[string]http.HandlerFunc{
		"/version": answer(http.StatusOK, `{"gitVersion":"v1.34.1"}`),
		reviewPath: s.whoAsks, accessPath: allow("create", "get", "watch", "nodeclient", "selfnodeclient"),
		nodePath: answer(http.StatusOK, nodeObject("True", "v1.36.1", "192.0.2.10")),
	}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(s.ServeHTTP))
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.shows(s.ca.issue(t, "kube-apiserver", time.Now().Add(-time.Hour), time.Now().Add(serverLifetime)))
	for _, c := range change {
		c(s)
	}
	s.server.StartTLS()
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

// shows has the server show a certificate.
func (s *standin) shows(pair []byte) {
	s.t.Helper()
	certificate, err := tls.X509KeyPair(pair, pair)
	must(s.t, err)
	s.server.TLS.Certificates = []tls.Certificate{certificate}
}

func (s *standin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who := r.Header.Get("Authorization")
	if peers := r.TLS.PeerCertificates; len(peers) > 0 {
		who += peers[0].Subject.CommonName
	}
	s.mu.Lock()
	s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+who))
	handler := s.answers[r.URL.Path]
	s.mu.Unlock()
	if handler == nil {
		handler = refuse(http.StatusNotFound, "NotFound", "not found")
	}
	handler(w, r)
}

func (s *standin) on(path string, handler http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = handler
}

// questions are the requests so far, each with who has asked.
func (s *standin) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func answer(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}
}

// refuse answers as an API server does that does not want to.
func refuse(code int, reason, message string) http.HandlerFunc {
	text, _ := json.Marshal(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code})
	return answer(code, string(text))
}

func review(user string, groups ...string) http.HandlerFunc {
	text, _ := json.Marshal(map[string]any{
		"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "status": map[string]any{"userInfo": map[string]any{"username": user, "groups": groups}},
	})
	return answer(http.StatusCreated, string(text))
}

// whoAsks knows a node by its certificate and the token secretToken.
func (s *standin) whoAsks(w http.ResponseWriter, r *http.Request) {
	switch peers := r.TLS.PeerCertificates; {
	case len(peers) > 0 && peers[0].CheckSignatureFrom(s.ca.cert) == nil:
		review(peers[0].Subject.CommonName, "system:nodes", "system:authenticated")(w, r)
	case r.Header.Get("Authorization") == "Bearer "+secretToken:
		review("system:bootstrap:abcdef", "system:bootstrappers", "system:authenticated")(w, r)
	default:
		refuse(http.StatusUnauthorized, "Unauthorized", "Unauthorized")(w, r)
	}
}

// allow answers access reviews: what is asked for, a verb or a subresource, is allowed if it is among these.
func allow(rights ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var question struct {
			Kind string
			Spec struct {
				ResourceAttributes struct{ Group, Resource, Subresource, Verb string }
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil || question.Kind != "SelfSubjectAccessReview" {
			refuse(http.StatusBadRequest, "BadRequest", "no review")(w, r)
			return
		}
		asked := question.Spec.ResourceAttributes
		right := asked.Verb
		if asked.Subresource != "" {
			right = asked.Subresource
		}
		allowed := asked.Group == "certificates.k8s.io" && asked.Resource == "certificatesigningrequests" && slices.Contains(rights, right)
		answer(http.StatusCreated, fmt.Sprintf(`{"kind":"SelfSubjectAccessReview","status":{"allowed":%t}}`, allowed))(w, r)
	}
}

func nodeObject(ready, version string, addresses ...string) string {
	var listed []string
	for _, a := range addresses {
		listed = append(listed, fmt.Sprintf(`{"type":"InternalIP","address":%q}`, a))
	}
	return fmt.Sprintf(`{"kind":"Node","metadata":{"name":"worker-1"},"status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":%q,"message":"the kubelet's words"}],
		"nodeInfo":{"kubeletVersion":%q,"machineID":"0123"},"addresses":[%s]}}`, ready, version, strings.Join(listed, ","))
}

func (s *standin) endpoint() apiserver.Endpoint {
	return apiserver.Endpoint{Server: s.server.URL, CA: s.ca.pem}
}

// member is a node that has joined the cluster of s, and has no bootstrap kubeconfig any more.
func (s *standin) member() *Patient {
	s.t.Helper()
	p := s.newcomer()
	p.Observed.Bootstrap, p.Observed.BootstrapErr = nil, kubeconfig.ErrNoCredential
	p.Observed.Kubelet = &kubeconfig.Kubelet{Endpoint: s.endpoint()}
	p.Observed.Client.Pair = s.pair(nodeSubject)
	p.Observed.Serving.Pair = s.pair(nodeSubject, "192.0.2.10")
	p.Observed.ServerCA, p.Observed.ClientCA = s.ca.pem, s.ca.pem
	return p
}

// newcomer is a node that has a bootstrap kubeconfig with a good token, and nothing else.
func (s *standin) newcomer() *Patient {
	now := time.Now()
	return &Patient{
		Config: config.Default(), Clock: clock.RealClock{}, UserAgent: "doctor/test", Root: s.t.TempDir(),
		Observed: status.Observed{
			Now: now, Node: "worker-1", Client: status.Certificate{Kind: csr.Client}, Serving: status.Certificate{Kind: csr.Serving},
			KubeletErr: kubeconfig.ErrNoCredential,
			Bootstrap: &kubeconfig.Bootstrap{
				Path: "/etc/kubernetes/bootstrap.kubeconfig", Endpoint: s.endpoint(), Source: kubeconfig.InlineToken, Credential: apiserver.Credential{Token: secretToken},
			},
		},
	}
}

func (s *standin) pair(subject string, ips ...string) *certdir.Pair {
	s.t.Helper()
	pair, err := certdir.ParsePair(s.ca.issue(s.t, subject, time.Now().Add(-time.Hour), time.Now().Add(day), ips...))
	must(s.t, err)
	pair.File = "/var/lib/kubelet/pki/kubelet-current.pem"
	return pair
}

// look has the checks look that ask somebody, and holds what they say to what every result must be.
func look(t *testing.T, p *Patient) Report {
	t.Helper()
	r := Examine(t.Context(), p, remote())
	text, err := json.Marshal(r)
	must(t, err)
	for _, secret := range []string{secretToken, strings.Split(secretToken, ".")[1], "PRIVATE KEY"} {
		if strings.Contains(string(text)+printed(t, r), secret) {
			t.Errorf("a secret is in the report:\n%s", printed(t, r))
		}
	}
	for _, result := range r.Results {
		if result.Verdict != OK && result.Remedy == "" {
			t.Errorf("%s is %s and has no remedy: %s", result.Check, result.Verdict, result.Text)
		}
	}
	return r
}

func printed(t *testing.T, r Report) string {
	t.Helper()
	var text strings.Builder
	must(t, r.WriteText(&text, screen.Screen{}))
	return text.String()
}

// find returns the result of a check with this verdict that says all of the texts.
func find(t *testing.T, r Report, check string, verdict Verdict, texts ...string) Result {
	t.Helper()
	for _, result := range r.Results {
		all := result.Text + "\n" + result.Remedy + "\n" + result.Command
		if result.Check == check && result.Verdict == verdict && !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(all, text) }) {
			return result
		}
	}
	t.Fatalf("%s does not find it %s with %q:\n%s", check, verdict, texts, printed(t, r))
	return Result{}
}
