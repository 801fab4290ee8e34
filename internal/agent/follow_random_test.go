package agent

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// story is a node of which anything may happen, and what the two files were at the last look.
type story struct {
	*follower
	random *rand.Rand
	// steps are what has happened, for whoever reads of a failure.
	steps []string
	// allowed are the CAs that may stand in the files: those that did from the start, and those for which somebody stands.
	allowed []string
	was     []byte
}

// TestWhateverHappensOnlyWhatIsVouchedForIsTrusted draws what a cluster, whoever is in front of it, a person and a bad day do, in any order.
func TestWhateverHappensOnlyWhatIsVouchedForIsTrusted(t *testing.T) {
	t.Parallel()
	random, stories := sample.Random(t), 3
	if soak() {
		stories = 400
	}
	for range stories {
		for name, follow := range map[string]func(*story){"cluster-info, pinned": (*story).pinned, "cluster-info, cross-signed": (*story).crossed, "a file": (*story).file} {
			s := &story{random: random}
			server := newCAServer(t, "old")
			server.publishes = "old"
			s.follower = newFollower(t, server, func(f *follower) {
				s.follower = f
				follow(s)
			})
			s.was = bundleOf("old")
			for range 25 {
				s.step()
				s.judge()
			}
			s.calms()
			if t.Failed() {
				t.Fatalf("%s: %s", name, strings.Join(s.steps, "; "))
			}
			s.end()
			server.Close()
		}
	}
}

func (s *story) pinned() {
	byClusterInfo("new", "expired")(s.follower)
	s.allowed = []string{"old", "new", "cross"} // whose key is pinned, of which the cluster itself may have no better certificate than the forged one
}

func (s *story) crossed() {
	byClusterInfo()(s.follower)
	s.allowed = []string{"old", "cross", "new"} // the root has the key of the cross-signed one
}

func (s *story) file() {
	byFile(s.follower)
	s.allowed = []string{"old"}
}

// step is one thing that happens, and a look.
func (s *story) step() {
	all := []string{"old", "new", "cross", "rogue", "forged old", "forged new", "expired", "other", "short"}
	some := func() string {
		picked := slices.Clone(all)
		s.random.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
		return strings.Join(picked[:1+s.random.IntN(5)], ", ")
	}
	one := func(of ...string) string { return of[s.random.IntN(len(of))] }
	switch what := s.random.IntN(9); what {
	case 0, 1:
		publishes, shows := some(), one("old", "old", "new", "cross")
		s.happens(fmt.Sprintf("the cluster has %q and publishes %q", shows, publishes))
		if len(s.cfg.DiscoveryCACertHashes) > 0 {
			s.allowed = append(s.allowed, "forged new")
		}
		s.server.set(func(c *caServer) { c.shows, c.publishes, c.then = shows, publishes, "" })
	case 2:
		s.allowed = slices.DeleteFunc(s.allowed, func(name string) bool { // which only the cluster itself can bring
			return name == "forged new" && s.cfg.CAFromClusterInfo && !strings.Contains(namesIn(s.was), name)
		})
		publishes, shows := some(), one("rogue", "other")
		s.happens(fmt.Sprintf("somebody else answers with a certificate of %q and publishes %q", shows, publishes))
		s.server.set(func(c *caServer) { c.shows, c.publishes, c.then = shows, publishes, "" })
	case 3:
		s.happens("an outage")
		s.server.set(func(c *caServer) { c.down = true })
	case 4:
		code := []int{401, 403, 404, 500, 503}[s.random.IntN(5)]
		s.happens(fmt.Sprintf("every answer is %d", code))
		s.server.set(func(c *caServer) { c.answers = code })
	case 5:
		s.happens("all is well again")
		s.server.set(func(c *caServer) { c.down, c.answers = false, 0 })
	case 6:
		s.happens("the agent is started again")
		s.start()
	case 7:
		if s.cfg.CAFile != "" {
			s.writesSomething(some())
		}
	case 8:
		s.happens("a file is damaged")
		must(s.t, holds(bundleOf("old")[:100])([]string{s.dir.ServerCA(), s.dir.ClientCA()}[s.random.IntN(2)]))
		s.look(settlesIn)
		s.look(settlesIn)
		s.look(6 * time.Minute) // several times the same: it is given longer each time
	}
	s.look(time.Duration(s.random.IntN(13)) * time.Minute)
}

func (s *story) happens(what string) { s.steps = append(s.steps, what) }

// writesSomething changes the file that a person keeps: from now on what stands in it may be trusted, if the API server proves it.
func (s *story) writesSomething(names string) {
	s.happens(fmt.Sprintf("the file is %q", names))
	content := bundleOf(names)
	if s.random.IntN(4) == 0 {
		content = content[:s.random.IntN(len(content))]
	}
	must(s.t, holds(content)(s.cfg.CAFile))
	for _, c := range discovery.InUse(content) {
		if name := namesIn(discovery.EncodeBundle([]*x509.Certificate{c})); !slices.Contains(s.allowed, name) {
			s.allowed = append(s.allowed, name)
		}
	}
	s.look(settlesIn)
}

// judge compares the files with those of the last look.
func (s *story) judge() {
	s.t.Helper()
	content, err := os.ReadFile(s.dir.ServerCA())
	must(s.t, err)
	clients, err := os.ReadFile(s.dir.ClientCA())
	must(s.t, err)
	now, before := namesIn(content), namesIn(s.was)
	if now == "" || !bytes.Equal(content, discovery.EncodeBundle(discovery.InUse(content))) || !bytes.Equal(content, clients) {
		s.t.Errorf("the files hold %q and %q", now, namesIn(clients))
	}
	for name := range strings.SplitSeq(now, ", ") {
		if !slices.Contains(s.allowed, name) {
			s.t.Errorf("%q is trusted", name)
		}
	}
	for name := range strings.SplitSeq(before, ", ") {
		if s.cfg.CAFromClusterInfo && !strings.Contains(", "+now+", ", ", "+name+", ") {
			s.t.Errorf("%q is not trusted any more", name)
		}
	}
	if s.cfg.CAFile != "" && now != before {
		s.judgeProof(content)
	}
	s.was = content
}

// judgeProof shows that what a file has brought leads to the API server.
func (s *story) judgeProof(content []byte) {
	s.t.Helper()
	shows := followCAs()[s.server.shows]
	if !signedBy(serverPairs()[s.server.shows].Certificate[0], content) || s.server.down || s.server.answers != 0 {
		s.t.Errorf("%q was taken from the file, and the API server has its certificate from %q", namesIn(content), shows.cert.Subject)
	}
}

// calms shows that after all of it the node finds its way.
func (s *story) calms() {
	s.t.Helper()
	s.happens("and then all is well")
	s.server.set(func(c *caServer) {
		c.down, c.answers, c.shows, c.publishes, c.then = false, 0, "new", "old, cross, new", ""
	})
	if s.cfg.CAFile != "" {
		s.writes(bundleOf("old, new"))
	}
	s.look(10 * time.Minute)
	s.look(15 * time.Minute)
	if err := s.own(); err != nil {
		s.t.Errorf("the node cannot speak to the API server: %v:\n%s", err, s.log.String())
	}
	if server, clients := s.trusts(); server != clients {
		s.t.Errorf("%q and %q", server, clients)
	}
}
