package prometheus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Debian builds its Prometheus without the discovery for Kubernetes. These stand for what role: node finds: the address of the kubelet and
// the name of the Node.
const (
	discovery  = "    kubernetes_sd_configs:\n      - role: node\n"
	discovered = `    static_configs:
      - targets: ["127.0.0.21:10250"]
        labels: {__meta_kubernetes_node_name: worker-4}
      - targets: ["[::1]:10250"]
        labels: {__meta_kubernetes_node_name: worker-6}
`
)

func TestTheExampleScrapeConfigurationsFindEveryAgentByItsNodesName(t *testing.T) {
	t.Parallel()
	config, files := "global: {scrape_interval: 1h}\nscrape_configs:\n", exampleFiles(t)
	want := map[string]bool{}
	for name, url := range map[string]string{
		"plain":    "http://%s:10261/metrics",
		"password": "https://%s:10261/metrics",
		"mtls":     "https://%s:10261/metrics",
		"textfile": "http://%s:9100/metrics",
	} {
		config += example(t, name)
		for node, address := range map[string]string{"worker-4": "127.0.0.21", "worker-6": "[::1]"} {
			want[fmt.Sprintf("%s: %s is "+url, name, node, address)] = true
		}
	}
	s := New(t, Options{Config: config, Files: files})
	if err := CheckConfig(t.Context(), filepath.Join(s.Dir(), "prometheus.yml")); err != nil {
		t.Error(err)
	}
	var targets []Target
	eventually(t, "the targets", func() bool {
		var err error
		targets, err = s.Targets(t.Context())
		return err == nil && len(targets) == len(want)
	})
	for _, target := range targets {
		got := fmt.Sprintf("%s: %s is %s", target.Labels["job"], target.Labels["node"], target.ScrapeURL)
		if !want[got] {
			t.Errorf("a target nobody expects: %s", got)
		}
		delete(want, got)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

// example is the scrape configuration of an example, as the job of that name, in a world without Kubernetes.
func example(t *testing.T, name string) string {
	t.Helper()
	path := "../../deploy/prometheus/scrape-" + name + ".yaml"
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(content), "scrape_configs:\n")
	if !found || strings.Count(text, discovery) != 1 || strings.Count(text, "job_name:") != 1 {
		t.Fatalf("%s is not one job that finds nodes", path)
	}
	text = strings.Replace(text, discovery, discovered, 1)
	text = strings.Replace(text, "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "ca.crt", 1)
	before, rest, _ := strings.Cut(text, "job_name: ")
	_, rest, _ = strings.Cut(rest, "\n")
	return before + "job_name: " + name + "\n" + rest
}

// exampleFiles are the files that the examples name.
func exampleFiles(t *testing.T) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return map[string][]byte{
		"ca.crt": certificate, "bootstrap-agent-scraper.crt": certificate,
		"bootstrap-agent-scraper.key": pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
		"bootstrap-agent.password":    []byte("a password"),
	}
}
