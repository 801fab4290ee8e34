package doctor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
)

// remote are the checks that ask somebody: name servers, the API server. Each of them asks what the ones before it did not find out, and
// once something is in the way, what lies behind it is not looked at.
func remote() []Check {
	checks := []Check{
		{"discovery", "Where the cluster of a discovery token is, as the agent finds it out: cluster-info is there, signed with the token, under a CA that is pinned, and its server says the same.", checkDiscovery},
		{"dns", "Whether the API server's name resolves, and to what; or the name of the proxy that leads there.", checkDNS},
		{"tcp", "Whether each of these addresses takes a connection, and if not, in which way it does not.", checkTCP},
		{"tls", "Whether the API server's certificate is trusted by the CA of the kubeconfig and is for its name, until when it is valid, and whether something else answers in its place.", checkTLS},
		{"api-server-clock", "By how much this machine's clock and the API server's differ.", checkServerClock},
		{"api-server-version", "Whether an API server answers, of a version that the agent works with (1.28 or later).", checkVersion},
		{"who-am-i", "Whom the API server takes the node's certificate and the bootstrap credential for.", checkWhoAmI},
		{"cluster-ca", "Whether the cluster is about to have another CA than the node trusts: whether cluster-info, where it can be read, names one that the node does not have.", checkClusterCA},
		{"same-cluster", "Whether a bootstrap kubeconfig that lies beside an identity leads to the cluster that knows the node.", checkSameCluster},
		{"bootstrap-credential", "What kind of credential the bootstrap kubeconfig has, and until when it is good, as far as it says so itself.", checkBootstrapCredential},
		{"csr-access", "Whether the node may create, get and watch certificate signing requests.", checkAccess},
		{"csr-approval", "Whether kube-controller-manager would approve the request for the client certificate by itself.", checkApproval},
		{"serving-approval", "Bindings that look as if they had serving certificates approved, and do not, where they can be seen.", checkServingApproval},
		{"csr", "How the requests under way stand: waiting for approval, approved and not issued, denied, failed, gone; since when.", checkRequests},
		{"node-taken", "Whether another live machine is the node already, before this one joins: where its certificate is issued, or the bootstrap credential may read Nodes.", checkNodeTaken},
		{"node-object", "What the cluster has of the node: ready, the kubelet's version, the machine behind the name, addresses that the serving certificate lacks.", checkNodeObject},
		{"serving-chain", "Whether the serving certificate was signed by a CA that an API server may verify kubelets with, as far as that can be known here.", checkServingChain},
	}
	for i := range checks {
		if checks[i].Name != "discovery" { // by which it is found out where to ask
			checks[i].Run = asking(checks[i].Run)
		}
	}
	return checks
}

// Limits of time. All of them together stay below a minute, whatever the network does: what has answered too late is not asked again, and
// after networkLimit nobody is.
const (
	networkLimit = 45 * time.Second
	dnsLimit     = 5 * time.Second
	tcpLimit     = 5 * time.Second
	requestLimit = 8 * time.Second
	// discoveryLimit is for two questions, and for servers before the one that answers.
	discoveryLimit = 13 * time.Second
)

// network is what is found out about the API server once.
type network struct {
	begun time.Time
	found bool
	sites []*site
	ways  []*way
	// leads is what says where the cluster of a discovery token is; unfound: nothing does.
	leads   string
	unfound bool
}

// reach finds out where to ask, with what, and limits the time for it.
func (p *Patient) reach(ctx context.Context) (context.Context, context.CancelFunc) {
	n := &p.network
	if !n.found {
		if n.found = true; n.begun.IsZero() {
			n.begun = p.Clock.Now()
		}
		n.sites, n.ways = p.findWays()
	}
	left := networkLimit - p.Clock.Since(n.begun)
	if left > 0 {
		return context.WithTimeout(ctx, left)
	}
	for _, site := range n.sites {
		site.stop("the other checks have taken %s", networkLimit)
	}
	return context.WithCancel(ctx)
}

// close ends the connections that the checks have left open.
func (n *network) close() {
	for _, way := range n.ways {
		if way.client != nil {
			way.client.Close()
		}
	}
}

// each runs do for all of them at once, and returns what they found, in their order.
func each[T any](all []T, do func(T) []Result) []Result {
	results := make([][]Result, len(all))
	var group sync.WaitGroup
	for i, one := range all {
		group.Go(func() { results[i] = do(one) })
	}
	group.Wait()
	return slices.Concat(results...)
}

// asking makes a check of a question: in the time that is left, and with no secret of the node's in what comes back.
func asking(question func(context.Context, *Patient) []Result) func(context.Context, *Patient) []Result {
	return func(ctx context.Context, p *Patient) []Result {
		ctx, cancel := p.reach(ctx)
		defer cancel()
		results := question(ctx, p)
		for i := range results {
			results[i] = p.concealed(results[i])
		}
		return results
	}
}

func (p *Patient) concealed(r Result) Result {
	for _, text := range []*string{&r.Text, &r.Remedy, &r.Command} {
		*text = p.conceal(*text)
	}
	return r
}

// conceal crosses out the token of the bootstrap credential, should somebody's words hold it. Of a bootstrap token the ID is public: it
// is the Secret's name.
func (p *Patient) conceal(text string) string {
	b := cmp.Or(p.Observed.Bootstrap, p.Observed.Undiscovered)
	if b == nil || b.Credential.Token == "" {
		return text
	}
	secret := b.Credential.Token
	if token, err := discovery.ParseToken(secret); err == nil {
		secret = token.Secret
	}
	return strings.ReplaceAll(text, secret, "[the credential]")
}

// notLooked is the one line of a check that cannot look, because of what an earlier one has found.
func notLooked(reason string) Result {
	return unknown("not looked at: %s", reason).with("mend what is said above, and run doctor again", "")
}

// words are somebody else's, short enough to stand in a line of ours.
func words(text string) string {
	const most = 300
	if text = strings.Join(strings.Fields(text), " "); len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
