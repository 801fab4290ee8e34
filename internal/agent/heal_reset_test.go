package agent

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// removeAll is rm -rf of everything in the cert-dir that match accepts.
func (w *whole) removeAll(match func(name string) bool) error {
	entries, err := os.ReadDir(w.on.cfg.CertDir)
	for _, entry := range entries {
		if match(entry.Name()) {
			err = errors.Join(err, os.Remove(filepath.Join(w.on.cfg.CertDir, entry.Name())))
		}
	}
	return err
}

// resets are the ways in which a person takes a node's identity away; each step comes its time after the one before.
var resets = func() map[string][]resetStep {
	link := func(w *whole) error { return os.Remove(w.on.dir.Current(certdir.Client)) }
	pair := func(w *whole) error { return os.Remove(dataFileOf(certdir.Client)(w)) }
	kubeconfig := func(w *whole) error { return os.Remove(w.on.cfg.Kubeconfig) }
	all := map[string][]resetStep{
		"the whole folder":           {{0, func(w *whole) error { return os.RemoveAll(w.on.cfg.CertDir) }}},
		"the folder moved away":      {{0, func(w *whole) error { return os.Rename(w.on.cfg.CertDir, w.on.cfg.CertDir+".old") }}},
		"all that the folder holds":  {{0, func(w *whole) error { return w.removeAll(func(string) bool { return true }) }}},
		"all but the hidden files":   {{0, func(w *whole) error { return w.removeAll(func(name string) bool { return name[0] != '.' }) }}},
		"the folder, then the other": {{0, func(w *whole) error { return os.RemoveAll(w.on.cfg.CertDir) }}, {time.Minute, kubeconfig}},
	}
	for what, half := range map[string]func(*whole) error{"link": link, "pair": pair} {
		for _, gap := range []time.Duration{0, 5 * time.Second, 9900 * time.Millisecond} {
			all[fmt.Sprintf("the kubeconfig, %s later the %s", gap, what)] = []resetStep{{0, kubeconfig}, {gap, half}}
			all[fmt.Sprintf("the %s, %s later the kubeconfig", what, gap)] = []resetStep{{0, half}, {gap, kubeconfig}}
		}
	}
	return all
}()

type resetStep struct {
	after time.Duration
	do    func(*whole) error
}

func (w *whole) reset(steps []resetStep) {
	w.t.Helper()
	for _, step := range steps {
		if step.after > 0 {
			w.after(step.after)
		}
		must(w.t, step.do(w))
		w.rests(w.settle())
	}
}

// A person who takes the identity away means it: nothing comes back, what lay there to bootstrap with is not used, and a new credential
// is, without a restart.
func TestWhatAPersonTakesAwayStaysAwayUntilThereIsANewCredential(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	old := bootstrapKubeconfig(m.endpoint.Server, m.endpoint.CA)
	for _, name := range slices.Sorted(maps.Keys(resets)) {
		for _, expired := range yesNo {
			w := newWhole(t, m, func(on *machine) { on.cfg.KeepBootstrapKubeconfig = true })
			w.on.write(t, w.on.cfg.BootstrapKubeconfig, old)
			w.after(time.Second)
			w.agent.noticeCredential(w.agent.observe())
			if expired {
				must(t, os.Remove(w.on.cfg.BootstrapKubeconfig)) // else it is used
				w.after(2 * time.Hour)
			}
			w.reset(resets[name])
			after := w.files()
			if expired {
				w.on.write(t, w.on.cfg.BootstrapKubeconfig, old)
				after = w.files()
			}
			for range 10 {
				w.after(time.Minute)
			}
			if changed := differences(after, w.files()); len(changed) > 0 {
				t.Errorf("%s (expired before: %v): afterwards %q were written\n%s", name, expired, changed, w.said)
			}
			if line := w.agent.clientLine(w.agent.observe()); !strings.Contains(line.text, "put a new bootstrap kubeconfig at "+w.on.cfg.BootstrapKubeconfig) {
				t.Errorf("%s (expired before: %v): STATUS= says %q", name, expired, line.text)
			}
			w.on.write(t, w.on.cfg.BootstrapKubeconfig, append(slices.Clone(old), "# a new one\n"...))
			w.after(time.Second)
			if o := w.agent.observe(); o.Client.Pending == nil || !w.agent.dir.Holds(w.agent.lock) {
				t.Errorf("%s (expired before: %v): a new credential is not used\n%s", name, expired, w.said)
			}
			w.close()
		}
	}
	t.Logf("%d ways to take a node's identity away, each with one that is valid and one that has expired", len(resets))
}

// What is taken away slowly, or half, was lost, and comes back.
func TestAHalfOfTheIdentityThatGoesComesBack(t *testing.T) {
	m := newMaterial(t)
	link := func(w *whole) error { return os.Remove(w.on.dir.Current(certdir.Client)) }
	kubeconfig := func(w *whole) error { return os.Remove(w.on.cfg.Kubeconfig) }
	for name, steps := range map[string][]resetStep{
		"the link":                            {{0, link}},
		"the kubeconfig":                      {{0, kubeconfig}},
		"the kubeconfig, 11 s later the link": {{0, kubeconfig}, {11 * time.Second, link}},
		"the link, 11 s later the kubeconfig": {{0, link}, {11 * time.Second, kubeconfig}},
	} {
		w := newWhole(t, m)
		before := w.files()
		w.reset(steps)
		w.after(resetTakes)
		if changed := differences(before, w.files()); len(changed) > 0 {
			t.Errorf("%s: %q are not back\n%s", name, changed, w.said)
		}
	}
}

// Somebody who removes the files and puts the new credential there in one go is faster than the agent can look.
func TestACredentialThatComesWithTheResetIsTheNewOne(t *testing.T) {
	m := newMaterial(t)
	w := newWhole(t, m)
	must(t, os.RemoveAll(w.on.cfg.CertDir))
	must(t, os.Remove(w.on.cfg.Kubeconfig))
	w.on.write(t, w.on.cfg.BootstrapKubeconfig, bootstrapKubeconfig(m.endpoint.Server, m.endpoint.CA))
	w.rests(w.settle())
	if o := w.agent.observe(); o.Client.Pending == nil {
		t.Errorf("it is not used: %s", w.said)
	}
}

// A second reset, while the node is about to join again, counts as the first one did.
func TestAResetWhileTheNodeJoinsAgainCounts(t *testing.T) {
	m := newMaterial(t)
	w := newWhole(t, m)
	for i := range 2 {
		must(t, os.RemoveAll(w.on.cfg.CertDir))
		must(t, errors.Join(os.RemoveAll(w.on.cfg.Kubeconfig)))
		w.rests(w.settle())
		w.after(time.Minute)
		if w.on.exists(w.on.cfg.CertDir) {
			t.Fatalf("reset %d: the cert-dir was made again\n%s", i+1, w.said)
		}
		credential := append(bootstrapKubeconfig(m.endpoint.Server, m.endpoint.CA), fmt.Sprintf("# %d\n", i)...)
		w.on.write(t, w.on.cfg.BootstrapKubeconfig, credential)
		w.after(time.Second)
		if w.agent.observe().Client.Pending == nil {
			t.Fatalf("reset %d: a new credential is not used\n%s", i+1, w.said)
		}
	}
}

// Where the cluster is cannot be told while the kubeconfig is damaged: the request under way is not thrown away for that.
func TestARequestUnderWaySurvivesADamagedKubeconfig(t *testing.T) {
	m := newMaterial(t)
	for _, restarted := range yesNo {
		w := newWhole(t, m)
		must(t, w.agent.dir.AskToRotate(certdir.Client))
		w.after(time.Minute)
		name := w.agent.observe().Client.Pending.Name
		kubeconfig, err := os.ReadFile(w.on.cfg.Kubeconfig)
		must(t, err)
		w.on.write(t, w.on.cfg.Kubeconfig, []byte("half a kube"))
		if restarted { // then there is nothing to heal it from
			w.agent.keep = keepsake{}
		}
		w.after(time.Second)
		w.after(time.Minute)
		if o := w.agent.observe(); o.Client.Pending == nil || o.Client.Pending.Name != name {
			t.Errorf("restarted %v: the request was thrown away: %s", restarted, w.said)
		}
		w.on.write(t, w.on.cfg.Kubeconfig, kubeconfig)
		w.after(time.Minute)
		if o := w.agent.observe(); o.Client.Pending == nil || o.Client.Pending.Name != name || o.Kubelet == nil {
			t.Errorf("restarted %v: it does not go on: %s", restarted, w.said)
		}
	}
}

// A name that is denied to a node is asked for as seldom as anything that is denied, also over restarts.
func TestANameThatIsDeniedIsAskedForAsThePolicySays(t *testing.T) {
	m := newMaterial(t)
	w := newWhole(t, m, func(on *machine) {
		on.cfg.ServingIPs = []string{"192.0.2.10", "192.0.2.11"}
		must(t, on.dir.Commit(certdir.Client, m.longLived(t, m.client.Wish), noon))
		must(t, on.dir.CommitServing(m.longLived(t, m.servingRequest.Wish), noon))
	})
	asked, begin := map[string]bool{}, w.clock.Now()
	for w.clock.Since(begin) < 24*time.Hour {
		w.after(10 * time.Minute)
		p := w.agent.pendingOf(csr.Serving)
		if p == nil || asked[p.Name] {
			continue
		}
		asked[p.Name] = true
		w.agent.serving.abandon()
		p.Ended = &csr.Ended{Outcome: csr.Denied, At: w.clock.Now()}
		must(t, w.agent.store(p))
		if len(asked)%2 == 0 { // a restart
			w.agent.serving, w.agent.keep = memory{name: csr.Serving}, keepsake{}
			w.rests(w.settle())
		}
	}
	if len(asked) < 4 || len(asked) > 10 {
		t.Errorf("%d requests in a day\n%s", len(asked), w.said)
	}
	t.Logf("a name that is denied for a day: %d requests", len(asked))
}

// longLived is a pair of a month.
func (m *material) longLived(t *testing.T, wish csr.Wish) []byte {
	t.Helper()
	p := m.request(t, wish)
	usage := x509.ExtKeyUsageClientAuth
	if wish.Kind == csr.Serving {
		usage = x509.ExtKeyUsageServerAuth
	}
	p.CertificatePEM = theCA().signFor(30*24*time.Hour, p.RequestPEM, usage, noon.Add(-time.Minute))
	return p.PairPEM()
}

// pendingOf is the request on the disk.
func (a *Agent) pendingOf(kind csr.Kind) *csr.Pending {
	if kind == csr.Client {
		return a.pending(&a.client)
	}
	return a.pending(&a.serving)
}
