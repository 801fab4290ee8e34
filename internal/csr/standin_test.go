package csr

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

type object = certificatesv1.CertificateSigningRequest

// standIn answers as an API server would that knows one object. It notes what it was asked.
type standIn struct {
	server *httptest.Server
	clock  *testingclock.FakeClock

	mu    sync.Mutex
	calls []string
	// there is the object; nil: none.
	there *object
	// watches are what each watch in turn brings; behind the last one they only end.
	watches []func(send func(kind string, o any))
	// refuse answers calls with an error.
	refuse map[string]*apierrors.StatusError
}

func newStandIn(t *testing.T) *standIn {
	t.Helper()
	s := &standIn{clock: testingclock.NewFakeClock(noon), refuse: map[string]*apierrors.StatusError{}}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(s.answer))
	s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.server.StartTLS()
	t.Cleanup(func() {
		s.server.CloseClientConnections()
		s.server.Close()
	})
	return s
}

func (s *standIn) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	call := r.Method
	if r.URL.Query().Get("watch") == "true" {
		call = "WATCH"
	}
	s.calls = append(s.calls, strings.TrimSpace(call+" "+r.URL.Query().Get("resourceVersion")))
	if err := s.refuse[call]; err != nil {
		reply(w, int(err.ErrStatus.Code), err.ErrStatus)
		return
	}
	switch call {
	case "POST":
		s.create(w, r)
	case "GET":
		if s.there == nil {
			err := apierrors.NewNotFound(certificatesv1.Resource(resource), "it")
			reply(w, http.StatusNotFound, err.ErrStatus)
			return
		}
		reply(w, http.StatusOK, s.there)
	case "WATCH":
		s.watch(w, r)
	}
}

func (s *standIn) create(w http.ResponseWriter, r *http.Request) {
	if s.there != nil {
		err := apierrors.NewAlreadyExists(certificatesv1.Resource(resource), "it")
		reply(w, http.StatusConflict, err.ErrStatus)
		return
	}
	created := &object{}
	if err := json.NewDecoder(r.Body).Decode(created); err != nil {
		panic(err)
	}
	created.UID, created.ResourceVersion, created.Spec.Username = "uid-1", "7", "system:bootstrap:abcdef"
	s.there = created
	reply(w, http.StatusCreated, created)
}

func (s *standIn) watch(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=") {
		panic("a watch of everything")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	if len(s.watches) == 0 {
		return
	}
	events := s.watches[0]
	s.watches = s.watches[1:]
	events(func(kind string, o any) {
		_ = json.NewEncoder(w).Encode(map[string]any{"type": kind, "object": o})
	})
}

func reply(w http.ResponseWriter, code int, body any) {
	if status, ok := body.(metav1.Status); ok {
		status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		body = status
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// asker returns one for the stand-in, whose clock is moved on whenever somebody waits for it.
func (s *standIn) asker(t *testing.T, p *Pending) *Asker {
	t.Helper()
	p.Endpoint = apiserver.Endpoint{Server: s.server.URL, CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})}
	api, err := apiserver.New(p.Endpoint, apiserver.Credential{Token: "abcdef.0123456789abcdef"}, "test", s.clock)
	must(t, err)
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended); api.Close() })
	go func() {
		for ticker := time.NewTicker(time.Millisecond); ; <-ticker.C {
			select {
			case <-ended:
				ticker.Stop()
				return
			default:
				if s.clock.HasWaiters() {
					s.clock.Step(100 * time.Millisecond)
				}
			}
		}
	}()
	return &Asker{API: api, Clock: s.clock, Accepted: func(*object) {}, Unwatchable: func(error) {}}
}

// objectOf is the object that p makes.
func objectOf(p *Pending, uid string) *object {
	o := &object{}
	o.TypeMeta = metav1.TypeMeta{Kind: "CertificateSigningRequest", APIVersion: "certificates.k8s.io/v1"}
	o.Name, o.UID, o.ResourceVersion = p.Name, types.UID(uid), "7"
	o.Spec = certificatesv1.CertificateSigningRequestSpec{Request: p.RequestPEM, SignerName: p.Wish.Kind.Signer(), Usages: p.Wish.Usages(), Username: "system:bootstrap:abcdef"}
	if p.Wish.ExpirationSeconds > 0 {
		o.Spec.ExpirationSeconds = &p.Wish.ExpirationSeconds
	}
	return o
}

// with returns o in another state.
func with(o *object, kind certificatesv1.RequestConditionType, certificate string) *object {
	o = o.DeepCopy()
	o.Status.Conditions = append(o.Status.Conditions, condition(kind, "True"))
	if certificate != "" {
		o.Status.Certificate = []byte(certificate)
	}
	return o
}
