package await

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func pairOf(commonName string, left time.Duration) *certdir.Pair {
	return &certdir.Pair{Leaf: &x509.Certificate{
		Subject: pkix.Name{CommonName: commonName}, NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(left),
	}}
}

// member is a node that has everything.
func member() status.Observed {
	return status.Observed{
		Now: noon, Node: "worker-1", Kubelet: &kubeconfig.Kubelet{},
		Client:       status.Certificate{Kind: csr.Client, Pair: pairOf("system:node:worker-1", time.Hour)},
		Serving:      status.Certificate{Kind: csr.Serving, Pair: pairOf("system:node:worker-1", time.Hour), Linked: true},
		BootstrapErr: fmt.Errorf("%w: it does not exist", kubeconfig.ErrNoCredential),
	}
}

func pending(changes ...func(*csr.Pending)) *csr.Pending {
	p := &csr.Pending{Name: "the-request"}
	for _, change := range changes {
		change(p)
	}
	return p
}

func TestWhatIsMissingIsSaidWithWhatToDoAndWhetherAPersonMust(t *testing.T) {
	t.Parallel()
	none := fmt.Errorf("%w at all", certdir.ErrNoPair)
	lose := func(o *status.Observed) { o.Client.Pair, o.Client.PairErr, o.Kubelet = nil, none, nil }
	credential := func(o *status.Observed) { o.Bootstrap, o.BootstrapErr = &kubeconfig.Bootstrap{}, nil }
	token := func(o *status.Observed) {
		o.Undiscovered, o.BootstrapErr, o.BootstrapFile = &kubeconfig.Bootstrap{}, status.ErrUndiscovered, "/token"
	}
	cfg := config.Default()
	cfg.APIServers = config.List{"a", "b:1"}
	for _, c := range []struct {
		name   string
		change func(*status.Observed)
		kind   csr.Kind // empty: nothing is missing
		says   string
		act    bool
	}{
		{"all is there", func(*status.Observed) {}, "", "", false},
		{"the client certificate is not valid yet: the clock may be wrong", func(o *status.Observed) { o.Client.Pair.Leaf.NotBefore = noon.Add(time.Hour) }, "", "", false},
		{"no credential", lose, csr.Client, "put a bootstrap kubeconfig at /etc/kubernetes/bootstrap.kubeconfig", true},
		{"a bad credential", func(o *status.Observed) { lose(o); o.BootstrapErr = errors.New("it is empty") }, csr.Client, "it is empty", true},
		{"a credential", func(o *status.Observed) { lose(o); credential(o) }, csr.Client, "the agent is to ask", false},
		{"a token whose cluster is to be found out", func(o *status.Observed) { lose(o); token(o) }, csr.Client, "find out where the cluster of the token in /token is, at a, b:1", false},
		{"a token whose cluster is known by a file", func(o *status.Observed) { lose(o); token(o); o.DiscoveryFile = &apiserver.Endpoint{} }, csr.Client, "the agent is to ask", false},
		{"a malformed token", func(o *status.Observed) { lose(o); o.BootstrapErr = errors.New("the token is malformed") }, csr.Client, "the token is malformed", true},
		{"the kubeconfig is gone, and a token", func(o *status.Observed) {
			token(o)
			o.Kubelet, o.KubeletErr = nil, errors.New("it is gone")
		}, csr.Client, "it is gone; put a bootstrap kubeconfig", false},
		{"another node's, and a token", func(o *status.Observed) { o.Client.Pair = pairOf("system:node:worker-2", time.Hour); token(o) }, csr.Client, "worker-2", false},
		{"a request that was not sent, and a token", func(o *status.Observed) { lose(o); token(o); o.Client.Pending = pending() }, csr.Client, "the-request is to be sent", false},
		{"an older pair", func(o *status.Observed) { lose(o); o.Client.Older = pairOf("", 1) }, csr.Client, "the agent is to ask", false},
		{"a request that was not sent", func(o *status.Observed) { lose(o); credential(o); o.Client.Pending = pending() }, csr.Client, "the-request is to be sent", false},
		{"a request and no credential", func(o *status.Observed) { lose(o); o.Client.Pending = pending() }, csr.Client, "put a bootstrap kubeconfig", true},
		{"a request that waits", func(o *status.Observed) {
			lose(o)
			credential(o)
			o.Client.Pending = pending(func(p *csr.Pending) { p.UID, p.Accepted = "uid", noon })
		}, csr.Client, "waits for approval since 2026-03-01T12:00:00Z: kubectl certificate approve the-request", false},
		{"an issued certificate, and no credential", func(o *status.Observed) {
			lose(o)
			o.Client.Pending = pending(func(p *csr.Pending) { p.CertificatePEM = []byte("a certificate") })
		}, csr.Client, "is issued, and is tried", false},
		{"a request that was denied", func(o *status.Observed) {
			lose(o)
			credential(o)
			o.Client.Pending = pending(func(p *csr.Pending) { p.Ended = &csr.Ended{Outcome: csr.Denied, Reason: "NotToday"} })
		}, csr.Client, "the-request: denied (NotToday", true},
		{"a request that was replaced: another follows", func(o *status.Observed) {
			o.Serving.Pair = nil
			o.Serving.Pending = pending(func(p *csr.Pending) { p.Ended = &csr.Ended{Outcome: csr.Replaced} })
		}, csr.Serving, "is to be sent", false},
		{"the client certificate has expired", func(o *status.Observed) { o.Client.Pair = pairOf("system:node:worker-1", -1); credential(o) }, csr.Client, "the agent is to ask", false},
		{"the kubeconfig is gone", func(o *status.Observed) { o.Kubelet, o.KubeletErr = nil, errors.New("it is gone") }, csr.Client, "it is gone; put a bootstrap kubeconfig", true},
		{"another node's", func(o *status.Observed) { o.Client.Pair = pairOf("system:node:worker-2", time.Hour) }, csr.Client, "is system:node:worker-2, and this machine is called worker-1", true},
		{"another node's, and a credential", func(o *status.Observed) { o.Client.Pair = pairOf("system:node:worker-2", time.Hour); credential(o) }, csr.Client, "worker-2", false},
		{"files that cannot be read", func(o *status.Observed) { lose(o); o.Client.Unread = errors.New("the disk") }, csr.Client, "cannot be read: the disk", true},
		{"a placeholder", func(o *status.Observed) { o.Serving.Pair = pairOf("worker-1@bootstrap-agent-placeholder", time.Hour) }, csr.Serving, "the agent is to ask", false},
		{"an expired serving certificate", func(o *status.Observed) { o.Serving.Pair.Leaf.NotAfter = noon.Add(-1) }, csr.Serving, "the agent is to ask", false},
		{"links that are missing", func(o *status.Observed) { o.Serving.Linked = false }, csr.Serving, "the kubelet's own names do not lead to it", false},
		{"a serving file that cannot be read", func(o *status.Observed) { o.Serving.Pair = nil; o.Serving.Unread = errors.New("the disk") }, csr.Serving, "cannot be read", true},
	} {
		o := member()
		c.change(&o)
		lacking := Lacking([]csr.Kind{csr.Client, csr.Serving}, o, cfg)
		if c.kind == "" {
			if len(lacking) > 0 {
				t.Errorf("%s: %v is missing", c.name, lacking)
			}
			continue
		}
		if len(lacking) != 1 || lacking[0].Kind != c.kind || !strings.Contains(lacking[0].Why, c.says) || lacking[0].MustAct != c.act {
			t.Errorf("%s: %+v, expected %s, %q, a person must act: %t", c.name, lacking, c.kind, c.says, c.act)
		}
	}
}

func TestOnlyWhatIsWantedIsMissing(t *testing.T) {
	t.Parallel()
	o := member()
	o.Serving.Pair = nil
	if lacking := Lacking([]csr.Kind{csr.Client}, o, config.Default()); len(lacking) > 0 {
		t.Errorf("%v", lacking)
	}
}

func TestItIsSaidWhenItHasLastedAndEveryNowAndThenAgain(t *testing.T) {
	t.Parallel()
	var heard []string
	s := saying{say: func(text string) { heard = append(heard, text) }}
	for second := range 70 {
		text := "a"
		if second >= 40 {
			text = "b"
		}
		if second == 60 {
			text = "passing"
		}
		s.note(text, noon.Add(time.Duration(second)*time.Second))
	}
	if got := strings.Join(heard, " "); got != "a a b b" {
		t.Errorf("it says %q, expected at 2 s, 32 s, 42 s and 63 s", got)
	}
}
