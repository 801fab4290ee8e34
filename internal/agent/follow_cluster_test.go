package agent

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

const clusterInfoPath = "/api/v1/namespaces/kube-public/configmaps/cluster-info"

// byClusterInfo is a node that follows cluster-info, with these CAs pinned.
func byClusterInfo(pinned ...string) func(*follower) {
	return func(f *follower) {
		f.cfg.CAFromClusterInfo = true
		for _, name := range pinned {
			f.cfg.DiscoveryCACertHashes = append(f.cfg.DiscoveryCACertHashes, pinOf(name))
		}
	}
}

func TestWithoutBeingToldToTheCAIsNotFollowed(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	server.publishes = "old, cross"
	f := newFollower(t, server, func(*follower) {})
	f.look(time.Hour)
	f.expect("old")
	if len(server.asked) > 0 {
		t.Errorf("asked: %v", server.asked)
	}
}

func TestANewCAThatIsPinnedOrSignedIsFollowedBeforeAndAfterTheAPIServerHasIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ pinned, publishes, becomes string }{
		"pinned":       {"new", "old, new", "old, new"},
		"cross-signed": {"", "old, cross", "old, cross"},
		"cross-signed, with its root, in the order in which a person wrote them": {"", "new, cross, old", "old, new, cross"},
	} {
		for _, late := range yesNo {
			server := newCAServer(t, "old")
			server.publishes = "old"
			f := newFollower(t, server, byClusterInfo(strings.Fields(c.pinned)...))
			f.look(20 * time.Minute)
			f.expect("old")
			server.set(func(s *caServer) {
				if s.publishes = c.publishes; late {
					s.shows = "new"
				}
			})
			f.look(20 * time.Minute)
			f.expect(c.becomes)
			if err := f.own(); err != nil {
				t.Errorf("%s, late %t: the agent's own connections: %v", name, late, err)
			}
			server.set(func(s *caServer) { s.shows = "new" })
			if err := f.own(); err != nil {
				t.Errorf("%s, late %t: with the new certificate: %v", name, late, err)
			}
		}
	}
}

func TestACAThatNobodySignedIsNotTrustedAndTheWayToTrustItIsSaid(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	server.publishes = "old, rogue"
	f := newFollower(t, server, byClusterInfo())
	for range 5 {
		f.look(20 * time.Minute)
	}
	f.expect("old")
	for _, text := range []string{"CN=rogue", pinOf("rogue") + " to discoveryCACertHashes in /etc/bootstrap-agent/config.yaml", "systemctl restart bootstrap-agent"} {
		f.expectSaid(text)
	}
	if said := strings.Count(f.log.String(), "a CA is not trusted"); said != 1 || f.heard.of["ca untrusted"] < 5 { // counted as long as it stands, for the alert
		t.Errorf("it is said %d times, and counted: %v:\n%s", said, f.heard.of, f.log.String())
	}

	server.set(func(s *caServer) { s.shows = "rogue" }) // and now the API server has it
	for range 5 {
		f.look(20 * time.Minute)
	}
	f.expect("old")
	f.expectSaid("the API server has a certificate of a CA that is not trusted")
	f.expectSaid("add " + pinOf("rogue") + " to discoveryCACertHashes")

	f.cfg.DiscoveryCACertHashes = []string{pinOf("rogue")} // as was said
	f.start()
	f.expect("old, rogue")
	if line := f.agent.followingLine().text; line != "" {
		t.Errorf("STATUS= still says %q", line)
	}
}

// It stands between the node and the API server, and knows everything but the keys of the CAs.
func TestWhoeverAnswersInTheAPIServersPlaceHasNothingAdded(t *testing.T) {
	t.Parallel()
	for name, publishes := range map[string]string{
		"a CA of its own":                        "rogue",
		"its own beside the genuine ones":        "old, new, rogue",
		"certificates of the genuine keys":       "forged old, forged new",
		"the genuine new CA, which is not there": "old, new",
		"the genuine new CA and a forged one":    "old, cross, new, forged new, forged old",
	} {
		server := newCAServer(t, "rogue")
		server.publishes = publishes
		f := newFollower(t, server, byClusterInfo("new"))
		for range 3 {
			f.look(20 * time.Minute)
		}
		f.expect("old")
		if server.asked["/apis/authentication.k8s.io/v1/selfsubjectreviews"] > 0 {
			t.Errorf("%s: the agent goes on to use the connection", name)
		}
	}
}

// It answers the read that is not verified, and lets the one that is through to the API server.
func TestAnAnswerThatDiffersFromTheVerifiedOneAddsNothing(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "new")
	server.publishes, server.then = "old, new, forged old", "old, new"
	f := newFollower(t, server, byClusterInfo("new"))
	f.expect("old")
	f.expectSaid("not what the API server says, verified")
	f.look(20 * time.Minute) // without anybody in between
	f.expect("old, new")
}

func TestOnlyWhatHasExpiredByBothClocksIsTakenAway(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	server.publishes = "old"
	f := newFollower(t, server, func(f *follower) {
		byClusterInfo()(f)
		must(t, f.dir.WriteCA(f.dir.ServerCA(), bundleOf("short, old, other")))
		must(t, f.dir.WriteCA(f.dir.ClientCA(), bundleOf("short, old, other")))
	})
	f.look(30 * time.Minute)
	f.expect("short, old, other") // though the cluster names only one of them
	server.set(func(s *caServer) { s.now = func() time.Time { return began } })
	f.look(time.Hour)
	f.expect("short, old, other") // it is our clock that says so
	server.set(func(s *caServer) { s.now = f.clock.Now })
	f.look(20 * time.Minute)
	f.expect("old, other")
}

func TestAnOutageOnlyDelaysAndIsCounted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*caServer)
		reason string
	}{
		"no connection":            {func(s *caServer) { s.down = true }, "ca unreachable"},
		"500":                      {func(s *caServer) { s.answers = http.StatusInternalServerError }, "ca server-error"},
		"there is no cluster-info": {func(s *caServer) { s.publishes = "" }, "ca not-published"},
		"403":                      {func(s *caServer) { s.answers = http.StatusForbidden }, "ca forbidden"},
	} {
		server := newCAServer(t, "old")
		server.publishes = "old, cross"
		c.change(server)
		f := newFollower(t, server, byClusterInfo())
		for range 3 {
			f.look(6 * time.Minute)
		}
		f.expect("old")
		if f.heard.of[c.reason] < 2 || strings.Count(f.log.String(), "is not followed") != 1 {
			t.Errorf("%s: counted %v, said:\n%s", name, f.heard.of, f.log.String())
		}
		server.set(func(s *caServer) { s.down, s.answers, s.publishes = false, 0, "old, cross" })
		f.look(6 * time.Minute)
		f.expect("old, cross")
	}
}

// A node that makes no request of its own for days sees it ten minutes late; one that makes some need not.
func TestClusterInfoIsReadSoonAfterTheNodesOwnConnectionsAreRefusedForTheCA(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	server.publishes = "old"
	f := newFollower(t, server, byClusterInfo())
	if next := f.agent.following.retryAt.Sub(f.clock.Now()); next < 8*time.Minute || next > 12*time.Minute || server.asked[clusterInfoPath] != 1 {
		t.Errorf("read %d times, and again in %s", server.asked[clusterInfoPath], next)
	}
	server.set(func(s *caServer) { s.publishes, s.shows = "old, cross", "new" })
	f.agent.client.asNode = true
	f.agent.failed(&f.agent.client, f.own())
	f.look(clusterInfoSoon)
	f.expect("old, cross")
	f.agent.failed(&f.agent.client, errors.New("no route to host"))
	f.look(clusterInfoSoon)
	if next := f.agent.following.retryAt.Sub(f.clock.Now()); next < 6*time.Minute {
		t.Errorf("what has nothing to do with the CA has it read in %s", next)
	}
}

func TestWhatIsTrustedIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	server.publishes = "old, cross"
	writes := 0
	f := newFollower(t, server, func(f *follower) {
		byClusterInfo()(f)
		f.before = func(op durable.Op) error {
			if op.Call == "rename" {
				writes++
			}
			return nil
		}
	})
	for i := range 10 {
		server.set(func(s *caServer) { s.publishes = []string{"cross, old", "old", "rogue, cross", "expired, old"}[i%4] })
		f.look(15 * time.Minute)
	}
	f.expect("old, cross")
	if writes != 2 {
		t.Errorf("%d files were written, expected 2", writes)
	}
}

// Its kubeconfig was written by somebody else.
func TestAKubeconfigThatNamesAnotherCAFileIsNotFollowedAndThatIsSaid(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	server.publishes = "old, cross"
	f := newFollower(t, server, func(f *follower) {
		byClusterInfo()(f)
		other := filepath.Join(f.top, "ca.crt")
		f.write(t, other, bundleOf("old"))
		content, err := os.ReadFile(f.cfg.Kubeconfig)
		must(t, err)
		f.write(t, f.cfg.Kubeconfig, []byte(strings.ReplaceAll(string(content), f.dir.ServerCA(), other)))
	})
	f.look(time.Minute)
	f.expect("old")
	f.expectSaid("does not name the CA file that the agent keeps")
}
