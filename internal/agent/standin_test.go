package agent

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// apiStandIn is an API server that approves and issues at once. It keeps every request that was ever made.
type apiStandIn struct {
	server *httptest.Server
	url    string

	// ca signs what it issues, and its own certificate.
	ca authority
	// validity is for how long it issues certificates.
	validity time.Duration
	// now is what time it is there; holds: nobody approves; denies: everything is denied.
	now           func() time.Time
	holds, denies atomic.Bool
	// busy is how many requests are being answered.
	busy atomic.Int32
	// refused are the certificates that it does not accept any more, as they are.
	refused map[string]bool
	// holder answers for the Node of a name; nil: there is none.
	holder atomic.Pointer[http.HandlerFunc]

	mu      sync.Mutex
	objects map[string]*certificatesv1.CertificateSigningRequest
	// ever are all objects that there ever were, the first of each name.
	ever map[string]*certificatesv1.CertificateSigningRequest
}

func newAPIStandIn(t *testing.T) *apiStandIn {
	t.Helper()
	return newAPIStandInOf(t, theCA())
}

// newAPIStandInOf is for a cluster of that CA.
func newAPIStandInOf(t *testing.T, ca authority) *apiStandIn {
	t.Helper()
	s := &apiStandIn{now: time.Now, ca: ca, validity: time.Hour, refused: map[string]bool{}, objects: map[string]*certificatesv1.CertificateSigningRequest{}, ever: map[string]*certificatesv1.CertificateSigningRequest{}}
	mux := http.NewServeMux()
	const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	mux.HandleFunc("POST "+path, s.create)
	mux.HandleFunc("GET "+path, s.watch)
	mux.HandleFunc("GET "+path+"/{name}", s.get)
	mux.HandleFunc("POST /apis/authentication.k8s.io/v1/selfsubjectreviews", s.whoAmI)
	mux.HandleFunc("GET /api/v1/nodes/{name}", s.node)
	certificate, key := ca.serverPair()
	pair, err := tls.X509KeyPair(certificate, key)
	must(t, err)
	s.server = httptest.NewUnstartedServer(s.authenticated(mux))
	s.server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.StartTLS()
	s.url = s.server.URL
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

// authenticated answers 401 to certificates that it does not know, as API servers do: they are no matter of the handshake.
func (s *apiStandIn) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.busy.Add(1)
		defer s.busy.Add(-1)
		w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
		for _, leaf := range r.TLS.PeerCertificates {
			s.mu.Lock()
			refused := s.refused[string(leaf.Raw)]
			s.mu.Unlock()
			if refused || leaf.CheckSignatureFrom(s.ca.cert) != nil || s.now().After(leaf.NotAfter) {
				refuse(w, apierrors.NewUnauthorized("by the stand-in"))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// user says who is asking; nothing: nobody known.
func user(r *http.Request) string {
	if len(r.TLS.PeerCertificates) > 0 {
		return r.TLS.PeerCertificates[0].Subject.CommonName
	}
	if r.Header.Get("Authorization") == "Bearer "+token {
		return "system:bootstrap:abcdef"
	}
	return ""
}

func (s *apiStandIn) create(w http.ResponseWriter, r *http.Request) {
	object := &certificatesv1.CertificateSigningRequest{}
	if err := json.NewDecoder(r.Body).Decode(object); err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch who := user(r); {
	case who == "" || object.Spec.SignerName == csr.Serving.Signer() && !strings.HasPrefix(who, "system:node:"):
		refuse(w, apierrors.NewForbidden(certificatesv1.Resource("certificatesigningrequests"), object.Name, nil))
		return
	case s.objects[object.Name] != nil:
		refuse(w, apierrors.NewAlreadyExists(certificatesv1.Resource("certificatesigningrequests"), object.Name))
		return
	default:
		object.UID, object.ResourceVersion = types.UID(rand.Text()), "1"
		object.CreationTimestamp, object.Spec.Username = metav1.NewTime(s.now()), who
	}
	s.objects[object.Name] = s.decided(object)
	if s.ever[object.Name] == nil {
		s.ever[object.Name] = s.objects[object.Name]
	}
	answer(w, http.StatusCreated, object)
}

// decided is the object as approver and signer leave it.
func (s *apiStandIn) decided(object *certificatesv1.CertificateSigningRequest) *certificatesv1.CertificateSigningRequest {
	if !s.holds.Load() && !s.denies.Load() {
		return s.issued(object)
	}
	object = object.DeepCopy()
	object.TypeMeta = metav1.TypeMeta{Kind: "CertificateSigningRequest", APIVersion: "certificates.k8s.io/v1"}
	if s.denies.Load() {
		object.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
			Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue, LastUpdateTime: metav1.NewTime(s.now()),
		}}
	}
	return object
}

// release approves what was held.
func (s *apiStandIn) release() {
	s.holds.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, object := range s.objects {
		if len(object.Status.Conditions) == 0 {
			s.objects[name] = s.issued(object)
		}
	}
}

// issued is the object a moment later, when approver and signer have seen it.
func (s *apiStandIn) issued(object *certificatesv1.CertificateSigningRequest) *certificatesv1.CertificateSigningRequest {
	object = object.DeepCopy()
	object.TypeMeta = metav1.TypeMeta{Kind: "CertificateSigningRequest", APIVersion: "certificates.k8s.io/v1"}
	object.ResourceVersion = "2"
	object.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
	usage := x509.ExtKeyUsageClientAuth
	if object.Spec.SignerName == csr.Serving.Signer() {
		usage = x509.ExtKeyUsageServerAuth
	}
	object.Status.Certificate = s.ca.signFor(s.validity, object.Spec.Request, usage, s.now().Add(-time.Minute))
	return object
}

func (s *apiStandIn) find(name string) *certificatesv1.CertificateSigningRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[name]
}

func (s *apiStandIn) get(w http.ResponseWriter, r *http.Request) {
	object := s.find(r.PathValue("name"))
	if object == nil {
		refuse(w, apierrors.NewNotFound(certificatesv1.Resource("certificatesigningrequests"), r.PathValue("name")))
		return
	}
	answer(w, http.StatusOK, object)
}

func (s *apiStandIn) watch(w http.ResponseWriter, r *http.Request) {
	object := s.find(strings.TrimPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name="))
	if object == nil || r.URL.Query().Get("watch") != "true" {
		panic("a watch of nothing, or a list")
	}
	answer(w, http.StatusOK, map[string]any{"type": "MODIFIED", "object": object})
}

func (s *apiStandIn) whoAmI(w http.ResponseWriter, r *http.Request) {
	review := &authenticationv1.SelfSubjectReview{}
	review.Status.UserInfo = authenticationv1.UserInfo{Username: user(r), Groups: []string{"system:authenticated"}}
	if strings.HasPrefix(user(r), "system:node:") {
		review.Status.UserInfo.Groups = append(review.Status.UserInfo.Groups, csr.NodesGroup)
	}
	answer(w, http.StatusCreated, review)
}

// requestsOf is how many requests were ever made for a node's certificate of a kind.
func (s *apiStandIn) requestsOf(node string, kind csr.Kind) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := 0
	for name, object := range s.objects {
		if object.Spec.SignerName == kind.Signer() && strings.HasPrefix(name, node+"-kubelet-") {
			count++
		}
	}
	return count
}

// names are the requests of a node that there are.
func (s *apiStandIn) names(node string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(s.objects)) {
		if strings.HasPrefix(name, node+"-kubelet-") {
			names = append(names, name)
		}
	}
	return names
}

// rewind is the time at which a node had made only these requests.
func (s *apiStandIn) rewind(node string, names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.objects {
		if strings.HasPrefix(name, node+"-kubelet-") {
			delete(s.objects, name)
		}
	}
	for _, name := range names {
		s.objects[name] = s.ever[name]
	}
}

// forget is the cluster's clean-up of a node's requests of a kind.
func (s *apiStandIn) forget(node string, kind csr.Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, object := range s.objects {
		if strings.HasPrefix(name, node+"-kubelet-") && object.Spec.SignerName == kind.Signer() {
			delete(s.objects, name)
		}
	}
}

// request is what a request asks for, and whether it is one of this kind.
func (s *apiStandIn) request(name string, kind csr.Kind) (*x509.CertificateRequest, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	object := s.ever[name]
	block, _ := pem.Decode(object.Spec.Request)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		panic(err)
	}
	return request, object.Spec.SignerName == kind.Signer()
}

func refuse(w http.ResponseWriter, err *apierrors.StatusError) {
	status := err.ErrStatus
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	answer(w, int(status.Code), status)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
