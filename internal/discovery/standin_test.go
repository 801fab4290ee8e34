package discovery

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

const clusterInfoPath = "/api/v1/namespaces/kube-public/configmaps/cluster-info"

// standIn is a server in the place of an API server. It keeps every byte that it is sent, before and inside TLS.
type standIn struct {
	t        *testing.T
	listener net.Listener
	url      string

	mu       sync.Mutex
	received bytes.Buffer
	requests []string
	strange  []string // what an agent that trusts nobody yet never does
}

// listen has each connection handled.
func listen(t *testing.T, handle func(net.Conn)) *standIn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &standIn{t: t, listener: listener, url: "https://" + listener.Addr().String()}
	var handlers sync.WaitGroup
	if handle != nil {
		handlers.Go(func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				handlers.Go(func() {
					defer c.Close()
					handle(overheard{c, s})
				})
			}
		})
	}
	t.Cleanup(func() {
		listener.Close()
		handlers.Wait()
	})
	return s
}

// answering is one that speaks TLS with a certificate of the given configuration.
func answering(t *testing.T, config *tls.Config, handler http.HandlerFunc) *standIn {
	t.Helper()
	s := listen(t, nil)
	server := &http.Server{TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.note(r)
		handler(w, r)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(overhearing{s.listener, s}, "", "")
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return s
}

func (s *standIn) note(r *http.Request) {
	text, err := httputil.DumpRequest(r, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received.Write(text)
	s.requests = append(s.requests, r.Method+" "+r.URL.String())
	switch {
	case err != nil:
		s.strange = append(s.strange, err.Error())
	case r.Header.Get("Authorization") != "" || len(r.Cookies()) > 0:
		s.strange = append(s.strange, "a credential")
	case len(r.TLS.PeerCertificates) > 0:
		s.strange = append(s.strange, "a client certificate")
	case r.Method != http.MethodGet || r.URL.String() != clusterInfoPath || r.ContentLength != 0:
		s.strange = append(s.strange, r.Method+" "+r.URL.String())
	}
}

func (s *standIn) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// assertTrustedWithNothing shows that the server was sent requests for cluster-info, and no secret nor a part of one.
func (s *standIn) assertTrustedWithNothing(token Token) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.strange) > 0 {
		s.t.Errorf("the server was sent %q", s.strange)
	}
	for _, secret := range []string{token.Secret, token.ID + "." + token.Secret, token.ID + ".", base64.StdEncoding.EncodeToString([]byte(token.Secret)), "Authorization", "Bearer", "CERTIFICATE"} {
		if strings.Contains(strings.ToLower(s.received.String()), strings.ToLower(secret)) {
			s.t.Errorf("the server was sent %q", secret)
		}
	}
}

type overhearing struct {
	net.Listener
	by *standIn
}

func (l overhearing) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return overheard{c, l.by}, err
}

type overheard struct {
	net.Conn
	by *standIn
}

func (c overheard) Read(buffer []byte) (int, error) {
	n, err := c.Conn.Read(buffer)
	c.by.mu.Lock()
	c.by.received.Write(buffer[:n])
	c.by.mu.Unlock()
	return n, err
}

// town is a cluster with one API server, as long as nobody changes what it answers.
type town struct {
	t     *testing.T
	ca    party
	rogue party
	token Token
	api   *standIn
	// all are the servers of the town, good and bad.
	all  []*standIn
	wish Wish
	// patience is for how long the agent waits for an answer.
	patience time.Duration

	mu sync.Mutex
	// info is what the ConfigMap holds; answer, when set, answers in its place, the n-th time (from 1).
	info   map[string]string
	answer func(n int, w http.ResponseWriter, r *http.Request)
	times  int
}

func newTown(t *testing.T) *town {
	t.Helper()
	v := &town{t: t, ca: root("kubernetes"), rogue: root("rogue"), token: Token{"abcdef", "s3cr3ts3cr3ts3cr"}, patience: 15 * time.Second}
	v.api = v.stands(v.ca.server())
	v.wish = Wish{Servers: []string{v.api.url}, Token: v.token, Pins: pinsOf(v.ca)}
	v.names(v.api.url)
	return v
}

// stands makes another server of the town, which answers as the first one does.
func (v *town) stands(certificate tls.Certificate, changes ...func(*tls.Config)) *standIn {
	return v.answers(certificate, v.serve, changes...)
}

// answers makes a server that answers for itself.
func (v *town) answers(certificate tls.Certificate, handler http.HandlerFunc, changes ...func(*tls.Config)) *standIn {
	v.t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert}
	for _, change := range changes {
		change(config)
	}
	s := answering(v.t, config, handler)
	v.all = append(v.all, s)
	return s
}

// shut is the URL of a port at which nobody listens.
func (v *town) shut() string {
	v.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(v.t, err)
	must(v.t, listener.Close())
	return "https://" + listener.Addr().String()
}

// silent makes a server that takes connections and says nothing.
func (v *town) silent() *standIn {
	v.patience = 300 * time.Millisecond
	s := listen(v.t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	v.all = append(v.all, s)
	return s
}

// asks has the agent ask this server.
func (v *town) asks(s *standIn) { v.wish.Servers = []string{s.url} }

func (v *town) kubeconfig(server string, cas ...party) string {
	return clusterInfo(server, EncodeBundle(bundleOf(cas...)))
}

// names has cluster-info name this server, with the cluster's CA.
func (v *town) names(server string) { v.publish(v.kubeconfig(server, v.ca)) }

// publish sets the content, as whoever has the token would sign it.
func (v *town) publish(kubeconfig string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.info = map[string]string{"kubeconfig": kubeconfig, "jws-kubeconfig-" + v.token.ID: handSignature(v.token.ID, v.token.Secret, kubeconfig)}
}

func (v *town) serve(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	v.times++
	answer, times := v.answer, v.times
	v.mu.Unlock()
	if answer != nil {
		answer(times, w, r)
		return
	}
	v.answerTruly(w)
}

// answersWith sets what is answered in place of the truth.
func (v *town) answersWith(answer func(n int, w http.ResponseWriter, r *http.Request)) {
	v.answer = answer
}

func (v *town) answerTruly(w http.ResponseWriter) {
	v.mu.Lock()
	defer v.mu.Unlock()
	answerWith(w, v.info)
}

func answerWith(w http.ResponseWriter, data map[string]string) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "ConfigMap", "apiVersion": "v1", "metadata": map[string]string{"name": "cluster-info", "namespace": "kube-public"}, "data": data})
}

// discover asks, as the agent does.
func (v *town) discover() (Found, error) {
	ctx, cancel := context.WithTimeout(v.t.Context(), v.patience)
	defer cancel()
	return Asker{UserAgent: "bootstrap-agent/test", Clock: clock.RealClock{}}.Discover(ctx, v.wish)
}
