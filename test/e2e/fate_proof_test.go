package e2e

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// fate is a node with a row's credential, and its daemon.
type fate struct {
	*node
	row scenarios.Fate
	*daemon
	gone, stay []string
	// before are the files that are to stay, as they were.
	before map[string]string
	// asked is how often agents of earlier lives have asked who they are.
	asked int
}

// TestEveryCredentialHasItsFate has all rows at once, each with a daemon of its own: what takes time is to see that nothing more
// happens. A restart looks at what is left anew, and comes to the same.
func TestEveryCredentialHasItsFate(t *testing.T) {
	t.Parallel()
	all := fatesOf(t)
	for _, f := range all {
		f.daemon = f.start()
	}
	for _, f := range all {
		f.awaitMet()
	}
	time.Sleep(aWhile())
	each(t, all, "has its fate", (*fate).prove)
	again := someFates(t, all)
	for _, f := range again {
		f.stop()
		f.asked = f.reviews()
		f.daemon = f.start()
	}
	for _, f := range again {
		f.awaitReady()
		if f.row.Becomes != scenarios.Deleted && f.row.Says != "" {
			f.awaitLog(f.row.Says)
		}
	}
	time.Sleep(aWhile())
	each(t, again, "has the same after a restart", (*fate).proveAgain)
	t.Logf("%d credentials, %d daemons", len(all), len(all)+len(again))
}

// someFates are other ones in each run; with SOAK set all of them.
func someFates(t *testing.T, all []*fate) []*fate {
	t.Helper()
	if os.Getenv("SOAK") != "" {
		return all
	}
	some := slices.Clone(all)
	sample.Random(t).Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	return some[:6]
}

func fatesOf(t *testing.T) (all []*fate) {
	t.Helper()
	for _, row := range scenarios.Fates {
		if fates[row.Name] == nil {
			t.Errorf("%s (%s) has no proof", row.Name, row.What)
			continue
		}
		f := &fate{node: clientOnly(t), row: row}
		f.rename("fate-of-" + row.Name)
		f.gone, f.stay = fates[row.Name](f.node)
		for _, name := range f.stay {
			f.keeps(f.path(name))
		}
		f.before = f.only(f.stay)
		all = append(all, f)
	}
	for name := range fates {
		if !slices.ContainsFunc(scenarios.Fates, func(row scenarios.Fate) bool { return row.Name == name }) {
			t.Errorf("the proof %s belongs to no row", name)
		}
	}
	return all
}

// rename gives the node another name, before it is used.
func (n *node) rename(name string) {
	for i, flag := range n.flags {
		n.flags[i] = strings.ReplaceAll(flag, n.name, name)
	}
	n.name = name
}

// only are some of the node's files, as they are now.
func (n *node) only(names []string) map[string]string {
	all := n.contents()
	maps.DeleteFunc(all, func(name, _ string) bool { return !slices.Contains(names, name) })
	return all
}

// each has every credential looked at in a test of its own.
func each(t *testing.T, all []*fate, what string, prove func(*fate)) {
	t.Helper()
	for _, f := range all {
		t.Run(f.row.Name+" "+what, func(t *testing.T) {
			outer := f.node.t
			f.node.t, f.daemon.t = t, t
			defer func() { f.node.t, f.daemon.t = outer, outer }()
			prove(f)
		})
	}
}

// awaitMet waits until the agent has done and said what there is to do and to say.
func (f *fate) awaitMet() {
	f.node.t.Helper()
	if f.row.Becomes != scenarios.Unused {
		f.awaitJoined()
	}
	if f.row.Says != "" {
		f.awaitLog(f.row.Says)
	}
	f.awaitReady()
}

func (f *fate) prove() {
	f.assertDone(2) // the proof of the certificate; and a comparison, if the agent had been restarted
	f.assertSaid(f.row.Says)
	status := f.run([]string{"status"})
	f.expect(status, f.row.Status)
	switch {
	case f.row.Becomes == scenarios.Unused:
		f.expect(status, f.row.Status, f.row.Says)
		f.expect(f.once(), 2, f.row.Says)
		if found := f.csrs(csr.Client); len(found) > 0 {
			f.node.t.Errorf("%d requests were sent", len(found))
		}
		return
	case f.row.Status != 0:
		f.expect(status, f.row.Status, "a bootstrap credential is still in "+f.path(f.stay[0]))
	}
	f.csr(csr.Client)
}

func (f *fate) proveAgain() {
	f.assertDone(1)
	if f.row.Becomes == scenarios.Deleted {
		f.assertSaid("")
	} else {
		f.assertSaid(f.row.Says)
	}
	if code, _ := f.stop(); code != 0 {
		f.node.t.Errorf("the daemon ended with %d", code)
	}
	if f.row.Becomes != scenarios.Unused {
		f.expect(f.once(), 0)
		f.csr(csr.Client)
		f.assertDone(2)
	}
}

// assertDone shows that what was to go is gone, that the rest was not touched, and that little was asked for it.
func (f *fate) assertDone(atMost int) {
	f.node.t.Helper()
	for _, name := range append(f.gone, asideName) {
		f.assertGone(f.path(name))
	}
	now := f.only(f.stay)
	for name, before := range f.before {
		if now[name] != before {
			f.node.t.Errorf("%s was touched", name)
		}
	}
	if asked := f.reviews() - f.asked; asked > atMost {
		f.node.t.Errorf("it has asked %d times who it is", asked)
	}
}

// assertSaid shows that text was said at the row's level, and that nothing was said twice.
func (f *fate) assertSaid(text string) {
	f.node.t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(f.log()) {
		_, line, _ = strings.Cut(line, " ") // the time
		if seen[line] {
			f.node.t.Errorf("said twice: %s", line)
		}
		seen[line] = true
		about := strings.Contains(line, "bootstrap credential") || strings.Contains(line, "bootstrap secret")
		switch {
		case text == "" && about:
			f.node.t.Errorf("there was nothing to say about the credential: %s", line)
		case text != "" && strings.Contains(line, text) && !strings.HasPrefix(line, "level="+f.row.Level+" "):
			f.node.t.Errorf("not said at level %s: %s", f.row.Level, line)
		}
	}
	if text != "" {
		f.saidOnce(text)
	}
}

// reviews is how often the node's agents have asked who they are.
func (n *node) reviews() int {
	n.t.Helper()
	requests, err := n.cp.Requests("system:node:"+n.name, controlplane.ByUserAgent("bootstrap-agent/"), func(r controlplane.Request) bool {
		return r.Resource == "selfsubjectreviews"
	})
	must(n.t, err)
	return len(requests)
}

// A file that others could read is used, and they cannot read it any more; who waits for the cluster for long must not have it open
// for long.
func TestATokenFileThatOthersCanReadIsNarrowedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	w := newWay(t, func(w *way) {
		w.hang()
		w.write(w.path("token"), []byte(w.secretToken().Token), 0o644)
		w.user = &clientcmdapi.AuthInfo{TokenFile: "token"}
	})
	d := w.start()
	eventually(t, "the token is used", func() bool { return w.seen.Connections() > 0 })
	w.assertMode(w.path("token"), 0o600)
	d.saidOnce("could be read by others")
	w.mend()
	w.awaitJoined()
	eventually(t, "the token is deleted", func() bool { return !isThere(w.path("token")) })
	d.saidOnce("could be read by others")
}

// What cannot be narrowed is used all the same, and said once, however often the credential is.
func TestAFileThatCannotBeNarrowedIsSaidOnce(t *testing.T) {
	t.Parallel()
	n := clientOnly(t)
	proxy := n.behind(t)
	proxy.Down()
	n.write(n.path("elsewhere", "token"), []byte(n.secretToken().Token), 0o644)
	n.keeps(n.path("elsewhere", "token"))
	n.bootstrapVia(proxy.URL(), clientcmdapi.AuthInfo{TokenFile: "elsewhere/token"})
	d := n.start()
	eventually(t, "three attempts", func() bool { return strings.Count(d.log(), "will try again") >= 3 })
	d.saidOnce("the bootstrap credential can be read by others")
	n.assertMode(n.path("elsewhere", "token"), 0o644)
	proxy.Pass()
	n.awaitJoined()
	d.awaitLog("a tokenFile outside the kubeconfig's folder is not ours to delete")
	d.saidOnce("the bootstrap credential can be read by others")
}
