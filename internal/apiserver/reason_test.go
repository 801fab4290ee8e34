package apiserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// statusBody is an error as the API server words it.
func statusBody(code int, reason, details string) string {
	return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"by a test","reason":%q,"code":%d%s}`, reason, code, details)
}

func answer(code int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

func TestEveryAnswerThatIsNoneHasItsReason(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    Reason
	}{
		"401":                          {answer(401, "application/json", statusBody(401, "Unauthorized", "")), Unauthorized},
		"401 of a proxy":               {answer(401, "text/html", "<h1>log in</h1>"), Unauthorized},
		"403":                          {answer(403, "application/json", statusBody(403, "Forbidden", "")), Forbidden},
		"403 of a firewall":            {answer(403, "text/html", "<h1>no</h1>"), Forbidden},
		"404":                          {answer(404, "application/json", statusBody(404, "NotFound", "")), NotFound},
		"404 of a web server":          {answer(404, "text/html", "<h1>not here</h1>"), NotFound},
		"409 already exists":           {answer(409, "application/json", statusBody(409, "AlreadyExists", "")), Exists},
		"409 conflict":                 {answer(409, "application/json", statusBody(409, "Conflict", "")), BadAnswer},
		"410":                          {answer(410, "application/json", statusBody(410, "Expired", "")), Expired},
		"400":                          {answer(400, "application/json", statusBody(400, "BadRequest", "")), Invalid},
		"422":                          {answer(422, "application/json", statusBody(422, "Invalid", "")), Invalid},
		"429":                          {answer(429, "application/json", statusBody(429, "TooManyRequests", "")), Throttled},
		"429 before the API is asked":  {answer(429, "text/plain", "Too many requests, please try again later."), Throttled},
		"500":                          {answer(500, "application/json", statusBody(500, "InternalError", "")), ServerError},
		"502 of a load balancer":       {answer(502, "text/html", "<h1>bad gateway</h1>"), ServerError},
		"503":                          {answer(503, "application/json", statusBody(503, "ServiceUnavailable", "")), ServerError},
		"504":                          {answer(504, "application/json", statusBody(504, "Timeout", "")), ServerError},
		"418":                          {answer(418, "text/plain", "a teapot"), BadAnswer},
		"a page":                       {answer(200, "text/html", "<h1>welcome</h1>"), BadAnswer},
		"a page that says it was JSON": {answer(200, "application/json", "<h1>welcome</h1>"), BadAnswer},
		"nothing":                      {answer(201, "application/json", ""), BadAnswer},
		"half an object":               {answer(201, "application/json", `{"kind":"CertificateSigningRequest","apiVersion":"certificates.k8s.io/v1","meta`), BadAnswer},
		"another kind of object":       {answer(201, "application/json", `{"kind":"Pod","apiVersion":"v1"}`), BadAnswer},
		"a redirect":                   {redirect(http.StatusTemporaryRedirect, "https://127.0.0.1:1/"), Redirected},
		"a redirect that leads nowhere": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) },
			BadAnswer,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			assertReason(t, post(t.Context(), connect(t, endpointOf(serve(t, row.handler)))), row.want)
		})
	}
}

// redirect is what http.Redirect does, without a look at the method.
func redirect(code int, target string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", target)
		w.WriteHeader(code)
	}
}

func assertReason(t *testing.T, err error, want Reason) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", want)
	}
	if got := ReasonOf(fmt.Errorf("what was tried: %w", err)); got != want {
		t.Errorf("reason %s, want %s: %v", got, want, err)
	}
}

func TestEveryBrokenConnectionHasItsReason(t *testing.T) {
	t.Parallel()
	cut := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"kind":"Certif`))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	at := func(address string) Endpoint {
		return Endpoint{Server: "https://" + address, CA: pemOf(serve(t, nil).Certificate().Raw)}
	}
	for name, row := range map[string]struct {
		endpoint Endpoint
		want     Reason
	}{
		"nobody listens":                             {at(closedPort(t)), Unreachable},
		"closed at once":                             {at(listen(t, func(c net.Conn) { c.Close() })), Unreachable},
		"closed after the request, HTTP/1.1":         {endpointOf(serve(t, abort, http1)), Unreachable},
		"closed after the request, HTTP/2":           {endpointOf(serve(t, abort)), Unreachable},
		"closed in the middle of the body, HTTP/1.1": {endpointOf(serve(t, cut, http1)), Unreachable},
		"closed in the middle of the body, HTTP/2":   {endpointOf(serve(t, cut)), Unreachable},
		"plain HTTP where TLS is expected":           {at(plainServer(t)), TLS},
		"no TLS at all":                              {at(listen(t, func(c net.Conn) { fmt.Fprintln(c, "220 mail.example.com ESMTP"); c.Close() })), TLS},
		"a certificate of another CA":                {Endpoint{Server: serve(t, nil).URL, CA: otherCA(t)}, TLS},
		"a certificate for another name":             {Endpoint{Server: serve(t, nil).URL, CA: endpointOf(serve(t, nil)).CA, TLSServerName: "api.invalid"}, TLS},
		"a server that wants a client certificate":   {endpointOf(serve(t, nil, wantsClientCertificate)), TLS},
		"a certificate that has expired":             {timed(t, -2*time.Hour, -time.Hour), Clock},
		"a certificate that is not valid yet":        {timed(t, time.Hour, 2*time.Hour), Clock},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for what, send := range map[string]func(context.Context, *Client) error{"POST": post, "GET": get} {
				t.Run(what, func(t *testing.T) { assertReason(t, send(t.Context(), connect(t, row.endpoint)), row.want) })
			}
		})
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func plainServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func otherCA(t *testing.T) []byte {
	t.Helper()
	_, ca := withCertificate(t, -time.Hour, time.Hour)
	return ca
}

func wantsClientCertificate(server *httptest.Server) {
	// since version 1.3 a client has sent its request before it hears of this, and not always does it hear
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
}

// timed is a server whose certificate is valid for that time from now.
func timed(t *testing.T, from, until time.Duration) Endpoint {
	t.Helper()
	change, ca := withCertificate(t, from, until)
	return Endpoint{Server: serve(t, nil, change).URL, CA: ca}
}

func TestTheClockErrorTellsTheValidityAndWhatTimeItIsHere(t *testing.T) {
	t.Parallel()
	from, until := time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	err := post(t.Context(), connect(t, timed(t, -2*time.Hour, -time.Hour)))
	if err == nil {
		t.Fatal("no error")
	}
	for _, at := range []time.Time{from, until, time.Now()} {
		// to the minute, which may have just begun
		if !strings.Contains(err.Error(), at.UTC().Format("2006-01-02T15:04")) && !strings.Contains(err.Error(), at.UTC().Add(-10*time.Second).Format("2006-01-02T15:04")) {
			t.Errorf("%s is not in the error: %v", at.UTC().Format(time.RFC3339), err)
		}
	}
}

// Whoever waits for an answer is not held by a server that has none: neither in the handshake, nor before the headers, nor in
// the middle of the body.
func TestASilentServerIsATimeout(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	silent := func(http.ResponseWriter, *http.Request) { <-never }
	stuck := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{"))
		_ = http.NewResponseController(w).Flush()
		<-never
	}
	servers := map[string]Endpoint{
		"in the handshake":             {Server: "https://" + listen(t, func(c net.Conn) { <-never; c.Close() }), CA: otherCA(t)},
		"before the headers, HTTP/1.1": endpointOf(serve(t, silent, http1)),
		"before the headers, HTTP/2":   endpointOf(serve(t, silent)),
		"in the body, HTTP/1.1":        endpointOf(serve(t, stuck, http1)),
		"in the body, HTTP/2":          endpointOf(serve(t, stuck)),
	}
	t.Cleanup(func() { close(never) }) // before the servers are closed
	for name, endpoint := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			assertReason(t, post(ctx, connect(t, endpoint)), Timeout)
		})
	}
}

func TestRetryAfterIsWhatTheServerAskedFor(t *testing.T) {
	t.Parallel()
	with := func(header string, handler http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", header)
			handler(w, r)
		}
	}
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    time.Duration
	}{
		"429 of priority and fairness":       {with("7", answer(429, "text/plain", "Too many requests, please try again later.")), 7 * time.Second},
		"429 that says so in the body":       {answer(429, "application/json", statusBody(429, "TooManyRequests", `,"details":{"retryAfterSeconds":7}`)), 7 * time.Second},
		"503 of a load balancer":             {with("7", answer(503, "text/html", "<h1>later</h1>")), 7 * time.Second},
		"504 that says so in the body":       {answer(504, "application/json", statusBody(504, "ServerTimeout", `,"details":{"retryAfterSeconds":7}`)), 7 * time.Second},
		"429 without a word":                 {answer(429, "text/plain", "later"), 0},
		"a date instead of a number":         {with("Wed, 21 Oct 2015 07:28:00 GMT", answer(503, "text/html", "<h1>later</h1>")), 0},
		"an error that has nothing to do":    {answer(401, "application/json", statusBody(401, "Unauthorized", "")), 0},
		"another kind of error than of HTTP": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := post(t.Context(), connect(t, endpointOf(serve(t, row.handler))))
			if got := RetryAfter(fmt.Errorf("what was tried: %w", err)); err == nil || got != row.want {
				t.Errorf("got %s, want %s: %v", got, row.want, err)
			}
		})
	}
}

func TestEveryReasonOfWhichAPersonCanMendTheCauseHasARemedy(t *testing.T) {
	t.Parallel()
	for _, reason := range []Reason{Unreachable, Timeout, TLS, Clock, Redirected, Unauthorized, Forbidden, NotFound, Invalid, BadAnswer, NoCredential} {
		if reason.Remedy() == "" {
			t.Errorf("%s has none", reason)
		}
	}
}
