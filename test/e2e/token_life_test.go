package e2e

import (
	"cmp"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// tokenLife is a node whose token comes to its end in the middle of the bootstrap, and is followed by a good one.
type tokenLife struct {
	end       tokenEnd
	at        tokenMoment
	mend      tokenMend
	restarted bool // while no credential is good
	discovers bool // where the cluster is, by what bootstrapsigner has signed

	*node
	whole   *testing.T
	proxy   *faultproxy.Proxy
	d       *daemon
	daemons []*daemon
	token   string
	// successor is the new token, "" if the old one is made good; name and key are those of the request.
	successor, name string
	key             []byte
	// overAt is when the token would have ended that was extended in time.
	overAt time.Time
}

// lastMoments are what a token has left that is extended in time. They are over before the API server, which remembers for 10 s, looks again.
const lastMoments = 5 * time.Second

// seenIn is ten times what a busy machine takes to see a new credential, and less than the time to the next look.
const seenIn = 8 * time.Second

// TestATokenThatEndsInTheMiddleOfABootstrapCostsNeitherTheRequestNorTheKey has nodes walk side by side, since the API server remembers for
// 10 s that a token was good: all begin, all tokens end, then all of the agents have to ask again.
func TestATokenThatEndsInTheMiddleOfABootstrapCostsNeitherTheRequestNorTheKey(t *testing.T) {
	t.Parallel()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Controllers: []string{
		"-certificatesigningrequest-approving-controller",
		"-token-cleaner-controller", // an expired token can be extended as long as nobody deletes it
	}})
	must(t, err)
	t.Cleanup(cp.Stop)
	lives := someTokenLives(sample.Random(t))
	if os.Getenv("SOAK") != "" {
		lives = allTokenLives()
	}
	const together = 12 // agents with the race detector
	for some := range slices.Chunk(lives, together) {
		walkTokenLives(t, cp, some)
	}
}

func walkTokenLives(t *testing.T, cp *controlplane.ControlPlane, lives []*tokenLife) {
	t.Helper()
	begin := time.Now()
	slices.SortStableFunc(lives, func(a, b *tokenLife) int { // nobody tells an agent that its token is good again, and its pauses grow
		return cmp.Compare(a.patience(), b.patience())
	})
	common := proxyOfClusterInfo(t, cp)
	for _, l := range lives {
		l.prepare(t, cp, common)
	}
	for _, step := range []struct {
		name string
		do   func(*tokenLife)
	}{
		{"begins", (*tokenLife).begin},
		{"token ends", (*tokenLife).finish},
		{"token is refused", (*tokenLife).awaitRefused},
		{"asks again", (*tokenLife).disturb},
		{"says so and goes on", (*tokenLife).goOn},
		{"joins", (*tokenLife).assertJoinedWithOneRequest},
	} {
		t.Run(step.name, func(t *testing.T) {
			lives = slices.DeleteFunc(lives, func(l *tokenLife) bool {
				return !t.Run(l.String(), func(t *testing.T) { l.in(t); step.do(l) })
			})
		})
		for _, l := range lives {
			l.in(t) // the clean-up is the whole test's
		}
	}
	assertEveryPostIsKnown(t, cp, begin, lives)
	for _, l := range lives {
		l.d.kill()
	}
}

// patience orders the nodes: first those that find out by themselves that they can go on.
func (l *tokenLife) patience() int {
	if l.losesToken() && l.mend.renew == nil {
		return 0
	}
	return 1
}

// in has failures be those of t.
func (l *tokenLife) in(t *testing.T) {
	l.t = t
	for _, d := range l.daemons {
		d.t = t
	}
}

func (l *tokenLife) prepare(t *testing.T, cp *controlplane.ControlPlane, common *faultproxy.Proxy) {
	l.node, l.whole = newNode(t, cp), t
	l.flags = append(l.flags, "--serving=off")
	l.flags = append(l.flags, measured...)
	l.proxy = common
	if !l.discovers {
		l.proxy = l.behind(t)
	}
	l.token = l.makeToken()
	switch {
	case l.discovers:
		l.write(l.path("token"), []byte(l.token), 0o600)
		l.flags = append(l.flags, "--discovery-token-file="+l.path("token"), "--api-server="+cp.Server()[len("https://"):],
			"--discovery-ca-cert-hash="+pinOf(t, cp))
	case l.mend.discovery:
		content, err := l.cp.Kubeconfig(l.proxy.URL(), clientcmdapi.AuthInfo{})
		must(l.t, err)
		l.write(l.path("cluster.kubeconfig"), content, 0o644)
		l.write(l.path("token"), []byte(l.token), 0o600)
		l.flags = append(l.flags, "--discovery-token-file="+l.path("token"), "--discovery-file="+l.path("cluster.kubeconfig"))
	case l.mend.user != nil:
		l.bootstrapVia(l.proxy.URL(), l.mend.user(l, l.token))
	default:
		l.bootstrapVia(l.proxy.URL(), clientcmdapi.AuthInfo{Token: l.token})
	}
	for _, name := range l.mend.kept {
		l.keeps(l.path(name))
	}
}

func (l *tokenLife) makeToken() string {
	l.t.Helper()
	token, err := l.cp.CreateBootstrapToken(l.t.Context(), controlplane.TokenOptions{})
	must(l.t, err)
	_, secret, _ := strings.Cut(token, ".")
	l.secret([]byte(secret))
	l.told = append(l.told, token)
	return token
}

// startAgent starts one that lives until the whole test ends.
func (l *tokenLife) startAgent() {
	l.t.Helper()
	step := l.t
	l.t = l.whole
	l.d = l.start()
	l.daemons = append(l.daemons, l.d)
	l.in(step)
}
