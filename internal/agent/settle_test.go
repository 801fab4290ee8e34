package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// everyDisk returns states of the client's files, each beside some state of the serving ones, and the other way round; with SOAK
// set all of them.
func everyDisk() []disk {
	var clients, all []disk
	for _, pending := range pendings {
		for _, bootstrap := range bootstraps {
			for _, kubeconfig := range yesNo {
				for _, client := range clientPairs {
					d := disk{client: client, older: "missing", clientPending: pending, kubeconfig: kubeconfig, bootstrap: bootstrap == "good", badBootstrap: bootstrap == "bad"}
					clients = append(clients, d)
					if client == "missing" || client == "corrupt" {
						d.older = "good"
						clients = append(clients, d)
					}
				}
			}
		}
	}
	everyClient, everyServing, eachBeside := 4, 3, 1 // as many as there is time for, and so that each pair of values comes up
	if os.Getenv("SOAK") != "" {
		everyClient, everyServing, eachBeside = 1, 1, 12
	}
	for i := 0; i < len(clients); i += everyClient {
		some := besides(clients[i])
		for n := range eachBeside {
			all = append(all, some[(i*37+n*11)%len(some)])
		}
	}
	for offset, d := range []disk{{client: "good", kubeconfig: true}, {client: "missing", bootstrap: true}} {
		some := besides(d)
		for i := offset % everyServing; i < len(some); i += everyServing {
			all = append(all, some[i])
		}
	}
	return all
}

// besides returns d with every state of the serving files.
func besides(d disk) []disk {
	var all []disk
	for _, d.serving = range servingPairs {
		for _, d.servingPending = range pendings {
			for _, d.servingOff = range yesNo {
				all = append(all, d)
			}
		}
	}
	return all
}

// inShards runs test for each of the states, on two processors at once.
func inShards(t *testing.T, all []disk, test func(t *testing.T, d disk)) {
	t.Helper()
	for shard, name := range []string{"one half", "the other half"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, d := range all {
				if i%2 != shard {
					continue
				}
				if test(t, d); t.Failed() {
					t.Fatalf("the state: %+v", d)
				}
			}
		})
	}
}

// rounds is far more than any state needs: what is not settled then never will be.
const rounds = 12

// settler drives an agent's own steps, as its loop does, without waiting.
type settler struct {
	t     *testing.T
	agent *Agent
	clock *testingclock.FakeClock
	ctx   context.Context
	// close ends what was begun, and removes the machine: all of them at once would fill the memory.
	close func()
}

func newSettler(t *testing.T, on *machine, with durable.Disk) *settler {
	t.Helper()
	clock := testingclock.NewFakeClock(noon)
	a := New(Options{Config: on.cfg, Clock: clock, Disk: with, Log: slog.New(slog.DiscardHandler)})
	a.started = noon
	ctx, cancel := context.WithCancel(t.Context())
	must(t, a.open())
	return &settler{t: t, agent: a, clock: clock, ctx: ctx, close: func() {
		cancel()
		a.tasks.Wait()
		a.lock.Close()
		os.RemoveAll(on.top)
	}}
}

// settle acts until there is nothing more to do and nothing under way. It says whether that ever was so.
func (s *settler) settle() bool {
	a := s.agent
	for range rounds {
		o := a.observe()
		a.noticeCredential(o)
		for acted := 0; a.act(s.ctx, o); acted++ {
			if acted == rounds {
				return false
			}
			o = a.observe()
		}
		a.report(o)
		if !a.client.running && !a.serving.running && !a.credential.running && !a.addresses.running {
			return a.nextTime(o).After(o.Now)
		}
		select {
		case report := <-a.events:
			report()
		case <-time.After(20 * time.Second):
			s.t.Error("a task does not end though nobody answers")
			return false
		}
	}
	return false
}

// later moves the clock to the agent's next time, or further, and settles again.
func (s *settler) later(d time.Duration) bool {
	next := s.agent.nextTime(s.agent.observe())
	if at := s.clock.Now().Add(d); at.After(next) {
		next = at
	}
	s.clock.SetTime(next)
	return s.settle()
}

func TestTheAgentComesToRestWhateverIsOnTheDisk(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	inShards(t, everyDisk(), func(t *testing.T, d disk) {
		t.Helper()
		s, on := start(t, m, d, durable.Disk{})
		defer s.close()
		before := rememberDisk(t, on)
		s.rests(s.settle())
		expectNothingLost(t, on, d, m, before)
		for _, step := range []time.Duration{20 * time.Minute, 7 * time.Hour} { // the next key, everything expired
			s.rests(s.later(step))
			expectKubeletUnharmed(t, on)
			if after := rememberDisk(t, on); after.bootstrap != before.bootstrap {
				t.Errorf("%s after the start the bootstrap kubeconfig has changed or is gone, though nobody has answered", s.clock.Since(noon))
			}
		}
	})
}

// A disk that takes nothing, full or read-only, must not make the loop spin either.
func TestTheAgentComesToRestWhenTheDiskTakesNothing(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	broken := durable.Disk{Before: func(durable.Op) error { return errors.New("no space left on device") }}
	inShards(t, everyDisk(), func(t *testing.T, d disk) {
		t.Helper()
		s, on := start(t, m, d, broken)
		defer s.close()
		before := rememberDisk(t, on)
		s.rests(s.settle())
		s.rests(s.later(7 * time.Hour))
		if after := rememberDisk(t, on); after != before {
			t.Errorf("the disk takes nothing, and yet it has changed: %+v\nbefore: %+v", after, before)
		}
	})
}

// start makes a machine with these files and an agent that has just opened it.
func start(t *testing.T, m *material, d disk, with durable.Disk) (*settler, *machine) {
	t.Helper()
	on := newMachine(t)
	m.furnish(t, on, d)
	return newSettler(t, on, with), on
}

func (s *settler) rests(settled bool) {
	s.t.Helper()
	if !settled {
		s.t.Errorf("never comes to rest, %s after the start", s.clock.Since(noon))
	}
}

// remembered is what must not get lost while nobody answers.
type remembered struct{ client, clientPending, bootstrap, kubeconfig string }

func rememberDisk(t *testing.T, on *machine) remembered {
	t.Helper()
	read := func(path string) string {
		content, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(content)
	}
	return remembered{
		client: read(on.dir.Current(certdir.Client)), clientPending: read(on.dir.PendingFile(certdir.Client)),
		bootstrap: read(on.cfg.BootstrapKubeconfig), kubeconfig: read(on.cfg.Kubeconfig),
	}
}

func expectNothingLost(t *testing.T, on *machine, d disk, m *material, before remembered) {
	t.Helper()
	after := rememberDisk(t, on)
	if after.bootstrap != before.bootstrap {
		t.Error("the bootstrap kubeconfig has changed or is gone, though nobody has answered")
	}
	if before.kubeconfig != "" && after.kubeconfig != before.kubeconfig {
		t.Error("the kubelet's kubeconfig has changed")
	}
	if d.client == "good" && d.clientPending != "committed" && after.client != before.client {
		t.Error("the identity has changed, though nobody has answered")
	}
	if d.client == "corrupt" && d.older == "good" && d.clientPending == "none" && after.client != string(m.older) {
		t.Error("the older pair is not in use")
	}
	expectPendingKept(t, on, d, before, after)
	expectKubeletUnharmed(t, on)
}

// expectPendingKept shows that a request which is to become the certificate stays as it is, and that a new one needs a credential.
func expectPendingKept(t *testing.T, on *machine, d disk, before, after remembered) {
	t.Helper()
	switch d.clientPending {
	case "committed":
		if _, err := on.dir.Read(certdir.Client); err != nil || after.clientPending != "" || after.kubeconfig == "" {
			t.Errorf("the commit was not finished (%v)", err)
		}
	case "issued", "fresh", "sent", "denied":
		identity := d.client == "good" || d.older == "good"
		if needed := d.clientPending == "issued" || !identity; needed && after.clientPending != before.clientPending {
			t.Error("the request has become another")
		} else if !needed && after.clientPending != "" {
			t.Error("a request that nothing needs is left: the credential is kept for it, and run --once never ends")
		}
	default:
		if after.clientPending != before.clientPending && after.clientPending != "" && !d.bootstrap {
			t.Error("a request was made without a credential")
		}
	}
}

func expectKubeletUnharmed(t *testing.T, on *machine) {
	t.Helper()
	links := 0
	names := []string{filepath.Join(on.cfg.CertDir, "kubelet.crt"), filepath.Join(on.cfg.CertDir, "kubelet.key")}
	for _, path := range names {
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		links++
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s dangles", path)
		}
	}
	if _, err := tls.LoadX509KeyPair(names[0], names[1]); links == 2 && err != nil {
		t.Errorf("the kubelet cannot load its pair: %v", err)
	}
}
