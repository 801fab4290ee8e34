package agent

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/powercut"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

func TestWhatIsHealedAfterTheCAWasFollowedIsTheNewOne(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	f := newFollower(t, server, byFile)
	f.writes(bundleOf("old, new"))
	must(t, holds([]byte("damaged"))(f.dir.ServerCA()))
	must(t, os.Remove(f.dir.ClientCA()))
	f.look(0)
	f.look(settlesIn)
	f.look(resetTakes)
	f.expect("old, new")
}

// Who damages or removes a file may be in the middle of something; and what was asked before is not stored over it.
func TestNothingIsFollowedWhileAFileIsHurt(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]func(*follower) string{
		"the kubeconfig":      func(f *follower) string { return f.cfg.Kubeconfig },
		"the API server's CA": func(f *follower) string { return f.dir.ServerCA() },
		"the callers' CA":     func(f *follower) string { return f.dir.ClientCA() },
	} {
		server := newCAServer(t, "old")
		server.publishes = "old"
		f := newFollower(t, server, byClusterInfo())
		asked := f.agent.observe().Kubelet.Endpoint
		server.set(func(s *caServer) { s.publishes = "old, cross" })
		must(t, holds([]byte("damaged"))(path(f)))
		f.clock.Step(20 * time.Minute)
		f.agent.heardCA(asked, discovery.Merge(discovery.InUse(bundleOf("old")), discovery.InUse(bundleOf("cross")), nil, began, began), nil)
		f.settle()
		if content, err := os.ReadFile(path(f)); err != nil || string(content) != "damaged" {
			t.Errorf("%s was written at once (%v)", name, err)
		}
		if server.asked[clusterInfoPath] != 1 {
			t.Errorf("%s: the cluster was asked", name)
		}
		f.look(settlesIn) // healed
		f.look(20 * time.Minute)
		f.expect("old, cross")
	}
}

func TestAfterAnOperatorsResetNothingIsFollowed(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	server.publishes = "old"
	f := newFollower(t, server, byClusterInfo())
	server.set(func(s *caServer) { s.publishes = "old, cross" })
	must(t, os.Remove(f.dir.Current(certdir.Client)))
	must(t, os.Remove(f.cfg.Kubeconfig))
	for range 4 {
		f.look(20 * time.Minute)
	}
	f.expect("old")
	if server.asked[clusterInfoPath] != 1 || f.exists(f.cfg.Kubeconfig) {
		t.Errorf("asked %v", server.asked)
	}
}

// One that is kept, or comes again with each boot, has the CA of the day on which it was made.
func TestABootstrapKubeconfigBringsAnotherCAOnlyWhereTheFollowedOneDoesNotLead(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	server.publishes = "old, cross"
	f := newFollower(t, server, byClusterInfo())
	f.expect("old, cross")
	f.write(t, f.cfg.BootstrapKubeconfig, bootstrapKubeconfig(server.URL, bundleOf("old")))
	f.look(time.Minute)
	f.expect("old, cross")
	if f.exists(f.cfg.BootstrapKubeconfig) {
		t.Error("the bootstrap kubeconfig is still there")
	}
	server.set(func(s *caServer) { s.shows, s.publishes = "other", "other" })
	f.write(t, f.cfg.BootstrapKubeconfig, bootstrapKubeconfig(server.URL, bundleOf("other")))
	f.look(time.Minute)
	if api, _ := f.trusts(); api != "other" {
		t.Errorf("the API server's CA is %q, and the bootstrap kubeconfig has brought another:\n%s", api, f.log.String())
	}
}

func TestAKubeletBefore136NeedsARestartForAFollowedCA(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	f := newFollower(t, server, func(f *follower) {
		byFile(f)
		for _, path := range []string{f.cfg.Kubeconfig, f.dir.ServerCA(), f.dir.ClientCA()} {
			must(t, os.Chtimes(path, began.Add(-time.Hour), began.Add(-time.Hour)))
		}
	})
	kubelet := node.Kubelet{Process: node.Process{PID: 7, Started: "7", Since: began.Add(-time.Minute)}, Kubeconfig: node.Told[string]{Value: f.cfg.Kubeconfig, Known: true}}
	f.agent.kubelets.found = []node.Kubelet{kubelet}
	needed := func() map[status.RestartReason]bool { return f.agent.standing(f.agent.observe()).Restart }
	if needed()[status.CAChanged] {
		t.Fatal("a restart is needed before anything has changed")
	}
	f.writes(bundleOf("old, new"))
	f.look(time.Minute)
	for _, path := range []string{f.dir.ServerCA(), f.dir.ClientCA()} { // written now, by the clock that the agent goes by
		must(t, os.Chtimes(path, f.clock.Now(), f.clock.Now()))
	}
	for version, needs := range map[string]bool{"v1.35.4": true, "v1.36.0": false} {
		f.agent.foundVersion(kubelet.Process, version, nil)
		if got := needed(); got[status.CAChanged] != needs || got[status.ServerChanged] {
			t.Errorf("kubelet %s: %v", version, got)
		}
	}
}

// What is asked for goes on while the CA changes: the same request, by its watch or by another look.
func TestARequestUnderWayOutlivesAChangeOfTheCA(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	f := newFollower(t, server, byFile)
	o := f.agent.observe()
	api, err := f.agent.nodeAPI(o.Client.Pair.PEM, o.Client.Pair.PEM, o.Kubelet.Endpoint)
	must(t, err)
	waiting := make(chan struct{})
	server.mu.Lock()
	server.hold = waiting
	server.mu.Unlock()
	answered := make(chan error, 1)
	go func() {
		_, err := api.WhoAmI(t.Context())
		answered <- err
	}()
	for server.holding() == 0 {
		time.Sleep(time.Millisecond)
	}
	server.mu.Lock()
	server.hold = nil
	server.mu.Unlock()
	f.writes(bundleOf("old, new"))
	must(t, f.own()) // over a connection that was made under the new CA
	close(waiting)
	must(t, <-answered)
	f.expect("old, new")
}

// At whatever point the program is killed or the power goes, both files hold the old CA or the new one, and the next start goes on.
func TestAPowerCutWhileTheCAIsFollowedLeavesTheOldOrTheNew(t *testing.T) {
	t.Parallel()
	random := sample.Random(t)
	server := newCAServer(t, "old")
	for _, step := range []struct{ from, to string }{{"old", "old, new"}, {"old, new", "new"}} {
		var log *powercut.Log
		server.set(func(s *caServer) { s.shows = map[string]string{"old, new": "old", "new": "new"}[step.to] })
		f := newFollower(t, server, func(f *follower) {
			byFile(f)
			for _, path := range []string{f.cfg.CAFile, f.dir.ServerCA(), f.dir.ClientCA()} {
				must(t, durable.Disk{}.WriteFile(path, bundleOf(step.from), 0o644))
			}
			f.before = func(op durable.Op) error {
				if log != nil {
					log.Record(op)
				}
				return nil
			}
		})
		must(t, durable.Disk{}.WriteFile(f.cfg.CAFile, bundleOf(step.to), 0o644))
		var err error
		log, err = powercut.NewLog(f.top)
		must(t, err)
		f.look(0)
		f.look(settlesIn)
		f.expect(step.to)
		done := log
		log = nil
		f.end()
		seen := map[string]bool{}
		for after := range done.Len() + 1 {
			for _, cut := range done.Cuts(after, 1000, random) {
				state := cut.Disk().Same()
				if seen[state] {
					continue
				}
				seen[state] = true
				must(t, cut.Disk().LayOut())
				for _, path := range []string{f.dir.ServerCA(), f.dir.ClientCA()} {
					content, err := os.ReadFile(path)
					if err != nil || !bytes.Equal(content, bundleOf(step.from)) && !bytes.Equal(content, bundleOf(step.to)) {
						t.Fatalf("%s: %s holds %q (%v)", cut, path, namesIn(content), err)
					}
				}
				f.end = nil
				f.start()
				f.look(settlesIn)
				f.expect(step.to)
				f.end()
				if t.Failed() {
					t.Fatalf("after %s", cut)
				}
			}
		}
		t.Logf("%q to %q: %d operations, %d different disks", step.from, step.to, done.Len(), len(seen))
	}
}

func TestADiskThatTakesNothingLeavesTheOldCAAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	full := false
	f := newFollower(t, server, func(f *follower) {
		byFile(f)
		f.before = func(op durable.Op) error {
			if full && strings.Contains(op.Path, ".crt") {
				return os.ErrPermission
			}
			return nil
		}
	})
	full = true
	f.writes(bundleOf("old, new"))
	f.look(2 * time.Minute)
	f.expect("old")
	f.expectSaid("cannot")
	full = false
	f.look(2 * time.Minute)
	f.expect("old, new")
	if line := f.agent.followingLine().text; line != "" {
		t.Errorf("STATUS= still says %q", line)
	}
}

func TestAnAnswerAboutAnotherClusterOrAnOlderCACountsForNothing(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	f := newFollower(t, server, byFile)
	now := f.agent.observe().Kubelet.Endpoint
	elsewhere, older := now, withCA(now, bundleOf("other"))
	elsewhere.Server = "https://192.0.2.7:6443"
	bundle := discovery.InUse(bundleOf("old, new"))
	node := apiserver.User{Name: nodeUser, Groups: []string{csr.NodesGroup}}
	for _, asked := range []apiserver.Endpoint{elsewhere, older} {
		f.agent.provedCA(asked, bundle, node, nil)
		f.agent.heardCA(asked, discovery.Merged{Bundle: bundle, Added: bundle[1:]}, nil)
		f.expect("old")
	}
	f.agent.provedCA(now, bundle, node, nil)
	f.expect("old, new")
}
