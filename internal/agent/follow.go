package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// A cluster's CA is replaced by trusting the old and the new one everywhere first, and then the new one only. The agent follows that where it
// is told to: by a file of root's (--ca-file), which may add and remove, or by what the cluster publishes (--ca-from-cluster-info), of which
// only that is believed which somebody already trusted stands for. kubelet-apiserver-ca.crt is the memory of both: it is what is trusted now.

// followingMemory is what is remembered of following the CA of the API server.
type followingMemory struct {
	memory
	// file is --ca-file as it was at the last look, clients is --kubelet-client-ca-file.
	file, clients watchedFile
	// said is what the last failure was that has been said; it ends with the next success.
	said string
	// strangers is what there is to say of CAs that cluster-info names and that are not trusted.
	strangers string
	// countedAt is when what is wrong with clients was last counted.
	countedAt time.Time
	// askedAt is when cluster-info was last asked for.
	askedAt time.Time
}

// follows says whether the CA of the API server is followed at all.
func (a *Agent) follows() bool {
	return !a.cfg.Once && (a.cfg.CAFile != "" || a.cfg.CAFromClusterInfo)
}

// followCA makes the CA of the API server what the settings say it is now.
func (a *Agent) followCA(ctx context.Context, o status.Observed) (changed bool) {
	if !a.follows() || !a.mayFollow(o) {
		return false
	}
	if err := a.followable(o); err != nil {
		a.notFollowed(fileReason, rotate.Forbidden, err, "put a bootstrap kubeconfig for the cluster at "+a.cfg.BootstrapKubeconfig+", whose server and CA then take the place of these")
		return false
	}
	if a.followClientCAFile(o) {
		return true
	}
	if a.cfg.CAFile != "" {
		a.followFile(ctx, o)
	} else {
		a.followClusterInfo(ctx, o)
	}
	return false
}

// mayFollow says whether the node is as it was left: an identity to prove a CA with, and no file that is about to be written again from
// memory, or was taken away by a person.
func (a *Agent) mayFollow(o status.Observed) bool {
	k := &a.keep
	whole := k.kubelet.since.IsZero() && k.serverCA.since.IsZero() && k.clientCA.since.IsZero()
	return a.lock != nil && k.reset.IsZero() && whole && o.HasIdentity() && o.Client.Unread == nil
}

// followable says why the kubelet would not see what the agent writes.
func (a *Agent) followable(o status.Observed) error {
	if o.Kubelet.CAFile != a.dir.ServerCA() || !bytes.Equal(o.Kubelet.Endpoint.CA, o.ServerCA) {
		return fmt.Errorf("%s does not name the CA file that the agent keeps, %s, so that the CA cannot be followed", a.cfg.Kubeconfig, a.dir.ServerCA())
	}
	return nil
}

func withCA(endpoint apiserver.Endpoint, ca []byte) apiserver.Endpoint {
	endpoint.CA = ca
	return endpoint
}

// stillThere observes anew when an answer has come, and says whether it is about the cluster and the CA that are there now.
func (a *Agent) stillThere(asked apiserver.Endpoint) (status.Observed, bool) {
	o := a.observe()
	return o, a.mayFollow(o) && a.followable(o) == nil && sameEndpoint(o.Kubelet.Endpoint, asked)
}

// storeCA makes bundle the CA of the API server. Who may call the kubelet is written first: a crash in between leaves the old CA of the API
// server, and so all of this is done again.
func (a *Agent) storeCA(o status.Observed, bundle []*x509.Certificate) bool {
	text, before := discovery.EncodeBundle(bundle), discovery.InUse(o.ServerCA)
	clients := a.cfg.KubeletClientCAFile == "" && clientsFollow(discovery.InUse(o.ClientCA), before, bundle)
	stored := a.disk(&a.following.memory, "store the CA of the API server", func() error {
		if clients {
			if err := a.dir.WriteCA(a.dir.ClientCA(), text); err != nil {
				return err
			}
		}
		return a.dir.WriteCA(a.dir.ServerCA(), text)
	})
	if stored {
		a.log.Warn("the CA of the API server has changed; a kubelet before 1.36 needs a restart to use it", "file", a.dir.ServerCA(),
			"added", pinsOf(bundle, before), "removed", pinsOf(before, bundle), "callers_too", clients)
	}
	return stored
}

// clientsFollow says whether those who may call the kubelet are, and stay, those of the API server's CA, as they are by default: a file that
// somebody made another one stays as it is. What an interrupted change has written already is no difference.
func clientsFollow(clients, before, after []*x509.Certificate) bool {
	return len(clients) > 0 && discovery.Within(before, clients) && discovery.Within(clients, slices.Concat(before, after))
}

// pinsOf tells of the certificates of a that are not in b.
func pinsOf(a, b []*x509.Certificate) (texts []string) {
	for _, certificate := range a {
		if !discovery.Within([]*x509.Certificate{certificate}, b) {
			texts = append(texts, fmt.Sprintf("%s (%s)", discovery.PinOf(certificate), certificate.Subject))
		}
	}
	return texts
}
