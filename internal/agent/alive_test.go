package agent

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// manager is a service manager that remembers what it was told.
type manager struct {
	mu   sync.Mutex
	told []string
}

func (m *manager) notify(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, state)
}

// heard is how often a message came, by how it begins.
func (m *manager) heard(begins string) (times int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, state := range m.told {
		if strings.HasPrefix(state, begins) {
			times++
		}
	}
	return times
}

// await waits until a message has come for a number of times more.
func (m *manager) await(t *testing.T, begins string, more int) {
	t.Helper()
	for want, end := m.heard(begins)+more, time.Now().Add(20*time.Second); m.heard(begins) < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s was not heard %d times more", begins, more)
		}
	}
}

// An agent that hangs, in a file system that does not answer for example, must not look alive: systemd restarts it.
func TestTheWatchdogIsFedByTheLoopAndByNothingElse(t *testing.T) {
	t.Parallel()
	const every = 40 * time.Millisecond
	on, systemd := newMachine(t), &manager{}
	on.cfg.Serving = "off"
	stuck, begin := make(chan struct{}), make(chan struct{}, 1)
	disk := durable.Disk{Before: func(op durable.Op) error {
		if op.Call == "open" && strings.Contains(op.Path, "pending") {
			begin <- struct{}{}
			<-stuck
		}
		return nil
	}}
	a := New(Options{Config: on.cfg, Disk: disk, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler), Notify: systemd.notify, WatchdogEvery: every})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- a.Run(ctx) }()
	systemd.await(t, "WATCHDOG=1", 3)

	on.write(t, on.cfg.BootstrapKubeconfig, bootstrapKubeconfig("https://192.0.2.1:6443", theCA().pem))
	<-begin // and the loop waits for the disk
	before := systemd.heard("WATCHDOG=1")
	time.Sleep(10 * every)
	if fed := systemd.heard("WATCHDOG=1") - before; fed > 0 {
		t.Errorf("fed %d times while the loop hung", fed)
	}
	close(stuck)
	systemd.await(t, "WATCHDOG=1", 3)
	cancel()
	must(t, <-ended)
	if systemd.heard("STOPPING=1") != 1 {
		t.Errorf("systemd was not told that the agent stops: %q", systemd.told)
	}
}

func TestAClockThatIsSetBackDoesNotStopTheFeeding(t *testing.T) {
	t.Parallel()
	systemd, a := &manager{}, thinker()
	a.Notify, a.WatchdogEvery = systemd.notify, time.Minute
	for i, step := range []struct {
		by  time.Duration
		fed int
	}{{0, 1}, {time.Second, 1}, {30 * time.Second, 2}, {-time.Hour, 3}, {29 * time.Second, 3}, {time.Second, 4}, {365 * 24 * time.Hour, 5}} {
		a.Clock.(*testingclock.FakeClock).SetTime(a.Clock.Now().Add(step.by))
		a.stages.alive(a)
		if fed := systemd.heard("WATCHDOG=1"); fed != step.fed {
			t.Errorf("step %d, by %s: fed %d times, expected %d", i, step.by, fed, step.fed)
		}
	}
	if systemd.heard("EXTEND_TIMEOUT_USEC=") != 5 {
		t.Errorf("told %q", systemd.told)
	}
}

func TestAStatusIsOneLineThatSystemdTakes(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"lines": "a\nb\r\nc\x00\x1b[31md", "not UTF-8": "\xff\xfe and so on", "long": strings.Repeat("x", 10_000), "long, of several bytes": strings.Repeat("ü€", 3000),
		"just too long": strings.Repeat("x", statusLimit+1), "just not": strings.Repeat("x", statusLimit),
	} {
		got := statusText(text)
		if len(got) > statusLimit || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' }) {
			t.Errorf("%s: %d bytes, %q", name, len(got), got)
		}
		if cut := strings.HasSuffix(got, "…"); cut != (len(text) > statusLimit) || !cut && utf8.RuneCountInString(got) != utf8.RuneCountInString(text) && name != "not UTF-8" {
			t.Errorf("%s: %q", name, got)
		}
	}
	for shift := range 5 { // wherever the cut falls
		if got := statusText(strings.Repeat("x", shift) + strings.Repeat("ü€", 3000)); !utf8.ValidString(got) || len(got) < statusLimit-5 {
			t.Errorf("%d before: %d bytes, %q", shift, len(got), got)
		}
	}
	if longest := 4*(statusLimit+len("bootstrap: ; ")) + len("STATUS="); longest > 4096 {
		t.Errorf("all concerns together may take %d bytes", longest)
	}
}

// What stands in the way may be anything that somebody else says.
func TestAnyTroubleIsShownInTheStatus(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	s, _ := settled(t, m, true)
	a, systemd := s.agent, &manager{}
	a.Notify = systemd.notify
	a.credential.trouble = strings.Repeat("long\n\xff", 2000)
	a.say(a.observe())
	if systemd.heard("STATUS=bootstrap: long ?long ?") != 1 || len(systemd.told[0]) > 4096 || !utf8.ValidString(systemd.told[0]) || !strings.Contains(systemd.told[0], "; client: valid until") {
		t.Errorf("%q", systemd.told)
	}
}
