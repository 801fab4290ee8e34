package doctor

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// plainServer answers every connection with this text, and returns where it is.
func plainServer(t *testing.T, text string) string {
	t.Helper()
	return listening(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1024))
		_, _ = io.WriteString(c, text)
		c.Close()
	})
}

// silentServer takes connections and says nothing.
func silentServer(t *testing.T) string {
	t.Helper()
	return listening(t, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		c.Close()
	})
}

func listening(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go handle(connection)
		}
	}()
	return listener.Addr().String()
}

// closedPort is where nothing listens: a port of this test's, which listens on another address only.
func closedPort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.9:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	must(t, err)
	return net.JoinHostPort("127.0.0.8", port)
}

// signed is what kube-controller-manager's bootstrapsigner makes with a token's secret (RFC 7515 appendix F).
func signed(content, secret string) string {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"abcdef"}`))
	sum := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(sum, header+"."+base64.RawURLEncoding.EncodeToString([]byte(content)))
	return header + ".." + base64.RawURLEncoding.EncodeToString(sum.Sum(nil))
}

// nameServer answers questions about addresses (RFC 1035) with a code and IPv4 addresses; nil: not at all.
func nameServer(t *testing.T, code byte, addresses ...string) *net.Resolver {
	t.Helper()
	connection, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { connection.Close() })
	go func() {
		buffer := make([]byte, 512)
		for {
			n, from, err := connection.ReadFrom(buffer)
			if err != nil {
				return
			}
			if code != silent {
				_, _ = connection.WriteTo(dnsAnswer(buffer[:n], code, addresses), from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", connection.LocalAddr().String())
	}}
}

const (
	noError, serverFailure, noSuchName, silent = 0, 2, 3, 255
	typeA                                      = 1
)

func dnsAnswer(question []byte, code byte, addresses []string) []byte {
	end := 12
	for end < len(question) && question[end] != 0 {
		end += int(question[end]) + 1
	}
	end += 5 // the name's end, type and class
	reply := append([]byte{}, question[:end]...)
	reply[2], reply[3] = 0x81, 0x80|code
	records := 0
	if binary.BigEndian.Uint16(question[end-4:]) == typeA {
		for _, a := range addresses {
			reply = append(reply, 0xc0, 12, 0, typeA, 0, 1, 0, 0, 0, 60, 0, 4)
			reply = append(reply, net.ParseIP(a).To4()...)
			records++
		}
	}
	copy(reply[6:12], []byte{0, byte(records), 0, 0, 0, 0})
	return reply
}

func TestWhatNameServersSay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		code      byte
		addresses []string
		verdict   Verdict
		says      []string
	}{
		{"an address", noError, []string{"127.0.0.1"}, OK, []string{"api.example.com is 127.0.0.1 (IPv4)"}},
		{"no address", noError, nil, Broken, []string{"there is no such name as api.example.com"}},
		{"no such name", noSuchName, nil, Broken, []string{"there is no such name as api.example.com", "getent ahosts api.example.com"}},
		{"a failure", serverFailure, nil, Waiting, []string{"does not resolve", "/etc/resolv.conf"}},
		{"nothing", silent, nil, Waiting, []string{"does not resolve", "/etc/resolv.conf"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStandin(t)
			p := s.member()
			p.Resolver = nameServer(t, c.code, c.addresses...)
			p.Observed.Kubelet.Endpoint.Server = strings.Replace(s.server.URL, "127.0.0.1", "api.example.com", 1)
			begun := time.Now()
			find(t, Examine(t.Context(), p, inTime("dns", dnsLimit, remote()[:2])), "dns", c.verdict, c.says...)
			if took := time.Since(begun); took > dnsLimit+5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// One of two addresses of the API server is dead: the agent reaches it, later than it could.
func TestEachAddressOfANameIsTried(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	p := s.member()
	p.Resolver = nameServer(t, noError, "127.0.0.1", "127.0.0.8")
	p.Observed.Kubelet.Endpoint.Server = strings.Replace(s.server.URL, "127.0.0.1", "api.example.com", 1)
	checks := remote()
	r := Examine(t.Context(), p, checks[:3])
	find(t, r, "tcp", Attention, "127.0.0.1:", "takes connections", "127.0.0.8:", "refuses connections", "costs time whenever it is tried first")
}

func TestHowAConnectionFailsIsTold(t *testing.T) {
	t.Parallel()
	for err, says := range map[error]string{
		syscall.ECONNREFUSED: "refuses connections", syscall.ENETUNREACH: "there is no route", syscall.EHOSTUNREACH: "there is no route",
		context.DeadlineExceeded: "does not answer within 5s", io.ErrUnexpectedEOF: "unexpected EOF",
	} {
		a := attempt{address: "192.0.2.1:6443", err: &net.OpError{Op: "dial", Err: err}}
		if !strings.Contains(a.String(), says) {
			t.Errorf("%v: %s", err, a)
		}
		if remedy, command := a.remedy(); remedy == "" || command == "" {
			t.Errorf("%v has no remedy", err)
		}
	}
}

// What is behind something that is in the way is not looked at: a line for each check, and no error for each.
func TestWhatIsBehindSomethingInTheWayIsNotLookedAt(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	type trouble struct{ server, check string }
	troubles := map[string]trouble{
		"nothing listens":         {"https://" + closedPort(t), "tcp"},
		"something else than TLS": {"https://" + plainServer(t, "220 mail.example.com ESMTP\r\n"), "tls"},
	}
	if os.Getenv("SOAK") != "" { // it takes 8 s, and test/e2e has it with a real API server
		troubles["silence"] = trouble{"https://" + silentServer(t), "tls"}
	}
	for name, c := range troubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := s.newcomer()
			p.Observed.Bootstrap.Endpoint.Server = c.server
			begun := time.Now()
			r := look(t, p)
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			worse := 0
			for _, result := range r.Results {
				if result.Verdict != OK && result.Verdict != Unknown {
					worse++
					if result.Check != c.check {
						t.Errorf("%s: %s", result.Check, result.Text)
					}
				}
			}
			if worse != 1 {
				t.Errorf("%d results are bad:\n%s", worse, printed(t, r))
			}
			find(t, r, "who-am-i", Unknown, "not looked at: ")
			find(t, r, "csr-access", Unknown, "not looked at: ")
		})
	}
}

// What had no answer is not asked again, nor anything after it. The three questions about rights are asked at once.
func TestAServerThatHangsIsAskedNoMore(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	done := make(chan struct{})
	t.Cleanup(func() { close(done) })
	s.on(accessPath, func(http.ResponseWriter, *http.Request) { <-done })
	r := Examine(t.Context(), s.member(), inTime("csr-access", requestLimit, remote()))
	find(t, r, "csr-access", Unknown, "(timeout)")
	find(t, r, "csr-approval", Unknown, "not looked at: a question to "+s.server.URL+" had no answer (timeout)")
	find(t, r, "node-object", Unknown, "not looked at: ")
	asked := 0
	for _, question := range s.questions() {
		if strings.HasPrefix(question, "GET "+nodePath) {
			t.Error("the Node was asked for")
		}
		if strings.HasPrefix(question, "POST "+accessPath) {
			asked++
		}
	}
	if asked > 3 {
		t.Errorf("%d questions about rights were asked", asked)
	}
}

// inTime has a check end after a second, rather than after the time that it has when nobody answers; with SOAK it has that.
func inTime(name string, limit time.Duration, checks []Check) []Check {
	if os.Getenv("SOAK") == "" {
		limit = time.Second
	}
	for i := range checks {
		if checks[i].Name != name {
			continue
		}
		run := checks[i].Run
		checks[i].Run = func(ctx context.Context, p *Patient) []Result {
			limited, cancel := context.WithTimeout(ctx, limit+time.Second)
			defer cancel()
			return run(limited, p)
		}
	}
	return checks
}

// proxy passes connections on (CONNECT, RFC 9110 9.3.6) unless it refuses them.
func proxy(t *testing.T, refuses bool) (address string, passed *atomic.Int32) {
	t.Helper()
	passed = &atomic.Int32{}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuses || r.Method != http.MethodConnect {
			http.Error(w, "no", http.StatusProxyAuthRequired)
			return
		}
		there, err := net.Dial("tcp", r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			there.Close()
			return
		}
		passed.Add(1)
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); there.Close() }()
		_, _ = io.Copy(here, there)
		here.Close()
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return listener.Addr().String(), passed
}

func TestAProxyIsSaidAndLookedThrough(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	address, passed := proxy(t, false)
	p := s.member()
	p.Observed.Kubelet.Endpoint.ProxyURL = "http://node:proxy-password@" + address
	r := look(t, p)
	find(t, r, "dns", OK, "it is the proxy on the way to "+strings.TrimPrefix(s.server.URL, "https://"), "by proxy-url in ")
	find(t, r, "tcp", OK, address+" takes connections")
	find(t, r, "tls", OK, "CN=kube-apiserver")
	find(t, r, "who-am-i", OK, nodeSubject)
	if passed.Load() < 2 {
		t.Errorf("%d connections went through the proxy", passed.Load())
	}

	address, _ = proxy(t, true)
	p = s.member()
	p.Observed.Kubelet.Endpoint.ProxyURL = "http://node:proxy-password@" + address
	refused := look(t, p)
	find(t, refused, "tls", Waiting, "there is no TLS connection to", "Proxy Authentication Required")
	p.Observed.Kubelet.Endpoint.ProxyURL = "http://node:proxy-password@[::1"
	for _, report := range []Report{r, refused, look(t, &Patient{Config: p.Config, Observed: p.Observed, Clock: p.Clock, Root: p.Root})} {
		if strings.Contains(printed(t, report), "proxy-password") {
			t.Errorf("the proxy's password is in the report:\n%s", printed(t, report))
		}
	}
}

// The kubelet may be given another server than the agent (--kubelet-server): it is looked at, and breaks nothing before the kubelet runs.
func TestTheKubeletsOwnServerIsLookedAtToo(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	p := s.member()
	p.Observed.Kubelet.KubeletServer = "https://" + closedPort(t)
	r := look(t, p)
	find(t, r, "tcp", OK, "takes connections")
	find(t, r, "tcp", Attention, "refuses connections")
	if r.Verdict != Attention {
		t.Errorf("it is %s", r.Verdict)
	}
}

func TestWithoutAnyKubeconfigOneLineSaysSo(t *testing.T) {
	t.Parallel()
	p := newStandin(t).newcomer()
	p.Observed.Bootstrap, p.Observed.BootstrapErr = nil, kubeconfig.ErrNoCredential
	r := look(t, p)
	if len(r.Results) != 1 {
		t.Errorf("it says:\n%s", printed(t, r))
	}
	find(t, r, "dns", Unknown, "there is no API server to ask", "put a bootstrap kubeconfig at /etc/kubernetes/bootstrap.kubeconfig")
}
