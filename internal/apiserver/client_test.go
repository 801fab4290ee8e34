package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"
)

// echo answers with the object that was sent, or asked for, as the API server does.
func echo(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(&certificatesv1.CertificateSigningRequest{
		TypeMeta:   metav1.TypeMeta{Kind: "CertificateSigningRequest", APIVersion: "certificates.k8s.io/v1"},
		ObjectMeta: metav1.ObjectMeta{Name: "node", UID: "1"},
	})
}

// execPlugin writes a credential plugin that runs the script, and returns the credential that uses it.
func execPlugin(t *testing.T, script string) Credential {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plugin")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Credential{Exec: &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: path, InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
	}}
}

const givesToken = `echo '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"` + testToken + `"}}'`

// credentials are one of each kind.
func credentials(t *testing.T) map[string]Credential {
	t.Helper()
	_, certPEM, keyPEM := certificate(t, x509.Certificate{})
	return map[string]Credential{
		"token":              {Token: testToken},
		"client certificate": {CertificatePEM: certPEM, KeyPEM: keyPEM},
		"exec plugin":        execPlugin(t, givesToken),
	}
}

func TestEachKindOfCredentialArrives(t *testing.T) {
	t.Parallel()
	for kind, credential := range credentials(t) {
		for protocol, change := range map[string]func(*httptest.Server){"HTTP/1.1": http1, "HTTP/2.0": func(*httptest.Server) {}} {
			t.Run(kind+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				var seen string
				server := serve(t, func(w http.ResponseWriter, r *http.Request) {
					seen = fmt.Sprintf("%s %s %d %s", r.Proto, r.Header.Get("Authorization"), len(r.TLS.PeerCertificates), r.UserAgent())
					echo(w, r)
				}, change, func(s *httptest.Server) { s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert} })
				if err := post(t.Context(), connect(t, endpointOf(server), credential)); err != nil {
					t.Fatal(err)
				}
				want := protocol + " Bearer " + testToken + " 0 bootstrap-agent/test"
				if kind == "client certificate" {
					want = protocol + "  1 bootstrap-agent/test"
				}
				if seen != want {
					t.Errorf("the server saw %q, want %q", seen, want)
				}
			})
		}
	}
}

// Following a redirect would send the token to wherever it leads, plain HTTP included.
func TestNoRedirectIsFollowedWithAnyCredential(t *testing.T) {
	t.Parallel()
	var followed atomic.Int32
	caught := func(http.ResponseWriter, *http.Request) { followed.Add(1) }
	secure := serve(t, caught)
	plain := httptest.NewServer(http.HandlerFunc(caught))
	t.Cleanup(plain.Close)
	t.Cleanup(func() { // after the parallel tests below
		if followed.Load() != 0 {
			t.Errorf("%d redirects were followed", followed.Load())
		}
	})
	for kind, credential := range credentials(t) {
		for _, code := range []int{301, 302, 303, 307, 308} {
			for _, target := range []string{secure.URL, plain.URL} {
				t.Run(fmt.Sprintf("%s, %d, to %s", kind, code, target[:5]), func(t *testing.T) {
					t.Parallel()
					server := serve(t, redirect(code, target+"/apis"))
					endpoint := endpointOf(server)
					endpoint.CA = append(endpoint.CA, pemOf(secure.Certificate().Raw)...) // trusted as well: TLS is not what saves us
					client := connect(t, endpoint, credential)
					for _, send := range []func(context.Context, *Client) error{post, get, watch, whoAmI} {
						err := send(t.Context(), client)
						assertReason(t, err, Redirected)
						if !strings.Contains(err.Error(), "redirect to "+target+":") {
							t.Errorf("the error does not name the target: %v", err)
						}
					}
				})
			}
		}
	}
}

func whoAmI(ctx context.Context, client *Client) error {
	_, err := client.WhoAmI(ctx)
	return err
}

func TestARequestIsSentOnce(t *testing.T) {
	t.Parallel()
	for _, code := range []int{429, 500, 503} {
		for what, send := range map[string]func(context.Context, *Client) error{"POST": post, "GET": get, "WATCH": watch} {
			t.Run(fmt.Sprintf("%s, %d", what, code), func(t *testing.T) {
				t.Parallel()
				var requests atomic.Int32
				server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
					requests.Add(1)
					w.Header().Set("Retry-After", "1") // client-go would
					http.Error(w, "later", code)
				})
				if err := send(t.Context(), connect(t, endpointOf(server))); err == nil || requests.Load() != 1 {
					t.Errorf("%d requests: %v", requests.Load(), err)
				}
			})
		}
	}
}

func TestAnAnswerHasItsTimeLimit(t *testing.T) {
	t.Parallel()
	client := connect(t, endpointOf(serve(t, echo)))
	_, ctx, cancel := Once(t.Context(), client.API().Get())
	defer cancel()
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > answerTimeout {
		t.Errorf("the deadline is %v", deadline)
	}
	transport := client.connections.line().transport
	if transport.ResponseHeaderTimeout != answerTimeout || transport.TLSHandshakeTimeout != dialTimeout {
		t.Error("a watch waits for ever for its headers, or for the handshake") // it has no deadline of its own
	}
}

func TestWithoutACAThereIsNoClient(t *testing.T) {
	t.Parallel()
	for name, ca := range map[string][]byte{"none": nil, "no PEM": []byte("a certificate")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// the roots of the system must not step in
			if _, err := New(Endpoint{Server: "https://127.0.0.1:1", CA: ca}, Credential{Token: testToken}, "", clock.RealClock{}); err == nil {
				t.Error("a client was made")
			}
		})
	}
}

func TestWithoutTLSThereIsNoClient(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"http://127.0.0.1:1", "127.0.0.1:1", "://", ""} {
		if _, err := New(Endpoint{Server: server, CA: otherCA(t)}, Credential{Token: testToken}, "", clock.RealClock{}); err == nil {
			t.Errorf("a client for %q was made", server)
		}
	}
}

func TestTheServerMayHaveAnotherNameThanItsURL(t *testing.T) {
	t.Parallel()
	endpoint := endpointOf(serve(t, echo))
	endpoint.TLSServerName = "example.com" // in httptest's certificate
	if err := post(t.Context(), connect(t, endpoint)); err != nil {
		t.Error(err)
	}
	endpoint.TLSServerName = "example.org"
	assertReason(t, post(t.Context(), connect(t, endpoint)), TLS)
}

func TestTheProxyLeadsToTheServer(t *testing.T) {
	t.Parallel()
	server := serve(t, echo)
	var tunnels atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect || r.Host != "api.invalid:6443" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		tunnels.Add(1)
		tunnel(t, w, server.Listener.Addr().String())
	}))
	t.Cleanup(proxy.Close)
	endpoint := Endpoint{Server: "https://api.invalid:6443", CA: endpointOf(server).CA, TLSServerName: "example.com", ProxyURL: proxy.URL}
	if err := post(t.Context(), connect(t, endpoint)); err != nil || tunnels.Load() != 1 {
		t.Errorf("%d tunnels: %v", tunnels.Load(), err)
	}
	endpoint.Server = "https://elsewhere.invalid"
	assertReason(t, post(t.Context(), connect(t, endpoint)), Unreachable)
}

// tunnel is what an HTTP proxy does after CONNECT.
func tunnel(t *testing.T, w http.ResponseWriter, address string) {
	t.Helper()
	backend, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	fmt.Fprint(client, "HTTP/1.1 200 OK\r\n\r\n")
	for _, way := range [][2]net.Conn{{client, backend}, {backend, client}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			client.Close()
			backend.Close()
		}()
	}
}
