package agent

import (
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// situation is one combination of all that a decision about the client certificate is made from.
type situation struct {
	client, pending, state, credential, memory  string
	rotateNow, rotates, started, kubeconfig     bool
	replaces, mismatched, healing, healingOther bool
}

var (
	// clients: just is of a moment ago, when the last request was made; renamed is good, and the machine has another name.
	clients         = []string{"none", "damaged, older", "just", "good", "due", "expired", "renamed", "renamed, due"}
	pendingKinds    = []string{"own", "bootstrap", "new name", "elsewhere"}
	pendingStates   = []string{"fresh", "old", "issued", "proved", "denied", "denied long ago"}
	credentialKinds = []string{"none", "same", "other"}
	memories        = []string{"idle", "running", "waiting"}
)

// situations calls each for every combination that can be.
func situations(each func(situation)) {
	for _, client := range clients {
		for _, pending := range append([]string{"none"}, pendingKinds...) {
			for _, state := range pendingStates {
				if pending == "none" && state != pendingStates[0] {
					continue
				}
				for _, credential := range credentialKinds {
					for _, memory := range memories {
						for bits := range 1 << 8 {
							bit := func(n int) bool { return bits>>n&1 == 1 }
							s := situation{
								client: client, pending: pending, state: state, credential: credential, memory: memory,
								rotateNow: bit(0), rotates: bit(1), started: bit(2), kubeconfig: bit(3),
								replaces: bit(4), mismatched: bit(5), healing: bit(6), healingOther: bit(7),
							}
							if s.possible() {
								each(s)
							}
						}
					}
				}
			}
		}
	}
}

func (s situation) possible() bool {
	renamed := s.client == "renamed" || s.client == "renamed, due"
	switch {
	case s.replaces && s.credential == "none", s.mismatched && !renamed, s.healingOther && s.kubeconfig:
		return false
	case s.healing && s.client != "damaged, older" && s.client != "none" && s.client != "expired": // only what is of no use is healed
		return false
	case s.pending == "new name" && !renamed && s.client != "good" && s.client != "due": // a name that the machine had for a while
		return false
	}
	return true
}

const (
	here, there = "https://here.example.com:6443", "https://there.example.com:6443"
	otherName   = "worker-2"
)

var (
	hereCA  = theCA().pem
	thereCA = []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
	atHere  = apiserver.Endpoint{Server: here, CA: hereCA}
	atThere = apiserver.Endpoint{Server: there, CA: thereCA}
)

// simulated is a situation as the agent sees it, at a time that can go on.
type simulated struct {
	situation
	agent *Agent
	o     status.Observed
}

func simulate(s situation) *simulated {
	cfg := config.Default()
	cfg.HostnameOverride, cfg.NodeIP, cfg.RotateCertificates = "worker-1", "192.0.2.10", s.rotates
	w := &simulated{situation: s, agent: New(Options{Config: cfg, Clock: testingclock.NewFakeClock(noon), Log: slog.New(slog.DiscardHandler)})}
	w.o = member().o
	if s.client == "renamed" || s.client == "renamed, due" {
		w.o.Node = otherName
	}
	w.o.Client.RotateNow = s.rotateNow
	w.setClient()
	w.o.Kubelet = &kubeconfig.Kubelet{Endpoint: atHere}
	if !s.kubeconfig {
		w.o.Kubelet, w.o.KubeletErr = nil, errBad
	}
	w.setCredential()
	w.setPending()
	a := w.agent
	a.stages.started = s.started
	a.client.running, a.client.cancel = s.memory == "running", func() {}
	if s.memory == "waiting" {
		a.client.retryAt = noon.Add(time.Second)
	}
	a.client.healing, a.client.healingWay = s.healing, s.healingOther
	if s.mismatched {
		a.client.mismatchSince = noon.Add(-time.Hour)
	}
	return w
}

func (w *simulated) setClient() {
	c := &w.o.Client
	switch w.client {
	case "none":
		c.Pair, c.PairErr = nil, errNoPair
	case "damaged, older":
		c.Pair, c.PairErr, c.Older = nil, errBad, lasting(noon.Add(-time.Hour), 10*time.Hour)
	case "just":
		c.Pair = lasting(noon.Add(-time.Second), 10*time.Hour)
	case "good", "renamed":
		c.Pair = lasting(noon.Add(-time.Hour), 10*time.Hour)
	case "due", "renamed, due":
		c.Pair = lasting(noon.Add(-9*time.Hour-30*time.Minute), 10*time.Hour)
	case "expired":
		c.Pair = lasting(noon.Add(-11*time.Hour), 10*time.Hour)
	}
}

func lasting(from time.Time, life time.Duration) *certdir.Pair {
	p := pairFor(nodeUser, 0)
	p.ModTime, p.Leaf.NotBefore, p.Leaf.NotAfter = from, from.Add(-5*time.Minute), from.Add(life)
	return p
}

func (w *simulated) setCredential() {
	if w.credential == "none" {
		return
	}
	b := &kubeconfig.Bootstrap{Path: "/bootstrap.kubeconfig", Endpoint: atHere}
	if w.credential == "other" {
		b.Endpoint = atThere
	}
	w.o.Bootstrap, w.o.BootstrapErr = b, nil
	if w.replaces {
		w.agent.credential.replacesBy = b.Fingerprint()
	}
}

func (w *simulated) setPending() {
	if w.pending == "none" {
		return
	}
	wish := csr.Wish{Kind: csr.Client, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"}
	p := request(wish, func(p *csr.Pending) { p.Endpoint, p.Made = atHere, noon.Add(-time.Hour) })
	p.Settings = w.agent.clientAim(w.o).settings
	switch w.pending {
	case "own":
		p.AsNode = true
	case "new name":
		p.Wish.NodeName = otherName
	case "elsewhere":
		p.Endpoint = atThere
	}
	switch w.state {
	case "fresh":
		p.Made = noon.Add(-time.Second)
	case "issued":
		issued(p)
	case "proved":
		issued(p)
		w.agent.client.provedLeaf = leafBytes(certificate)
	case "denied":
		p.Ended = &csr.Ended{Outcome: csr.Denied, At: noon.Add(-time.Minute)}
	case "denied long ago":
		p.Ended = &csr.Ended{Outcome: csr.Denied, At: noon.Add(-24 * time.Hour)}
	}
	w.o.Client.Pending = p
}

// decide is what the agent would do, and whether with a bootstrap credential.
func (w *simulated) decide() (s step, aim aim, bootstrapping bool) {
	aim = w.agent.clientAim(w.o)
	return decideClient(w.o, w.agent.client, aim), aim, isBootstrapping(w.o, w.agent.client, aim)
}

// alive says whether the request under way may still bring a certificate for the node that is wanted.
func alive(p *csr.Pending, wish *csr.Wish) bool {
	return p != nil && p.Ended == nil && wish != nil && p.Wish.Covers(*wish)
}

// wrong is what must not be decided about the client certificate, whatever the situation.
func (w *simulated) wrong() string {
	s, aim, bootstrapping := w.decide()
	c, p, now := w.o.Client, w.o.Client.Pending, w.o.Now
	usable, asks := c.Usable(now), s == makePending || s == giveUp || s == ask
	moved := w.mismatched || aim.replaces
	switch {
	case w.healing != (s == waitHeal):
		return "a file that is to be healed is waited for, and nothing else"
	case (s == makePending || s == giveUp) && aim.wish == nil, s == makePending && p != nil && (p.Ended == nil || now.Before(nextKey(p))):
		return "a second request beside the one under way"
	case s == giveUp && (alive(p, aim.wish) || len(p.CertificatePEM) > 0 && p.Ended == nil):
		return "a request is given up that is wanted"
	case s == makePending && (c.Pair != nil && now.Sub(c.Pair.ModTime) < rotate.Spacing || p != nil && now.Sub(p.Made) < rotate.Spacing), s == giveUp && now.Sub(p.Made) < rotate.Spacing:
		return "two requests within a moment"
	case asks && bootstrapping && (w.o.Bootstrap == nil || usable && !moved):
		return "a bootstrap credential for a node that has an identity, or none is there"
	case asks && !bootstrapping && (!usable || w.o.Kubelet == nil || !w.rotates):
		return "a request with the node's identity that cannot be, or is the kubelet's to make"
	case s == makePending && !bootstrapping && !w.rotateNow && now.Before(w.o.RotateAt(c.Pair)) && (p == nil || !p.AsNode):
		return "a rotation before its time"
	case s == forget && usable && alive(p, aim.wish) && p.AsNode && w.rotates && !bootstrapping:
		return "the rotation under way is thrown away"
	case (s == commit || s == prove) && usable && aim.started && pendingElsewhere(w.o):
		return "another cluster while the kubelet runs"
	case s == commit && !w.agent.client.proved(p):
		return "a certificate comes into use that was not proved"
	case s == forget && p == nil, (s == ask || s == prove || s == commit) && p == nil, s == useOlder && c.Older == nil:
		return "what is not there is dealt with"
	}
	return ""
}

// Every situation that there can be, not a choice of them: what must never be decided is not.
func TestNoSituationMakesTheClientCertificateAskTwiceOrLoseWhatItHas(t *testing.T) {
	t.Parallel()
	counts, steps, shown, drawn := 0, map[step]int{}, map[string]int{}, someOf(t, 160)
	situations(func(s situation) {
		if !drawn() {
			return
		}
		w := simulate(s)
		decided, _, _ := w.decide()
		counts++
		steps[decided]++
		if wrong := w.wrong(); wrong != "" {
			if shown[wrong]++; shown[wrong] <= 3 {
				t.Errorf("%s: %q in %+v", wrong, decided, s)
			}
		}
	})
	t.Logf("%d situations; decided: %v; violations: %v", counts, steps, shown)
	for _, s := range []step{rest, underWay, waitCredential, waitRetry, waitEnded, waitHeal, waitSpacing, waitBoot, useOlder, makePending, forget, ask, prove, commit} {
		if steps[s] == 0 && os.Getenv("SOAK") != "" {
			t.Errorf("nothing leads to %q", s)
		}
	}
}

// succeed lets what was decided come to a good end, or time pass until there is something to do.
func (w *simulated) succeed(s step, bootstrapping bool) {
	m, c := &w.agent.client, &w.o.Client
	p := c.Pending
	if p != nil {
		q := *p
		p, c.Pending = &q, &q
	}
	switch s {
	case underWay:
		m.running = false
	case waitRetry, waitSpacing:
		w.o.Now = w.o.Now.Add(rotate.Spacing)
	case waitEnded:
		w.o.Now = nextKey(p)
	case waitHeal:
		m.healing, w.healing = false, false
		if w.client != "expired" {
			c.Pair, c.PairErr = lasting(noon.Add(-time.Hour), 10*time.Hour), nil
		}
	case makePending, giveUp:
		w.made(bootstrapping)
	case forget:
		c.Pending = nil
	case useOlder:
		c.Pair, c.PairErr, c.Older = c.Older, nil, nil
	case ask:
		if bootstrapping {
			p.AsNode, p.Endpoint = false, w.o.Bootstrap.Endpoint
		}
		issued(p)
	case prove:
		m.provedLeaf = leafBytes(p.CertificatePEM)
	case commit:
		w.committed(p)
	}
}

func (w *simulated) made(bootstrapping bool) {
	aim := w.agent.clientAim(w.o)
	p := request(*aim.wish, func(p *csr.Pending) { p.Endpoint, p.Made, p.AsNode = atHere, w.o.Now, !bootstrapping })
	if bootstrapping {
		p.Endpoint = w.o.Bootstrap.Endpoint
	}
	p.Settings = aim.settings
	w.o.Client.Pending, w.agent.client.provedLeaf = p, nil
	w.o.Client.RotateNow = false // see settleRotateNow
}

// committed is the end of a commit: its pair is in use, under a key that no other request has, and the credential has done its work.
func (w *simulated) committed(p *csr.Pending) {
	pair := lasting(w.o.Now, 10*time.Hour)
	pair.Leaf.Subject.CommonName = p.Wish.CommonName()
	w.o.Client.Pair, w.o.Client.PairErr, w.o.Client.Pending = pair, nil, nil
	w.agent.client.provedLeaf, w.agent.client.mismatchSince, w.mismatched = nil, time.Time{}, false
	if !p.AsNode || w.o.Kubelet == nil {
		w.o.Kubelet, w.o.KubeletErr = &kubeconfig.Kubelet{Endpoint: p.Endpoint}, nil
		w.agent.credential.replacesBy = ""
	}
}

// someOf draws one in so many; with SOAK every one.
func someOf(t *testing.T, every int) func() bool {
	t.Helper()
	random := sample.Random(t)
	return func() bool { return os.Getenv("SOAK") != "" || random.IntN(every) == 0 }
}

// mostSteps is more than any way to rest takes.
const mostSteps = 24

// From wherever it begins, the agent comes to rest when everything that it tries succeeds: with an identity that is not due, or where
// only a person can do more.
func TestEverySituationLeadsToAnIdentityThatIsNotDueOrToAPerson(t *testing.T) {
	t.Parallel()
	counts, longest, ends, shown := 0, 0, map[step]int{}, 0
	drawn := someOf(t, 400)
	situations(func(s situation) {
		if !drawn() {
			return
		}
		w, way := simulate(s), []step(nil)
		for len(way) < mostSteps {
			decided, _, bootstrapping := w.decide()
			if way = append(way, decided); slices.Contains([]step{rest, waitCredential, waitBoot}, decided) && !w.busy() {
				break
			}
			if wrong := w.wrong(); wrong != "" && shown < 5 {
				shown++
				t.Errorf("%s, at the end of %v from %+v", wrong, way, s)
			}
			w.pass(decided)
			w.succeed(decided, bootstrapping)
		}
		counts++
		longest = max(longest, len(way))
		end := way[len(way)-1]
		ends[end]++
		if wrong := w.unfinished(end); wrong != "" && shown < 5 {
			shown++
			t.Errorf("%s: %v from %+v", wrong, way, s)
		}
	})
	t.Logf("%d situations followed to their end, in %d steps at most: %v", counts, longest, ends)
}

// busy says whether time alone changes something.
func (w *simulated) busy() bool {
	m := w.agent.client
	return m.running || w.o.Now.Before(m.retryAt) || m.healingWay
}

// pass lets what is under way, and only disturbs, end.
func (w *simulated) pass(decided step) {
	if m := &w.agent.client; decided == rest || decided == waitBoot || decided == waitCredential {
		m.running = false
		if w.o.Now.Before(m.retryAt) {
			w.o.Now = m.retryAt
		}
		if m.healingWay {
			m.healingWay = false
			w.o.Kubelet, w.o.KubeletErr = &kubeconfig.Kubelet{Endpoint: atHere}, nil
		}
	}
}

func (w *simulated) unfinished(end step) string {
	c := w.o.Client
	usable := c.Usable(w.o.Now)
	switch end {
	case rest:
		switch {
		case !usable:
			return "at rest without an identity"
		case w.rotates && w.o.Kubelet != nil && due(w.o, c):
			return "at rest with an identity that is due"
		case c.Pending != nil && w.o.Kubelet != nil && !w.o.ForOtherNode():
			return "at rest beside a request"
		}
	case waitCredential:
		if usable || w.o.Bootstrap != nil {
			return "waits for a credential, and has what it needs"
		}
	case waitBoot:
		if !usable || w.rotates && w.o.Kubelet != nil && due(w.o, c) || !w.started && w.agent.replaces(w.o) {
			return "waits for the next boot, and should not"
		}
	default:
		return "never comes to rest"
	}
	return ""
}
