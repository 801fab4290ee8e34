package agent

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// serve answers as the simulated cluster does.
func (r *realNode) serve(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body) // a caller that goes is noticed only then
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	w.Header()["Date"] = nil // the server's clock is the simulated one
	const path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	name := ""
	if len(request.URL.Path) > len(path) {
		name = request.URL.Path[len(path)+1:]
	}
	other := r.ofOtherKind(request)
	if !other {
		r.asks.calls++
		takes, err := r.asks.world.cluster.call(r.asks)
		if request.URL.Query().Has("watch") { // begins at once
			takes, err = 0, nil
		}
		if !r.pass(takes) {
			r.hang(request)
		}
		if err != nil {
			if apierrors.IsUnauthorized(err) {
				refuse(w, apierrors.NewUnauthorized("Unauthorized"))
				return
			}
			panic(http.ErrAbortHandler) // no answer at all
		}
	}
	switch {
	case request.URL.Path == "/apis/authentication.k8s.io/v1/selfsubjectreviews":
		r.review(w, request)
	case request.Method == http.MethodPost:
		r.create(w, request, other)
	case request.URL.Query().Has("watch"):
		r.watch(w, request)
	default:
		r.read(w, name)
	}
}

// ofOtherKind says whether a call is about the certificate that is not looked at.
func (r *realNode) ofOtherKind(request *http.Request) bool {
	return r.asks.kind == csr.Serving && user(request) != "system:node:worker-1" || r.asks.kind == csr.Serving && request.URL.Path == "/apis/authentication.k8s.io/v1/selfsubjectreviews"
}

// hang keeps the caller waiting for as long as it lives.
func (r *realNode) hang(request *http.Request) {
	r.mu.Unlock()
	<-request.Context().Done()
	r.mu.Lock()
	panic(http.ErrAbortHandler)
}

func (r *realNode) create(w http.ResponseWriter, request *http.Request, other bool) {
	object := &certificatesv1.CertificateSigningRequest{}
	if err := json.NewDecoder(request.Body).Decode(object); err != nil {
		panic(err)
	}
	object.TypeMeta = metav1.TypeMeta{Kind: "CertificateSigningRequest", APIVersion: "certificates.k8s.io/v1"}
	object.Spec.Username, object.ResourceVersion = user(request), "1"
	object.CreationTimestamp = metav1.Time{Time: r.asks.now().Truncate(time.Second)}
	if other { // the client's, which is to last
		object.UID = "other"
		r.content[object.Name] = r.issued(object, x509.ExtKeyUsageClientAuth, 30*year)
		answer(w, http.StatusCreated, r.content[object.Name])
		return
	}
	cluster := &r.asks.world.cluster
	if !cluster.create(r.asks, object.Name) {
		refuse(w, apierrors.NewAlreadyExists(certificatesv1.Resource("certificatesigningrequests"), object.Name))
		return
	}
	object.UID = types.UID(r.asks.object.uid)
	r.content[object.Name] = object
	answer(w, http.StatusCreated, object)
}

func (r *realNode) issued(object *certificatesv1.CertificateSigningRequest, usage x509.ExtKeyUsage, life time.Duration) *certificatesv1.CertificateSigningRequest {
	object = object.DeepCopy()
	object.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
	object.Status.Certificate = theCA().signFor(life+backdated, object.Spec.Request, usage, r.asks.now().Add(-backdated))
	return object
}

// seen is the object as it stands now; nil: it is gone.
func (r *realNode) seen(name string) *certificatesv1.CertificateSigningRequest {
	w := r.asks.world
	object := r.content[name]
	o := w.cluster.read(r.asks, name)
	if object == nil || object.UID == "other" || o == nil {
		return object
	}
	switch result := w.cluster.outcome(o, w.at); result {
	case csr.Issued:
		if object.Status.Certificate == nil {
			object = r.issued(object, map[csr.Kind]x509.ExtKeyUsage{csr.Client: x509.ExtKeyUsageClientAuth, csr.Serving: x509.ExtKeyUsageServerAuth}[r.asks.kind], w.cluster.life)
			r.content[name] = object
		}
	case csr.Denied, csr.Failed:
		kind := map[csr.Result]certificatesv1.RequestConditionType{csr.Denied: certificatesv1.CertificateDenied, csr.Failed: certificatesv1.CertificateFailed}[result]
		object = object.DeepCopy()
		object.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{
			Type: kind, Status: corev1.ConditionTrue, Reason: "Simulated", LastTransitionTime: metav1.Time{Time: w.begin.Add(o.ends).Truncate(time.Second)},
		}}
	default:
	}
	return object
}

func (r *realNode) gone(name string) bool {
	o := r.asks.object
	return r.content[name] == nil || o != nil && o.name == name && r.asks.world.at >= o.gone
}

func (r *realNode) read(w http.ResponseWriter, name string) {
	if r.gone(name) {
		refuse(w, apierrors.NewNotFound(certificatesv1.Resource("certificatesigningrequests"), name))
		return
	}
	answer(w, http.StatusOK, r.seen(name))
}

// watch passes the time until there is something to say.
func (r *realNode) watch(w http.ResponseWriter, request *http.Request) {
	name := request.URL.Query().Get("fieldSelector")[len("metadata.name="):]
	if o := r.asks.object; o != nil && o.name == name {
		at, out := r.asks.world.at, r.asks.world.cluster.outage
		closes := at + watchLasts
		if out.from >= at && out.cut < neverAgain {
			closes = min(closes, out.from+out.cut)
		}
		if !r.pass(max(min(o.ends, o.gone, closes)-at, 0)) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			r.hang(request)
		}
	}
	switch object := r.seen(name); {
	case r.gone(name):
		answer(w, http.StatusOK, map[string]any{"type": "DELETED", "object": r.content[name]})
	case len(object.Status.Conditions) > 0:
		answer(w, http.StatusOK, map[string]any{"type": "MODIFIED", "object": object})
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
	}
}

func (r *realNode) review(w http.ResponseWriter, request *http.Request) {
	if r.asks.world.cluster.unaccepted && user(request) != "" {
		refuse(w, apierrors.NewUnauthorized("Unauthorized"))
		return
	}
	(&apiStandIn{}).whoAmI(w, request)
}
