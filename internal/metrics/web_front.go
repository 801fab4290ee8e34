package metrics

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"time"
)

type connectionKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// pages are what there is.
func (w Web) pages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/{$}", landingPage(w.Version))
	mux.Handle("/metrics", newScrapes(w.Metrics.Gatherer()))
	mux.HandleFunc("/healthz", answer(w.Metrics.Healthy))
	mux.HandleFunc("/readyz", answer(w.Metrics.Ready))
	return mux
}

// inner is called for whoever exporter-toolkit lets in. That reads the web configuration again for each connection and request, so a
// file that is being written may have let in somebody who may not: nobody is served under another file than the one that was judged.
func (s *server) inner(pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if stateOf(s.web.ConfigFile) != s.state {
			s.once.Do(func() { close(s.changed) })
			w.Header().Set("Connection", "close")
			http.Error(w, errChanged.Error(), http.StatusServiceUnavailable)
			return
		}
		if s.asked.clientCertificate && s.web.Clock.Now().After(r.TLS.PeerCertificates[0].NotAfter) { // it was not, at the handshake
			w.Header().Set("Connection", "close")
			http.Error(w, "the client certificate has expired", http.StatusUnauthorized)
			return
		}
		if c, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
			s.open.answer(c)
		}
		if letIn, ok := r.Context().Value(letInKey{}).(func()); ok {
			letIn()
		}
		pages.ServeHTTP(w, r)
	})
}

// letInKey has in a request's context what is to be done once its password was right.
type letInKey struct{}

// outer is called first: it spares exporter-toolkit what needs no look at a password, and the node's CPU too many looks.
func (s *server) outer(toolkit http.Handler) http.Handler {
	var known passwords
	guesses := guesses{clock: s.web.Clock, most: s.asked.guesses}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
			return
		}
		user, password, given := r.BasicAuth()
		if !s.asked.password || !given {
			toolkit.ServeHTTP(w, r)
			return
		}
		key := sha256.Sum256([]byte(user + "\x00" + password))
		if !known.has(key) && !guesses.may(r.RemoteAddr) {
			w.Header().Set("Retry-After", "10")
			http.Error(w, "too many unknown passwords", http.StatusTooManyRequests)
			return
		}
		letIn := func() { known.add(key) } // before anything is answered: the next scrape may come at once
		toolkit.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), letInKey{}, letIn)))
	})
}

// addressOf is that of the client, without its port.
func addressOf(remote string) netip.Addr {
	address, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{} // a Unix socket's
	}
	return address.Addr().Unmap()
}

// guessWindow is the time in which so many unknown passwords may be tried.
const guessWindow = 10 * time.Second
