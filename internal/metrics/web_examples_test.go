package metrics_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
)

// example is a web configuration as it is shipped, with the files of this site in the node's place.
func example(t *testing.T, s *site, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/prometheus/" + name)
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("/var/lib/kubelet/pki/kubelet-server-current.pem", "server.pem", "/var/lib/kubelet/pki/kubelet-client-ca.crt", "ca.pem", "PUT-THE-HASH-HERE", rightHash).Replace(string(text))
	return s.write("web.yaml", here)
}

func TestTheShippedWebConfigurationsLetInWhomTheySay(t *testing.T) {
	t.Parallel()
	ca, files := goodFiles(t)
	certified := ca.trust(ca.clientPair(-time.Hour, 9*time.Hour))
	for name, enter := range map[string]func(url string) (let, kept reply){
		"web-config-mtls.yaml": func(url string) (let, kept reply) {
			return ask(client(certified), "GET", url, nil), ask(client(ca.trust()), "GET", url, right)
		},
		"web-config-password.yaml": func(url string) (let, kept reply) {
			return ask(client(ca.trust()), "GET", url, right), ask(client(certified), "GET", url, nil)
		},
	} {
		s, web := newSite(t)
		for name, text := range files {
			s.write(name, text)
		}
		web.ConfigFile = example(t, s, name)
		s.run(web)
		let, kept := enter("https://" + s.address() + "/metrics")
		if !let.complete() || kept.status == http.StatusOK || leaks(kept.body) {
			t.Errorf("%s: %v, and %v", name, let, kept)
		}
	}
}

// A password that everybody knows protects nothing.
func TestTheShippedPasswordIsNone(t *testing.T) {
	t.Parallel()
	if err := metrics.CheckConfig("../../deploy/prometheus/web-config-password.yaml"); err == nil || !strings.Contains(err.Error(), "htpasswd") {
		t.Errorf("%v, expected a word about how to make a hash", err)
	}
}

func TestAnAllowedNameKeepsOutTheOtherCertificatesOfTheCA(t *testing.T) {
	t.Parallel()
	ca, files := goodFiles(t)
	s := serveWith(t, certificateNeeded("  client_allowed_sans: [prometheus.monitoring.svc]\n"), files)
	if got := ask(client(ca.trust(ca.clientPair(-time.Hour, 9*time.Hour))), "GET", "https://"+s.address()+"/metrics", nil); got.status != 0 {
		t.Errorf("a certificate for 127.0.0.1: %v", got)
	}
	s = serveWith(t, certificateNeeded("  client_allowed_sans: [127.0.0.1]\n"), files)
	if got := ask(client(ca.trust(ca.clientPair(-time.Hour, 9*time.Hour))), "GET", "https://"+s.address()+"/metrics", nil); !got.complete() {
		t.Errorf("the allowed one: %v", got)
	}
}
