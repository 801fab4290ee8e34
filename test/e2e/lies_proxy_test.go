package e2e

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

// proxied leads the node's agent through a proxy (proxy-url), which handles each connection behind the request that it was sent.
// It is nobody whom a secret is for. When the lie ends it is a proxy like any other.
func proxied(scheme string, handle func(v *lied, connection net.Conn, request *http.Request)) func(*lied) {
	return func(v *lied) {
		proxy, err := faultproxy.New(v.proxy.Address())
		must(v.t, err)
		v.t.Cleanup(func() { _ = proxy.Close() })
		serve := func(handle func(*lied, net.Conn, *http.Request)) {
			proxy.Raw(func(connection net.Conn) {
				v.witness.others.begins()
				connection = overheard{connection, &v.witness.others}
				if scheme == "https" {
					connection = tls.Server(connection, &tls.Config{Certificates: []tls.Certificate{v.certificate(controlplane.ServingOptions{})}})
				}
				request, err := http.ReadRequest(bufio.NewReader(connection))
				if err == nil {
					handle(v, connection, request)
				}
			})
		}
		serve(handle)
		v.mend = func() { serve(tunnel) }
		content, err := os.ReadFile(v.bootstrapFile())
		must(v.t, err)
		v.write(v.bootstrapFile(), []byte(strings.Replace(string(content), "server: ", "proxy-url: "+scheme+"://"+proxy.Address()+"\n    server: ", 1)), 0o600)
	}
}

// tunnel is what a proxy is for.
func tunnel(v *lied, connection net.Conn, _ *http.Request) {
	server, err := net.Dial("tcp", v.proxy.Address())
	if err != nil {
		return
	}
	defer server.Close()
	_, _ = io.WriteString(connection, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		_, _ = io.Copy(server, connection)
		server.Close()
	}()
	_, _ = io.Copy(connection, server)
}

// replying has the proxy say this to a CONNECT.
func replying(words string) func(*lied) {
	return proxied("http", func(_ *lied, connection net.Conn, _ *http.Request) {
		_, _ = io.WriteString(connection, words)
		_, _ = io.Copy(io.Discard, connection)
	})
}

// replyingWithoutEnd has it never end.
func replyingWithoutEnd(begin, block string) func(*lied) {
	block = strings.Repeat(block, 1+(64<<10)/len(block))
	return proxied("http", func(_ *lied, connection net.Conn, _ *http.Request) {
		_, err := io.WriteString(connection, begin)
		for sent := 0; err == nil && sent < 512<<20; sent += len(block) {
			_, err = io.WriteString(connection, block)
		}
	})
}

func proxyLies() []lie {
	const connected = "HTTP/1.1 200 OK\r\n\r\n"
	between := func(options controlplane.ServingOptions) func(*lied) { // a man in the middle
		return proxied("http", func(v *lied, connection net.Conn, _ *http.Request) {
			_, _ = io.WriteString(connection, connected)
			_, _ = io.Copy(&v.witness.others, tls.Server(connection, &tls.Config{Certificates: []tls.Certificate{v.certificate(options)}}))
		})
	}
	return []lie{
		{name: "407", tell: replying("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"), says: unreachable},
		{name: "401", tell: replying("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n\r\n"), says: unreachable},
		{name: "502", tell: replying("HTTP/1.1 502 Bad Gateway\r\n\r\n"), says: unreachable},
		{name: "200 and HTML", tell: replying(connected + "<html>welcome</html>"), says: timedOut, slow: true},
		{name: "a redirect", tell: replying("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"), says: unreachable},
		{name: "garbage", tell: replying("good morning\r\n\r\n"), says: unreachable},
		{name: "an end", tell: proxied("http", func(*lied, net.Conn, *http.Request) {}), says: unreachable},
		{name: "headers without end", tell: replyingWithoutEnd("HTTP/1.1 200 OK\r\n", "A: a\r\n"), says: unreachable},
		{name: "a line without end", tell: replyingWithoutEnd("HTTP/1.1 200 ", "OK"), says: unreachable},
		{name: "headers of 10 MB", tell: replying("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 10<<20) + "\r\n\r\n"), says: unreachable},
		{name: "informational answers without end", tell: replyingWithoutEnd("", "HTTP/1.1 100 Continue\r\n\r\n"), says: unreachable},
		{name: "a body without end", tell: replyingWithoutEnd("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "a"), says: unreachable},
		{name: "it is in the middle with a CA of its own", tell: between(controlplane.ServingOptions{Untrusted: true}), says: badTLS},
		{name: "it is in the middle with another name", tell: between(controlplane.ServingOptions{DNSNames: []string{"another"}}), says: badTLS},
		{name: "it wants to see plain text", tell: proxied("http", func(v *lied, connection net.Conn, _ *http.Request) {
			_, _ = io.WriteString(connection, connected)
			request, err := http.ReadRequest(bufio.NewReader(connection))
			if err == nil {
				v.t.Errorf("the proxy was sent %s %s", request.Method, request.URL)
			}
			_, _ = io.WriteString(connection, ok+length(len(body))+body)
		}), says: badTLS},
		{name: "an end behind TLS", tell: proxied("https", func(*lied, net.Conn, *http.Request) {}), says: unreachable},
		{name: "silence", tell: proxied("http", func(_ *lied, connection net.Conn, _ *http.Request) { _, _ = io.Copy(io.Discard, connection) }), says: timedOut, slow: true},
		{name: "a byte a second", tell: proxied("http", func(_ *lied, connection net.Conn, _ *http.Request) {
			for err := error(nil); err == nil; time.Sleep(time.Second) {
				_, err = io.WriteString(connection, "a")
			}
		}), says: timedOut, slow: true},
	}
}
