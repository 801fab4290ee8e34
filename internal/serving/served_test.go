package serving

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"
)

// soon is when a test stops waiting for a server that does not answer.
const soon = 150 * time.Millisecond

func TestServedReturnsTheCertificateOfWhoeverSpeaksTLSAndNothingElse(t *testing.T) {
	t.Parallel()
	pair := selfSigned(t, "worker-1@1772366400")
	long := pair
	for len(long.Certificate) < 200 {
		long.Certificate = append(long.Certificate, pair.Certificate[0])
	}
	endless := pair
	for size := 0; size < 300<<10; size += len(pair.Certificate[0]) { // more than the 256 KiB that crypto/tls takes
		endless.Certificate = append(endless.Certificate, pair.Certificate[0])
	}
	broken := tls.Certificate{Certificate: [][]byte{[]byte("no certificate")}, PrivateKey: pair.PrivateKey}
	for name, c := range map[string]struct {
		address string
		served  bool
	}{
		"a kubelet, which would like to see a client certificate": {serveTLS(t, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert}), true},
		"a server with HTTP/2": {serveTLS(t, &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2", "http/1.1"}}), true},
		"TLS 1.2 only":         {serveTLS(t, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12}), true},
		"TLS 1.3 only":         {serveTLS(t, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}), true},
		"TLS 1.0 only, as no kubelet can be set to": {serveTLS(t, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}), false},
		"a long chain":           {serveTLS(t, &tls.Config{Certificates: []tls.Certificate{long}}), true},
		"a chain without end":    {serveTLS(t, &tls.Config{Certificates: []tls.Certificate{endless}}), false},
		"what is no certificate": {serveTLS(t, &tls.Config{Certificates: []tls.Certificate{broken}}), false},
		"no certificate":         {serveTLS(t, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("none yet") }}), false},
		"a slow one": {serve(t, func(c net.Conn) {
			time.Sleep(soon / 3)
			serveOne(c, &tls.Config{Certificates: []tls.Certificate{pair}})
		}), true},
		"a silent one":                   {serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }), false},
		"one that closes":                {serve(t, func(net.Conn) {}), false},
		"HTTP without TLS":               {serve(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }), false},
		"SSH":                            {serve(t, func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH_9.2\r\n")); _, _ = io.Copy(io.Discard, c) }), false},
		"nonsense without end":           {serve(t, func(c net.Conn) { babble(c) }), false},
		"a handshake that never goes on": {serve(t, func(c net.Conn) { _, _ = c.Write([]byte{22, 3, 3, 0x40, 0}); _, _ = io.Copy(io.Discard, c) }), false},
		"nobody":                         {closed(t), false},
		"an address that is none":        {"nonsense", false},
		"an address without a port":      {"127.0.0.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			leaf, err := Served(ctx, c.address)
			if c.served != (err == nil) || c.served && !leaf.Equal(pair.Leaf) {
				t.Errorf("%v (%v), expected the certificate: %t", leaf, err, c.served)
			}
			if err != nil && !strings.Contains(err.Error(), c.address) {
				t.Errorf("the error does not say where: %v", err)
			}
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("it took %s although the caller has given up", took)
			}
		})
	}
}

func TestServedSaysThatNobodyListens(t *testing.T) {
	t.Parallel()
	if _, err := Served(t.Context(), closed(t)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
}

func TestServedWaitsThreeSecondsForAnAnswerAndNoLonger(t *testing.T) {
	t.Parallel()
	silent := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	begin := time.Now()
	_, err := Served(t.Context(), silent)
	if took := time.Since(begin); err == nil || took < 2900*time.Millisecond || took > 6*time.Second {
		t.Errorf("%v after %s", err, took)
	}
	if err != nil && !strings.Contains(err.Error(), "no TLS handshake within 3s") {
		t.Errorf("the error does not tell what is wrong: %v", err)
	}
}

func TestServedEndsWithItsContext(t *testing.T) {
	t.Parallel()
	silent := serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	begin := time.Now()
	if _, err := Served(ctx, silent); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
}

// What the kubelet sees of us: a handshake that ends well, no certificate, no request, and a connection that is closed at once.
func TestServedShowsNothingSendsNothingAndHangsUp(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would hang up, too, some time
	for _, host := range []string{"127.0.0.1", "localhost"} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			seen := make(chan error, 1)
			var state tls.ConnectionState
			var sent []byte
			address := serve(t, func(c net.Conn) {
				server := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{selfSigned(t, "x")}, ClientAuth: tls.RequestClientCert, MaxVersion: version})
				_ = c.SetDeadline(time.Now().Add(2 * time.Second))
				var err error
				sent, err = io.ReadAll(server)
				state = server.ConnectionState()
				seen <- err
			})
			_, port, _ := net.SplitHostPort(address)
			if _, err := Served(t.Context(), net.JoinHostPort(host, port)); err != nil {
				t.Fatal(err)
			}
			if err := <-seen; err != nil || !state.HandshakeComplete {
				t.Errorf("%s: the connection ended with %v, handshake %t: a kubelet would log that", host, err, state.HandshakeComplete)
			}
			if len(sent) > 0 || len(state.PeerCertificates) > 0 || state.DidResume {
				t.Errorf("%s: %d bytes and %d certificates were sent", host, len(sent), len(state.PeerCertificates))
			}
			if name := state.ServerName; name != map[string]string{"localhost": "localhost"}[host] {
				t.Errorf("%s: server name %q in the handshake", host, name)
			}
		}
	}
}

func TestTheKubeletIsLookedForWhereItIsSaidToBeElseAtTheNodesAddressesAndLoopback(t *testing.T) {
	for _, c := range []struct{ kubelet, ips, want string }{
		{"", "", "127.0.0.1:10250 [::1]:10250"},
		{"", "192.0.2.10", "192.0.2.10:10250 127.0.0.1:10250 [::1]:10250"},
		{"", "192.0.2.10 2001:db8::10", "192.0.2.10:10250 [2001:db8::10]:10250 127.0.0.1:10250 [::1]:10250"},
		{"", "127.0.0.1 ::1", "127.0.0.1:10250 [::1]:10250"},
		{"192.0.2.1", "192.0.2.10", "192.0.2.1:10250"},
		{"192.0.2.1:10260", "192.0.2.10", "192.0.2.1:10260"},
		{"192.0.2.1:", "", "192.0.2.1:10250"},
		{"node.example.com", "", "node.example.com:10250"},
		{"node.example.com:443", "", "node.example.com:443"},
		{"::1", "", "[::1]:10250"},
		{"[::1]", "", "[::1]:10250"},
		{"[::1]:10260", "", "[::1]:10260"},
		{"2001:db8::1:10250", "", "[2001:db8::1:10250]:10250"}, // an address as it stands
		{"fe80::1%eth0", "", "[fe80::1%eth0]:10250"},
		{"[fe80::1%eth0]:10260", "", "[fe80::1%eth0]:10260"},
	} {
		names := Names{DNS: []string{"worker-1"}, IPs: strings.Fields(c.ips)}
		if got := strings.Join(DialAddresses(c.kubelet, names), " "); got != c.want {
			t.Errorf("%q and %q: %s, expected %s", c.kubelet, c.ips, got, c.want)
		}
	}
}

// serve answers connections at an address of loopback until the test ends.
func serve(t *testing.T, answer func(net.Conn)) string {
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
			go func() {
				defer connection.Close()
				answer(connection)
			}()
		}
	}()
	return listener.Addr().String()
}

func serveTLS(t *testing.T, config *tls.Config) string {
	t.Helper()
	return serve(t, func(c net.Conn) { serveOne(c, config) })
}

func serveOne(c net.Conn, config *tls.Config) { _, _ = io.Copy(io.Discard, tls.Server(c, config)) }

func babble(c net.Conn) {
	for err := error(nil); err == nil; {
		_, err = c.Write([]byte(strings.Repeat("nonsense ", 1000)))
	}
}

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer listener.Close()
	return listener.Addr().String()
}
