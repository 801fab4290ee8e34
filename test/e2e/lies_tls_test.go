package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// onTheWire has each connection handled by somebody who has proved nothing yet. He may be sent nothing secret.
func (v *lied) onTheWire(handle func(net.Conn)) {
	v.seen = v.proxy.Raw(func(connection net.Conn) {
		v.witness.others.begins()
		handle(overheard{connection, &v.witness.others})
	})
}

// shaking has a server with this configuration, which nobody may trust, read whatever it is sent after the handshake.
func shaking(config func(v *lied) *tls.Config) func(*lied) {
	return func(v *lied) {
		use := config(v)
		v.onTheWire(func(connection net.Conn) {
			server := tls.Server(connection, use)
			_, _ = io.Copy(&v.witness.others, server)
		})
	}
}

// saying has somebody say this in place of his part of the handshake, and hang up.
func saying(words string) func(*lied) {
	return func(v *lied) {
		v.onTheWire(func(connection net.Conn) {
			_, _ = connection.Read(make([]byte, 1<<10))
			_, _ = io.WriteString(connection, words)
			_ = connection.(overheard).Conn.(interface{ HalfClose() error }).HalfClose()
			_, _ = io.Copy(io.Discard, connection)
		})
	}
}

// certified is a server with a certificate that is wrong in one thing.
func certified(options controlplane.ServingOptions) func(*lied) {
	return shaking(func(v *lied) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{v.certificate(options)}, NextProtos: []string{"h2", "http/1.1"}}
	})
}

func tlsLies(t *testing.T) []lie {
	good := func(change func(*tls.Config)) func(*lied) {
		return shaking(func(v *lied) *tls.Config {
			config := &tls.Config{Certificates: []tls.Certificate{v.certificate(controlplane.ServingOptions{})}}
			change(config)
			return config
		})
	}
	selfSigned := selfSignedServer(t)
	alert := func(code byte) string { return "\x15\x03\x03\x00\x02\x02" + string([]byte{code}) }
	all := []lie{
		{name: "another CA", tell: certified(controlplane.ServingOptions{Untrusted: true}), says: badTLS},
		{name: "another name", tell: certified(controlplane.ServingOptions{DNSNames: []string{"another.example.com"}}), says: badTLS},
		{name: "another address", tell: certified(controlplane.ServingOptions{IPs: []net.IP{net.IPv4(127, 0, 0, 2)}}), says: badTLS},
		{name: "expired", tell: certified(controlplane.ServingOptions{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}), says: "reason=clock"},
		{name: "not yet valid", tell: certified(controlplane.ServingOptions{NotBefore: time.Now().Add(time.Hour)}), says: "reason=clock"},
		{name: "self-signed", tell: good(func(c *tls.Config) { c.Certificates = []tls.Certificate{selfSigned} }), says: badTLS},
		{name: "a client's certificate", tell: shaking(func(v *lied) *tls.Config {
			certificate, key, err := v.cp.ClientCertificate("127.0.0.1")
			must(v.t, err)
			pair, err := tls.X509KeyPair(certificate, key)
			must(v.t, err)
			return &tls.Config{Certificates: []tls.Certificate{pair}}
		}), says: badTLS},
		{name: "a chain of a hundred", tell: good(func(c *tls.Config) {
			for range 100 {
				c.Certificates[0].Certificate = append(c.Certificates[0].Certificate, selfSigned.Certificate[0])
			}
			slices.Reverse(c.Certificates[0].Certificate[1:])
			c.Certificates[0].Certificate[0], c.Certificates[0].PrivateKey = selfSigned.Certificate[0], selfSigned.PrivateKey
		}), says: badTLS},
		{name: "a certificate of 20 MB", tell: saying(handshake(2, serverHello) + handshake(11, strings.Repeat("a", 20<<20))), says: badTLS},
		{name: "TLS 1.0", tell: good(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }), says: badTLS},
		{name: "TLS 1.1", tell: good(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }), says: badTLS},
		{name: "a weak cipher", tell: good(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}
		}), says: badTLS},
		{name: "no protocol in common", tell: good(func(c *tls.Config) { c.NextProtos = []string{"imap"} }), says: badTLS},
		{name: "plain HTTP", tell: saying("HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"), says: badTLS},
		{name: "garbage", tell: saying("good morning to you"), says: badTLS},
		{name: "a record that is too long", tell: saying("\x16\x03\x03\xff\xff" + strings.Repeat("a", 1<<16)), says: badTLS},
		{name: "records without content", tell: saying(strings.Repeat("\x16\x03\x03\x00\x00", 1000)), says: badTLS},
		{name: "a handshake that is none", tell: saying("\x16\x03\x03\x00\x04\x63\x00\x00\x00"), says: badTLS},
		{name: "an echo", tell: func(v *lied) { v.onTheWire(func(c net.Conn) { _, _ = io.Copy(c, c) }) }, says: badTLS},
		{name: "an end", tell: saying(""), says: unreachable},
		{name: "half a record, and an end", tell: saying("\x16\x03\x03\x10\x00\x02"), says: unreachable},
		{name: "silence", tell: func(v *lied) { v.onTheWire(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }) }, says: timedOut, slow: true},
		{name: "a byte a second", tell: func(v *lied) {
			v.onTheWire(func(c net.Conn) {
				for _, b := range []byte(handshake(2, serverHello)) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			})
		}, says: timedOut, slow: true},
	}
	for _, code := range []byte{0, 10, 20, 40, 42, 43, 44, 45, 46, 47, 48, 49, 51, 70, 71, 80, 86, 90, 109, 112, 116, 120, 255} {
		says := badTLS
		if code == 0 { // close_notify
			says = unreachable
		}
		all = append(all, lie{name: "alert " + big.NewInt(int64(code)).String(), tell: saying(alert(code)), says: says})
	}
	return append(all, demandingLies()...)
}

// demandingLies are of the right server, which wants a client certificate that nobody has.
func demandingLies() []lie {
	var all []lie
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		for demand, auth := range map[string]tls.ClientAuthType{"demanded": tls.RequireAnyClientCert, "demanded and verified": tls.RequireAndVerifyClientCert} {
			all = append(all, lie{name: "a client certificate is " + demand + " by " + name, says: badTLS, tell: func(v *lied) {
				certificate := v.certificate(controlplane.ServingOptions{})
				v.seen = v.proxy.Raw(func(connection net.Conn) {
					v.witness.trusted.begins()
					server := tls.Server(connection, &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: version, ClientAuth: auth})
					if server.Handshake() == nil {
						v.t.Error("there was a client certificate")
					}
					_, _ = io.Copy(io.Discard, connection) // a reset would be faster than the alert
				})
			}})
		}
	}
	return all
}

// serverHello is the beginning of one, of TLS 1.2 with a cipher that Go's client offers; the rest of it is empty.
var serverHello = "\x03\x03" + strings.Repeat("r", 32) + "\x00" + "\xc0\x2b" + "\x00" + "\x00\x00"

// handshake is a message of TLS in as many records as it takes.
func handshake(kind byte, message string) string {
	message = string([]byte{kind, byte(len(message) >> 16), byte(len(message) >> 8), byte(len(message))}) + message
	var records strings.Builder
	for len(message) > 0 {
		part := message[:min(len(message), 1<<14)]
		message = message[len(part):]
		records.WriteString("\x16\x03\x03" + string([]byte{byte(len(part) >> 8), byte(len(part))}) + part)
	}
	return records.String()
}

func selfSignedServer(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
