package agent

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// writeClientCA decides who may call the kubelet. A CA that did not sign the client certificate is taken only when it was
// configured: with a public or a company's CA there, all its holders would be let in at port 10250.
func (a *Agent) writeClientCA(certificates, endpointCA []byte) error {
	bundle, err := a.clientCA(certificates, endpointCA)
	if err != nil {
		a.log.Error("cannot tell which CA may call the kubelet", "file", a.dir.ClientCA(), "err", err,
			"remedy", "give --kubelet-client-ca-file the CA in the API server's --kubelet-client-certificate")
	}
	if bundle == nil {
		return nil
	}
	return a.dir.WriteCA(a.dir.ClientCA(), bundle)
}

// completeClientCA writes a CA file that was configured later, or could not be read, when the identity was stored, or that was lost
// since: the CA that the kubelet's kubeconfig names will do where it signed the node's own certificate.
func (a *Agent) completeClientCA(o status.Observed) bool {
	if o.ClientCA != nil || !a.keep.clientCA.since.IsZero() || o.Now.Before(a.client.retryAt) {
		return false
	}
	if a.cfg.KubeletClientCAFile == "" {
		return o.Kubelet != nil && signedBy(leafBytes(o.Client.Pair.PEM), o.Kubelet.Endpoint.CA) && a.restoreClientCA(o)
	}
	return a.disk(&a.client, "store the CA of the kubelet's clients", func() error {
		bundle, err := a.clientCA(o.Client.Pair.PEM, nil)
		if err != nil {
			return err
		}
		return a.dir.WriteCA(a.dir.ClientCA(), bundle)
	})
}

func (a *Agent) restoreClientCA(o status.Observed) bool {
	return a.disk(&a.client, "store the CA of the kubelet's clients", func() error {
		if o.ServerCA == nil { // and nothing else of ours is there: it was the kubelet that bootstrapped this node
			a.log.Info("took over the identity that the kubelet has; its clients are those of the CA in its kubeconfig", "kubeconfig", a.cfg.Kubeconfig, "file", a.dir.ClientCA())
		} else {
			a.log.Warn("the CA of the kubelet's clients was missing or of no use, and is the one of the kubelet's kubeconfig again", "file", a.dir.ClientCA())
		}
		return a.dir.WriteCA(a.dir.ClientCA(), o.Kubelet.Endpoint.CA)
	})
}

func (a *Agent) clientCA(certificates, endpointCA []byte) ([]byte, error) {
	if path := a.cfg.KubeletClientCAFile; path != "" {
		file, err := durable.ReadTrusted(path, 1<<20)
		if err != nil {
			return nil, fmt.Errorf("--kubelet-client-ca-file: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(file.Data) {
			return nil, fmt.Errorf("--kubelet-client-ca-file %s holds no PEM certificate", path)
		}
		return file.Data, nil
	}
	leaf, chain := pem.Decode(certificates)
	if leaf == nil {
		return nil, errors.New("no certificate")
	}
	if signedBy(leaf.Bytes, endpointCA) {
		return endpointCA, nil
	}
	// the issuer and nothing else: what follows may be the CA of half the world, or, in the node's own pair, its private key
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		if issuer := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}); block.Type == "CERTIFICATE" && signedBy(leaf.Bytes, issuer) {
			return issuer, nil
		}
	}
	return nil, errors.New("the CA of the bootstrap kubeconfig did not sign the node's client certificate, and the signer's answer does not hold the one that did")
}

func signedBy(leaf, bundle []byte) bool {
	certificate, err := x509.ParseCertificate(leaf)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(bundle) {
		return false
	}
	_, err = certificate.Verify(x509.VerifyOptions{
		Roots: roots, CurrentTime: certificate.NotBefore.Add(certificate.NotAfter.Sub(certificate.NotBefore) / 2),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}
