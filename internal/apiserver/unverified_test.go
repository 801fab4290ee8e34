package apiserver

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"

	"k8s.io/utils/clock"
)

func TestWhoeverIsNotVerifiedIsAskedForClusterInfoWithoutACredential(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var requests []*http.Request
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests = append(requests, r)
		_, _ = fmt.Fprint(w, `{"kind":"ConfigMap","data":{"kubeconfig":"k","jws-kubeconfig-abcdef":"s","jws-kubeconfig-":"none","other":"x"}}`)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS() // with a certificate that nobody knows
	t.Cleanup(server.Close)
	client, err := NewUnverified(server.URL, "bootstrap-agent/test", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	counted := 0
	client.Count(func(verb string, code int) {
		if verb == "GET" && code == http.StatusOK {
			counted++
		}
	})
	info, err := client.ClusterInfo(t.Context())
	if err != nil || info.Kubeconfig != "k" || !reflect.DeepEqual(info.Signatures, map[string]string{"abcdef": "s"}) {
		t.Fatalf("%+v: %v", info, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(requests) != 1 || counted != 1 {
		t.Fatalf("%d requests, %d counted", len(requests), counted)
	}
	r := requests[0]
	if r.Method != http.MethodGet || r.RequestURI != "/api/v1/namespaces/kube-public/configmaps/cluster-info" || len(r.TLS.PeerCertificates) > 0 || r.ContentLength != 0 {
		t.Errorf("%s %s, %d client certificates, %d bytes", r.Method, r.RequestURI, len(r.TLS.PeerCertificates), r.ContentLength)
	}
	for name := range r.Header {
		if name != "Accept" && name != "Accept-Encoding" && name != "User-Agent" {
			t.Errorf("it sends the header %s", name)
		}
	}
}

// What can be done with one is seen from its methods: nobody can give it a credential, or ask for anything else.
func TestNothingElseCanBeDoneWithoutVerifying(t *testing.T) {
	t.Parallel()
	var methods []string
	for method := range reflect.TypeFor[*Unverified]().Methods() {
		methods = append(methods, method.Name)
	}
	if expected := "Close ClusterInfo Count"; strings.Join(methods, " ") != expected {
		t.Errorf("it has the methods %q, expected %s", methods, expected)
	}
	if fields := reflect.TypeFor[Unverified](); fields.NumField() != 1 || fields.Field(0).IsExported() {
		t.Error("its client can be taken out")
	}
}

func TestNobodyIsAskedWithoutTLS(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"", "http://127.0.0.1:1", "127.0.0.1:6443", "https://", "https://user:password@127.0.0.1", "https://127.0.0.1/?token=a", "https://127.0.0.1/#a", "unix:///run/api", "https://a b"} {
		if client, err := NewUnverified(server, "", clock.RealClock{}); err == nil || client != nil {
			t.Errorf("%q is asked", server)
		} else if strings.Contains(err.Error(), "password@") {
			t.Errorf("the error quotes %q", err)
		}
	}
}

// A cluster that grows by itself has a token for each machine that is on its way.
func TestClusterInfoMayHoldTheSignaturesOfThousandsOfTokens(t *testing.T) {
	t.Parallel()
	data, managed := map[string]string{"kubeconfig": "k"}, map[string]struct{}{}
	for i := range 8000 { // about what fits into the 1 MiB of a ConfigMap
		key := fmt.Sprintf("jws-kubeconfig-%06d", i)
		data[key], managed["f:"+key] = strings.Repeat("s", 85), struct{}{}
	}
	answer, err := json.Marshal(map[string]any{"kind": "ConfigMap", "data": data, "metadata": map[string]any{"managedFields": []any{map[string]any{"fieldsV1": map[string]any{"f:data": managed}}}}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(answer) }))
	t.Cleanup(server.Close)
	client, err := NewUnverified(server.URL, "", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if info, err := client.ClusterInfo(t.Context()); err != nil || len(info.Signatures) != 8000 {
		t.Errorf("%d signatures of %d bytes: %v", len(info.Signatures), len(answer), err)
	}
}
