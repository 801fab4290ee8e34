package faultproxy

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Request is what a handler saw of a request. The credential itself is not kept.
type Request struct {
	Time   time.Time
	Method string
	// Path is the URL's path, Query what stands behind the question mark.
	Path, Query string
	// Proto is HTTP/1.1 or HTTP/2.0.
	Proto     string
	UserAgent string
	// Authorization tells whether there was such a header: whether a token has been given away.
	Authorization bool
	// ClientCertificate is the subject of the client's certificate, "" without one.
	ClientCertificate string
}

// String is a line for a test's failure message.
func (r Request) String() string {
	return fmt.Sprintf("%s %s %s (%s, authorization %t, client certificate %q)",
		r.Time.Format("15:04:05.000"), r.Method, r.Path, r.Proto, r.Authorization, r.ClientCertificate)
}

// Recording is what came in while a mode lasted. It can be read at any time, also when the mode is over.
type Recording struct {
	mu          sync.Mutex
	connections int
	requests    []Request
}

// Connections is the number of connections accepted. Those that were refused are not known.
func (r *Recording) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.connections
}

// Requests are the requests that the handler was given, in the order of their arrival. Modes without a handler have none.
func (r *Recording) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

func (r *Recording) connection() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connections++
}

// around records each request before the handler sees it.
func (r *Recording) around(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen := Request{
			Time: time.Now(), Method: req.Method, Path: req.URL.Path, Query: req.URL.RawQuery,
			Proto: req.Proto, UserAgent: req.UserAgent(), Authorization: req.Header.Get("Authorization") != "",
		}
		if certificates := req.TLS.PeerCertificates; len(certificates) > 0 {
			seen.ClientCertificate = certificates[0].Subject.String()
		}
		r.mu.Lock()
		r.requests = append(r.requests, seen)
		r.mu.Unlock()
		handler.ServeHTTP(w, req)
	})
}
