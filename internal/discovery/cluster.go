package discovery

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// cluster is what cluster-info says, as far as it is believed.
type cluster struct {
	endpoint apiserver.Endpoint
	kept     []*x509.Certificate
	dropped  []Stranger
}

// clusterOf reads server and CA, and nothing else, from the kubeconfig in cluster-info. The error is an [*Error] without a server.
func clusterOf(text string, pins Pins, now time.Time) (cluster, error) {
	entry, err := entryOf(text)
	if err != nil {
		return cluster{}, &Error{Reason: BadClusterInfo, Err: err, Remedy: correct}
	}
	bundle, err := ParseBundle(entry.CertificateAuthorityData)
	if err != nil {
		return cluster{}, &Error{Reason: BadClusterInfo, Err: fmt.Errorf("its certificate-authority-data cannot be used: %w", err), Remedy: correct}
	}
	kept, dropped := Trusted(bundle, pins, nil, now)
	if len(kept) == 0 {
		return cluster{}, notPinned(Strangers(dropped))
	}
	if !slices.ContainsFunc(kept, func(c *x509.Certificate) bool { return !now.Before(c.NotBefore) && !now.After(c.NotAfter) }) {
		return cluster{}, notInTime(kept, now)
	}
	return cluster{apiserver.Endpoint{Server: entry.Server, CA: EncodeBundle(kept)}, kept, Strangers(dropped)}, nil
}

// entryOf returns the cluster that the kubeconfig in cluster-info is about: the one without a name, or that of the current context
// (kubeadm's GetClusterFromKubeConfig).
func entryOf(text string) (*clientcmdapi.Cluster, error) {
	config, err := clientcmd.Load([]byte(text))
	if err != nil {
		return nil, errors.New("its kubeconfig is none") // the parser's words may quote what somebody else has written
	}
	entry := config.Clusters[""]
	if entry == nil {
		if context := config.Contexts[config.CurrentContext]; context != nil {
			entry = config.Clusters[context.Cluster]
		}
	}
	if entry == nil {
		return nil, errors.New("its kubeconfig names no cluster")
	}
	if err := apiserver.CheckServer(entry.Server); err != nil {
		return nil, fmt.Errorf("it names a server that is not used: %w", err)
	}
	return entry, nil
}

// known are the pins that were found, for whoever compares them by eye.
func known(strangers []Stranger) string {
	var texts []string
	for _, s := range strangers[:min(len(strangers), 5)] {
		texts = append(texts, fmt.Sprintf("%s of %q", s.Pin, s.Subject))
	}
	return strings.Join(texts, ", ")
}
