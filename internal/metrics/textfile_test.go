package metrics_test

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// textfile is one that is kept, with what was written and when.
type textfile struct {
	t       *testing.T
	metrics *metrics.Metrics
	clock   *testingclock.FakeClock
	log     *journal
	stop    func()

	mu      sync.Mutex
	written []string
	fails   error
}

func keep(t *testing.T, kubeletSeries bool) *textfile {
	t.Helper()
	f := &textfile{t: t, clock: testingclock.NewFakeClock(moment), log: &journal{}}
	f.metrics = metrics.New(f.clock, metrics.Build{Version: "v1", GoVersion: "go"}, kubeletSeries)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		metrics.Textfile{
			Path: "/node_exporter/agent.prom", Metrics: f.metrics, Write: f.write, Clock: f.clock,
			Log: slog.New(slog.NewTextHandler(f.log, nil)),
		}.Run(ctx)
	}()
	f.stop = func() { cancel(); <-ended }
	t.Cleanup(f.stop)
	return f
}

func (f *textfile) write(path string, content []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if path != "/node_exporter/agent.prom" {
		f.t.Errorf("writes %s", path)
	}
	if f.fails != nil {
		return f.fails
	}
	f.written = append(f.written, string(content))
	return nil
}

func (f *textfile) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = err
}

// after lets a time pass in which the loop goes round, and returns how often the file was written since the beginning.
func (f *textfile) after(d time.Duration) int {
	f.t.Helper()
	for ; d > 0; d -= time.Second {
		f.metrics.Alive()
		f.pass(time.Second)
	}
	return f.times()
}

// pass lets a time pass.
func (f *textfile) pass(d time.Duration) {
	f.t.Helper()
	until(f.t, "the keeper waits", f.clock.HasWaiters)
	f.clock.Step(d)
	until(f.t, "the keeper waits again", f.clock.HasWaiters)
}

func (f *textfile) times() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.written)
}

func TestTheTextFileIsWrittenWhenSomethingHasHappenedAndOnceAMinute(t *testing.T) {
	t.Parallel()
	f := keep(t, false)
	if n := f.after(2 * time.Second); n != 1 {
		t.Fatalf("written %d times in the first 2 s, expected once", n)
	}
	if n := f.after(50 * time.Second); n != 1 {
		t.Errorf("written %d times although nothing has happened", n)
	}
	if n := f.after(20 * time.Second); n != 2 {
		t.Errorf("written %d times in 72 s: its age must tell that the agent lives", n)
	}
	for range 60 {
		f.metrics.Called("GET", 200)
		f.after(time.Second)
	}
	if n := f.times() - 2; n < 3 || n > 4 {
		t.Errorf("written %d times in a minute of changes, expected every 15 s", n)
	}
}

func TestTheTextFileHoldsTheAgentsSeriesAndNotThoseOfItsProcess(t *testing.T) {
	t.Parallel()
	for _, kubeletSeries := range []bool{false, true} {
		f := keep(t, kubeletSeries)
		f.metrics.Stands(status.Standing{BootstrapToken: true})
		f.after(2 * time.Second)
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(f.written[0]))
		if err != nil {
			t.Fatal(err)
		}
		kubelets := 0
		for name, family := range families {
			switch {
			case strings.HasPrefix(name, "kubelet_"):
				kubelets++
			case !strings.HasPrefix(name, "bootstrap_agent_"):
				t.Errorf("%s is in the file: node_exporter shows it beside its own", name)
			}
			for _, metric := range family.Metric {
				if metric.TimestampMs != nil {
					t.Errorf("%s has a time: node_exporter refuses the file", name)
				}
			}
		}
		if kubelets != map[bool]int{true: 4}[kubeletSeries] || len(families) < 15 {
			t.Errorf("%d families, %d of them the kubelet's", len(families), kubelets)
		}
		if got := values(t, f.written[0]); got[series("bootstrap_token_present")] != 1 {
			t.Errorf("%s", f.written[0])
		}
	}
}

func TestTheAgeOfTheTextFileTellsOfALoopThatHangs(t *testing.T) {
	t.Parallel()
	f := keep(t, false)
	f.pass(time.Minute)
	if f.times() != 0 {
		t.Fatal("written before the loop has begun: it would say that there is no certificate")
	}
	before := f.after(20 * time.Second)
	for range 20 {
		f.pass(15 * time.Second)
	}
	if n := f.times() - before; n > 2 {
		t.Errorf("written %d times while the loop was silent for 5 minutes", n)
	}
	if n := f.after(20 * time.Second); n == before {
		t.Error("not written when the loop goes round again")
	}
}

func TestWhatHappensLastIsInTheTextFileWhichStays(t *testing.T) {
	t.Parallel()
	f := keep(t, false)
	f.after(2 * time.Second)
	f.metrics.Rotated("client", true)
	f.stop()
	last := f.written[len(f.written)-1]
	if values(t, last)[series(`rotations_total{certificate="client",result="success"}`)] != 1 {
		t.Errorf("%s", last)
	}
}

func TestATextFileThatCannotBeWrittenIsCountedSaidOnceAndTriedAgain(t *testing.T) {
	t.Parallel()
	f := keep(t, false)
	failures := func() float64 {
		return values(t, page(t, f.metrics))[series(`errors_total{phase="web",reason="textfile"}`)]
	}
	missing := func(temp string) error {
		return &fs.PathError{Op: "open", Path: "/node_exporter/.agent.prom." + temp + ".tmp", Err: syscall.ENOENT}
	}
	for _, err := range []error{missing("A"), missing("B"), missing("C"), &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}, errors.New("odd")} {
		f.fail(err)
		before := failures()
		until(t, "a failure", func() bool { f.after(time.Second); return failures() == before+1 })
	}
	if lines := f.log.with("level=WARN", "/node_exporter/agent.prom", "remedy="); len(lines) != 3 {
		t.Errorf("three reasons are %d lines: %q", len(lines), lines)
	}
	f.fail(nil)
	until(t, "it is written", func() bool { f.after(time.Second); return f.times() > 0 })
	if len(f.log.with("is written again")) != 1 {
		t.Errorf("that it is mended is not said: %q", f.log.lines)
	}
}
