package metrics_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// rightHash is bcrypt's of the password "right", at cost 4: a check takes no time.
const rightHash = "$2a$04$HdJnbgifi6BLXjp5OsKqYOHzWbWo6UYk7rg0rs7yQSsnVW5qVgxz."

const passwordNeeded = "basic_auth_users:\n  prometheus: " + rightHash + "\n"

func certificateNeeded(rest string) string {
	return "tls_server_config:\n  cert_file: server.pem\n  key_file: server.pem\n  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n" + rest
}

// paths and methods that somebody may try.
var (
	triedPaths   = []string{"/", "/metrics", "/healthz", "/readyz", "/metrics?x=1", "//metrics", "/x/../metrics", "/debug/pprof/", "*"}
	triedMethods = []string{"GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "TRACE", "CONNECT", "PRI", "GE"}
)

// says are parts of what must stay unseen: metrics, the landing page, the answers of the health paths.
func leaks(answer string) bool {
	for _, part := range []string{"bootstrap_agent", "v1.2.3", "process_", "\r\n\r\nok\n", "# HELP"} {
		if strings.Contains(answer, part) {
			return true
		}
	}
	return false
}

// raw sends text as it stands, and returns all that comes back.
func raw(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(c, text)
	answer, _ := io.ReadAll(c)
	return string(answer)
}

func TestNobodyWithoutThePasswordGetsAByteOfMetrics(t *testing.T) {
	t.Parallel()
	s, random := serve(t, passwordNeeded), sample.Random(t)
	requests := []string{"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"} // net/http answers it without asking anybody, unless told not to
	for _, credential := range []string{
		"", "Authorization: Basic\r\n", "Authorization: Basic cHJvbWV0aGV1czo=\r\n", "Authorization: Basic OnJpZ2h0\r\n", // prometheus: and :right
		"Authorization: Basic cHJvbWV0aGV1czp3cm9uZw==\r\n", "Authorization: Basic cm9vdDpyaWdodA==\r\n", "Authorization: Bearer right\r\n", "Authorization: Basic !!\r\n",
		"authorization: basic cHJvbWV0aGV1czp3cm9uZw==\r\nauthorization: basic cHJvbWV0aGV1czpyaWdodA==\r\n", // the second of two is right
	} {
		for _, path := range triedPaths {
			for _, method := range triedMethods {
				if os.Getenv("SOAK") != "" || random.IntN(8) == 0 {
					requests = append(requests, method+" "+path+" HTTP/1.1\r\nHost: a\r\n"+credential+"Connection: close\r\n\r\n")
				}
			}
		}
	}
	var trying sync.WaitGroup
	for part := range slices.Chunk(requests, len(requests)/16+1) { // net/http waits for half a second after it has refused one
		trying.Go(func() {
			for _, request := range part {
				s.clock.Step(time.Minute) // no guess is one too many
				if answer := raw(t, s.dial(), request); leaks(answer) || strings.HasPrefix(answer, "HTTP/1.1 200") {
					t.Errorf("%q: %q", request, answer)
				}
			}
		})
	}
	trying.Wait()
	for _, old := range []string{"GET /metrics\r\n\r\n", "GET /metrics HTTP/1.0\r\n\r\n", "GET /metrics HTTP/0.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
		if answer := raw(t, s.dial(), old); leaks(answer) || strings.HasPrefix(answer, "HTTP/1.1 200") {
			t.Errorf("%q: %q", old, answer)
		}
	}
	if got := ask(client(nil), "GET", "http://"+s.address()+"/metrics", right); !got.complete() {
		t.Errorf("with the password: %v", got)
	}
	if got := ask(client(nil), "GET", "http://"+s.address()+"/metrics", nil); got.status != 401 || got.header.Get("WWW-Authenticate") == "" {
		t.Errorf("a browser is not asked for the password: %v", got)
	}
}

func right(r *http.Request) { r.SetBasicAuth("prometheus", "right") }

func TestNobodyWithoutACertificateOfTheCAGetsAByteOfMetrics(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "cluster"), newAuthority(t, "cluster") // of the same name
	s := serveWith(t, certificateNeeded(""), map[string]string{"server.pem": ca.serverPair("node"), "ca.pem": ca.pem})
	for name, config := range map[string]*tls.Config{
		"none":                          ca.trust(),
		"another CA's of the same name": ca.trust(other.clientPair(-time.Hour, time.Hour)),
		"expired":                       ca.trust(ca.clientPair(-2*time.Hour, -time.Hour)),
		"not valid yet":                 ca.trust(ca.clientPair(2*time.Hour, 3*time.Hour)),
		"a serving certificate":         ca.trust(ca.serverPair("node")),
		"a self-signed one":             ca.trust(newAuthority(t, "prometheus").clientPair(-time.Hour, time.Hour)),
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			config := config.Clone()
			config.MaxVersion = version
			for _, path := range triedPaths {
				c, err := tls.Dial("tcp", s.address(), config)
				if err != nil {
					continue // TLS 1.2 is refused in the handshake
				}
				answer := raw(t, c, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
				c.Close()
				if answer != "" {
					t.Errorf("%s, TLS %x, %s: %q", name, version, path, answer)
				}
			}
		}
	}
	for _, path := range triedPaths {
		if answer := raw(t, s.dial(), "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); leaks(answer) || strings.HasPrefix(path, "/") && !strings.HasPrefix(answer, "HTTP/1.0 400") {
			t.Errorf("plain HTTP on the TLS port, %s: %q", path, answer)
		}
	}
	// the clock of the site is an hour ahead
	if got := ask(client(ca.trust(ca.clientPair(-time.Hour, 2*time.Hour))), "GET", "https://"+s.address()+"/metrics", nil); !got.complete() {
		t.Errorf("with a certificate of the CA: %v", got)
	}
	if lines := s.log.with("level=WARN"); len(lines) != 1 {
		t.Errorf("all that refused clients are worth is one line: %q", lines)
	}
}

// serveWith is serve with more files beside the web configuration.
func serveWith(t *testing.T, configuration string, files map[string]string) *site {
	t.Helper()
	s, web := newSite(t)
	for name, text := range files {
		s.write(name, text)
	}
	web.ConfigFile = s.write("web.yaml", configuration)
	s.run(web)
	s.address()
	return s
}

func TestAClientCertificateThatExpiresEndsItsConnection(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "cluster")
	s := serveWith(t, certificateNeeded(""), map[string]string{"server.pem": ca.serverPair("node"), "ca.pem": ca.pem})
	c, err := tls.Dial("tcp", s.address(), ca.trust(ca.clientPair(-time.Hour, 90*time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	from := bufio.NewReader(c)
	for _, want := range []int{http.StatusOK, http.StatusUnauthorized} {
		fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
		response, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != want || leaks(string(body)) != (want == http.StatusOK) || response.Close != (want != http.StatusOK) {
			t.Fatalf("%d, expected %d: %.200q", response.StatusCode, want, body)
		}
		s.clock.Step(time.Hour)
	}
}

func TestARotatedServingCertificateIsServedWithoutARestart(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "cluster")
	s := serveWith(t, certificateNeeded(""), map[string]string{"server.pem": ca.serverPair("first"), "ca.pem": ca.pem})
	config := ca.trust(ca.clientPair(-time.Hour, 2*time.Hour))
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8) // a resumed session sees it too
	for _, name := range []string{"first", "second", "third"} {
		if name != "first" {
			s.write("server.pem", ca.serverPair(name))
		}
		got, seen := ask(client(config), "GET", "https://"+s.address()+"/metrics", nil), ""
		if c, err := tls.Dial("tcp", s.address(), ca.trust(ca.clientPair(-time.Hour, 2*time.Hour))); err == nil {
			seen = c.ConnectionState().PeerCertificates[0].Subject.CommonName
			c.Close()
		}
		if !got.complete() || seen != name {
			t.Errorf("%q is served, expected %q: %v", seen, name, got)
		}
	}
	if s.servedTimes() != 1 {
		t.Errorf("it was served anew %d times", s.servedTimes()-1)
	}
}

func TestACAThatIsTakenAwayLetsNobodyInNotEvenByAnOldSession(t *testing.T) {
	t.Parallel()
	ca, next := newAuthority(t, "cluster"), newAuthority(t, "next")
	s := serveWith(t, certificateNeeded(""), map[string]string{"server.pem": ca.serverPair("node"), "ca.pem": ca.pem})
	config := ca.trust(ca.clientPair(-time.Hour, 2*time.Hour))
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 3 {
		if got := ask(client(config), "GET", "https://"+s.address()+"/metrics", nil); !got.complete() {
			t.Fatalf("%v", got)
		}
	}
	s.write("ca.pem", next.pem)
	if got := ask(client(config), "GET", "https://"+s.address()+"/metrics", nil); got.status != 0 {
		t.Errorf("the old CA's: %v", got)
	}
	if got := ask(client(ca.trust(next.pair("prometheus", x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Hour), time.Now().Add(5*time.Hour)))), "GET", "https://"+s.address()+"/metrics", nil); !got.complete() {
		t.Errorf("the new CA's: %v", got)
	}
}

func TestOnlyHTTP1IsSpoken(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "cluster")
	s := serveWith(t, "tls_server_config: {cert_file: server.pem, key_file: server.pem}\nhttp_server_config: {http2: true}\n", map[string]string{"server.pem": ca.serverPair("node")})
	config := ca.trust()
	config.NextProtos = []string{"h2", "http/1.1"}
	c, err := tls.Dial("tcp", s.address(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("%q: a stream of HTTP/2 is no connection that could be counted", got)
	}
	config.NextProtos = []string{"h2"}
	if c, err := tls.Dial("tcp", s.address(), config); err == nil {
		c.Close()
		t.Error("a client that speaks nothing but HTTP/2 is let in")
	}
}
