package doctor

import (
	"context"
	"crypto/x509"

	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// checkServingChain says what can be known on the node about whether an API server will trust the kubelet: which CA it verifies kubelets
// with (--kubelet-certificate-authority), if it does, is its own affair.
func checkServingChain(_ context.Context, p *Patient) []Result {
	c := p.Observed.Serving
	if p.Config.Serving == string(serving.Off) || !c.Issued() {
		return nil // a placeholder is said elsewhere
	}
	w := p.network.way(true)
	if w == nil {
		return nil
	}
	try := "kubectl get --raw /api/v1/nodes/" + w.identity(p) + "/proxy/healthz"
	leaf := c.Pair.Leaf
	for _, bundle := range []struct {
		what string
		pem  []byte
	}{{"the CA of the API server", p.Observed.ServerCA}, {"the CA of the kubelet's clients", p.Observed.ClientCA}} {
		if signedBy(leaf, c.Pair.PEM, bundle.pem, p) {
			return one(ok("the serving certificate is signed by %s, %s; an API server that verifies kubelets with it trusts this one. To see whether it reaches the kubelet: %s",
				bundle.what, words(leaf.Issuer.String()), try))
		}
	}
	return one(unknown("the serving certificate was issued by %s, of which this machine has no certificate; whether the API server trusts that CA and reaches the kubelet cannot be known here", words(leaf.Issuer.String())).
		with("where kube-apiserver has --kubelet-certificate-authority, it must name that CA; to see whether it reaches the kubelet, "+administers, try))
}

func signedBy(leaf *x509.Certificate, chain, bundle []byte, p *Patient) bool {
	options := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: p.Clock.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	options.Roots.AppendCertsFromPEM(bundle)
	options.Intermediates.AppendCertsFromPEM(chain)
	_, err := leaf.Verify(options)
	return err == nil
}
