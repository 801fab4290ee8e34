package metrics

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

// Bounds of one connection. Prometheus asks every 15 to 60 s over one that it keeps, and waits no longer than 10 s for an answer.
const (
	headerTimeout  = 5 * time.Second // TLS's handshake has as long
	requestTimeout = 10 * time.Second
	answerTimeout  = 15 * time.Second
	idleTimeout    = 90 * time.Second
	headerBytes    = 8 << 10 // net/http allows 4 KiB more
)

// settled is how long a web configuration must have been as it is: a file that is being written may hold all but the lines that protect.
const settled = 2 * time.Second

// lookEvery is how often it is made sure that what protects can still be had.
const lookEvery = time.Minute

// errChanged ends serving when another web configuration is to be used.
var errChanged = errors.New("the web configuration has changed")

// serve serves at one listener, under one web configuration, until something is wrong with either or ctx ends. Its error is never nil.
func (w Web) serve(ctx context.Context, open func(context.Context) (net.Listener, error), trouble *trouble) error {
	now, err := w.settle(ctx)
	if err != nil {
		return err
	}
	asked, err := judge(w.ConfigFile)
	if err != nil {
		return err
	}
	if stateOf(w.ConfigFile) != now {
		return errChanged
	}
	listener, err := open(ctx)
	if err != nil {
		return err
	}
	w.say(listener.Addr(), asked, trouble)
	return w.newServer(asked, now).run(ctx, listener)
}

// settle waits until nobody writes the web configuration, and returns its state.
func (w Web) settle(ctx context.Context) (state, error) {
	for {
		now := stateOf(w.ConfigFile)
		left := settled - now.age(w.Clock.Now())
		if now == (state{}) || left <= 0 {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return state{}, ctx.Err()
		case <-w.Clock.After(left):
		}
	}
}

func (w Web) say(address net.Addr, asked protection, trouble *trouble) {
	log := w.Log.With("address", address.String(), "tls", asked.tls, "client_certificates", asked.clientCertificate, "passwords", asked.password)
	if trouble.over() {
		log.Info("metrics are served again")
		return
	}
	log.Info("metrics are served")
}

// server is one http.Server, under one web configuration.
type server struct {
	web     Web
	http    *http.Server
	open    *connections
	asked   protection
	state   state
	changed chan struct{}
	once    sync.Once
	serving sync.WaitGroup
}

func (w Web) newServer(asked protection, now state) *server {
	s := &server{web: w, asked: asked, state: now, changed: make(chan struct{}), open: newConnections(w.Clock)}
	var http1 http.Protocols
	http1.SetHTTP1(true)
	s.http = &http.Server{
		Handler: s.inner(w.pages()), DisableGeneralOptionsHandler: true, // it would answer before passwords are asked for
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: headerBytes,
		Protocols:      &http1, // Prometheus needs no other, and a stream of HTTP/2 is a request that no limit of connections sees
		ErrorLog:       log.New(&complaints{log: w.Log, clock: w.Clock}, "", 0),
		ConnContext:    withConnection,
		ConnState:      s.count,
	}
	return s
}

// run returns when nothing of the server is left.
func (s *server) run(ctx context.Context, listener net.Listener) error {
	watched, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	var why error
	accepted := make(chan struct{})
	watching.Go(func() {
		why = s.watch(watched)
		s.end(ctx, listener, accepted)
	})
	limited := &limited{Listener: listener, connections: s.open, begin: func() { s.http.Handler = s.outer(s.http.Handler) }}
	systemd := false
	err := web.Serve(limited, s.http, &web.FlagConfig{WebConfigFile: &s.web.ConfigFile, WebSystemdSocket: &systemd}, slog.New(slog.DiscardHandler))
	listener.Close() // exporter-toolkit leaves it open when it does not begin
	close(accepted)
	stop()
	watching.Wait()
	s.serving.Wait()
	switch {
	case errors.Is(err, http.ErrServerClosed):
		return why
	case limited.begin != nil: // it was another one a moment ago
		return &ConfigError{Path: s.web.ConfigFile, Err: err, Remedy: remedyOf(err)}
	}
	return err
}

// lastAnswers is how long who has come in time may take when the agent ends: it has 5 s for all that it does then.
const lastAnswers = time.Second

// end answers who has come in time if the agent ends, and nobody if what protects is to be had anew. Shutdown would drop those whose
// request is being read.
func (s *server) end(ctx context.Context, listener net.Listener, accepted <-chan struct{}) {
	if ctx.Err() != nil {
		listener.Close()
		<-accepted
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastAnswers)
		defer cancel()
		s.http.SetKeepAlivesEnabled(false) // this closes those that are idle
		go func() {
			s.serving.Wait()
			cancel()
		}()
		<-last.Done()
	}
	_ = s.http.Close() // of a listener that may have ended
}

// watch returns when serving has to end, and why.
func (s *server) watch(ctx context.Context) error {
	looks := s.web.Clock.NewTicker(lookEvery)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.changed:
			return errChanged
		case <-looks.C():
			if stateOf(s.web.ConfigFile) != s.state {
				return errChanged
			}
			if _, err := judge(s.web.ConfigFile); err != nil {
				return err // files that it names
			}
		}
	}
}

// count keeps run waiting for the last connection.
func (s *server) count(_ net.Conn, now http.ConnState) {
	switch now {
	case http.StateNew:
		s.serving.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.serving.Done()
	}
}
