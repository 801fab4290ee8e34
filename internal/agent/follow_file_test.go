package agent

import (
	"bytes"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// byFile is a node that follows a file, which says what is in use.
func byFile(f *follower) {
	f.cfg.CAFile = filepath.Join(f.top, "ca.crt")
	must(f.t, durable.Disk{}.WriteFile(f.cfg.CAFile, bundleOf("old"), 0o644))
}

func TestTheCAFileIsFollowedStepByStepAsTheClustersCAIsReplaced(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	f := newFollower(t, server, byFile)
	kubeconfig, err := os.ReadFile(f.cfg.Kubeconfig)
	must(t, err)
	for _, step := range []struct{ file, shows, becomes string }{
		{"old, new", "old", "old, new"},
		{"new", "old", "old, new"}, // too early: the API server still has its certificate from the old one
		{"old, new", "new", "old, new"},
		{"new", "new", "new"},
		{"# and a comment", "new", "new"},
		{"new, old", "new", "new, old"}, // what it says, also what was taken out before
	} {
		server.set(func(s *caServer) { s.shows = step.shows })
		if strings.HasPrefix(step.file, "#") {
			f.writes(append([]byte(step.file+"\n"), bundleOf("new")...))
		} else {
			f.writes(bundleOf(step.file))
		}
		f.look(6 * time.Minute)
		f.expect(step.becomes)
		if err := f.own(); err != nil {
			t.Errorf("with %q in the file: %v", step.file, err)
		}
	}
	if after, err := os.ReadFile(f.cfg.Kubeconfig); err != nil || !bytes.Equal(after, kubeconfig) {
		t.Errorf("the kubelet's kubeconfig was written again (%v)", err)
	}
	if server.asked[clusterInfoPath] > 0 {
		t.Error("cluster-info was asked for")
	}
}

// It is nearer than any other to be what locks the node out.
func TestACAFileThatTheAPIServerDoesNotProveChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file   string
		change func(*caServer)
		reason string
	}{
		"another CA's": {"rogue", func(*caServer) {}, "ca unproved"},
		"the new one alone, before the API server":     {"new", func(*caServer) {}, "ca unproved"},
		"the API server takes the node for another":    {"old, new", func(s *caServer) { s.user = otherUser }, "ca unproved"},
		"the API server does not know the node":        {"old, new", func(s *caServer) { s.answers = http.StatusUnauthorized }, "ca unproved"},
		"the API server is not there":                  {"old, new", func(s *caServer) { s.down = true }, "ca unreachable"},
		"a load balancer without an API server behind": {"old, new", func(s *caServer) { s.answers = http.StatusServiceUnavailable }, "ca server-error"},
		"an API server that has not loaded this yet":   {"old, new", func(s *caServer) { s.answers = http.StatusNotFound }, "ca bad-answer"},
	} {
		server := newCAServer(t, "old")
		c.change(server)
		f := newFollower(t, server, byFile)
		f.writes(bundleOf(c.file))
		for range 3 {
			f.look(6 * time.Minute)
		}
		f.expect("old")
		if f.heard.of[c.reason] < 2 || strings.Count(f.log.String(), "is not followed") != 1 {
			t.Errorf("%s: counted %v, said:\n%s", name, f.heard.of, f.log.String())
		}
		f.expectSaid(f.cfg.CAFile + " names another CA than is in use")

		server.set(func(s *caServer) { s.user, s.answers, s.down = "", 0, false })
		f.writes(bundleOf("old, other")) // a change of the file is tried at once
		f.expect("old, other")
		if line := f.agent.followingLine().text; line != "" {
			t.Errorf("%s: STATUS= still says %q", name, line)
		}
	}
}

func TestACAFileThatCannotBeUsedChangesNothingAndIsSaid(t *testing.T) {
	t.Parallel()
	key := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("m4nb6v9k2jx7wq5zr4hf3t")})
	both := bundleOf("old, new")
	for name, c := range map[string]struct {
		change func(path string) error
		says   string
	}{
		"it is gone":                    {os.Remove, "no such file"},
		"it is empty":                   {holds(nil), "is empty"},
		"it is none":                    {holds([]byte("the CA\n")), "holds no PEM certificate"},
		"half of it":                    {holds(both[:len(both)-40]), "is not complete: 2 PEM blocks begin in it, and 1 can be read"},
		"half of one":                   {holds(both[:100]), "not complete"},
		"with the CA's key":             {holds(append(bytes.Clone(both), key...)), "holds a private key"},
		"with something else":           {holds(append(bytes.Clone(both), pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: []byte("x")})...)), "something else than certificates"},
		"a certificate that is damaged": {holds(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("damaged")})), "cannot be read"},
		"a CA that has expired":         {holds(bundleOf("expired")), "holds only certificates that have expired"},
		"everybody may write it":        {func(path string) error { return os.Chmod(path, 0o666) }, "writable by others"},
		"it is somebody else's":         {func(path string) error { return os.Chown(path, 1000, 1000) }, "not to be trusted"},
		"it is a folder":                {func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "not a regular file"},
	} {
		server := newCAServer(t, "old")
		f := newFollower(t, server, byFile)
		must(t, c.change(f.cfg.CAFile))
		for range 4 {
			f.look(6 * time.Minute)
		}
		f.expect("old")
		f.expectSaid(c.says)
		if f.heard.of["ca file"] == 0 || strings.Count(f.log.String(), "is not followed") != 1 || server.asked["/apis/authentication.k8s.io/v1/selfsubjectreviews"] > 0 {
			t.Errorf("%s: counted %v, asked %v, said:\n%s", name, f.heard.of, server.asked, f.log.String())
		}
		if strings.Contains(f.log.String(), "m4nb6v") {
			t.Errorf("%s: the key is in the log", name)
		}
		must(t, os.RemoveAll(f.cfg.CAFile))
		f.writes(both)
		f.expect("old, new")
	}
}

// holds is a writer that does not take the care of a rename.
func holds(content []byte) func(string) error {
	return func(path string) error { return os.WriteFile(path, content, 0o644) }
}

// Half of a bundle may be a bundle.
func TestAFileThatIsBeingWrittenIsNotUsedBeforeItIsDone(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "new")
	f := newFollower(t, server, func(f *follower) {
		byFile(f)
		for _, path := range []string{f.cfg.CAFile, f.dir.ServerCA(), f.dir.ClientCA()} {
			must(t, durable.Disk{}.WriteFile(path, bundleOf("old, new"), 0o644))
		}
	})
	for range 10 { // for as long as it goes on
		must(t, holds(bundleOf("new"))(f.cfg.CAFile))
		f.look(time.Second)
		must(t, holds(bundleOf("new, old"))(f.cfg.CAFile))
		f.look(time.Second)
		f.expect("old, new")
	}
	must(t, holds(bundleOf("new"))(f.cfg.CAFile))
	f.look(0)
	if next := f.agent.nextTime(f.agent.observe()).Sub(f.clock.Now()); next > settlesIn {
		t.Errorf("it is looked at again in %s", next)
	}
	f.look(settlesIn)
	f.expect("new")
}

func TestWhoMayCallTheKubeletFollowsOnlyWhereThatWasTheAPIServersCA(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after string }{
		"the same":                        {"old", "old, new"},
		"a person has chosen another one": {"other", "other"},
		"a person has added one":          {"old, other", "old, other"},
		"an interrupted change":           {"old, new", "old, new"},
	} {
		server := newCAServer(t, "old")
		f := newFollower(t, server, func(f *follower) {
			byFile(f)
			must(t, f.dir.WriteCA(f.dir.ClientCA(), bundleOf(c.before)))
		})
		f.writes(bundleOf("old, new"))
		if api, callers := f.trusts(); api != "old, new" || callers != c.after {
			t.Errorf("%s: the callers' CA is %q, expected %q; the API server's %q", name, callers, c.after, api)
		}
	}
}

func TestTheFileOfTheKubeletsCallersIsFollowedOnItsOwn(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	f := newFollower(t, server, func(f *follower) {
		byFile(f)
		f.cfg.KubeletClientCAFile = filepath.Join(f.top, "callers.crt")
		must(t, durable.Disk{}.WriteFile(f.cfg.KubeletClientCAFile, bundleOf("old"), 0o644))
	})
	expect := func(server, callers string) {
		t.Helper()
		if s, c := f.trusts(); s != server || c != callers {
			t.Errorf("%q and %q, expected %q and %q:\n%s", s, c, server, callers, f.log.String())
		}
	}
	f.writes(bundleOf("old, new"))
	expect("old, new", "old")
	must(t, holds(bundleOf("other, new"))(f.cfg.KubeletClientCAFile))
	f.look(0)
	expect("old, new", "old")
	if next := f.agent.nextTime(f.agent.observe()).Sub(f.clock.Now()); next > settlesIn {
		t.Errorf("it is looked at again in %s", next)
	}
	f.look(settlesIn)
	expect("old, new", "other, new")
	must(t, holds(nil)(f.cfg.KubeletClientCAFile))
	for range 4 {
		f.look(8 * time.Minute)
	}
	expect("old, new", "other, new")
	f.expectSaid("callers.crt is empty")
	if f.heard.of["ca file"] != 2 || strings.Count(f.log.String(), "nothing is changed") != 1 {
		t.Errorf("counted: %v, said:\n%s", f.heard.of, f.log.String())
	}
	f.writes(bundleOf("old")) // and one does not stand in the way of the other
	expect("old", "other, new")
}

// The kubelet has another server, and there the old CA is still needed.
func TestACAThatTheKubeletsOwnServerDoesNotProveIsNotTaken(t *testing.T) {
	t.Parallel()
	server, kubelets := newCAServer(t, "new"), newCAServer(t, "old")
	f := newFollower(t, server, func(f *follower) {
		byFile(f)
		must(t, f.dir.WriteCA(f.dir.ServerCA(), bundleOf("old, new")))
		must(t, f.dir.WriteCA(f.dir.ClientCA(), bundleOf("old, new")))
		must(t, holds(bundleOf("old, new"))(f.cfg.CAFile))
		f.leadsKubeletTo(kubelets.URL)
	})
	f.writes(bundleOf("new"))
	f.expect("old, new")
	f.expectSaid(kubelets.URL)
	kubelets.set(func(s *caServer) { s.down = true }) // before the kubelet runs, nobody may answer there
	f.look(6 * time.Minute)
	kubelets.set(func(s *caServer) { s.down, s.shows = false, "new" })
	f.look(6 * time.Minute)
	f.expect("new")
}

func TestNothingIsFollowedOnceOnly(t *testing.T) {
	t.Parallel()
	server := newCAServer(t, "old")
	f := newFollower(t, server, func(f *follower) {
		byFile(f)
		f.cfg.Once = true
	})
	f.writes(bundleOf("old, new"))
	f.expect("old")
	if _, err := f.dir.Read(certdir.Client); err != nil || len(server.asked) > 0 {
		t.Errorf("asked %v (%v)", server.asked, err)
	}
}
