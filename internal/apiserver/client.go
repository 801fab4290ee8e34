// Package apiserver is how the agent talks to the Kubernetes API server: the one constructor of clients, what their errors mean,
// who the server says we are, and what time it is there.
//
// Every client refuses redirects (client-go would send the token again to wherever it is sent, plain HTTP included), trusts only
// the CA it is given, has a time limit on every answer, notices a connection that is dead, and sends each request once: repeating is
// the caller's decision.
package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"
)

// Time limits of one request. A watch is held to them until its headers are there, which the API server sends at once.
const (
	dialTimeout   = 10 * time.Second
	answerTimeout = 20 * time.Second
)

// ErrRedirect is wrapped by the error of a request that was answered with a redirect. It was not followed.
var ErrRedirect = errors.New("redirects are refused, since the credential would be sent along")

// Endpoint is where an API server is and how it proves itself.
type Endpoint struct {
	// Server is an absolute https URL without user information.
	Server string `json:"server"`
	// TLSServerName, when set, is the name expected in the server's certificate instead of the host of Server.
	TLSServerName string `json:"tlsServerName,omitempty"`
	// ProxyURL, when set, is the proxy that leads there. Otherwise the environment decides, as for the kubelet.
	ProxyURL string `json:"proxyURL,omitempty"`
	// CA holds PEM certificates; the server's chain must end in one of them.
	CA []byte `json:"ca"`
}

// Credential is what a client shows to the API server: exactly one of Token, CertificatePEM with KeyPEM, and Exec.
type Credential struct {
	Token          string
	CertificatePEM []byte
	KeyPEM         []byte
	Exec           *clientcmdapi.ExecConfig
}

// Client talks to one endpoint with one credential.
type Client struct {
	Endpoint Endpoint

	api         *rest.RESTClient
	connections *connections
	times       *serverClock
	calls       *calls
}

// New returns a client for endpoint. It sends nothing. userAgent appears in the API server's audit log.
func New(endpoint Endpoint, credential Credential, userAgent string, now clock.PassiveClock) (*Client, error) {
	return newClient(endpoint, credential, userAgent, now, defaultHealth())
}

func newClient(endpoint Endpoint, credential Credential, userAgent string, now clock.PassiveClock, health health) (*Client, error) {
	switch server, err := url.Parse(endpoint.Server); {
	case err != nil || server.Scheme != "https":
		return nil, errors.New("the API server's URL is not https, so the credential would be readable for everybody")
	case len(endpoint.CA) == 0:
		return nil, fmt.Errorf("there is no CA for %s, and those of the system must not step in", endpoint.Server)
	}
	config := restConfig(endpoint, credential, userAgent)
	if err := proxied(config, endpoint); err != nil {
		return nil, err
	}
	return clientOf(endpoint, config, now, health)
}

// proxied has config take the endpoint's proxy, if it has one.
func proxied(config *rest.Config, endpoint Endpoint) error {
	if endpoint.ProxyURL == "" {
		return nil
	}
	proxy, err := url.Parse(endpoint.ProxyURL)
	if err != nil {
		return errors.New("proxy-url is not a URL") // the text may hold a password
	}
	config.Proxy = http.ProxyURL(proxy)
	return nil
}

// clientOf is where all clients come from.
func clientOf(endpoint Endpoint, config *rest.Config, now clock.PassiveClock, health health) (*Client, error) {
	connections, err := newConnections(config, health)
	if err != nil {
		return nil, fmt.Errorf("connection to %s: %w", endpoint.Server, err)
	}
	authenticated, err := rest.HTTPWrappersForConfig(config, noteSending(fewConnections(conceal(connections))))
	if err != nil {
		return nil, fmt.Errorf("credential for %s: %w", endpoint.Server, err)
	}
	if config.ExecProvider != nil { // nothing else fails before it is sent, however late a busy machine comes to that
		authenticated = tellCredentialErrors(authenticated)
	}
	times, counted := &serverClock{clock: now}, &calls{}
	api, err := rest.RESTClientForConfigAndClient(config, &http.Client{
		Transport:     counted.counting(times.watching(limitAnswers(connections.leaving(authenticated)))),
		CheckRedirect: refuseRedirect,
	})
	if err != nil {
		return nil, fmt.Errorf("connection to %s: %w", endpoint.Server, err)
	}
	return &Client{Endpoint: endpoint, api: api, connections: connections, times: times, calls: counted}, nil
}

// API sends requests. Each gets [Once], so that nothing repeats it behind our back.
func (c *Client) API() rest.Interface { return c.api }

// Close ends the client's connections, each with the last request that uses it: at once where there is none. A request that begins
// later has a connection for itself.
func (c *Client) Close() { c.connections.close() }

func restConfig(endpoint Endpoint, credential Credential, userAgent string) *rest.Config {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, metav1.SchemeGroupVersion)
	for _, add := range []func(*runtime.Scheme) error{certificatesv1.AddToScheme, authenticationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // two types under one name: only a change of the imports can do that
		}
	}
	config := &rest.Config{
		Host:        endpoint.Server,
		BearerToken: credential.Token,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: endpoint.TLSServerName,
			CAData:     endpoint.CA,
			CertData:   credential.CertificatePEM,
			KeyData:    credential.KeyPEM,
		},
		UserAgent:      userAgent,
		WarningHandler: rest.NoWarnings{},
		QPS:            -1, // the retry policy is ours, so is the pace
	}
	config.APIPath = "/apis"
	config.GroupVersion = &certificatesv1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	if credential.Exec != nil {
		exec := credential.Exec.DeepCopy()
		exec.StdinUnavailable = true
		exec.StdinUnavailableMessage = "bootstrap-agent is a service: nobody can answer"
		config.ExecProvider = exec
	}
	return config
}

// newConnections makes connections that this client owns. client-go's own are kept in a cache for the life of the process, those of
// each certificate that was ever in use.
func newConnections(config *rest.Config, health health) (*connections, error) {
	tlsConfig, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	return &connections{dial: health.dialer().DialContext, transport: func(dial dialer) *http.Transport {
		return utilnet.SetTransportDefaults(&http.Transport{
			Proxy:                 config.Proxy, // nil: from the environment
			TLSClientConfig:       tlsConfig.Clone(),
			DialContext:           dial,
			TLSHandshakeTimeout:   dialTimeout,
			ResponseHeaderTimeout: answerTimeout,
			IdleConnTimeout:       health.idle,
			HTTP2:                 health.pings(),
			// net/http would take 10 MB, and an API server sends one or two kilobytes
			MaxResponseHeaderBytes: 64 << 10,
		})
	}}, nil
}

func refuseRedirect(next *http.Request, _ []*http.Request) error {
	return fmt.Errorf("answered with a redirect to %s://%s: %w", next.URL.Scheme, next.URL.Host, ErrRedirect)
}

// Once makes request one that is sent once, and limits the time for its answer. cancel must be called when the answer was read.
func Once(ctx context.Context, request *rest.Request) (*rest.Request, context.Context, context.CancelFunc) {
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	return request.MaxRetries(0), limited, cancel
}
