package faultproxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// backend is a TLS server in the place of the API server: it answers with the token that it was shown, and streams at /watch.
func backend(t *testing.T) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %d", r.Proto, r.Header.Get("Authorization"), len(r.TLS.PeerCertificates))
	})
	mux.HandleFunc("/watch", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "first event")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

func start(t *testing.T) (*Proxy, *httptest.Server) {
	t.Helper()
	server := backend(t)
	proxy, err := New(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	return proxy, server
}

// client trusts the backend's certificate, shows it as its own too, and follows no redirect.
func client(server *httptest.Server, http2 bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: server.TLS.Certificates},
			ForceAttemptHTTP2: http2,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get asks over a new connection, as it would be after any pause: one kept from the mode before would be found closed.
func get(client *http.Client, url string) (code int, body string, err error) {
	client.CloseIdleConnections()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Authorization", "Bearer token")
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

var protocols = map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true}

func TestPassIsTLSFromEndToEnd(t *testing.T) {
	proxy, server := start(t)
	recording := proxy.Pass()
	for proto, http2 := range protocols {
		_, body, err := get(client(server, http2), proxy.URL())
		if want := proto + " Bearer token 1"; err != nil || body != want {
			t.Errorf("got %q, %v; want %q: the client's certificate must arrive at the backend", body, err, want)
		}
	}
	if got := recording.Connections(); got != 2 {
		t.Errorf("%d connections recorded, want 2", got)
	}
}

func TestDownRefusesAndIsMendedAtTheSameAddress(t *testing.T) {
	proxy, server := start(t)
	url, c := proxy.URL(), client(server, true)
	for range 3 {
		proxy.Down()
		if _, _, err := get(c, url); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("down: got %v, want connection refused", err)
		}
		proxy.Pass()
		if _, _, err := get(c, url); err != nil {
			t.Errorf("mended: %v", err)
		}
	}
}

func TestHangAcceptsAndNeverAnswers(t *testing.T) {
	proxy, server := start(t)
	recording := proxy.Hang()
	c := client(server, true)
	c.Timeout = 200 * time.Millisecond
	_, _, err := get(c, proxy.URL())
	if netErr := net.Error(nil); !errors.As(err, &netErr) || !netErr.Timeout() {
		t.Errorf("got %v, want a time-out", err)
	}
	if recording.Connections() != 1 {
		t.Errorf("%d connections recorded, want 1", recording.Connections())
	}
}

func TestHandlerAnswersAndRecordsWhatItSaw(t *testing.T) {
	for proto, http2 := range protocols {
		t.Run(proto, func(t *testing.T) {
			proxy, server := start(t)
			recording := proxy.Handler(server.TLS.Certificates[0], RetryAfter(http.StatusTooManyRequests, 7*time.Second))
			response, err := client(server, http2).Get(proxy.URL() + "/apis/x?watch=1")
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, _ := io.ReadAll(response.Body)
			if response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") != "7" || !strings.Contains(string(body), "try again later") {
				t.Errorf("got %v %s", response, body)
			}
			if _, _, err := get(client(server, http2), proxy.URL()+"/with-token"); err != nil {
				t.Fatal(err)
			}

			got := recording.Requests()
			if len(got) != 2 {
				t.Fatalf("want 2 requests, got %v", got)
			}
			if r := got[0]; r.Method != http.MethodGet || r.Path != "/apis/x" || r.Query != "watch=1" || r.Proto != proto || r.Authorization || r.ClientCertificate == "" {
				t.Errorf("first: got %+v", r)
			}
			if r := got[1]; r.Path != "/with-token" || !r.Authorization {
				t.Errorf("second: got %+v", r)
			}
		})
	}
}

func TestEachModeHasItsOwnRecordingAlsoWhenItIsOver(t *testing.T) {
	proxy, server := start(t)
	c := client(server, true)
	certificate := server.TLS.Certificates[0]
	first := proxy.Handler(certificate, Status(http.StatusUnauthorized))
	if code, body, err := get(c, proxy.URL()+"/first"); code != 401 || !strings.Contains(body, `"reason":"Unauthorized"`) || err != nil {
		t.Fatal(code, body, err)
	}
	second := proxy.Handler(certificate, nil)
	if code, _, err := get(c, proxy.URL()+"/second"); code != 404 || err != nil {
		t.Fatal(code, err)
	}
	if got := first.Requests(); len(got) != 1 || got[0].Path != "/first" {
		t.Errorf("first: got %v", got)
	}
	if got := second.Requests(); len(got) != 1 || got[0].Path != "/second" {
		t.Errorf("second: got %v", got)
	}
}

func TestChangingTheModeClosesTheConnectionsOfTheOneBefore(t *testing.T) {
	forward := func(proxy *Proxy, server *httptest.Server) {
		handler, err := proxy.Forward(pemOf(server))
		if err != nil {
			t.Fatal(err)
		}
		proxy.Handler(server.TLS.Certificates[0], handler)
	}
	for name, mode := range map[string]func(*Proxy, *httptest.Server){
		"pass": func(*Proxy, *httptest.Server) {}, "handler": forward,
	} {
		for proto, http2 := range protocols {
			t.Run(name+" "+proto, func(t *testing.T) {
				proxy, server := start(t)
				mode(proxy, server)
				response, err := client(server, http2).Get(proxy.URL() + "/watch")
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				lines := bufio.NewReader(response.Body)
				if line, err := lines.ReadString('\n'); err != nil || line != "first event\n" {
					t.Fatalf("got %q, %v: events must arrive at once", line, err)
				}
				begin := time.Now()
				proxy.Down()
				if _, err := lines.ReadString('\n'); err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the watch went on: %v", err)
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("it was noticed only after %v", took)
				}
			})
		}
	}
}

func TestAHandlerMayChangeTheMode(t *testing.T) {
	proxy, server := start(t)
	proxy.Handler(server.TLS.Certificates[0], http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxy.Pass() }))
	c := client(server, true)
	if _, _, err := get(c, proxy.URL()); err == nil {
		t.Error("the connection of the handler is still there")
	}
	if code, _, err := get(c, proxy.URL()); code != 200 || err != nil {
		t.Errorf("afterwards: got %d, %v", code, err)
	}
}

func TestCloseMidBodyCutsTheAnswerOff(t *testing.T) {
	const whole = "HTTP/2.0 Bearer token 0" // of the backend, to the proxy
	for name, handler := range map[string]func(*Proxy, *httptest.Server) (http.Handler, error){
		"of the backend": func(p *Proxy, server *httptest.Server) (http.Handler, error) { return p.Forward(pemOf(server)) },
		"of a handler that announces no length": func(*Proxy, *httptest.Server) (http.Handler, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, whole) }), nil
		},
	} {
		for proto, http2 := range protocols {
			t.Run(name+" "+proto, func(t *testing.T) {
				proxy, server := start(t)
				answer, err := handler(proxy, server)
				if err != nil {
					t.Fatal(err)
				}
				recording := proxy.CloseMidBody(server.TLS.Certificates[0], answer)
				code, body, err := get(client(server, http2), proxy.URL())
				if err == nil {
					t.Errorf("got %d %q and no error", code, body)
				}
				if code != 200 || body == "" || len(body) >= len(whole) {
					t.Errorf("got %d %q, want 200 and a part of the body", code, body)
				}
				if len(recording.Requests()) != 1 {
					t.Errorf("recorded: %v", recording.Requests())
				}
			})
		}
	}
}

func TestABadCertificateIsSeenByTheClientAndNoRequestArrives(t *testing.T) {
	proxy, server := start(t)
	for name, test := range map[string]struct {
		notBefore, notAfter time.Duration
		want                x509.InvalidReason
	}{
		"expired":       {-2 * time.Hour, -time.Hour, x509.Expired},
		"not yet valid": {time.Hour, 2 * time.Hour, x509.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			certificate, roots := certificateFor(t, time.Now().Add(test.notBefore), time.Now().Add(test.notAfter))
			recording := proxy.Handler(certificate, nil)
			c := client(server, true)
			c.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
			_, _, err := get(c, proxy.URL())
			if invalid := (x509.CertificateInvalidError{}); !errors.As(err, &invalid) || invalid.Reason != test.want {
				t.Errorf("got %v", err)
			}
			if recording.Connections() != 1 || len(recording.Requests()) != 0 {
				t.Errorf("recorded: %d connections, requests %v", recording.Connections(), recording.Requests())
			}
		})
	}
}

func TestCloseFreesPortAndGoroutines(t *testing.T) {
	server := backend(t)
	before := runtime.NumGoroutine()
	for _, mode := range []func(*Proxy){
		func(p *Proxy) { p.Pass() }, func(p *Proxy) { p.Hang() }, func(p *Proxy) { p.Down() },
		func(p *Proxy) { p.Handler(server.TLS.Certificates[0], nil) },
	} {
		proxy, err := New(server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		mode(proxy)
		c := client(server, true)
		c.Timeout = 100 * time.Millisecond
		_, _, _ = get(c, proxy.URL())
		for range 2 {
			if err := proxy.Close(); err != nil {
				t.Error(err)
			}
		}
		proxy.Pass() // too late to do anything
		listener, err := net.Listen("tcp4", proxy.Address())
		if err != nil {
			t.Fatalf("the port is not free: %v", err)
		}
		listener.Close()
		c.CloseIdleConnections()
	}
	server.CloseClientConnections()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func TestABackendThatIsNoAddressIsAnError(t *testing.T) {
	if _, err := New("https://127.0.0.1:6443"); err == nil {
		t.Error("a URL was taken for host:port")
	}
}

// A raw connection can say that nothing more comes: the client sees its end, not a reset, and is still heard.
func TestARawConnectionCanBeEndedInOneDirection(t *testing.T) {
	proxy, _ := start(t)
	heard := make(chan string, 1)
	proxy.Raw(func(connection net.Conn) {
		_, _ = io.WriteString(connection, "the end")
		if err := connection.(interface{ HalfClose() error }).HalfClose(); err != nil {
			t.Error(err)
		}
		text, _ := io.ReadAll(connection)
		heard <- string(text)
	})
	connection, err := net.Dial("tcp", strings.TrimPrefix(proxy.URL(), "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
	if text, err := io.ReadAll(connection); err != nil || string(text) != "the end" {
		t.Errorf("got %q, %v", text, err)
	}
	_, _ = io.WriteString(connection, "still here")
	connection.Close()
	select {
	case text := <-heard:
		if text != "still here" {
			t.Errorf("heard %q after the end", text)
		}
	case <-time.After(10 * time.Second):
		t.Error("the other end is not told that the client has gone")
	}
}
