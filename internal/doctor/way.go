package doctor

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// site is an API server as a kubeconfig leads there. Two kubeconfigs that say the same are one site.
type site struct {
	endpoint apiserver.Endpoint
	// files are the kubeconfigs that name it.
	files []string
	// needed: without it the node cannot get or keep its certificates. Otherwise what is wrong with it is no more than worth a look.
	needed bool
	// blind: its CA is not known, so that of it only name and connection can be looked at.
	blind bool

	// addresses are where it is, or the proxy that leads there, host:port.
	addresses []string
	sight     apiserver.Sight

	mu   sync.Mutex
	down string // why nothing more is asked there; empty: ask
}

// stop has nothing more asked there. The first reason stays.
func (p *site) stop(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down == "" {
		p.down = fmt.Sprintf(format, args...)
	}
}

func (p *site) stopped() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.down
}

// atMost is what a verdict is worth at this site.
func (p *site) atMost(v Verdict) Verdict {
	if !p.needed && rank[v] > rank[Attention] {
		return Attention
	}
	return v
}

// named says which files the site is from.
func (p *site) named() string { return strings.Join(p.files, " and ") }

// way is how the node comes to an API server: a site, and a credential for it.
type way struct {
	*site
	credential apiserver.Credential
	// asNode: the credential is the node's own certificate; else it is that of the bootstrap kubeconfig.
	asNode bool
	// needed: there is no other credential to get or keep certificates with.
	needed bool
	// unused says why the credential is not tried; empty: it is.
	unused string
	client *apiserver.Client

	once    sync.Once
	user    apiserver.User
	userErr error
}

// atMost is what a verdict about the credential is worth.
func (w *way) atMost(v Verdict) Verdict {
	if !w.needed && rank[v] > rank[Attention] {
		return Attention
	}
	return v
}

// String is what the credential is called in a line.
func (w *way) String() string {
	if w.asNode {
		return "the node's certificate"
	}
	return "the bootstrap credential"
}

// errNotAsked is wrapped by the error of a question that was not asked.
var errNotAsked = errors.New("not looked at")

// ask has a question asked, in time, unless nobody would answer it. One that gets no answer is the last at its site.
func (w *way) ask(ctx context.Context, question func(context.Context, *apiserver.Client) error) error {
	if w.unused != "" {
		return fmt.Errorf("%w: %s", errNotAsked, w.unused)
	}
	if down := w.stopped(); down != "" {
		return fmt.Errorf("%w: %s", errNotAsked, down)
	}
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	err := question(limited, w.client)
	if err == nil {
		return nil
	}
	switch reason := apiserver.ReasonOf(err); reason {
	case apiserver.Timeout, apiserver.Unreachable, apiserver.TLS, apiserver.Clock, apiserver.Redirected:
		w.stop("a question to %s had no answer (%s)", w.endpoint.Server, reason)
	default: // it has answered, or there was nothing to send
	}
	return err
}

// me asks once whom the API server takes the credential for.
func (w *way) me(ctx context.Context) (apiserver.User, error) {
	w.once.Do(func() {
		w.userErr = w.ask(ctx, func(ctx context.Context, api *apiserver.Client) (err error) {
			w.user, err = api.WhoAmI(ctx)
			return err
		})
	})
	return w.user, w.userErr
}

// accepted says whether the credential is that of somebody, so that it is worth while to ask what he may do.
func (w *way) accepted(ctx context.Context) error {
	user, err := w.me(ctx)
	switch {
	case errors.Is(err, errNotAsked):
		return err
	case err != nil:
		return fmt.Errorf("%w: %s could not be shown to be accepted", errNotAsked, w)
	case user.Name == anonymous:
		return fmt.Errorf("%w: %s is not accepted", errNotAsked, w)
	}
	return nil
}

// way returns that of the node's own identity, or of the bootstrap credential; nil: there is none.
func (n *network) way(asNode bool) *way {
	for _, w := range n.ways {
		if w.asNode == asNode {
			return w
		}
	}
	return nil
}

// findWays makes of what is on the disk where to ask and with what: the node's own identity as its kubelet.kubeconfig leads it, and the
// bootstrap kubeconfig with its credential. Nothing is sent.
func (p *Patient) findWays() (sites []*site, ways []*way) {
	o := p.Observed
	at := func(file string, endpoint apiserver.Endpoint, needed bool) *site {
		for _, known := range sites {
			if sameEndpoint(known.endpoint, endpoint) {
				known.files, known.needed = append(known.files, file), known.needed || needed
				return known
			}
		}
		sites = append(sites, &site{endpoint: endpoint, files: []string{file}, needed: needed})
		return sites[len(sites)-1]
	}
	if o.Kubelet != nil {
		pair := usablePair(o)
		own := at(p.Config.Kubeconfig, o.Kubelet.Endpoint, pair != nil)
		if pair != nil {
			ways = append(ways, &way{site: own, asNode: true, needed: true, credential: apiserver.Credential{CertificatePEM: pair.PEM, KeyPEM: pair.PEM}})
		}
		if o.Kubelet.KubeletServer != "" {
			kubelets := o.Kubelet.Endpoint
			kubelets.Server = o.Kubelet.KubeletServer
			at(p.Config.Kubeconfig+", for the kubelet", kubelets, false)
		}
	}
	if o.Bootstrap != nil {
		needed := usablePair(o) == nil || o.Kubelet == nil
		ways = append(ways, p.bootstrapWay(at(cmp.Or(p.network.leads, o.Bootstrap.Path), o.Bootstrap.Endpoint, needed), needed))
	}
	if p.network.unfound {
		sites = append(sites, p.blindSites(usablePair(o) == nil || o.Kubelet == nil)...)
	}
	for _, w := range ways {
		p.connect(w)
	}
	return sites, ways
}

// usablePair is the identity, as the agent would choose it.
func usablePair(o status.Observed) *certdir.Pair {
	if o.Client.Usable(o.Now) {
		return o.Client.Pair
	}
	return o.Client.Older
}

// bootstrapWay is that of the bootstrap credential. An exec plugin is run, as the agent would run it, only where the credential is needed:
// it may take its time, and may itself change something somewhere.
func (p *Patient) bootstrapWay(site *site, needed bool) *way {
	b := p.Observed.Bootstrap
	w := &way{site: site, needed: needed, credential: b.Credential}
	if b.Source == kubeconfig.ExecPlugin && !needed {
		w.unused = "the exec plugin of the bootstrap kubeconfig is not run, for the node has its identity"
	}
	return w
}

func (p *Patient) connect(w *way) {
	if w.unused != "" {
		return
	}
	client, err := apiserver.New(w.endpoint, w.credential, p.UserAgent, p.Clock)
	if err != nil {
		w.stop("%v", err)
		return
	}
	w.client = client
}

func sameEndpoint(a, b apiserver.Endpoint) bool {
	return a.Server == b.Server && a.TLSServerName == b.TLSServerName && a.ProxyURL == b.ProxyURL && bytes.Equal(a.CA, b.CA)
}
