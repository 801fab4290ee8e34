package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// neighbour is a thinker on a machine where kubelets may run, and what it has said.
type neighbour struct {
	*Agent
	t     *testing.T
	clock *testingclock.FakeClock
	log   bytes.Buffer
	told  []string
}

func newNeighbour(t *testing.T) *neighbour {
	t.Helper()
	n := &neighbour{Agent: thinker(), t: t, clock: testingclock.NewFakeClock(noon)}
	n.Clock, n.Proc = n.clock, t.TempDir()
	n.Agent.log = slog.New(slog.NewTextHandler(&n.log, nil))
	n.Notify = func(text string) { n.told = append(n.told, text) }
	return n
}

// starts puts a kubelet there that began at a time.
func (n *neighbour) starts(pid, began int, argv ...string) {
	n.t.Helper()
	folder := filepath.Join(n.Proc, fmt.Sprint(pid))
	must(n.t, os.MkdirAll(folder, 0o755))
	argv = append([]string{"kubelet", "--kubeconfig=" + n.cfg.Kubeconfig, "--hostname-override=worker-1", "--client-ca-file=/ca.crt"}, argv...)
	must(n.t, os.WriteFile(filepath.Join(folder, "cmdline"), []byte(strings.Join(argv, "\x00")), 0o600))
	must(n.t, os.WriteFile(filepath.Join(folder, "status"), fmt.Appendf(nil, "NSpid:\t%d\n", pid), 0o600))
	must(n.t, os.WriteFile(filepath.Join(folder, "stat"), fmt.Appendf(nil, "%d (kubelet) S%s %d 0\n", pid, strings.Repeat(" 0", 18), began), 0o600))
}

// looks lets time pass and the loop go round, and returns what STATUS= says of the kubelet now.
func (n *neighbour) looks(after time.Duration) string {
	n.t.Helper()
	n.clock.Step(after)
	o := member().o
	o.Now = n.clock.Now()
	o.Client.Pair.Leaf.NotAfter, o.Serving.Pair.Leaf.NotAfter = o.Now.Add(time.Hour), o.Now.Add(time.Hour)
	o.Kubelet.ClientPEM = n.cfg.CertDir + "/kubelet-client-current.pem"
	o.Kubelets = n.kubelets.found
	n.findKubelets(n.t.Context(), o)
	if n.kubelets.running {
		(<-n.events)()
	}
	o.Kubelets = n.kubelets.found
	n.say(o)
	_, text, _ := strings.Cut(n.told[len(n.told)-1], "kubelet: ")
	return text
}

func (n *neighbour) expect(when, found, says string) {
	n.t.Helper()
	if (says == "") != (found == "") || !strings.Contains(found, says) {
		n.t.Errorf("%s: STATUS= says %q of the kubelet, expected %q", when, found, says)
	}
}

func TestAKubeletIsNoticedWithinAMinuteAndSpokenOfOnce(t *testing.T) {
	const both = "rotates the client certificate (--rotate-certificates=true), and so does the agent"
	n := newNeighbour(t)
	n.starts(6, 50, "--kubeconfig=/other", "--cert-dir=/other", "--hostname-override=worker-6", "--rotate-certificates")
	n.expect("another node's is there", n.looks(0), "")
	n.starts(7, 100, "--rotate-certificates")
	n.expect("a moment later", n.looks(time.Minute-time.Second), "")
	n.expect("a minute later", n.looks(time.Second), both)
	for range 5 {
		n.expect("as long as it runs", n.looks(kubeletsEvery), both)
	}
	n.starts(7, 100) // its flags cannot change, and are not read again
	n.expect("as long as it runs", n.looks(kubeletsEvery), both)
	n.starts(7, 200)
	n.expect("another one with the same number", n.looks(kubeletsEvery), "")
	must(t, os.RemoveAll(filepath.Join(n.Proc, "7")))
	n.starts(8, 300, "--rotate-server-certificates")
	n.expect("another one", n.looks(kubeletsEvery), "rotates the serving certificate (--rotate-server-certificates=true)")
	must(t, os.RemoveAll(n.Proc))
	n.expect("what is known stays where nobody can tell", n.looks(kubeletsEvery), "rotates the serving certificate")
	if lines := strings.Count(n.log.String(), "about=kubelet"); lines != 2 || strings.Count(n.log.String(), "level=WARN") != 2 {
		t.Errorf("said %d times, expected once of each kubelet:\n%s", lines, n.log.String())
	}
}

func TestNobodyLooksForAKubeletThatIsNotToBeFound(t *testing.T) {
	n := newNeighbour(t)
	n.starts(7, 100, "--rotate-certificates")
	n.cfg.Once = true
	n.expect("with --once", n.looks(0), "")
	n.cfg.Once, n.Proc = false, ""
	n.expect("where nobody looks", n.looks(0), "")
}

func TestALookForAKubeletIsPlannedWithTheRest(t *testing.T) {
	n := newNeighbour(t)
	n.looks(0)
	if next := n.nextTime(status.Observed{Now: noon.Add(30 * time.Second)}); next.After(noon.Add(kubeletsEvery)) {
		t.Errorf("the loop sleeps until %s", next)
	}
}

func TestWhereNoKubeletRunsForLongItIsLookedForRarely(t *testing.T) {
	m := newMaterial(t)
	s, _ := settled(t, m, true)
	a := s.agent
	a.Proc = t.TempDir()
	pause := func() time.Duration {
		a.kubelets.retryAt = time.Time{}
		o := a.observe()
		a.findKubelets(t.Context(), o)
		a.kubelets.abandon()
		return a.kubelets.retryAt.Sub(o.Now)
	}
	if got := pause(); got != kubeletsEvery {
		t.Errorf("at the start it is looked for again after %s", got)
	}
	s.clock.Step(kubeletsLate + time.Second)
	if got := pause(); got != kubeletsRarely {
		t.Errorf("after %s it is looked for again after %s", kubeletsLate, got)
	}
	a.kubelets.seen = s.clock.Now()
	if got := pause(); got != kubeletsEvery {
		t.Errorf("after one has ended it is looked for again after %s", got)
	}
}
