package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

const (
	scraperPassword = "correct horse"
	// scraperHash is the password's, by bcrypt with the least cost.
	scraperHash = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e"
	scraperName = "prometheus.monitoring.svc"
)

// protected is a node whose agent serves its metrics by one of the web configurations that are shipped, filled in as they say.
func protected(t *testing.T, cp *controlplane.ControlPlane, name, address string) *node {
	t.Helper()
	n := newNode(t, cp)
	n.name += "-" + name
	config, err := os.ReadFile("../../deploy/prometheus/web-config-" + name + ".yaml")
	must(t, err)
	filled := strings.NewReplacer("/var/lib/kubelet/pki", n.certDir().Path, "PUT-THE-HASH-HERE", scraperHash, "# client_allowed_sans:", "client_allowed_sans:").Replace(string(config))
	path := n.path("web.yaml")
	n.write(path, []byte(filled), 0o600)
	n.flags = []string{"--hostname-override=" + n.name, "--serving-dns-names=node.example", "--web.listen-address=" + address, "--web.config.file=" + path, "--kubelet-metrics"}
	n.secret([]byte(scraperPassword))
	n.bootstrap(n.secretToken())
	n.start()
	return n
}

// A scraper without the password, or a certificate that is let in, gets nothing.
func TestARealPrometheusGetsInByPasswordOrCertificateAndNobodyElseDoes(t *testing.T) {
	t.Parallel()
	cp := shared(t)
	passwordAt, mutualAt := freeAddress(t), freeAddress(t)
	scraper, key := scraperPair(t, cp, scraperName)
	other, otherKey := scraperPair(t, cp, "somebody.else")
	unknown, unknownKey := untrustedPair(t, cp)
	const https, trusting = "scheme: https\n", "tls_config: {ca_file: ca.crt, server_name: node.example}\n"
	e := eyesOn(t, map[string][]byte{
		"ca.crt": cp.CA(), "scraper.crt": scraper, "scraper.key": key, "other.crt": other, "other.key": otherKey, "unknown.crt": unknown, "unknown.key": unknownKey,
	},
		job{"password", passwordAt, https + trusting + "basic_auth: {username: prometheus, password: " + scraperPassword + "}\n"},
		job{"wrong-password", passwordAt, https + trusting + "basic_auth: {username: prometheus, password: wrong}\n"},
		job{"wrong-user", passwordAt, https + trusting + "basic_auth: {username: admin, password: " + scraperPassword + "}\n"},
		job{"no-password", passwordAt, https + trusting},
		job{"password-without-tls", passwordAt, "basic_auth: {username: prometheus, password: " + scraperPassword + "}\n"},
		job{"certificate", mutualAt, https + "tls_config: {ca_file: ca.crt, server_name: node.example, cert_file: scraper.crt, key_file: scraper.key}\n"},
		job{"no-certificate", mutualAt, https + trusting},
		job{"certificate-of-another-name", mutualAt, https + "tls_config: {ca_file: ca.crt, server_name: node.example, cert_file: other.crt, key_file: other.key}\n"},
		job{"certificate-of-another-ca", mutualAt, https + "tls_config: {ca_file: ca.crt, server_name: node.example, cert_file: unknown.crt, key_file: unknown.key}\n"},
	)
	password := protected(t, cp, "password", passwordAt)
	mutual := protected(t, cp, "mtls", mutualAt)

	// until its serving certificate is approved a node shows its placeholder, which no scraper trusts
	for _, n := range []*node{password, mutual} {
		n.awaitJoined()
	}
	for _, name := range []string{"password", "certificate"} {
		eventually(t, name+" is refused for the placeholder", func() bool { return strings.Contains(e.target(name).LastError, "x509") })
	}
	for _, n := range []*node{password, mutual} {
		n.approve(csr.Serving)
	}
	for _, name := range []string{"password", "certificate"} {
		eventually(t, name+" is up without a restart", func() bool { return e.target(name).Health == "up" })
		e.see(`certificate_self_signed{job="`+name+`",certificate="serving"}`, 0)
		e.assertAll(name, "bootstrap_agent_")
		e.assertAll(name, "kubelet_")
	}
	for name, why := range map[string]string{
		"wrong-password": "401", "wrong-user": "401", "no-password": "401", "password-without-tls": "400",
		"no-certificate": "certificate", "certificate-of-another-name": "certificate", "certificate-of-another-ca": "certificate",
	} {
		e.seesNothingOf(name, why)
	}
}

// seesNothingOf: the job is down for this reason, and there never was a series of it.
func (e eyes) seesNothingOf(name, why string) {
	e.t.Helper()
	eventually(e.t, name+" is refused for "+why, func() bool { return strings.Contains(e.target(name).LastError, why) })
	if health := e.target(name).Health; health != "down" {
		e.t.Errorf("%s is %s", name, health)
	}
	found, err := e.Query(e.t.Context(), fmt.Sprintf(`last_over_time({job=%q,__name__=~"(bootstrap_agent|kubelet|process)_.*"}[1h])`, name))
	must(e.t, err)
	if len(found) > 0 {
		e.t.Errorf("%s got %d series, such as %v", name, len(found), found[0].Labels)
	}
}

// scraperPair is a client certificate of the cluster's CA, got by a CSR as docs/metrics.md shows.
func scraperPair(t *testing.T, cp *controlplane.ControlPlane, name string) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, private)
	must(t, err)
	requests := cp.AdminClient().CertificatesV1().CertificateSigningRequests()
	object, err := requests.Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "scraper-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: certificatesv1.KubeAPIServerClientSignerName, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}),
		},
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, cp.Delete(context.WithoutCancel(t.Context()), object.Name)) })
	must(t, cp.Approve(t.Context(), object.Name))
	eventually(t, "the scraper's certificate", func() bool {
		object, err = requests.Get(t.Context(), object.Name, metav1.GetOptions{})
		must(t, err)
		return len(object.Status.Certificate) > 0
	})
	return object.Status.Certificate, keyPEM(t, private)
}

// untrustedPair is one of a CA that nobody knows.
func untrustedPair(t *testing.T, cp *controlplane.ControlPlane) (certificate, key []byte) {
	t.Helper()
	pair, err := cp.ServingCertificate(controlplane.ServingOptions{Untrusted: true, DNSNames: []string{scraperName}})
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), keyPEM(t, pair.PrivateKey)
}

func keyPEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}
