package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// liar stands in for the API server and its signer, with a CA of its own for the nodes. It takes every request and issues at once,
// and lies as it is told: nothing real issues a certificate for the wrong key.
type liar struct {
	*way
	clock clock.PassiveClock // of the server and its signer, seen in the Date header
	ca    *x509.Certificate
	key   *ecdsa.PrivateKey

	mu      sync.Mutex
	objects map[string]*certificatesv1.CertificateSigningRequest
	order   []string // of the objects' names
	hold    bool     // nobody is told what was issued
	// twist changes what is about to be issued.
	twist func(*issue)
	// review answers SelfSubjectReviews, the proof of the new certificate, in place of the truth.
	review  http.HandlerFunc
	reviews []time.Time
}

// issue is a certificate before it is signed.
type issue struct {
	kind     csr.Kind
	template *x509.Certificate
	key      any
	denied   bool
	// text changes the PEM text of the certificate.
	text func(good []byte) []byte
}

// newLiar makes a node whose API server is a liar. Without a lie the node would join.
func newLiar(t *testing.T, twist func(*issue), review http.HandlerFunc, at ...clock.PassiveClock) *liar {
	t.Helper()
	l := &liar{clock: clock.RealClock{}, objects: map[string]*certificatesv1.CertificateSigningRequest{}, twist: twist, review: review}
	if len(at) > 0 {
		l.clock = at[0]
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	l.key = key
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "liar"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	l.ca, err = x509.ParseCertificate(der)
	must(t, err)
	l.way = newWay(t, func(w *way) {
		user := w.staticToken(controlplane.Unapproved)
		w.user = &user
		l.way = w
		w.answered(l.ServeHTTP)
	})
	l.write(l.path("nodes-ca.crt"), pemOf(der), 0o644)
	l.flags = append(l.flags, "--kubelet-client-ca-file="+l.path("nodes-ca.crt"))
	return l
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

const (
	csrPath    = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	reviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
)

// ServeHTTP is the part of an API server that the agent uses.
func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", l.clock.Now().UTC().Format(http.TimeFormat))
	switch {
	case r.URL.Path == csrPath && r.Method == http.MethodPost:
		l.create(w, r)
	case r.URL.Path == csrPath && r.URL.Query().Has("watch"):
		l.watch(w, r)
	case strings.HasPrefix(r.URL.Path, csrPath+"/"):
		l.get(w, strings.TrimPrefix(r.URL.Path, csrPath+"/"))
	case r.URL.Path == reviewPath:
		l.whoAmI(w, r)
	case strings.HasPrefix(r.URL.Path, "/api/v1/nodes/"): // there is no other machine of the name
		answerStatus(w, http.StatusNotFound, "NotFound")
	case r.URL.Path == "/version": // which the doctor asks for
		answerJSON(w, http.StatusOK, map[string]string{"major": "1", "minor": "36", "gitVersion": "v1.36.3"})
	default:
		http.NotFound(w, r)
	}
}

func answerJSON(w http.ResponseWriter, code int, object any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(object)
}

// create takes a request; the answer shows it before it is decided, as a real one does.
func (l *liar) create(w http.ResponseWriter, r *http.Request) {
	object := &certificatesv1.CertificateSigningRequest{}
	if err := json.NewDecoder(r.Body).Decode(object); err != nil {
		answerStatus(w, http.StatusBadRequest, err.Error())
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.objects[object.Name] != nil {
		answerStatus(w, http.StatusConflict, "AlreadyExists")
		return
	}
	object.TypeMeta = metav1.TypeMeta{Kind: "CertificateSigningRequest", APIVersion: "certificates.k8s.io/v1"}
	object.UID, object.ResourceVersion = types.UID(fmt.Sprintf("uid-%d", len(l.order))), strconv.Itoa(len(l.order)+1)
	object.CreationTimestamp = metav1.NewTime(l.clock.Now())
	object.Spec.Username = "system:bootstrap:liar"
	if peers := r.TLS.PeerCertificates; len(peers) > 0 {
		object.Spec.Username = peers[0].Subject.CommonName
	}
	issued, err := l.issue(object)
	if err != nil {
		l.t.Error(err)
	}
	l.objects[object.Name] = issued
	l.order = append(l.order, object.Name)
	answerJSON(w, http.StatusCreated, object)
}

func answerStatus(w http.ResponseWriter, code int, reason string) {
	answerJSON(w, code, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure,
		Reason: metav1.StatusReason(reason), Message: reason, Code: int32(code),
	})
}

// issue approves and signs a copy of the object.
func (l *liar) issue(object *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error) {
	request, err := controlplane.ParseRequest(object)
	if err != nil {
		return nil, err
	}
	i := &issue{kind: csr.Client, key: request.PublicKey, template: &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: request.Subject, DNSNames: request.DNSNames, IPAddresses: request.IPAddresses,
		NotBefore: l.clock.Now().Add(-5 * time.Minute), NotAfter: l.clock.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}}
	if object.Spec.SignerName == csr.Serving.Signer() {
		i.kind, i.template.ExtKeyUsage = csr.Serving, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	if l.twist != nil {
		l.twist(i)
	}
	der, err := x509.CreateCertificate(rand.Reader, i.template, l.ca, i.key, l.key)
	object = object.DeepCopy()
	object.ResourceVersion += "0"
	if i.denied {
		object.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{
			{Type: certificatesv1.CertificateDenied, Status: "True", LastTransitionTime: metav1.NewTime(l.clock.Now())},
		}
		return object, nil
	}
	object.Status.Certificate = pemOf(der)
	if i.text != nil {
		object.Status.Certificate = i.text(object.Status.Certificate)
	}
	object.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: "True"}}
	return object, err
}

func (l *liar) get(w http.ResponseWriter, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if object := l.objects[name].DeepCopy(); object != nil {
		if l.hold {
			object.Status = certificatesv1.CertificateSigningRequestStatus{}
		}
		answerJSON(w, http.StatusOK, object)
		return
	}
	answerStatus(w, http.StatusNotFound, "NotFound")
}

// watch tells of what was issued; that is all that ever happens here.
func (l *liar) watch(w http.ResponseWriter, r *http.Request) {
	if object := l.object(strings.TrimPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")); object != nil {
		answerJSON(w, http.StatusOK, map[string]any{"type": "MODIFIED", "object": object})
	}
}

// whoAmI tells the truth about the client's certificate unless it was told otherwise.
func (l *liar) whoAmI(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	if !strings.Contains(r.UserAgent(), "doctor") { // which is not the agent
		l.reviews = append(l.reviews, time.Now())
	}
	review := l.review
	l.mu.Unlock()
	peers := r.TLS.PeerCertificates
	switch {
	case review != nil:
		review(w, r)
	case len(peers) == 0 || peers[0].CheckSignatureFrom(l.ca) != nil || l.clock.Now().Before(peers[0].NotBefore):
		answerStatus(w, http.StatusUnauthorized, "Unauthorized")
	default:
		answerReview(w, peers[0].Subject.CommonName, peers[0].Subject.Organization...)
	}
}

func answerReview(w http.ResponseWriter, user string, groups ...string) {
	answerJSON(w, http.StatusCreated, authenticationv1.SelfSubjectReview{
		TypeMeta: metav1.TypeMeta{Kind: "SelfSubjectReview", APIVersion: "authentication.k8s.io/v1"},
		Status:   authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{Username: user, Groups: groups}},
	})
}

// tell has the liar change its story.
func (l *liar) tell(twist func(*issue), review http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.twist, l.review = twist, review
}

// object is a copy of the request of that name, as it was answered; nil if there is none.
func (l *liar) object(name string) *certificatesv1.CertificateSigningRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.objects[name].DeepCopy()
}

// reissue has every request answered again, as the liar is told now.
func (l *liar) reissue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, object := range l.objects {
		object.Status = certificatesv1.CertificateSigningRequestStatus{}
		issued, err := l.issue(object)
		if err != nil {
			l.t.Error(err)
		}
		l.objects[name] = issued
	}
}

// tellIssued ends the silence about what was issued.
func (l *liar) tellIssued() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold = false
}

// first is the name of the first request of a kind that the liar was sent.
func (l *liar) first(kind csr.Kind) string {
	l.t.Helper()
	eventually(l.t, "a "+string(kind)+" request", func() bool { return len(l.taken(kind)) > 0 })
	return l.taken(kind)[0]
}

// taken are the names of the requests of a kind that the liar was sent, each once.
func (l *liar) taken(kind csr.Kind) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, name := range l.order {
		if l.objects[name].Spec.SignerName == kind.Signer() {
			names = append(names, name)
		}
	}
	return names
}

// proofs are when the agent has asked who it is.
func (l *liar) proofs() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Time(nil), l.reviews...)
}
