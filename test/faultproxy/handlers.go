package faultproxy

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Status answers every request with an HTTP status and a body as the API server gives it (kind Status).
func Status(code int) http.Handler {
	status := apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", "", 0, false).ErrStatus
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	body, err := json.Marshal(status)
	if err != nil {
		panic(err) // plain data
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write(body)
	})
}

// RetryAfter answers with an HTTP status, a line of plain text and a Retry-After header in whole seconds, just as the API server
// does under load (429), and load balancers do (503).
func RetryAfter(code int, after time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", strconv.Itoa(int(after.Seconds())))
		http.Error(w, http.StatusText(code)+", please try again later.", code)
	})
}

// Forward answers with what the backend answers, for handlers that let some requests through and break others. The backend
// must have a certificate of the CAs given (PEM). Tokens go through; client certificates cannot, since TLS ends here.
func (p *Proxy) Forward(caPEM []byte) (http.Handler, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(caPEM) {
		return nil, fmt.Errorf("forward to %s: no CA certificate in the PEM given", p.backend)
	}
	backend := &url.URL{Scheme: "https", Host: p.backend}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(backend) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
		ErrorLog:  log.New(io.Discard, "", 0), // connections that end with the mode are no news
	}, nil
}

// CutMidBody sends the first half of what the handler writes at first, and then breaks the connection (HTTP/1.1) or the
// stream (HTTP/2). An answer without a body gets through.
func CutMidBody(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		handler.ServeHTTP(&cutter{ResponseWriter: w}, req)
	})
}

type cutter struct {
	http.ResponseWriter
}

func (c *cutter) Write(body []byte) (int, error) {
	_, _ = c.ResponseWriter.Write(body[:len(body)/2])
	_ = http.NewResponseController(c.ResponseWriter).Flush() // or the half would never leave
	panic(http.ErrAbortHandler)
}

// Unwrap is for http.ResponseController.
func (c *cutter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
