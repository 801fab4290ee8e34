package apiserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
)

// testToken looks like a bootstrap token and opens nothing.
const testToken = "abcdef.0123456789abcdef"

const csrs = "certificatesigningrequests"

// serve starts a TLS server in the place of an API server. change, if given, is told of it before it starts.
func serve(t *testing.T, handler http.HandlerFunc, change ...func(*httptest.Server)) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are what tests are about
	for _, c := range change {
		c(server)
	}
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server
}

func http1(server *httptest.Server) { server.EnableHTTP2 = false }

func endpointOf(server *httptest.Server) Endpoint {
	return Endpoint{Server: server.URL, CA: pemOf(server.Certificate().Raw)}
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// connect returns a client with a token, or with the credential given.
func connect(t *testing.T, endpoint Endpoint, credential ...Credential) *Client {
	t.Helper()
	use := Credential{Token: testToken}
	if len(credential) > 0 {
		use = credential[0]
	}
	client, err := New(endpoint, use, "bootstrap-agent/test", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// The three requests that the agent makes for a certificate, as it makes them.

func post(ctx context.Context, client *Client) error {
	request, ctx, cancel := Once(ctx, client.API().Post().Resource(csrs))
	defer cancel()
	object := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: "node"}}
	return request.Body(object).Do(ctx).Into(&certificatesv1.CertificateSigningRequest{})
}

func get(ctx context.Context, client *Client) error {
	request, ctx, cancel := Once(ctx, client.API().Get().Resource(csrs).Name("node"))
	defer cancel()
	return request.Do(ctx).Into(&certificatesv1.CertificateSigningRequest{})
}

func watch(ctx context.Context, client *Client) error {
	stream, err := client.API().Get().Resource(csrs).Param("watch", "true").MaxRetries(0).Watch(ctx)
	if err == nil {
		stream.Stop()
	}
	return err
}

// certificate makes a self-signed one with its key; the template says what matters.
func certificate(t *testing.T, template x509.Certificate) (pair tls.Certificate, certPEM, keyPEM []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM = pemOf(der), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return pair, certPEM, keyPEM
}

// withCertificate has the server use a certificate for 127.0.0.1 with a validity from now.
func withCertificate(t *testing.T, from, until time.Duration) (change func(*httptest.Server), ca []byte) {
	t.Helper()
	pair, ca, _ := certificate(t, x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:   time.Now().Add(from), NotAfter: time.Now().Add(until),
	})
	return func(server *httptest.Server) { server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}} }, ca
}

// listen accepts connections and hands each to handle.
func listen(t *testing.T, handle func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
