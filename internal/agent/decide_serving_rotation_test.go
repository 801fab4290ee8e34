package agent

import (
	"log/slog"
	"os"
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
)

// servingSituation is one combination of all that a decision about the serving certificate is made from.
type servingSituation struct {
	pair, pending, lacks, memory                                           string
	adopted, linked, rotateNow, rotates, identity, joining, known, healing bool
}

var (
	// servingStates: renamed is for another node than the identity.
	servingStates  = []string{"none", "placeholder", "old placeholder", "just", "good", "due", "expired", "renamed"}
	servingAsked   = []string{"none", "fresh", "old", "of another node", "issued", "denied", "denied long ago"}
	servingLacking = []string{"nothing", "since a moment", "for long", "for long, and asked"}
)

func servingSituations(each func(servingSituation)) {
	for _, pair := range servingStates {
		for _, pending := range servingAsked {
			for _, lacks := range servingLacking {
				for _, memory := range memories {
					for bits := range 1 << 8 {
						bit := func(n int) bool { return bits>>n&1 == 1 }
						s := servingSituation{
							pair: pair, pending: pending, lacks: lacks, memory: memory,
							adopted: bit(0), linked: bit(1), rotateNow: bit(2), rotates: bit(3), identity: bit(4), joining: bit(5), known: bit(6), healing: bit(7),
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

func (s servingSituation) possible() bool {
	unusable := s.pair == "none" || s.pair == "expired"
	switch {
	case s.healing && !unusable, s.lacks != "nothing" && (unusable || !s.known), s.linked && (s.pair == "none" || s.adopted):
		return false
	case s.joining && s.identity:
		return false
	}
	return true
}

// simulatedServing is a situation as the agent sees it, at a time that can go on.
type simulatedServing struct {
	servingSituation
	agent *Agent
	o     status.Observed
}

func simulateServing(s servingSituation) *simulatedServing {
	cfg := config.Default()
	cfg.HostnameOverride, cfg.RotateServerCertificates = "worker-1", s.rotates
	w := &simulatedServing{servingSituation: s, agent: New(Options{Config: cfg, Clock: testingclock.NewFakeClock(noon), Log: slog.New(slog.DiscardHandler)})}
	w.o = member().o
	if !s.identity {
		w.o.Client.Pair, w.o.Client.PairErr = nil, errNoPair
	}
	w.o.Kubelet = &kubeconfig.Kubelet{Endpoint: atHere}
	c, m := &w.o.Serving, &w.agent.serving
	c.Linked, c.RotateNow = s.linked, s.rotateNow
	w.setPair()
	if s.adopted {
		c.Adopted = pairFor("worker-1@1772366400", time.Hour)
	}
	w.setPending()
	m.running, m.cancel, m.healing = s.memory == "running", func() {}, s.healing
	if s.memory == "waiting" {
		m.retryAt = noon.Add(time.Second)
	}
	switch s.lacks {
	case "since a moment":
		m.lacksSince = noon
	case "for long", "for long, and asked":
		m.lacksSince = noon.Add(-time.Hour)
	}
	if s.lacks == "for long, and asked" {
		m.namesAsked = noon.Add(-time.Minute)
	}
	return w
}

func (w *simulatedServing) setPair() {
	c := &w.o.Serving
	switch w.pair {
	case "none":
		c.Pair, c.PairErr = nil, errNoPair
	case "placeholder":
		c.Pair = w.placeholder(noon.Add(-time.Hour))
	case "old placeholder":
		c.Pair = w.placeholder(noon.Add(-9*time.Hour - 30*time.Minute))
	case "just":
		c.Pair = lasting(noon.Add(-time.Second), 10*time.Hour)
	case "good", "renamed":
		c.Pair = lasting(noon.Add(-time.Hour), 10*time.Hour)
	case "due":
		c.Pair = lasting(noon.Add(-9*time.Hour-30*time.Minute), 10*time.Hour)
	case "expired":
		c.Pair = lasting(noon.Add(-11*time.Hour), 10*time.Hour)
	}
	if w.pair == "renamed" {
		c.Pair.Leaf.Subject.CommonName = otherUser
	}
}

func (w *simulatedServing) placeholder(from time.Time) *certdir.Pair {
	p := lasting(from, 10*time.Hour)
	p.Leaf.Subject.CommonName = "worker-1@bootstrap-agent-placeholder"
	return p
}

func (w *simulatedServing) wish() csr.Wish {
	return csr.Wish{Kind: csr.Serving, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256", DNSNames: []string{"worker-1"}, IPAddresses: []string{"192.0.2.10"}}
}

func (w *simulatedServing) setPending() {
	if w.pending == "none" {
		return
	}
	p := request(w.wish(), func(p *csr.Pending) { p.Endpoint, p.Made, p.AsNode = apiserver.Endpoint{}, noon.Add(-time.Hour), true })
	p.Settings = w.aim().settings
	switch w.pending {
	case "fresh":
		p.Made = noon.Add(-time.Second)
	case "of another node":
		p.Wish.NodeName = otherName
	case "issued":
		issued(p)
	case "denied":
		p.Ended = &csr.Ended{Outcome: csr.Denied, At: noon.Add(-time.Minute)}
	case "denied long ago":
		p.Ended = &csr.Ended{Outcome: csr.Denied, At: noon.Add(-24 * time.Hour)}
	}
	w.o.Serving.Pending = p
}

func (w *simulatedServing) aim() aim {
	aim := w.agent.servingAim(w.o)
	aim.wish = nil
	if wish := w.wish(); w.known {
		aim.wish = &wish
	}
	aim.lacksNow = !w.agent.serving.lacksSince.IsZero()
	return aim
}

func (w *simulatedServing) decide() (step, aim) {
	aim := w.aim()
	return decideServing(w.o, w.agent.serving, w.joining, aim), aim
}

// wrong is what must not be decided about the serving certificate, whatever the situation.
func (w *simulatedServing) wrong() string {
	s, aim := w.decide()
	c, p, now := w.o.Serving, w.o.Serving.Pending, w.o.Now
	inUse := c.Usable(now) && c.Issued()
	otherNode := c.Pair != nil && c.Pair.Leaf.Subject.CommonName == otherUser
	wanted := !inUse || otherNode || w.rotates && (due(w.o, c) || aim.lacks || aim.lacksNow && p != nil)
	switch {
	case w.healing != (s == waitHeal):
		return "a file that is to be healed is waited for, and nothing else"
	case (s == makePending || s == giveUp || s == ask) && (!w.o.HasIdentity() || aim.wish == nil):
		return "a request that cannot be sent, or not be said"
	case s == makePending && p != nil && (p.Ended == nil || now.Before(nextKey(p))):
		return "a second request beside the one under way"
	case s == giveUp && alive(p, aim.wish), s == forget && alive(p, aim.wish) && (w.rotates || otherNode):
		return "the request under way is thrown away"
	case s == makePending && (inUse && now.Sub(c.Pair.ModTime) < rotate.Spacing || p != nil && now.Sub(p.Made) < rotate.Spacing), s == giveUp && now.Sub(p.Made) < rotate.Spacing:
		return "two requests within a moment"
	case s == makePending && !wanted && !due(w.o, c):
		return "a request that nothing wants"
	case (s == makePending || s == ask) && inUse && !w.rotates && !otherNode:
		return "a rotation that is the kubelet's to make"
	case s == placeholder && inUse:
		return "a placeholder in place of what was issued"
	case s == useOlder && c.Older == nil, (s == ask || s == commit || s == forget) && p == nil, s == link && !c.Usable(now):
		return "what is not there is dealt with"
	}
	return ""
}

func TestNoSituationMakesTheServingCertificateAskTwiceOrLoseWhatItHas(t *testing.T) {
	t.Parallel()
	counts, steps, shown, drawn := 0, map[step]int{}, map[string]int{}, someOf(t, 20)
	servingSituations(func(s servingSituation) {
		if !drawn() {
			return
		}
		w := simulateServing(s)
		decided, _ := w.decide()
		counts++
		steps[decided]++
		if wrong := w.wrong(); wrong != "" {
			if shown[wrong]++; shown[wrong] <= 3 {
				t.Errorf("%s: %q in %+v", wrong, decided, s)
			}
		}
	})
	t.Logf("%d situations; decided: %v; violations: %v", counts, steps, shown)
	for _, s := range []step{rest, underWay, waitClient, waitRetry, waitEnded, waitHeal, waitSpacing, waitAddress, placeholder, makePending, forget, ask, commit, link} {
		if steps[s] == 0 && os.Getenv("SOAK") != "" {
			t.Errorf("nothing leads to %q", s)
		}
	}
}

// succeed lets what was decided come to a good end, or time pass until there is something to do.
func (w *simulatedServing) succeed(s step) {
	m, c := &w.agent.serving, &w.o.Serving
	if c.Pending != nil {
		q := *c.Pending
		c.Pending = &q
	}
	switch s {
	case underWay:
		m.running = false
	case waitRetry, waitSpacing:
		w.o.Now = w.o.Now.Add(rotate.Spacing)
	case waitEnded:
		w.o.Now = nextKey(c.Pending)
	case waitHeal:
		m.healing, w.healing = false, false
		c.Pair, c.PairErr = lasting(w.o.Now.Add(-time.Hour), 10*time.Hour), nil
	case waitAddress:
		w.known = true
	case makePending, giveUp:
		if w.aim().lacks {
			m.namesAsked = w.o.Now
		}
		p := request(w.wish(), func(p *csr.Pending) { p.Made, p.AsNode = w.o.Now, true })
		p.Settings = w.aim().settings
		c.Pending, c.RotateNow = p, false
	case forget:
		c.Pending, c.RotateNow = nil, c.RotateNow && w.rotates
	case placeholder:
		c.Pair, c.PairErr, c.Linked, c.Adopted = w.placeholder(w.o.Now), nil, true, nil
		m.lacksSince = time.Time{}
	case link:
		c.Linked, c.Adopted = true, nil
	case ask:
		issued(c.Pending)
	case commit:
		c.Pair, c.PairErr, c.Pending, c.Linked, c.Adopted = lasting(w.o.Now, 10*time.Hour), nil, nil, true, nil
		m.lacksSince = time.Time{}
	}
}

func TestEverySituationLeadsToAServingCertificateThatIsNotDue(t *testing.T) {
	t.Parallel()
	counts, longest, ends, shown := 0, 0, map[step]int{}, 0
	drawn := someOf(t, 60)
	servingSituations(func(s servingSituation) {
		if !drawn() {
			return
		}
		w, way := simulateServing(s), []step(nil)
		for len(way) < mostSteps {
			decided, _ := w.decide()
			way = append(way, decided)
			if busy := w.agent.serving.running || w.o.Now.Before(w.agent.serving.retryAt); (decided == rest || decided == waitClient) && !busy {
				break
			}
			if wrong := w.wrong(); wrong != "" && shown < 5 {
				shown++
				t.Errorf("%s, at the end of %v from %+v", wrong, way, s)
			}
			if decided == rest || decided == waitClient {
				w.agent.serving.running = false
				w.o.Now = w.o.Now.Add(time.Second)
			}
			w.succeed(decided)
		}
		counts++
		longest = max(longest, len(way))
		end, c := way[len(way)-1], w.o.Serving
		ends[end]++
		well := end == waitClient && !w.o.HasIdentity() || end == rest && c.Issued() && (c.Linked || c.Adopted != nil) && (!w.rotates || !due(w.o, c) || !w.identity)
		if !well && shown < 5 {
			shown++
			t.Errorf("%v from %+v", way, s)
		}
	})
	t.Logf("%d situations followed to their end, in %d steps at most: %v", counts, longest, ends)
}
